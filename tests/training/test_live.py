"""Live experiments of known truth with the steps that users run: the simulated world answers, the ledger assigns."""

from __future__ import annotations

import pytest

from bench.world.loop import warm_up
from bench.world.warehouse import compiled
from infra.scripts.live import WARM_UP, Sizes, evenings, opened, settings_of
from training.domain.assignment import Group
from training.domain.experiment import Cause, State
from training.domain.nouns import VerdictKind

MEMBERS, HOLDBACK = 2_600, 0.25
"""The holdback of the watched champion: 500 members are the least that can be judged by."""


@pytest.fixture(scope="module", name="world")
def _world(tmp_path_factory):
    """Settings, the warmed-up world, the SQL, and a folder for the cases' homes."""
    base, folder = settings_of(MEMBERS), tmp_path_factory.mktemp("live")
    models = compiled(base)
    return base, warm_up(1, MEMBERS, (WARM_UP, None), models, base, folder), models, folder


def test_a_harmful_challenger_does_not_get_past_its_stage(world):
    """It sells more, a fifth of its members leave: rejected at a quarter of the members, who have the champion again the next day."""
    live, settings = opened("harmful", *world)
    last = list(evenings(live, settings, Sizes(42, 21, 0)))[-1]
    assert last.experiment is not None
    assert (last.experiment.state, len(last.experiment.stages)) == (State.REJECTED, 1)
    assert last.verdict is not None
    assert last.verdict.kind is VerdictKind.REJECT
    truth = live.truth(last.experiment.stages[0][0], last.day)
    assert truth[Group.CHALLENGER]["conversion"] > truth[Group.CHAMPION]["conversion"]
    assert truth[Group.CHALLENGER]["stays"] < truth[Group.CHAMPION]["stays"] - 0.1
    live.play()
    live.warehouse.close()
    assert live.worth[live.today][Group.CHALLENGER]["decisions"] == 0.0
    assert last.champion == "1"


@pytest.mark.slow
def test_a_harmful_champion_is_rolled_back(world):
    """Put in charge by hand: the watch finds it against the holdback, which goes on with the version before, and puts that one back in charge."""
    _, *rest = world
    live, settings = opened("in_charge", settings_of(MEMBERS, HOLDBACK), *rest)
    *before, last = evenings(live, settings, Sizes(63, 21, 0))
    live.warehouse.close()
    assert all(evening.champion == "2" for evening in before)
    assert last.champion == "1"
    newest, by_hand, _ = live.platform.experiments.changes()
    assert (newest.cause, newest.before, newest.after) == (Cause.WATCH, "2", "1")
    assert by_hand.cause is Cause.HAND
