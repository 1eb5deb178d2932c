"""Units: who enters when, in which group and cohort, what is known of them, and who moves on before it is."""

from __future__ import annotations

import time
from datetime import date, timedelta

import numpy as np
import pytest

from training.domain.assignment import Group, Split, counted, place
from training.evaluation.assigned import assignment
from training.evaluation.measured import gap
from training.evaluation.units import (
    DAY,
    Assigned,
    Decisions,
    arrivals,
    closes,
    days_since_epoch,
    disagreement,
    enter,
    moved,
    outcomes,
    places,
)

FIRST = date(2026, 3, 2)
D0 = days_since_epoch(FIRST)
STAGES = ((0, 0.10), (10, 0.25), (20, 0.5), (30, 0.75))
SPLIT = Split("salt", 0.05, 0.01, "e1", tuple((FIRST + timedelta(days=after), share) for after, share in STAGES))
IDS = [f"m{i:05d}" for i in range(4_000)]
HOUR = DAY // 24


def log(rows, labels=None, ids=IDS, groups=("champion",)):
    """Decisions from (member code, days after the first day's midnight, as a float)."""
    rows = sorted((member, round((D0 + day) * DAY)) for member, day in rows)
    member, at = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return Decisions(ids, member, at, groups, np.zeros(len(at), dtype=np.int64), labels or {})


def known(ids, low, high, assigned):
    """Codes of members outside holdback and control whose own place is in [low, high)."""
    return np.flatnonzero(assigned.open & (assigned.own >= low) & (assigned.own < high))


@pytest.fixture(scope="module", name="assigned")
def _assigned():
    """All members under SPLIT."""
    return Assigned.of(SPLIT, IDS)


