"""The platform's learner as a policy, and the commands."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bench.regret import run
from bench.regret.heads import Head, Kind
from bench.regret.loop import Run, play
from bench.regret.ours import BLIND, policy
from bench.regret.problem import Norm, Problem, labelled
from training.cli.main import main
from training.domain.errors import ConfigError
from training.model.diagonal import DiagonalNormal
from training.model.ensemble import Ensemble, _lots


def striped(rounds: int, seed: int = 1) -> Problem:
    """Two numbers, three arms: which third of the first number it is."""
    x = np.random.default_rng(seed).random((rounds, 2))
    return labelled(x, (x[:, 0] * 3).astype(np.int64), rounds, Norm.STANDARD, seed)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_posterior_learns(kind):
    """After 400 rounds each one errs far less often than chance (2 of 3)."""
    lost = play(striped(400), policy(kind, 1.0), 3)
    assert lost.regret[-1] - lost.regret[-101] < 35
    assert lost.regret[-1] < 180
    assert lost.cpu_seconds > 0


def test_the_same_seed_plays_the_same_game():
    """Rewards and choices follow from the seed."""
    first, second = (play(striped(150), policy(Kind.LAPLACE, 1.0), 3).regret for _ in range(2))
    assert np.array_equal(first, second)


def test_it_waits_until_both_answers_were_seen():
    """While every answer is the same there is nothing to learn: it goes on blindly."""
    dull = Problem(np.random.default_rng(0).random((60, 2)).astype(np.float32), np.zeros((60, 2)))
    player = policy(Kind.LAPLACE, 1.0)(2, 2, 60, 1)
    player.learn(dull.x[:BLIND], player.choose(dull.x[:BLIND]), np.zeros(BLIND, dtype=np.float32))
    assert player.head is None
    assert set(player.choose(dull.x).tolist()) == {0, 1}
    player.learn(dull.x[BLIND : BLIND + 1], np.array([0]), np.ones(1, dtype=np.float32))
    assert player.head is not None


def test_the_command_prints_one_object(tmp_path, capsys):
    """The default, each policy's regret and time, a plot that exists, and progress elsewhere."""
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(rng.random((120, 3)), columns=list("abc"))
    frame["y"] = np.where(frame["a"] > 0.5, "up", "down")
    frame.to_csv(tmp_path / "d.csv.gz", index=False)
    arguments = ["bench", "regret", "--csv", str(tmp_path / "d.csv.gz"), "--label", "y", "--rounds", "100", "--seeds", "2"]
    arguments += ["--policies", "laplace,uniform", "--norm", "standard", "--plot", str(tmp_path / "p.svg"), "--json"]
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["default"], found["rounds"], found["arms"]) == (run.DEFAULT, 100, 2)
    assert found["served"] in run.policies()
    assert [set(r) for r in found["results"]] == [{"policy", "regret_mean", "regret_sd", "cpu_seconds"}] * 2
    assert "laplace" in (tmp_path / "p.svg").read_text()
    regret = {r["policy"]: r["regret_mean"] for r in found["results"]}
    assert regret["laplace"] < regret["uniform"]


def test_the_wheel_has_a_command(tmp_path, capsys):
    """One object with its delta; uniform loses 0.98 in four of five rounds beyond the radius, which three quarters are."""
    with pytest.raises(SystemExit) as left:
        main(["bench", "wheel", "--delta", "0.5", "--rounds", "300", "--seeds", "1", "--policies", "uniform", "--plot", str(tmp_path / "w.svg"), "--json"])
    assert left.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["arms"], found["delta"]) == (5, 0.5)
    assert found["results"][0]["regret_mean"] == pytest.approx(300 * 0.75 * 0.98 * 0.8, rel=0.1)


def test_an_unknown_policy_is_refused():
    """The error lists those that exist."""
    with pytest.raises(ConfigError, match="laplace"):
        run.chosen("lapalce")


@pytest.mark.parametrize("names", ["", ",", " , "])
def test_a_list_that_names_no_policy_is_refused(names):
    """It is neither all of them nor none."""
    with pytest.raises(ConfigError, match="names no policy"):
        run.chosen(names)


@pytest.mark.parametrize(("names", "regrets", "starred"), [(["uniform"], [5.0], False), (["uniform", run.DEFAULT], [5.0, 7.0], True)])
def test_the_table_explains_what_it_shows(capsys, names, regrets, starred):
    """A star only where our default was played; of one seed there is no deviation, which stays a number in the object."""
    found = run.facts({name: [Run(np.array([1.0, total]), 0.1) for total in regrets] for name in names}, 3)
    run.show(found, Path("p.svg"), as_json=False)
    table = capsys.readouterr().out
    assert ("* is our default" in table) == starred
    deviations = {line.split()[2] for line in table.splitlines() if "uniform" in line}
    assert deviations == {"-" if len(regrets) == 1 else "1.4"}
    assert found["results"][0]["regret_sd"] == pytest.approx(np.std(regrets, ddof=len(regrets) - 1))


def test_every_answer_is_in_the_posterior(monkeypatch):
    """Once each: NeuralTS adds them up (Zhang et al. 2021, algorithm 1), and did not add those with which the network was trained further."""
    counted, problem, update, fit = [0], striped(60), DiagonalNormal.update, Head.fit

    def adds(belief, phi, label):
        counted[0] += len(phi)
        return update(belief, phi, label)

    def begins(*arguments):
        counted[0] = 0
        return fit(*arguments)

    monkeypatch.setattr(DiagonalNormal, "update", adds)
    monkeypatch.setattr(Head, "fit", begins)
    player, seen, t = policy(Kind.NEURALTS, 1.0)(2, 3, 60, 3), [], 0
    while t < 60:
        rows = slice(t, min(60, t + player.patience(t)))
        arms = player.choose(problem.x[rows])
        player.learn(problem.x[rows], arms, problem.rates[np.arange(rows.start, rows.stop), arms].astype(np.float32))
        t = rows.stop
        seen += [(t, counted[0])] if player.head else []
    assert len(seen) > 3
    assert [of for of, _ in seen] == [answers for _, answers in seen]


def taught(seed: int, rounds: int = 60) -> Ensemble:
    """What an ensemble made with `seed` believes in the end; one that was trained more than once."""
    made, problem, t = policy(Kind.ENSEMBLE, 1.0)(2, 3, rounds, seed), striped(rounds), 0
    while t < rounds:
        rows = slice(t, min(rounds, t + made.patience(t)))
        arms = made.choose(problem.x[rows])
        made.learn(problem.x[rows], arms, problem.rates[np.arange(rows.start, rows.stop), arms].astype(np.float32))
        t = rows.stop
    assert isinstance(made.head.posterior, Ensemble)
    return made.head.posterior


def test_the_lots_of_an_ensemble_come_from_its_seed():
    """Two seeds resample the same rows differently, one seed does so the same way again."""
    first, again, other = taught(3), taught(3), taught(4)
    assert first.seed != other.seed
    assert not torch.equal(_lots(first.seed, 0, 50, 8), _lots(other.seed, 0, 50, 8))
    assert first.seed == again.seed
    assert all(torch.equal(a.mean, b.mean) for a, b in zip(first.heads, again.heads, strict=True))
