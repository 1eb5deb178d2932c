"""`experiment`, `rollback` and `anchor` as a person types them, on a real ledger and a real registry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from getpass import getuser

import pytest

from tests.fakes.commands import call
from tests.fakes.platforms import FIRST, ID, aliases, half_done, home, looked, promoted, running
from training.adapters.registry import MlflowRegistry
from training.config.settings import Settings
from training.domain.experiment import Cause, Change, State
from training.domain.nouns import VerdictKind

LAST = date(2026, 4, 20)


@pytest.fixture
def platform(tmp_path, monkeypatch):
    """Versions 1 to 3 in the home that the commands work on."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    settings = Settings(home=tmp_path)
    return home(settings, MlflowRegistry(settings), versions=3)


def test_before_the_first_experiment(platform, capsys):
    """Says what the next one's alpha would be."""
    assert call(capsys, "experiment", "--json")[:2] == (0, {"experiment": None})
    assert "The next one has alpha 0.00957" in call(capsys, "experiment")[1]
    code, _, err = call(capsys, "experiment", "stop", "--reason", "why not", "--yes")
    assert (code, "No experiment runs" in err) == (1, True)
    code, _, err = call(capsys, "rollback", "--yes")
    assert (code, "No version is in charge" in err) == (1, True)
    assert platform.experiments.changes() == []


def test_an_experiment_is_shown_whole(platform, capsys):
    """State, stages, the last look's evidence and the history, for people and as JSON."""
    running(platform)
    looked(platform, FIRST, VerdictKind.HOLD)
    looked(platform, FIRST + timedelta(days=1), VerdictKind.HOLD, broken=True)
    for words in (("experiment",), ("experiment", ID), ("experiment", "show", ID)):
        code, said, _ = call(capsys, *words)
        assert code == 0
        for part in (f"{ID}: running, stage 1 of 2. Version 2 against 1, alpha 0.05: 10% from 2026-03-12.", "Look 2", "sample ratio", "by run: opened"):
            assert part in said
    code, found, _ = call(capsys, "experiment", ID, "--json")
    assert (code, found["looks"], found["look"]["run_id"]) == (0, 2, f"{ID}@2026-03-13")
    assert found["experiment"]["stages"] == [{"first_day": "2026-03-12", "share": 0.1}]
    assert [h["key"] for h in found["history"]] == ["2026-03-10"]
    code, _, err = call(capsys, "experiment", "e9")
    assert (code, err) == (1, f"rightmatch: There is no experiment 'e9'. There are: {ID}.\n")


def test_a_person_stops_it_and_is_named(platform, capsys, monkeypatch):
    """Asked first; a no changes nothing."""
    running(platform)
    monkeypatch.setattr("typer.confirm", lambda _: False)
    assert call(capsys, "experiment", "stop", "--reason", "legal")[:2] == (1, "Nothing was changed.")
    assert platform.experiments.running() is not None
    assert call(capsys, "experiment", "stop", "--reason", "legal", "--yes")[0] == 0
    stopped, event = platform.experiments.all()[0], platform.experiments.events(ID)[-1]
    assert (stopped.state, event.by, event.reason, event.key) == (State.STOPPED, getuser(), "legal", "")


def test_back_to_the_version_before(platform, capsys, monkeypatch):
    """Alias, experiment and change together, by whom and why; the version that was rolled back is not what the next roll-back goes to."""
    promoted(platform, LAST)
    monkeypatch.setattr("typer.confirm", lambda _: False)
    assert call(capsys, "rollback")[0] == 1
    assert aliases(platform.registry)["champion"] == "2"
    code, _, err = call(capsys, "rollback", "--yes", "--reason", "x")
    assert (code, "needs a reason in words" in err, aliases(platform.registry)["champion"]) == (1, True, "2")
    code, said, _ = call(capsys, "rollback", "--yes", "--reason", "complaints")
    assert (code, said) == (0, f"Champion was version 2, is version 1 (by {getuser()}: complaints).")
    assert aliases(platform.registry)["champion"] == "1"
    assert platform.experiments.all()[0].state is State.ROLLED_BACK
    change = platform.experiments.changes()[0]
    assert (change.before, change.after, change.cause, change.by, change.reason, change.experiment_id) == ("2", "1", Cause.HAND, getuser(), "complaints", ID)
    code, _, err = call(capsys, "rollback", "--yes")
    assert (code, "knows of no version before version 1" in err) == (1, True)


