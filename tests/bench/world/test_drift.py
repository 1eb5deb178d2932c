"""Drift: how recovery is counted, and that the command plays both learners in a world whose needs change."""

import json

import numpy as np
import pytest

from bench.world import forgetful
from bench.world.baselines import Oracle, Uniform
from bench.world.drift import Change, recovery, run, share
from bench.world.forgetful import Forgetful
from bench.world.loop import play
from bench.world.ours import Ours
from training.model.forget import HALF_LIVES, Scores


class Chosen(Oracle):
    """An oracle that claims half-lives."""

    chosen = (None,)


def test_recovery_by_hand():
    """0.8 before the change; 90% of it is 0.72, reached on the fifth day after it; never, where it stays below."""
    shares = [0.8, 0.8, 0.8, 0.1, 0.2, 0.3, 0.5, 0.73, 0.9]
    assert recovery(shares, 3) == 5
    assert recovery(shares[:7], 3) is None


def test_share_is_per_decision_and_smoothed():
    """Utility a decision 1 between 0 and 2 is a half, whatever the number of decisions; means of up to three days."""
    days = {
        "uniform": [{"utility": 0.0, "decisions": 10.0}] * 3,
        "oracle": [{"utility": 4.0, "decisions": 2.0}] * 3,
        "ours": [{"utility": u, "decisions": 4.0} for u in (4.0, 0.0, 8.0)],
    }
    assert share(days, "ours").tolist() == pytest.approx([0.5, 0.25, 0.5])


def test_the_command_prints_one_object(models, tmp_path, capsys, monkeypatch):
    """With an oracle for a learner the change costs nothing: recovered as soon as it can be told."""
    monkeypatch.setattr("bench.world.drift.compiled", lambda _: models)
    monkeypatch.setattr("bench.world.drift.Ours", lambda *_: Uniform())
    monkeypatch.setattr("bench.world.drift.Forgetful", lambda *_: Chosen())
    assert run(Change(members=60, seeds=1, first=1, warm_up=36, before=3, after=4, every=7), tmp_path, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recovery_days"]["forgetting"] == 3
    assert found["share_before"] == {"remembering": 0.0, "forgetting": 1.0}
    assert np.isclose(found["share_after"]["forgetting"], 1.0)
    assert "<svg" in (tmp_path / "world-drift.svg").read_text()


def test_the_forgetful_learner_decides_like_ours(stage, models, settings):
    """It replays the last week of the log first, names the half-life that it chose, and its probabilities are exact."""
    player = Forgetful(settings, 5, 7, str)
    seen = []
    decide = player.decide
    player.decide = lambda *arguments: seen.append(decide(*arguments)) or seen[-1]
    assert len(list(play(stage, player, 1, models, settings))) == 1
    assert player.chosen[0] in HALF_LIVES
    assert len(player._scores.sums) == len(HALF_LIVES)
    assert np.allclose(seen[0].probabilities.sum(axis=1), 1.0)


def test_who_forgets_nothing_draws_as_widely_as_ours(stage, models, settings, monkeypatch):
    """Otherwise the two would differ in how they explore too, not by forgetting alone."""
    monkeypatch.setattr(forgetful, "HALF_LIVES", (None,))
    players = Forgetful(settings, 5, 7, str, _scores=Scores((None,))), Ours(settings, 5, 7, str)
    for player in players:
        list(play(stage, player, 1, models, settings))
    ours = players[1]._model
    assert "regrets" in ours.manifest
    assert (players[0]._model.nu, players[0]._model.manifest) == (ours.nu, ours.manifest)


def test_the_width_is_found_on_what_is_remembered(stage, models, settings, monkeypatch):
    """Of the candidate in charge alone, once a retrain; the days between go on with it."""
    width, seen = forgetful.with_width, []
    monkeypatch.setattr(forgetful, "HALF_LIVES", (28.0, 14.0))
    monkeypatch.setattr(forgetful, "with_width", lambda model, *frames: seen.append((model, *frames[:2])) or width(model, *frames))
    player = Forgetful(settings, 5, 7, str, _scores=Scores((28.0, 14.0)))
    list(play(stage, player, 2, models, settings))
    [(model, learned, some)] = seen
    assert some is learned
    assert len(learned) == model.manifest["rows"]
    assert model is player._candidates[(28.0, 14.0).index(player.chosen[0])]
    assert "regrets" in player._model.manifest
