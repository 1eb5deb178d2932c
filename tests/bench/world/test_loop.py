"""Policies in the closed loop: contracts, common random numbers, and the truth that scores them."""

import numpy as np
import pytest

from bench.world.baselines import Uniform
from bench.world.command import Sizes, players
from bench.world.lints import LinTS, Ridge
from bench.world.loop import play
from bench.world.ours import Ours
from bench.world.report import compared, totals
from bench.world.score import MEASURES, worth
from bench.world.siloed import Siloed
from sources.simulated.day import simulate_day
from sources.simulated.policy import uniform
from training.domain.errors import ConfigError, NotReadyError
from training.domain.nouns import NONE

SIZES = Sizes(members=500, days=2, seeds=1, first=5, warm_up=30, every=1, jobs=1)


class Spy:
    """Remembers what another player decided."""

    def __init__(self, player):
        self.player, self.learns, self.seen = player, player.learns, []

    def learn(self, history, yesterday):
        self.player.learn(history, yesterday)

    def decide(self, history, asked, truth):
        chosen = self.player.decide(history, asked, truth)
        self.seen.append((asked, chosen, truth))
        return chosen


@pytest.fixture(scope="module", name="played")
def _played(stage, models, settings):
    """Days and decisions of each policy."""
    found = {}
    for name, player in players(5, SIZES, settings).items():
        spy = Spy(player)
        found[name] = (list(play(stage, spy, SIZES.days, models, settings)), spy.seen)
    return found


@pytest.mark.parametrize("name", ["uniform", "siloed", "lints", "ours", "oracle"])
def test_probabilities_are_exact_and_on_the_menu(played, stage, name):
    """They sum to 1, are 0 off the menu, and the choice is feasible with the propensity that is logged."""
    for asked, chosen, truth in played[name][1]:
        menus = stage.menus.arms[asked.menu]
        assert np.allclose(chosen.probabilities.sum(axis=1), 1.0)
        assert (chosen.probabilities[menus < 0] == 0).all()
        spot = (menus == chosen.arm[:, None]).argmax(axis=1)
        assert (menus[np.arange(len(spot)), spot] == chosen.arm).all()
        assert np.array_equal(chosen.propensity, chosen.probabilities[np.arange(len(spot)), spot])
        assert (chosen.propensity > 0).all()
        assert truth.feasible.shape == menus.shape


def test_siloed_always_sends_and_ours_keeps_its_floor(played, settings, stage):
    """Nobody owns `none` in the siloed way; ours shows each feasible arm with at least epsilon / arms."""
    assert all((chosen.arm != stage.world.none).all() for _, chosen, _ in played["siloed"][1])
    for asked, chosen, _ in played["ours"][1]:
        floor = settings.exploration.epsilon / stage.menus.sizes[asked.menu]
        assert (np.where(stage.menus.arms[asked.menu] >= 0, chosen.probabilities, 1.0) >= floor[:, None] * 0.999).all()


def test_uniform_in_the_loop_is_the_plain_world(played, stage):
    """Common random numbers: the decisions of both days are those of the world that goes on without a benchmark."""
    state = stage.state
    for asked, chosen, _ in played["uniform"][1]:
        seen = []
        state, _, _ = simulate_day(
            stage.world, stage.members, stage.menus, state, lambda menus, a, seen=seen: seen.append((a, uniform(menus, a))) or seen[0][1]
        )
        assert np.array_equal(seen[0][0].member, asked.member)
        assert np.array_equal(seen[0][1].arm, chosen.arm)


def test_everyone_is_asked_alike_on_the_first_day(played):
    """Members, surfaces and instants of the first day do not depend on who decides."""
    first = played["uniform"][1][0][0]
    assert all(np.array_equal(seen[0][0].member, first.member) and np.array_equal(seen[0][0].at, first.at) for _, seen in played.values())


def test_who_was_there_had_joined(stage):
    """Members to whom no figure is due: those who left before, and those who join later, of whom this world has some."""
    late = stage.members.joined_day > stage.state.day
    assert late.any()
    assert stage.present == len(late) - int((late | stage.state.lapsed).sum())


def test_no_policy_is_worth_more_than_the_oracle(played):
    """In utility, on the first day, where all stand in the same situation: certain, decision by decision."""
    best = played["oracle"][1][0][2].utility
    for _, seen in played.values():
        truth = seen[0][2]
        assert np.array_equal(truth.utility, best)
    assert all(days[0]["utility"] <= played["oracle"][0][0]["utility"] + 1e-9 for days, _ in played.values())


