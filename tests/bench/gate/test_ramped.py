"""The bench's experiments are those of the steps: the same members through both, with real hashes and a real ledger, verdict by verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest

from bench.gate.judged import CONVERTED, NEVER, OPTED_OUT, RETAINED, REVENUE
from bench.gate.ramped import Arriving, Entered, Experiments, Plan, played, sizes_of
from tests.fakes.live import FIRST, experiment, midnight, platform
from training.adapters.entries import Seen
from training.config.experiment import ExperimentSettings
from training.config.settings import RuleSettings, Settings
from training.domain.labels import VALUE
from training.domain.nouns import Verdict, VerdictKind, look_id
from training.evaluation.measured import Compared
from training.evaluation.units import DAY, Assigned, Decisions, closes, days_since_epoch, enter, moved, outcomes, places
from training.steps import look, ramp

RAMP = (0.25, 0.5, 0.75)
D0 = days_since_epoch(FIRST)
MARGINS = {RETAINED: 0.06, OPTED_OUT: 0.04, REVENUE: 6.0}
RULES = ((CONVERTED, 0.05), *((replace(rule, margin=margin), 0.0) for rule, margin in MARGINS.items()))
RATES = {"converted": 0.1, "retained": 0.9, "opted_out": 0.03, "dismissed": 0.1}
METRICS = ("converted", "retained", "opted_out")


def settings_of(home, longest=90):
    """RULES, no early proxies."""
    rules = [RuleSettings(**vars(rule)) for rule, _ in RULES]
    return Settings(home=home, rules=rules, experiment=ExperimentSettings(ramp=RAMP, effect=0.05, early={}, segments=[], longest_stage_days=longest))


@dataclass
class Members:
    """`daily` new members on each of `days`, in four segments; `effect` [metric] is what the challenger does to its members."""

    split: object
    effect: dict[str, float]
    daily: int = 400
    days: int = 130
    seed: int = 1
    worth: float = 1.0

    def __post_init__(self):
        rng, n = np.random.default_rng(self.seed), self.daily * self.days
        self.ids = [f"m{self.seed}-{i:06d}" for i in range(n)]
        self.day = np.repeat(np.arange(self.days), self.daily)
        self.fixed, self.own = places(self.split.salt, self.ids), places(self.split.experiment, self.ids)
        luck = {metric: rng.random(n) for metric in METRICS}
        self.answers = {m: (luck[m] < RATES[m], luck[m] < RATES[m] + self.effect.get(m, 0.0)) for m in METRICS}
        price = rng.choice([50.0, 100.0, 150.0], n)
        self.answers[VALUE] = tuple(bought * price * times for bought, times in zip(self.answers["converted"], (1.0, self.worth), strict=True))
        self.open = (self.fixed >= self.split.holdback) & (self.fixed < 1.0 - self.split.control)

    def draw(self, parts):
        """What the bench is told of them."""

        def entered(day, stage):
            share = RAMP[int(stage[0]) - 1]
            mine = (self.day == day) & self.open
            counted = self.own >= max(share, 1.0 - share)
            later = [(self.own >= RAMP[j - 1]) & (self.own < RAMP[j]) & counted if j >= stage[0] else np.zeros_like(mine) for j in (1, 2)]
            classes = [self.own < share, counted & (self.own >= max(share, RAMP[-1])), *later]
            some = np.arange(len(self.ids)) % parts
            each = [[mine & group & (some == part) for group in classes] for part in range(parts)]
            n = np.array([[[group.sum()] for group in row] for row in each], dtype=float)
            hits = {m: np.array([[[y[int(c == 0)][g].sum()] for c, g in enumerate(row)] for row in each], dtype=float) for m, y in self.answers.items()}
            apart = [[((self.day == day) & (self.fixed < self.split.holdback)).sum(), ((self.day == day) & (self.fixed >= 1.0 - self.split.control)).sum()]]
            money = self.answers[VALUE]
            squares = np.array([[[np.square(money[int(c == 0)][g]).sum()] for c, g in enumerate(row)] for row in each])
            return Entered(n, hits, np.array(apart, dtype=float), {VALUE: squares})

        return entered

    def seen(self, day, split):
        """What the step reads at the end of `day`: one decision a member, at noon."""
        some = np.flatnonzero(self.day <= day)
        at = (D0 + self.day[some]) * DAY + DAY // 2
        share = np.array([split.share(FIRST + timedelta(days=d)) for d in range(day + 1)])[self.day[some]]
        treated, instant = self.own[some] < share, (D0 + day + 1) * DAY
        groups = ("champion", "challenger", "holdback", "control")
        logged = np.where(self.fixed[some] < split.holdback, 2, np.where(self.open[some], treated.astype(int), 3))
        labels = {}
        for metric, (plain, changed) in self.answers.items():
            answer = np.where(treated, changed[some], plain[some]).astype(float)
            labels[metric] = np.where(at + closes(metric) <= instant, answer, np.nan)
        decisions = Decisions(self.ids, some, at, groups, logged, labels)
        return Seen(decisions, np.array(["web"] * len(some), dtype=object), midnight(FIRST + timedelta(days=day + 1)))


def verdict(members, settings, ready, day, parts):
    """What `look` records for `day`, of these members."""
    running = ready.experiments.running()
    known = replace(running, stages=tuple(s for s in running.stages if s[0] <= FIRST + timedelta(days=day)))
    split = settings.experiment.split(known)
    rows = members.seen(day, split)
    assigned = Assigned(split, members.fixed, members.own)
    units = enter(rows.decisions, assigned)
    named = {f"part {p}": units.member % parts == p for p in range(parts)} if parts > 1 else {}
    result = outcomes(rows.decisions, units.row, np.minimum(moved(units, split), rows.instant))
    asked = look.checks(rows, units, assigned, look.earlier(ready, known, rows.end))
    found = look.judged(Compared(units.treated, units.cohort, result, {}, named), settings, known, asked, [])
    run_id = look_id(known.experiment_id, FIRST + timedelta(days=day))
    ready.ledger.record(Verdict(run_id, found.kind, known.challenger, known.champion, found.evidence, found.reason, rows.end))
    return found.kind


@pytest.mark.parametrize(
    ("effect", "parts", "ended", "worth"),
    [
        ({"converted": 0.08}, 1, "promoted", 1.0),
        ({"converted": 0.08}, 4, "promoted", 1.0),
        ({"converted": 0.08, "retained": -0.11}, 1, "rejected", 1.0),
        ({"converted": 0.08, "retained": -0.06}, 1, "stopped", 1.0),
        ({"converted": 0.08}, 1, "rejected", 0.0),
    ],
)
def test_every_day_has_the_verdict_of_the_steps(tmp_path, effect, parts, ended, worth):
    """The same members through `units`, `look` and `ramp` and through the bench: kind, stages and end are the same on every day, for challengers that are
    better (by segments too), harmful, at the margin, whose stage holds until it is stopped, and better at selling what brings nothing.
    """
    settings = settings_of(tmp_path, 40)
    running = replace(experiment((0, RAMP[0])), ramp=RAMP)
    ready = platform(settings, running)
    (tmp_path / "empty").mkdir()
    for number, alias in enumerate(("champion", "challenger"), 1):
        ready.registry.register(tmp_path / "empty", {"run_id": str(number)})
        ready.registry.point(alias, str(number))
    members = Members(settings.experiment.split(running), effect, worth=worth)
    shares = (1.0 / parts,) * parts if parts > 1 else ()
    state = Experiments(Plan(RAMP, members.days, members.days, RULES, shares, longest=40), 1)
    draw, kinds = members.draw(parts), set()
    for day in range(members.days):
        kind = verdict(members, settings, ready, day, parts)
        report = ramp.run(FIRST + timedelta(days=day), settings, ready)
        state.come(day, draw)
        promote, reject = state.look(day)
        expected = VerdictKind.PROMOTE if promote[0] else VerdictKind.REJECT if reject[0] else VerdictKind.HOLD
        assert kind is expected, day
        state.act(day, promote, reject)
        (found,) = ready.experiments.all()
        firsts = [(first - FIRST).days for first, _ in found.stages]
        assert state.first[state.first < NEVER].tolist() == firsts, day
        kinds.add(kind)
        if report.state != "running":
            break
    over = {"promoted": state.promoted, "rejected": state.rejected, "stopped": state.stopped}
    assert report.state == ended
    assert {name: day_[0] < NEVER for name, day_ in over.items()} == {name: name == ended for name in over}
    assert over[ended][0] == day
    assert VerdictKind.HOLD in kinds
    if ended == "promoted":
        assert len(found.stages) == 3


def test_sizes_are_those_of_the_assignment():
    """By hand for 10-25-50-75%: at a half, of the champion's half, a half becomes the challenger's later; at 25% nobody compared does."""
    ramp_ = (0.10, 0.25, 0.50, 0.75)
    assert sizes_of(ramp_, 1) == pytest.approx([0.10, 0.10, 0, 0, 0])
    assert sizes_of(ramp_, 2) == pytest.approx([0.25, 0.25, 0, 0, 0])
    assert sizes_of(ramp_, 3) == pytest.approx([0.50, 0.25, 0, 0, 0.25])
    assert sizes_of(ramp_, 4) == pytest.approx([0.75, 0.25, 0, 0, 0])
    assert sizes_of((0.5,), 1) == pytest.approx([0.5, 0.5])


def test_a_lost_fifth_of_the_challengers_stops_the_experiment():
    """Members who never reach the log: the split is found broken, nothing is promoted or rejected, and the experiment is stopped."""
    fair = Arriving(np.random.default_rng(0), (0.5,), np.full(60, 2000), {m: (np.full((1, 60), r),) * 2 for m, r in RATES.items()}, worth=1.0)

    def lost(day, stage):
        found = fair(day, stage)
        found.n[:, 0] = np.round(0.8 * found.n[:, 0])
        return Entered(found.n, {m: np.minimum(h, found.n) for m, h in found.hits.items()}, found.apart, found.squares)

    found = played(Plan((0.5,), 60, 90), 20, lost)
    assert (found.stopped < 30).all()
    assert (found.promoted == NEVER).all()
    assert (found.rejected == NEVER).all()
