"""The bench's watch is the step's: the same members through both, look by look; and it finds what it should."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from bench.gate.judged import NEVER, OPTED_OUT, RETAINED
from bench.gate.watched import LOOKS, PERIODS, alarm, alive, coming_again, each_period, fading, lost_once, of_the_fragile
from tests.fakes.live import FIRST, midnight
from training.adapters.entries import Seen
from training.domain.assignment import Split
from training.evaluation.assigned import assignment
from training.evaluation.looks import HARMLESS, look
from training.evaluation.units import DAY, Assigned, Decisions, days_since_epoch
from training.steps import watch

D0 = days_since_epoch(FIRST)
DAYS, DAILY, ALPHA = 90, 120, 0.05
FAIR = assignment([([40_000, 40_000], [0.5, 0.5])])


class Body:
    """DAILY members a day for DAYS. Each comes weekly, from noon of the first day, until they leave in their period `lives`; some opt out in a period."""

    def __init__(self, harm, seed):
        rng, n = np.random.default_rng(seed), DAILY * DAYS
        ids = [f"m{i:05d}" for i in range(n)]
        self.assigned = Assigned.of(Split("salt", 0.3, 0.0), ids)
        self.entry = np.repeat(np.arange(DAYS), DAILY)
        self.lives = np.minimum(rng.geometric(0.05 + harm * ~self.assigned.holdback), PERIODS + 2)
        self.out = np.where(rng.random(n) < 0.3, np.minimum(rng.geometric(0.1, n), self.lives), PERIODS + 9)
        member, week = np.nonzero(7 * np.arange(60)[None, :] < 28 * self.lives[:, None] - 14)
        at = (D0 + self.entry[member] + 7 * week) * DAY + DAY // 2
        last = np.append(member[1:] != member[:-1], True)
        turn = 28 * (self.out[member] - 1)
        leaves = (7 * week == np.maximum(turn - 7, 0)) | (last & (7 * week < turn - 7) & (self.out[member] <= self.lives[member]))
        labels = {"retained": (7 * week + 21 < 28 * self.lives[member] - 14).astype(float), "opted_out": leaves.astype(float)}
        self.decisions = Decisions(ids, member, at, ("champion", "holdback"), self.assigned.holdback[member].astype(np.int64), labels)

    def seen(self, day):
        """At the end of `day`, from 0."""
        d, instant = self.decisions, (D0 + day + 1) * DAY
        some = d.at < instant
        labels = {m: np.where(d.at + n * DAY <= instant, d.labels[m], np.nan)[some] for m, n in (("retained", 28), ("opted_out", 7))}
        rows = Decisions(d.ids, d.member[some], d.at[some], d.groups, d.logged[some], labels)
        return Seen(rows, np.array([], dtype=object), midnight(FIRST + timedelta(days=day + 1)))

    def counted(self, there):
        """`there` [members, periods + 1] summed by group and entry day, as the bench takes it."""
        groups = []
        for mine in (self.assigned.holdback, ~self.assigned.holdback):
            sums = np.zeros((1, LOOKS, PERIODS + 1))
            np.add.at(sums[0], self.entry[mine], there[mine].astype(float))
            groups.append(sums)
        return groups[0], groups[1]


@pytest.mark.parametrize(("harm", "seed"), [(0.03, 1), (0.06, 2), (0.0, 3)])
def test_the_alarm_rings_on_the_day_on_which_the_step_rejects(harm, seed):
    """Retention and opt-outs of 10,800 members, come and gone: on the bench's day the step finds the harm by the same rule, and on none of the days before."""
    body, periods = Body(harm, seed), np.arange(PERIODS + 1)
    members = body.counted(body.lives[:, None] > periods)
    found = {}
    for rule in (RETAINED, OPTED_OUT):
        hits = members if rule is RETAINED else body.counted((periods > 0) & (opted_by(body)[:, None] <= periods))
        found[rule.metric] = int(alarm(rule, members, hits, ALPHA)[0])
    first = min(found.values())
    assert (first < NEVER) == (harm > 0.0)
    for day in sorted({*range(6, 200, 19), first - 1, first} if first < NEVER else {*range(6, 200, 19)}):
        measured, units = watch.measure(body.seen(day - 1), body.assigned, [], FIRST, ((RETAINED, OPTED_OUT), ()))
        verdict = look(measured, [FAIR], ALPHA, HARMLESS)
        if day <= first:
            assert (verdict.kind.value == "REJECT") == (day == first), day
        assert units == DAILY * min(day, DAYS)
    if first < NEVER:
        assert {e.name.split(" ")[0] for e in look(*at(body, first)).evidence if e.refuted} == {m for m, day in found.items() if day == first}


def at(body, day):
    """What `look` takes at the end of day `day`, from 1."""
    return watch.measure(body.seen(day - 1), body.assigned, [], FIRST, ((RETAINED, OPTED_OUT), ()))[0], [FAIR], ALPHA, HARMLESS


def opted_by(body):
    """Period by whose count each member has opted out, by the labels themselves."""
    d = body.decisions
    rows = np.flatnonzero(d.labels["opted_out"] > 0.0)
    weeks = (d.at[rows] - (D0 + body.entry[d.member[rows]]) * DAY - DAY // 2) // (7 * DAY)
    by = np.full(len(d.ids), PERIODS + 9)
    np.minimum.at(by, d.member[rows], np.where(weeks == 0, 1, (weeks + 1) // 4 + 1))
    return by


def test_a_loss_that_adds_up_is_found_sooner_than_among_those_who_come_again():
    """1 point each period, and 1 point of the fragile once: of all members it is found in more watches, or sooner."""
    rng = np.random.default_rng(0)
    members = alive(rng, 60, (100, 1900), each_period(0.01))
    assert np.median(alarm(RETAINED, members, members, ALPHA)) < np.median(coming_again(members, ALPHA)) - 10
    members = alive(rng, 60, (100, 1900), of_the_fragile(0.01))
    assert (alarm(RETAINED, members, members, ALPHA) < NEVER).mean() > (coming_again(members, ALPHA) < NEVER).mean() + 0.3


def test_among_those_who_come_again_harm_fades_and_turns():
    """2 points of fragile members lost: after four periods the champion's remaining members stay more often; of all members the loss is still there."""
    gaps = fading(of_the_fragile(0.02))
    assert gaps["all"][0] == gaps["coming_again"][0] == pytest.approx(-0.02)
    assert gaps["all"][3] < -0.02
    assert gaps["coming_again"][3] > 0.0


def test_at_the_margin_the_watch_seldom_errs():
    """0.5 points fewer at every time, 300 watches: at most alpha with three standard errors."""
    members = alive(np.random.default_rng(1), 300, (100, 1900), lost_once(0.005))
    assert (alarm(RETAINED, members, members, ALPHA) < NEVER).mean() < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_the_truth_of_a_world_is_what_it_says():
    """Members after each period, on average: 1 point fewer at every time."""
    held, champion = (group.sum(axis=(0, 1)) for group in alive(np.random.default_rng(2), 100, (1000, 1000), lost_once(0.01)))
    gap = (champion / champion[0] - held / held[0])[1:]
    assert gap == pytest.approx(np.full(PERIODS, -0.01), abs=1e-3)