def test_the_truth_of_a_menu_by_hand(played, stage, settings):
    """`none` costs nothing, loses nobody more than silence does, and its utility is what is bought unprompted at its price."""
    asked, _, truth = played["uniform"][1][0]
    assert (stage.menus.arms[asked.menu][:, 0] == stage.world.none).all()
    assert stage.world.arm_ids[stage.world.none] == NONE
    assert np.allclose(truth.lapse[:, 0], stage.world.rates.lapse_none)
    assert (truth.messages[:, 0] == 0).all()
    prices = sorted({p.value for p in stage.world.catalog.products.values()})
    paid = truth.utility[:, 0] / truth.conversion[:, 0]
    assert np.array_equal(truth.revenue[:, 0], truth.utility[:, 0])
    assert np.isclose(paid[:, None], prices, rtol=1e-9).any(axis=1).all()
    sums = truth.expected(uniform(stage.menus, asked).probabilities)
    assert set(sums) == set(MEASURES)
    again = worth(stage.world, stage.members, stage.menus, asked, settings.utility.model_copy(update={"retention": 0.0}))
    assert np.array_equal(again.conversion, truth.conversion)
    assert np.array_equal(again.revenue, truth.revenue)
    bought = truth.revenue[truth.feasible] / truth.conversion[truth.feasible]  # between the message's product and that of the need
    assert min(prices) - 1e-6 <= bought.min() < bought.max() <= max(prices) + 1e-6


def test_totals_and_shares_by_hand():
    """Two days, 10 members: 3 conversions are 0.3 a member; ours halfway between uniform and the oracle is a share of one half."""
    day = {"decisions": 5.0, "messages": 4.0, "conversion": 1.5, "revenue": 225.0, "lapse": 0.5, "opt_out": 0.1, "utility": 2.0}
    found = totals([day, day], 10.0)
    assert found["conversion"] == pytest.approx(0.3)
    assert found["revenue"] == pytest.approx(45.0)
    assert found["retention"] == pytest.approx(0.9)
    assert found["conversion_per_decision"] == pytest.approx(0.3)
    policies = {
        n: {**found, "utility": u, "conversion": c, "revenue": 150 * u + 10}
        for n, u, c in (("uniform", 1.0, 0.1), ("siloed", 0.0, 0.2), ("ours", 2.0, 0.25), ("oracle", 3.0, 0.4))
    }
    told = compared(policies)
    assert told["oracle_share"] == pytest.approx(0.5)
    assert told["oracle_share_conversion"] == pytest.approx(0.5)
    assert told["lift_over_siloed"] == pytest.approx(0.25)
    assert told["revenue_over_siloed"] == pytest.approx(30.0)


def test_ridge_in_two_parts_is_ridge_at_once():
    """Incremental == batch == the closed form."""
    import torch

    rows, answers = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), torch.rand(30, generator=torch.Generator().manual_seed(1))
    whole = Ridge.empty(4, 2.0, 0.5).update(rows, answers)
    parts = Ridge.empty(4, 2.0, 0.5).update(rows[:11], answers[:11]).update(rows[11:], answers[11:])
    assert torch.allclose(whole.precision, parts.precision)
    expected = torch.linalg.solve((rows.T @ rows).double() / 0.5 + 2.0 * torch.eye(4, dtype=torch.float64), (rows.T @ answers).double() / 0.5)
    many = whole.draw(20_000, torch.Generator().manual_seed(2)).double().mean(dim=0)
    assert torch.allclose(many, expected, atol=0.02)


@pytest.mark.parametrize("player", [Ours, Siloed, LinTS])
def test_deciding_before_learning_is_an_error(player, settings, played):
    """A policy without a model must not invent one."""
    arguments = {Ours: (settings, 1, 7, str), Siloed: (settings, 7), LinTS: (settings, 1, 7)}[player]
    with pytest.raises(RuntimeError, match="before learn"):
        player(*arguments).decide(None, played["uniform"][1][0][0], None)


class Unready(Uniform):
    """Finds nothing to learn from."""

    def learn(self, history, yesterday):
        raise NotReadyError("No label has 20 mature rows of each class among 30 decisions: there is nothing to learn yet. Wait until more have matured.")


def test_a_world_that_is_too_small_says_what_to_raise(stage, models, settings):
    """Nobody waits in a simulation; the copy of the world is gone."""
    with pytest.raises(ConfigError, match=r"500 members .* 30 days .*No label has 20 mature rows.*Raise --members") as found:
        list(play(stage, Unready(), 1, models, settings))
    assert "Wait" not in str(found.value)
    assert [p.name for p in stage.file.parent.iterdir()] == [stage.file.name]
