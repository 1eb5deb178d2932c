"""The shape of the report, and which of Feast's servers counts."""

from __future__ import annotations

import json
import re

import pytest

from bench.serving.command import PARTS, parts_of, picture
from bench.serving.during import _outcome
from bench.serving.load import Load
from bench.serving.parts import compared
from bench.serving.report import Report, flat, show
from bench.serving.rounds import Figures
from training.config.settings import ROOT
from training.domain.errors import ConfigError, NotReadyError


def figures(ms: float, rate: int) -> Figures:
    """A server that always takes `ms` and answers `rate` a second."""
    made = Figures()
    made.add(Load([ms / 1e3] * 100, 1.0), Load([ms / 1e3] * rate, 1.0))
    return made


def test_the_report_has_the_promised_names_and_the_better_tuned_server_counts():
    """1 ms and 800/s against 2 ms and 100/s over our store, 4 ms and 200/s over Feast's: each figure is compared with the better one."""
    found = {"decision": figures(1, 800), "feast_tuned_sqlite": figures(4, 200), "feast_tuned_packed": figures(2, 100), "feast_stock": figures(10, 50)}
    report = compared(found)
    assert report["decision"] == {"p50_ms": 1.0, "p99_ms": 1.0, "rps": 800.0}
    assert report["feast_server"] == {"p50_ms": 2.0, "p99_ms": 2.0, "rps": 200.0}
    assert report["feast_server_stock"] == {"p50_ms": 10.0, "p99_ms": 10.0, "rps": 50.0}
    assert report["ratio"] == {"p50": 0.5, "p99": 0.5, "throughput": 4.0}
    assert report["feast_server_store"] == {"p50_ms": "packed", "p99_ms": "packed", "rps": "sqlite"}
    assert "decision_without_disk" not in report
    in_memory = compared(found | {"decision_without_disk": figures(0.5, 1000)})
    assert in_memory["decision_without_disk"] == {"p50_ms": 0.5, "p99_ms": 0.5, "rps": 1000.0}
    assert in_memory["ratio_without_disk"] == {"p50": 0.25, "p99": 0.25, "throughput": 5.0}
    assert in_memory["ratio"] == report["ratio"]
    assert set(report["detail"]) == set(found)
    assert json.loads(json.dumps(report)) == report


def test_a_figure_that_misses_its_goal_says_so(capsys):
    """Ratios of 0.4 and 0.6 beside the goal of 0.5; the detail is left to JSON."""
    show({"ratio": {"p50": 0.4, "p99": 0.6, "throughput": 4.0}, "startup_s": 1.5, "detail": {"x": 1}})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ratio.p50", "0.4", "goal:", "at", "most", "0.5,", "met"]
    assert lines[1].endswith("goal: at most 0.5, MISSED")
    assert lines[2].endswith("goal: at least 4, met")
    assert len(lines) == 4


def test_parts_are_named_or_all():
    """An unknown name is refused before anything is trained."""
    assert parts_of(None) == PARTS
    assert parts_of("arms, http") == ("arms", "http")
    with pytest.raises(ConfigError, match="There is no part 'htp'"):
        parts_of("htp")


def test_a_part_that_fails_or_is_stopped_loses_no_other(tmp_path):
    """The file holds every part that has ended, and why one failed; the command fails then. Ctrl-C in a third part leaves what was there."""
    told = []
    report = Report(tmp_path / "out" / "serving.json", {"members": 3}, told.append)

    def kept():
        return json.loads((tmp_path / "out" / "serving.json").read_text(encoding="utf-8"))

    def fails():
        raise NotReadyError("no server")

    def stopped():
        raise KeyboardInterrupt

    report.part("workers", lambda: {"workers": {"1": 5.0}})
    assert report.whole
    assert kept()["workers"] == {"1": 5.0}
    report.part("http", fails)
    with pytest.raises(KeyboardInterrupt):
        report.part("arms", stopped)
    assert (kept()["failed"], kept()["members"], told) == ({"http": "NotReadyError: no server"}, 3, [{"workers": {"1": 5.0}}])
    assert kept()["seconds"].keys() == {"workers", "http"}
    assert not report.whole


def test_the_document_names_every_figure():
    """Each key at the top of the JSON, and each part that is one."""
    told = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    named = set(re.findall("`([a-z0-9_]+)`", "".join(line.split("|")[1] for line in told.splitlines() if line.startswith("| `"))))
    found = {name: figures(1, 10) for name in ("decision", "decision_without_disk", "feast_tuned_sqlite", "feast_tuned_packed", "feast_stock")}
    written = {"members", "arms_considered", "sync_ms", "seconds", "failed", *compared(found), *PARTS} - {"http"}
    assert named == written


def test_names_are_joined_by_points():
    """Nested objects become one line a figure."""
    assert dict(flat({"a": {"b": {"c": 1}}, "d": 2})) == {"a.b.c": 1, "d": 2}


def test_the_plot_draws_both_percentiles():
    """Two curves over three numbers of arms."""
    svg = picture({n: {"p50_ms": k, "p99_ms": 2 * k} for k, n in enumerate(("20", "200", "2000"), 1)})
    assert svg.count("<polyline") == 2


def test_outcomes_never_repeat_and_take_decisions_in_turn():
    """An impression and a click of each decision; beyond the last decision they begin again with ids of their own."""
    sent = [_outcome(["a", "b"], number) for number in range(6)]
    assert [(o["kind"], o["decision_id"]) for o in sent[:4]] == [("impression", "a"), ("click", "a"), ("impression", "b"), ("click", "b")]
    assert sent[4]["decision_id"] == "a"
    assert len({o["outcome_id"] for o in sent}) == 6