def test_entry_is_the_first_decision_at_which_the_domain_counts_the_member(assigned):
    """Decisions on each of 40 days, against a plain loop over `domain.assignment`: row, day, group and last stage of waiting."""
    rng = np.random.default_rng(0)
    rows = {(int(m), float(d) + 0.5) for m, d in zip(rng.integers(0, 300, 900), rng.integers(0, 40, 900), strict=True)}
    decisions = log(rows)
    units = enter(decisions, assigned)
    expected: dict[int, tuple[int, int, bool]] = {}
    seen: dict[int, int] = {}
    for row, (member, at) in enumerate(zip(decisions.member.tolist(), decisions.at.tolist(), strict=True)):
        day = FIRST + timedelta(days=at // DAY - D0)
        group = SPLIT.group(IDS[member], day)
        stage = sum(first <= day for first, _ in SPLIT.stages)
        if member in expected or group in {Group.HOLDBACK, Group.CONTROL}:
            continue
        if counted(place(SPLIT.experiment, IDS[member]), SPLIT.share(day)):
            expected[member] = (row, seen.get(member, 0), group is Group.CHALLENGER)
        else:
            seen[member] = stage
    found = {m: (r, w, t) for m, r, w, t in zip(units.member.tolist(), units.row.tolist(), units.waited.tolist(), units.treated.tolist(), strict=True)}
    assert found == expected
    assert len(found) > 100
    assert set(units.waited.tolist()) >= {0, 1, 2}


def test_nobody_enters_before_the_first_stage(assigned):
    """The day before, everyone is the champion's and nobody is compared."""
    assert not len(enter(log([(m, -0.5) for m in range(500)]), assigned).row)


def test_cohorts_keep_those_who_waited_apart(assigned):
    """Two members who enter on one day of stage 4, one of whom waited in stage 2: that one's like among champions does not exist."""
    new, old = known(IDS, 0.3, 0.45, assigned)[:2]
    units = enter(log([(old, 12.0), (old, 31.0), (new, 31.0)]), assigned)
    assert units.day.tolist() == [D0 + 31] * 2
    assert sorted(units.waited.tolist()) == [0, 2]
    assert len(set(units.cohort.tolist())) == 2


def test_a_label_one_microsecond_short_counts_nowhere():
    """Retained is known 28 days after entry, what follows any decision of the first 7 days 7 days and its window after it."""
    decisions = log([(0, 0.5), (0, 3.0)], {name: np.array([1.0, 0.0]) for name in ("retained", "visited", "converted", "opted_out", "conversion_value")})
    rows, at = np.array([0]), decisions.at[:1]
    for name, days in {"retained": 28, "visited": 14, "converted": 21, "opted_out": 14, "conversion_value": 21}.items():
        assert outcomes(decisions, rows, at + days * DAY)[name].tolist() == [1.0]
        assert np.isnan(outcomes(decisions, rows, at + days * DAY - 1)[name]).all()


def test_outcomes_are_of_the_entry_or_of_its_first_seven_days():
    """By hand: entry at noon, decisions 3 and just under 7 days later, one at 7 days; labels of the other member touch nothing."""
    rows = [(0, 0.5), (0, 3.5), (0, 7.5 - 1 / 86400), (0, 7.5), (1, 0.0)]
    labels = {
        "retained": np.array([0.0, 1.0, 1.0, 1.0, 1.0]),
        "converted": np.array([0.0, 0.0, 1.0, 0.0, 0.0]),
        "opted_out": np.array([0.0, 0.0, 0.0, 1.0, 1.0]),
        "conversion_value": np.array([1.0, 2.0, 4.0, 8.0, 16.0]),
    }
    decisions = log(rows, labels)
    found = outcomes(decisions, np.array([0, 4]), np.full(2, decisions.at.max() + 60 * DAY))
    assert {name: values.tolist() for name, values in found.items()} == {
        "retained": [0.0, 1.0],
        "converted": [1.0, 0.0],
        "opted_out": [0.0, 1.0],
        "conversion_value": [7.0, 16.0],
    }


def test_one_unknown_label_leaves_the_outcome_unknown():
    """A NULL within the seven days is not a no, and a metric without a window is never known."""
    decisions = log([(0, 0.5), (0, 1.5)], {"converted": np.array([1.0, np.nan]), "laughed": np.ones(2)})
    found = outcomes(decisions, np.array([0]), np.array([decisions.at[0] + 60 * DAY]))
    assert np.isnan([found["converted"][0], found["laughed"][0]]).all()
    assert closes("laughed") is None


def test_a_champion_who_becomes_a_challenger_is_known_until_then(assigned):
    """Entered in stage 3 at a place of 0.6: stage 4 makes a challenger of them, so retention, not yet mature then, never counts; opt-outs only if mature.
    At 0.8 they stay; challengers stay.
    """
    members = [int(known(IDS, low, low + 0.05, assigned)[0]) for low in (0.6, 0.8, 0.3)]
    decisions = log([(m, 20.5) for m in members], {name: np.ones(3) for name in ("retained", "opted_out")})
    units = enter(decisions, assigned)
    until = np.minimum(moved(units, SPLIT), int(decisions.at.max()) + 60 * DAY)
    found = {m: i for i, m in enumerate(units.member.tolist())}
    values = outcomes(decisions, units.row, until)
    order = [found[m] for m in members]
    assert np.isnan(values["retained"][order]).tolist() == [True, False, False]
    assert np.isnan(values["opted_out"][order]).tolist() == [True, False, False]
    later = Split(SPLIT.salt, 0.05, 0.01, "e1", (*SPLIT.stages[:3], (FIRST + timedelta(days=35), 0.75)))
    values = outcomes(decisions, units.row, np.minimum(moved(units, later), int(decisions.at.max()) + 60 * DAY))
    assert np.isnan(values["retained"][order]).tolist() == [True, False, False]
    assert not np.isnan(values["opted_out"]).any()


def visits(rng, members, days=40, rate=0.15):
    """Each of `members` comes on each day with a chance of their own."""
    chance = rng.uniform(0.02, 2 * rate, members)
    member, day = np.nonzero(rng.random((members, days)) < chance[:, None])
    return member.astype(np.int64), (D0 + day) * DAY + rng.integers(0, DAY, len(day))


def test_planned_shares_are_those_in_which_members_come(assigned):
    """20,000 members over all four stages: no stratum, those who waited included, is further from its plan than chance; the check passes."""
    rng, ids = np.random.default_rng(4), [f"x{i}" for i in range(20_000)]
    member, at = visits(rng, len(ids))
    order = np.lexsort((at, member))
    decisions = Decisions(ids, member[order], at[order], ("champion",), np.zeros(len(at), dtype=np.int64), {})
    mine = Assigned.of(SPLIT, ids)
    strata = arrivals(decisions, mine, enter(decisions, mine))
    assert len(strata) >= 6
    for counts, planned in strata:
        n = sum(counts)
        errors = np.abs(np.array(counts) - n * np.array(planned)) / np.sqrt(n * np.array(planned) * (1 - np.array(planned)) + 1e-9)
        assert errors.max() < 4.5, (counts, planned)
    assert sum(sum(counts) for counts, _ in strata) > 17_000
    assert assignment(strata).passed


def test_a_ramp_beyond_a_half_is_no_effect_where_regulars_stay_longer():
    """Members who come more often stay more often, and no group does anything. Within cohorts there is no difference; within days alone there are three
    points: the last stage makes challengers of rare members who waited, and of the champion's none.
    """
    rng, ids = np.random.default_rng(0), [f"x{i}" for i in range(100_000)]
    mine, chance = Assigned.of(SPLIT, ids), rng.choice([0.01, 0.05, 0.6], len(ids))
    member, day = np.nonzero(rng.random((len(ids), 60)) < chance[:, None])
    stays = (rng.random(len(member)) < 0.3 + chance[member]).astype(float)
    decisions = Decisions(ids, member, (D0 + day) * DAY + HOUR, ("champion",), np.zeros(len(day), dtype=np.int64), {"retained": stays})
    units = enter(decisions, mine)
    y = outcomes(decisions, units.row, np.minimum(moved(units, SPLIT), (D0 + 120) * DAY))["retained"]
    known = ~np.isnan(y)
    value, error, _ = gap(y[known], units.treated[known], units.cohort[known])
    assert abs(value) < 3 * error
    by_day, error, _ = gap(y[known], units.treated[known], units.day[known])
    assert by_day > 5 * error


def test_lost_members_of_one_group_are_found():
    """Every fifth challenger's decisions never reach the log."""
    rng, ids = np.random.default_rng(4), [f"x{i}" for i in range(20_000)]
    member, at = visits(rng, len(ids))
    mine = Assigned.of(SPLIT, ids)
    keep = ~(mine.open[member] & (mine.own[member] < 0.5) & (member % 5 == 0))
    member, at = member[keep], at[keep]
    order = np.lexsort((at, member))
    decisions = Decisions(ids, member[order], at[order], ("champion",), np.zeros(len(at), dtype=np.int64), {})
    assert not assignment(arrivals(decisions, mine, enter(decisions, mine))).passed


def test_disagreement_counts_what_was_logged_under_another_group():
    """Four decisions: one right of each group, one wrong, one fallback, which nobody took."""
    groups = ("challenger", "champion", "fallback")
    decisions = Decisions(IDS, np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64), groups, np.array([0, 1, 1, 2]), {})
    treated = np.array([True, False, True, True])
    assert disagreement(decisions, np.ones(4, dtype=bool), treated, (Group.CHAMPION, Group.CHALLENGER)) == (1, 3)
    assert disagreement(decisions, ~treated, treated, (Group.CHAMPION, Group.CHALLENGER)) == (0, 1)
    assert disagreement(decisions, ~treated, treated, (Group.HOLDBACK, Group.CHAMPION)) == (1, 1)


def test_a_million_members_take_seconds():
    """3 million decisions of 1 million members: entries, outcomes and shares in under 30 CPU seconds."""
    rng, ids = np.random.default_rng(1), [f"member-{i}" for i in range(1_000_000)]
    member = np.sort(rng.integers(0, len(ids), 3_000_000))
    at = D0 * DAY + rng.integers(0, 40 * DAY, len(member))
    at = at[np.lexsort((at, member))]
    labels = {name: (rng.random(len(member)) < 0.1).astype(float) for name in ("retained", "converted", "opted_out")}
    decisions = Decisions(ids, member, at, ("champion",), np.zeros(len(at), dtype=np.int64), labels)
    start = time.process_time()
    mine = Assigned.of(SPLIT, ids)
    units = enter(decisions, mine)
    found = outcomes(decisions, units.row, np.minimum(moved(units, SPLIT), int(at.max()) + 60 * DAY))
    strata = arrivals(decisions, mine, units)
    spent = time.process_time() - start
    assert len(found["retained"]) == len(units.row) > 500_000
    assert assignment(strata).passed
    assert spent < 30


def test_places_are_those_of_the_domain():
    """One hash a member."""
    assert places("s", IDS[:5]).tolist() == [place("s", member) for member in IDS[:5]]
