"""The benchmarks that the README promises are there."""

import re

import pytest
import typer

from bench.commands import app, run
from bench.regret import run as regret
from training.config.settings import ROOT
from training.domain.errors import ConfigError, StepError


def test_every_benchmark_of_the_readme_is_a_command():
    """A command was once lost in a merge, while the README went on naming it."""
    lines = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "`rightmatch bench" in line]
    named = {word for line in lines for word in re.findall(r"rightmatch bench (\w+)", line)}
    listed = {word for line in lines for words in re.findall(r"`rightmatch bench \w+`((?:, `\w+`)+)", line) for word in re.findall(r"\w+", words)}
    assert {"regret", "wheel", "coldstart"} <= named | listed
    assert named | listed <= {command.callback.__name__ for command in app.registered_commands}


@pytest.mark.parametrize(
    "command", ["regret --csv no.csv --label y --plot", "wheel --plot", "world --out", "drift --out", "coldstart --out", "gate --out", "serving --out"]
)
def test_a_place_that_takes_no_plot_is_refused_before_the_measuring(command, tmp_path):
    """It used to be found out at the end, when all figures were lost with it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Nothing can be written to"):
        run([*command.split(), str(tmp_path / "file" / "p.svg")])


@pytest.mark.parametrize("name", ["serving.json", "serving_arms.svg"])
def test_a_folder_in_the_place_of_the_figures_is_refused_too(name, tmp_path):
    """Of `serving.json` it was found out by a bare IsADirectoryError, of the picture after all the measuring."""
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=f"{name} is a folder, .*name another place"):
        run(["serving", "--out", str(tmp_path)])
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("words", "place"), [("beta,", 2), (",beta", 1), ("beta,,hashed", 2), ("", 1)])
def test_a_comma_with_no_name_beside_it_is_pointed_at(words, place):
    """With the names that there are."""
    with pytest.raises(ConfigError, match=f"{words!r} have no name in place {place}.*minilm, hashed, one_hot, beta"):
        run(["coldstart", "--learners", words])
    with pytest.raises(ConfigError, match=f"have no name in place {place}.*http, in_process"):
        run(["serving", "--parts", words.replace("beta", "http").replace("hashed", "arms")])


def test_figures_are_told_before_curves_are_written(tmp_path, monkeypatch, capsys):
    """A disk that is full by then costs the curves alone."""

    def full(path, _):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(regret, "save", full)
    with pytest.raises(StepError, match="figures are whole.*No space left"):
        run(["wheel", "--rounds", "20", "--seeds", "1", "--policies", "uniform", "--plot", str(tmp_path / "w.svg")])
    assert "20 rounds, 5 arms" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["train --seed", "world --first", "drift --first", "coldstart --first", "gate --seed"])
def test_a_seed_below_0_is_refused(option):
    """By its option, instead of by numpy once the worlds are made."""
    command, name = option.split()
    with pytest.raises(typer.BadParameter, match="greater than or equal to 0") as refused:
        run([command, name, "-1"])
    assert refused.value.param.opts == [name]
