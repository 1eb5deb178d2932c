"""Any policy can decide in the world; the uniform one leaves it as it was."""

import numpy as np
import pyarrow as pa
import pytest

from sources.simulated.day import simulate_day
from sources.simulated.members import draw_members, members_on
from sources.simulated.outcomes import Situation, chances
from sources.simulated.policy import Asked, build_menus, draw, uniform
from sources.simulated.state import first_state
from sources.simulated.truth import expected
from sources.simulated.world import NO_NEED, build_world, save_world
from tests.sources.simulated.conftest import SEEDS, START, write
from training.domain.catalog import load_catalog


@pytest.fixture(scope="module", name="made")
def _made():
    """A world of 300 members, with its members and menus."""
    world = build_world(4, 300, START, load_catalog(SEEDS))
    return world, draw_members(world), build_menus(world)


def silent(menus, asked):
    """Never shows anything; `none` is first on each menu."""
    p = np.zeros((len(asked.at), menus.arms.shape[1]))
    p[:, 0] = 1.0
    return draw(menus, asked, p, "silent")


def run(made, policy, days=10):
    """The tables of the last day under `policy`."""
    world, members, menus = made
    state, tables = first_state(world, members), {}
    for _ in range(days):
        state, tables, _ = simulate_day(world, members, menus, state, policy)
    return state, tables


def test_a_policy_that_draws_from_uniform_shares_gives_the_same_rows(made):
    """Common random numbers: the same probabilities choose the same arms, so every table is the same but for the group's name."""

    def shares(menus, asked):
        return draw(menus, asked, uniform(menus, asked).probabilities, "random")

    _, plain = run(made, uniform)
    _, drawn = run(made, shares)
    assert all(plain[name].equals(drawn[name]) for name in plain)


def test_a_silent_policy_sends_nothing_and_logs_certainty(made):
    """Each choice is `none` with propensity 1, nobody opts out, and the visits of the first day are those of every policy."""
    state, tables = run(made, silent)
    assert set(tables["decisions"]["chosen_arm"].to_pylist()) == {"none"}
    assert set(tables["decisions"]["propensity"].to_pylist()) == {1.0}
    assert state.messages.sum() == 0
    assert "opt_out" not in tables["outcomes"]["kind"].to_pylist()
    assert run(made, silent, 1)[1]["activity"].equals(run(made, uniform, 1)[1]["activity"])


def test_draw_follows_the_probabilities_and_never_leaves_the_menu(made):
    """Uniforms 0.0, 0.29, 0.31 and 0.999 against (0.3, 0.7): none, none, the first arm twice; its probability is the propensity."""
    menus, zero = made[2], np.zeros(4, dtype=np.int64)
    asked = Asked(0, zero, zero, zero, zero, zero, zero, np.array([0.0, 0.29, 0.31, 0.999]))
    p = np.zeros((4, menus.arms.shape[1]))
    p[:, :2] = (0.3, 0.7)
    chosen = draw(menus, asked, p, "some")
    assert chosen.arm.tolist() == menus.arms[0, [0, 0, 1, 1]].tolist()
    assert chosen.propensity.tolist() == [0.3, 0.3, 0.7, 0.7]


def test_needs_change_on_the_shift_day_and_the_truth_knows_it(made, tmp_path):
    """Days before the shift are those of the world without one; after it `expected` answers for the new need."""
    plain = write(tmp_path / "plain", 300, 8, 4)
    world = build_world(4, 300, START, load_catalog(SEEDS), shift_day=5)
    save_world(world, tmp_path / "shifted" / "truth", SEEDS)
    members, state, menus = made[1], first_state(world, made[1]), made[2]
    assert members_on(world, members, 4) is members
    after = members_on(world, members, 5)
    assert (after.need == np.where(members.need == NO_NEED, NO_NEED, (members.need + 1) % 4)).all()
    for _ in range(8):
        state, tables, context = simulate_day(world, members, menus, state)
        decisions = tables["decisions"]
        if state.day == 4:
            assert decisions.num_rows == sum(plain.table("decisions")["decided_at"].dt.strftime("%Y-%m-%d") == "2026-01-09")
    folder = tmp_path / "shifted" / "truth" / "situations" / "day=2026-01-12"
    folder.mkdir(parents=True)
    pa.parquet.write_table(context, folder / "part.parquet")
    found = np.concatenate(expected(tmp_path / "shifted" / "truth", decisions)["converted"])
    sizes = [len(a) for a in decisions["feasible_arms"].to_pylist()]
    index = {a: k for k, a in enumerate(world.arm_ids)}
    who = np.repeat([int(m[1:]) for m in decisions["member_id"].to_pylist()], sizes)
    arms = np.array([index[a] for row in decisions["feasible_arms"].to_pylist() for a in row])
    known = [np.repeat(context[c].to_numpy(), sizes) for c in ("messages_7d", "owned")]
    assert np.array_equal(found, chances(world, after, Situation(who, arms, *known)).converted)
