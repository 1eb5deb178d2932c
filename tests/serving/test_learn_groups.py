"""Champion and challenger learn side by side, each exactly once from everything, whatever fails in the other; the anchor stands still."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
import torch

from tests.fakes import learning as fake
from tests.fakes.learning import AS_OF, DAY
from tests.fakes.loops import SHOWN, LearningWorld
from training.adapters import posterior_files as files
from training.adapters.learner import Learner, rebuild, sight
from training.adapters.learning import Roles
from training.domain.experiment import State
from training.domain.nouns import OutcomeKind
from training.model.matching import MatchingModel


@pytest.fixture
def world(tmp_path):
    """Version 1 in charge."""
    made = LearningWorld(tmp_path)
    made.crown("one")
    return made


def click(world, which):
    """On the decision of that number among those that showed something."""
    fake.tell(world.log, (f"d{SHOWN[which]}", OutcomeKind.CLICK, world.at))


def rebuilt(world, version):
    """Whether the published heads of `version` are to the bit those that model and log give."""
    folder, posterior = world.settings.posterior, files.current(world.settings.posterior, version)
    see = sight(MatchingModel.load(world.registry.fetch(version)), fake.catalog(), world.log.engine)
    one, other = files.read(folder, version, posterior), rebuild(see, world.log.engine, folder / "no", version, posterior)
    return all(torch.equal(one[s].mean, other[s].mean) and torch.equal(one[s].precision, other[s].precision) for s in one)


def learned(world):
    """(version, decision, stage) of every answer with how often it is there."""
    return Counter((row.model_version, row.decision_id, row.stage) for row in world.answers())


def test_champion_and_challenger_learn_from_all_decisions(world):
    """Whoever took them: the same answers, once each, within a turn; a rejected challenger learns no more."""
    running = world.experiment("two")
    world.turns(1.0)
    assert [(event, fields["model_version"]) for event, fields in world.said if event in ("champion", "challenger")] == [("champion", "1"), ("challenger", "2")]
    click(world, 0)
    world.turns(0.25)
    assert world.status.posteriors == {"1": 1, "2": 1}
    world.at = AS_OF + 2 * DAY
    world.turns(1.0)
    found = learned(world)
    assert set(found.values()) == {1}
    assert {d for v, d, _ in found if v == "1"} == {d for v, d, _ in found if v == "2"} == {f"d{i}" for i in range(40)}
    assert rebuilt(world, "1")
    assert rebuilt(world, "2")
    world.experiments.move(running.ended(State.REJECTED, world.at, "harmful"), "test")
    before = files.current(world.settings.posterior, "2")
    fake.fill(world.log, [fake.served(i, world.at) for i in range(100, 110)])
    world.turns(1.0)
    fake.tell(world.log, *((f"d{i}", OutcomeKind.CLICK, world.at) for i in range(100, 110) if fake.served(i, world.at).channel_id))
    world.turns(1.0)
    assert files.current(world.settings.posterior, "2") == before
    assert world.status.posteriors.keys() == {"1"}
    assert {int(d[1:]) >= 100 for v, d, _ in learned(world) if v == "1"} == {False, True}


@pytest.mark.parametrize("poisoned", ["1", "2"])
def test_what_fails_in_one_version_stops_no_other(world, monkeypatch, poisoned):
    """An error that nobody foresaw; afterwards it makes good what it missed, once, and its heads are those of the log."""
    world.experiment("two")
    world.turns(1.0)
    healthy, whole = {"1": "2", "2": "1"}[poisoned], Learner.learn

    def fails(self, now):
        if self.version == poisoned:
            raise ZeroDivisionError("nobody thought of this")
        return whole(self, now)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", fails)
        click(world, 0)
        world.turns(2.0)
        click(world, 1)
        world.turns(2.0)
        assert files.current(world.settings.posterior, healthy) == 2
        assert files.current(world.settings.posterior, poisoned) == 0
        assert world.status.trouble == "ZeroDivisionError: nobody thought of this"
    world.turns(2.0)
    assert ("recovered", {"duty": "learn", "model_version": poisoned}) in world.said
    assert learned(world) == Counter({(v, f"d{SHOWN[i]}", "clicked"): 1 for v in ("1", "2") for i in (0, 1)})
    assert rebuilt(world, poisoned)
    assert world.status.trouble == ""


def test_a_challenger_that_cannot_be_read_is_said_and_the_champion_learns(world):
    """Its folder is damaged."""
    world.experiment("two")
    (world.registry.fetch("2") / "manifest.json").write_text("{")
    click(world, 0)
    world.turns()
    assert world.status.posteriors == {"1": 1}
    assert "cannot be read" in world.status.trouble


def test_the_anchor_stands_still_where_it_was_left(world):
    """It was the champion and learned a click; then another is in charge. Where its snapshots are lost they are published again, and no click moves them."""
    click(world, 0)
    world.turns(1.0)
    world.registry.point("anchor", "1")
    world.crown("two")
    world.turns(1.0)
    click(world, 1)
    world.turns(1.0)
    posterior = world.settings.posterior
    assert (files.current(posterior, "1"), files.current(posterior, "2")) == (1, 2)
    shutil.rmtree(posterior / "1")
    world.restart()
    world.turns(1.0)
    assert files.current(posterior, "1") == 1
    assert rebuilt(world, "1")


def test_a_ledger_that_cannot_be_read_changes_nobody(world):
    """Those who learned go on; it is said."""
    world.experiment("two")
    world.turns(1.0)

    def broken():
        raise OSError("the ledger is gone")

    world.experiments.running = broken
    click(world, 0)
    world.turns(2.0)
    assert world.status.posteriors == {"1": 1, "2": 1}
    assert world.status.trouble == "OSError: the ledger is gone"


def test_roles_are_read_whole(world):
    """A challenger learns only while there is a champion; a version that is both learns once, as the champion; whoever learns does not stand still too."""
    assert Roles.read(world.registry, world.experiments) == Roles("1", None, None, None)
    world.experiment("two")
    world.registry.point("anchor", "1")
    roles = Roles.read(world.registry, world.experiments)
    assert (roles.learning(), roles.standing()) == ({"1": "champion", "2": "challenger"}, [])
    assert Roles("2", "2", "1", "1").learning() == {"2": "champion"}
    assert Roles("2", "2", "1", "1").standing() == ["1"]
    world.registry.aliases.clear()
    assert Roles.read(world.registry, world.experiments) == Roles()


def test_snapshots_that_somebody_deletes_come_back_by_themselves(world):
    """Those of who learns and of who stands still, to the bit, in a second, though nothing new is learned."""
    click(world, 0)
    world.turns(1.0)
    world.registry.point("anchor", "1")
    world.crown("two")
    world.turns(1.0)
    before = {path.relative_to(world.settings.posterior): path.read_bytes() for path in world.settings.posterior.glob("*/*") if path.name == "current.json"}
    shutil.rmtree(world.settings.posterior)
    world.turns(1.0)
    assert {name: (world.settings.posterior / name).read_bytes() for name in before} == before
    assert len(before) == 2
    assert rebuilt(world, "1")
    assert rebuilt(world, "2")
    assert world.status.posteriors == {"2": 1}
