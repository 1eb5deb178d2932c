"""A plot shows what it was given."""

import re
from itertools import pairwise

import pytest

from bench.curves import Curve, chart, save, writable
from training.domain.errors import ConfigError


def test_each_curve_is_drawn_and_named():
    """Two curves: two lines, two names, and the higher value stands higher (smaller y)."""
    svg = chart("Regret", "round", "total", {"low": Curve([0, 1], [0, 1]), "high & mighty": Curve([0, 1], [0, 4], [0, 1])})
    ends = [float(points.split()[-1].split(",")[1]) for points in re.findall(r'<polyline points="([^"]+)"', svg)]
    assert len(ends) == 2
    assert ends[1] < ends[0]
    assert ">low</text>" in svg
    assert "high &amp; mighty" in svg
    assert svg.count("<polygon") == 1


def test_names_never_overlap():
    """Curves that end at one point keep their names apart."""
    svg = chart("t", "x", "y", {str(i): Curve([0, 1], [0, 1]) for i in range(6)})
    heights = sorted(float(y) for y in re.findall(r'y="([\d.]+)" font-size="13"', svg))
    assert min(b - a for a, b in pairwise(heights)) >= 15


def test_nothing_to_draw_is_an_error():
    """An empty picture would look like a result."""
    with pytest.raises(ValueError, match="no point"):
        chart("t", "x", "y", {"a": Curve([], [])})


def test_a_plot_is_written_whole(tmp_path):
    """The file holds exactly the picture; nothing is left beside it."""
    path = save(tmp_path / "deep" / "plot.svg", "<svg/>")
    assert path.read_text() == "<svg/>"
    assert [p.name for p in path.parent.iterdir()] == ["plot.svg"]


@pytest.mark.parametrize(("name", "said"), [("", "is a folder"), ("p.png", "SVG alone"), ("plot", "SVG alone"), ("file/p.svg", "Nothing can be written to")])
def test_where_no_plot_can_go_is_known_before(tmp_path, name, said):
    """A folder, another ending, a file where a folder is needed: refused, and nothing is left behind. What does not exist yet is made."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=said):
        writable(tmp_path / name)
    writable(tmp_path / "new" / "p.SVG")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "new"]