def test_to_a_named_version_which_stops_what_compares_with_the_old_one(platform, capsys):
    """An experiment against a champion that is gone shows nothing; versions that do not exist, or are in charge, are refused."""
    running(platform)
    for version, why in (("9", "no model version '9'"), ("1", "in charge already")):
        code, _, err = call(capsys, "rollback", "--to", version, "--yes")
        assert (code, why in err) == (1, True)
    assert call(capsys, "rollback", "--to", "3", "--yes")[0] == 0
    assert (platform.experiments.all()[0].state, aliases(platform.registry)["champion"]) == (State.STOPPED, "3")


def test_a_killed_roll_back_is_completed_by_the_same_command(platform, capsys):
    """The alias was moved, the row was not written: it is, with the first one's name and reason, with or without --to."""
    promoted(platform, LAST)
    change = Change("2", "1", Cause.HAND, "eve", datetime(2026, 4, 22, tzinfo=UTC), "complaints", ID)
    half_done(platform, change, platform.experiments.all()[0].ended(State.ROLLED_BACK, change.at, change.reason))
    code, said, _ = call(capsys, "rollback", "--yes", "--reason", "again")
    assert (code, said) == (0, "Completed what eve began: version 1 instead of version 2 (complaints)")
    assert platform.experiments.changes()[0] == change
    assert platform.experiments.all()[0].state is State.ROLLED_BACK


def test_what_was_moved_in_the_registry_is_recorded_before_anything_is_changed(platform, capsys):
    """Somebody moves the alias in MLflow's UI, and a person moves it again to where the ledger has it: both are in the ledger, nothing is refused."""
    promoted(platform, LAST)
    platform.registry.point("champion", "1")
    code, said, err = call(capsys, "rollback", "--to", "2", "--yes", "--reason", "an accident")
    assert (code, err) == (0, "")
    assert "Recorded that version 1 came into charge instead of version 2" in said
    assert [(c.before, c.after, c.by) for c in platform.experiments.changes()[:2]] == [("1", "2", getuser()), ("2", "1", "somebody in the registry")]
    assert aliases(platform.registry)["champion"] == "2"


def test_a_champion_that_no_experiment_promoted(platform, capsys):
    """Put in charge by hand, taken back by hand."""
    for before, after in ((None, "1"), ("1", "3")):
        change = Change(before, after, Cause.HAND, "me", datetime(2026, 3, 1, tzinfo=UTC), "tried")
        platform.experiments.changed(change, lambda after=after: platform.registry.point("champion", after))
    assert call(capsys, "rollback", "--yes")[0] == 0
    assert aliases(platform.registry)["champion"] == "1"


def test_the_anchor_is_renewed(platform, capsys):
    """What the holdback gets from now on."""
    assert call(capsys, "anchor", "2", "--yes")[:2] == (0, "The holdback got no version of its own, and gets version 2.")
    assert call(capsys, "anchor", "3", "--yes")[1] == "The holdback got version 2, and gets version 3."
    code, _, err = call(capsys, "anchor", "9", "--yes")
    assert (code, "no model version '9'" in err, aliases(platform.registry)["anchor"]) == (1, True, "3")
    assert [(c.cause, c.by, c.reason) for c in platform.experiments.changes()] == [
        (Cause.ANCHOR, getuser(), "The holdback gets version 3 instead of version 2."),
        (Cause.ANCHOR, getuser(), "The holdback gets version 2 instead of the champion."),
    ]


def test_a_renewed_anchor_changes_no_way_back(platform, capsys):
    """The next roll-back goes where it would have gone."""
    promoted(platform, LAST)
    assert call(capsys, "anchor", "3", "--yes")[0] == 0
    assert call(capsys, "rollback", "--yes", "--reason", "complaints")[1].startswith("Champion was version 2, is version 1")


def test_only_the_experiment_that_was_asked_about_is_stopped(platform, capsys, monkeypatch):
    """While the question waited for an answer the experiment ended and another began: that one goes on. A reason of no words stops nothing."""
    opened = running(platform)

    def meanwhile(_):
        platform.experiments.move(opened.ended(State.REJECTED, opened.opened_at, "harm"), "run", FIRST.isoformat())
        platform.experiments.open(replace(opened, experiment_id="2026-03-13-v3", challenger="3"), "run", "2026-03-13")
        return True

    code, _, err = call(capsys, "experiment", "stop", "--reason", " ", "--yes")
    assert (code, "needs a reason in words" in err) == (1, True)
    monkeypatch.setattr("typer.confirm", meanwhile)
    code, _, err = call(capsys, "experiment", "stop", "--reason", "legal")
    assert (code, f"runs by now, not {ID}" in err) == (1, True)
    assert platform.experiments.running().experiment_id == "2026-03-13-v3"
