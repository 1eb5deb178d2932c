"""What the watch adds: members followed from one entry on whether they stay or leave, and alpha over periods and watches."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pytest

from training.domain.experiment import Experiment, State
from training.evaluation.measured import gap
from training.evaluation.units import DAY, Decisions, days_since_epoch
from training.evaluation.watched import FOREVER, PERIODS, Tried, after, entered, followed, level, spent, undisturbed

BEGIN = date(2026, 3, 2)
D0 = days_since_epoch(BEGIN)


def log(rows, labels=None, members=4):
    """Decisions from (member code, days after BEGIN's midnight); `labels` in the order of member and time."""
    member, day = (np.array(column) for column in zip(*sorted(rows), strict=True))
    at = np.round((D0 + day) * DAY).astype(np.int64)
    none = np.zeros(len(at), dtype=np.int64)
    return Decisions([f"m{i}" for i in range(members)], member, at, ("champion",), none, {k: np.array(v, dtype=float) for k, v in (labels or {}).items()})


def test_a_member_enters_once():
    """With the first decision since the day the watch began, however often they come; who takes no part never enters."""
    decisions = log([(0, -3), (0, 0), (0, 5), (0, 28), (0, 60), (1, 30), (2, 31)])
    assert entered(decisions, np.array([True, True, False, True]), BEGIN).tolist() == [1, 5]


def test_whoever_left_is_not_retained():
    """By hand: one comes on days 0, 20 and 40, one on day 0 alone. Period 1 has the label of the entry, 2 that of the last decision of days 0 to 27, 3 that
    of days 28 to 55, and there the one who left counts as not retained, whatever the label of long ago said.
    """
    decisions = log([(0, 0), (0, 20), (0, 40), (1, 0)], {"retained": [1, 0, 1, 1]})
    periods = followed(decisions, np.array([0, 3]), np.full(2, (D0 + 84) * DAY))
    assert [known["retained"].tolist() for known in periods] == [[1, 1], [0, 1], [1, 0]]


def test_a_period_is_known_of_those_who_came_and_who_left_at_once():
    """One microsecond before the label of the last possible decision is mature nobody's is known: else those who left would be known first."""
    decisions = log([(0, 0), (0, 1), (1, 0)], {"retained": [1, 1, 0], "opted_out": [0, 0, 0]})
    for period in (1, 2, 3):
        for metric, days in (("retained", 28 * period), ("opted_out", 28 * (period - 1) + 14)):
            for late, known in ((0, True), (-1, False)):
                found = followed(decisions, np.array([0, 2]), np.full(2, (D0 + days) * DAY + late))
                assert (len(found) >= period and not np.isnan(found[period - 1][metric]).any()) == known


def test_opting_out_lasts_and_nothing_else_does():
    """Opted out in the first week and gone: opted out in every later period. Converted then: not in the later ones."""
    decisions = log([(0, 0), (1, 0), (1, 30)], {"opted_out": [1, 0, 0], "converted": [1, 0, 1]})
    periods = followed(decisions, np.array([0, 1]), np.full(2, (D0 + 84) * DAY))
    assert [known["opted_out"].tolist() for known in periods[:3]] == [[1, 0], [1, 0], [1, 0]]
    assert [known["converted"].tolist() for known in periods[:3]] == [[1, 0], [1, 0], [0, 1]]


def test_who_was_given_a_challenger_is_known_until_then():
    """Since day 40: the second period (known on day 56) is not; one who entered with a challenger never is."""
    decisions = log([(0, 0), (1, 0)], {"retained": [1, 1]})
    periods = followed(decisions, np.array([0, 1]), np.array([(D0 + 40) * DAY, -1]))
    assert periods[0]["retained"][0] == 1
    assert all(np.isnan(known["retained"][1]) for known in periods)
    assert np.isnan(periods[1]["retained"][0])


def test_a_stage_that_never_came_takes_nobody_from_the_watch():
    """An experiment that ended before its second stage: whom that would have given the challenger stay with the champion for ever."""
    at = datetime(2026, 3, 5, 12, tzinfo=UTC)
    ended = Experiment("e", "3", "2", State.REJECTED, (0.1, 0.9), ((BEGIN, 0.1), (date(2026, 3, 9), 0.9)), 0.05, at, at, "harm")
    ids = [f"m{i}" for i in range(200)]
    start = Tried.of(ended, ids, np.ones(200, dtype=np.bool_)).start
    assert 0 < (start == D0 * DAY).sum() < 60
    assert ((start == D0 * DAY) | (start == FOREVER)).all()


def test_an_experiment_is_over_with_the_day_on_which_it_ended():
    """While it runs it has no end; whoever takes no part in experiments, or whose share it never reached, is never given its challenger."""
    at, ids = datetime(2026, 3, 5, 12, tzinfo=UTC), [f"m{i}" for i in range(200)]
    stages = ((BEGIN, 0.1), (date(2026, 3, 4), 0.9))
    running, ended = (Experiment("e", "3", "2", state, (0.1, 0.9), stages, 0.05, at, at, "") for state in (State.RUNNING, State.REJECTED))
    assert [Tried.of(one, ids, np.ones(200, dtype=np.bool_)).end for one in (running, ended)] == [FOREVER, (D0 + 4) * DAY]
    part = np.arange(200) < 150
    start = Tried.of(running, ids, part).start
    assert start.tolist() == Tried.of(ended, ids, part).start.tolist()
    assert set(start[:150]) == {D0 * DAY, (D0 + 2) * DAY, FOREVER}
    assert set(start[150:]) == {FOREVER}


def test_a_unit_has_the_champion_alone_until_a_challenger_comes():
    """Six who entered on days 0, 0, 0, 10, 12 and 12 of an experiment that ends with day 12: given a challenger on day 5, on day 90, never, from day 10 on
    (so that they entered with it), from day 3 on, when it was over, and in another one on day 20.
    """
    days = np.array([0, 0, 0, 10, 12, 12])
    decisions = log([(i, day) for i, day in enumerate(days)], members=6)
    first = Tried((D0 + np.array([5, 90, 300, 10, 3, 300])) * DAY, (D0 + 12) * DAY)
    second = Tried((D0 + np.array([300, 300, 300, 300, 300, 20])) * DAY, FOREVER)
    for tried in ([first, second], [second, first]):
        limit = undisturbed(decisions, np.arange(6), tried, (D0 + 84) * DAY)
        assert np.where(limit < 0, -1, limit // DAY - D0).tolist() == [5, 84, 84, -1, 84, 20]


def stayers(rng, members, extra, periods=4):
    """A tenth of the members are fragile. Each comes daily until they leave: within 28 days with a chance of 20 (fragile) or 2%, the champion's fragile ones
    with `extra` more. -> decisions with labels, who is treated.
    """
    treated, fragile = rng.random(members) < 0.8, rng.random(members) < 0.1
    chance = np.where(fragile, 0.2 + extra * treated, 0.02)
    lives = np.minimum(rng.geometric(chance), periods + 2)
    member, day = np.nonzero(np.arange(28 * periods + 1)[None, ::7] < 28 * lives[:, None] - 14)
    day = 7 * day
    retained = (day + 21 < 28 * lives[member] - 14).astype(float)
    return log(list(zip(member.tolist(), day.tolist(), strict=True)), {"retained": retained}, members), treated, lives


def test_harm_is_that_of_all_members_not_of_those_who_stayed():
    """The champion drives fragile members away. After each period the gap is the true one of everybody who entered, within its error, and it adds up;
    among those who came again, who are hardier in the champion's group, it fades.
    """
    rng = np.random.default_rng(0)
    decisions, treated, lives = stayers(rng, 60_000, 0.4)
    rows = entered(decisions, np.ones(60_000, dtype=bool), BEGIN)
    assert len(rows) == 60_000
    gaps, among = [], []
    for period, known in enumerate(followed(decisions, rows, np.full(len(rows), (D0 + 28 * 5) * DAY))[:4], 1):
        y = known["retained"]
        assert (y == (lives > period)).all()
        value, error, counted = gap(y, treated, decisions.day[rows])
        truth = {side: 0.1 * (0.8 - extra) ** period + 0.9 * 0.98**period for side, extra in ((True, 0.4), (False, 0.0))}
        assert abs(value - (truth[True] - truth[False])) < 3.5 * error
        assert sum(counted) == 60_000
        there = lives >= period
        among.append(gap(y[there], treated[there], decisions.day[rows][there])[0])
        gaps.append(value)
    assert gaps[1] < 1.1 * gaps[0] < 0
    assert among[3] > 0.4 * among[0]


def test_all_watches_together_spend_alpha():
    """The first a third, each later one less, never more than alpha."""
    each = [spent(0.05, k) for k in range(1, 5_000)]
    assert each[0] == pytest.approx(0.0191, abs=1e-4)
    assert all(a > b for a, b in pairwise(each))
    assert 0.049 < sum(each) < 0.05


def test_periods_share_alpha():
    """The first has nearly half, each later one less, all together alpha exactly; each is named by its time."""
    each = [level(k) for k in range(1, PERIODS + 1)]
    assert each[0] == pytest.approx(0.4886, abs=1e-3)
    assert all(a > b for a, b in pairwise(each))
    assert sum(each) == pytest.approx(1.0)
    assert [after(1), after(2), after(12)] == ["", "after 56 days", "after 336 days"]


def test_nobody_is_followed_as_nobody():
    """One period, no numbers."""
    nobody = np.zeros(0, dtype=np.int64)
    (known,) = followed(log([(0, 0)], {"retained": [1]}), nobody, nobody)
    assert known["retained"].tolist() == []
