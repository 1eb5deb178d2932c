"""`rightmatch world play` as typed, against a small service on real sockets."""

from __future__ import annotations

import json
from datetime import date

import pytest

from tests.fakes.service import KEY, FakeService
from tests.sources.simulated.conftest import write
from training.cli.main import main
from training.cli.play import FEATURES, Between, _build, _prepare
from training.config.settings import Settings
from training.domain.errors import StepError


@pytest.fixture(name="home")
def _home(tmp_path, monkeypatch):
    """A home whose world has three days."""
    write(tmp_path, 200, 3, 4)
    (tmp_path / "world.json").write_text(json.dumps({"source": "simulated", "members": 200, "days": 3, "seed": 4, "data": ""}), encoding="utf-8")
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(name="url")
def _url():
    """A service that shows nothing."""
    with FakeService(lambda *_: "none").running() as url:
        yield url


def typed(*words: str) -> int:
    """Exit code of the command."""
    with pytest.raises(SystemExit) as left:
        main(["world", "play", *words])
    return int(left.value.code or 0)


def test_days_are_shown_as_they_end(home, url, capsys):
    """A line of names, and one a day with its date, the share of fallbacks and the model."""
    assert typed("--days", "2", "--url", url, "--key", KEY, "--between", "nothing") == 0
    names, *days = capsys.readouterr().out.splitlines()
    assert names.split()[:3] == ["day", "asked", "shown"]
    assert [line.split()[0] for line in days] == ["2026-01-08", "2026-01-09"]
    asked = days[0].split()[1]
    assert days[0].split()[-3:-1] == [f"champion:{asked}", f"3:{asked}"]


def test_json_is_one_object_and_the_key_may_come_from_the_environment(home, url, capsys, monkeypatch):
    """Standard output holds nothing else; the table goes to standard error."""
    monkeypatch.setenv("RIGHTMATCH_KEY", KEY)
    assert typed("--days", "1", "--url", url, "--between", "nothing", "--json") == 0
    output = capsys.readouterr()
    (day,) = json.loads(output.out)["days"]
    assert (day["day"], day["shown"], day["overrun"]) == ("2026-01-08", 0, 0)
    assert "2026-01-08" in output.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--days", "1"), "rightmatch keys create world"),
        (("--days", "1", "--key", KEY, "--between", "naps"), "'naps' is nothing that can be done"),
    ],
)
def test_what_is_missing_or_unknown_is_said(home, capsys, words, said):
    """No key, and something that cannot be done between two days."""
    assert typed(*words) == 1
    assert said in capsys.readouterr().err


def test_only_a_simulated_world_can_be_played_on(home, capsys):
    """A home of other data, and one that holds nothing yet."""
    (home / "world.json").write_text(json.dumps({"source": "hillstrom"}), encoding="utf-8")
    assert typed("--days", "1", "--key", KEY) == 1
    assert "holds data of 'hillstrom'" in capsys.readouterr().err
    (home / "world.json").unlink()
    assert typed("--days", "1", "--key", KEY) == 1
    assert "holds no world" in capsys.readouterr().err


def test_a_step_that_fails_between_two_days_is_quoted(tmp_path):
    """An empty inbox: landing has nothing, and its own words are in the error and in play.log."""
    settings = Settings(home=tmp_path)
    with pytest.raises(StepError, match="There is no data up to 2026-01-07"):
        _build(settings, date(2026, 1, 7), FEATURES)
    assert "There is no data" in (tmp_path / "play.log").read_text(encoding="utf-8")


def test_nothing_is_built_where_that_was_asked_for(tmp_path):
    """`nothing` does not start a process, `features` does."""
    _prepare(Settings(home=tmp_path), Between.NOTHING, date(2026, 1, 7))
    assert not (tmp_path / "play.log").exists()
