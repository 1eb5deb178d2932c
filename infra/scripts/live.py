"""Live experiments of known truth, from the first challenger's decision to the verdict and beyond: the steps that users run, without HTTP.

    PYTHONPATH=. .venv/bin/python infra/scripts/live.py --members 20000 --seed 1

In the simulated world members are decided for by whoever the ledger assigns them to (`bench/world/live.py`). The champion shows anything that does
not press. Its challenger is truly `better`, truly `harmful` (it presses: it sells more and members leave) or `equal`; `in_charge` is the harmful one,
put in charge by hand. Every `--every` days the marts are published and looked at: `look`, `ramp`, `watch`, `roll_back`. Labels and features are those of
the platform's SQL.

A world of 20,000 members cannot show margins as narrow as the settings' defaults: here they are RULES and EARLY, and the ramp is 25-50%.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from bench.world.live import LiveWorld, Manner, register
from bench.world.loop import Stage, warm_up
from bench.world.warehouse import Model, Warehouse, compiled
from training.adapters.ports import Platform
from training.bootstrap import platform
from training.config.experiment import Early, ExperimentSettings
from training.config.settings import RuleSettings, Settings
from training.domain.aliases import ANCHOR, CHAMPION
from training.domain.assignment import Group
from training.domain.experiment import Cause, Change, Experiment
from training.domain.nouns import LOGGING_POLICY, Evidence, RuleKind, Verdict, VerdictKind
from training.steps import look, promote, ramp, roll_back, watch
from training.steps.in_charge import hand_over

RULES = (
    RuleSettings(metric="converted", kind=RuleKind.SUPERIOR),
    RuleSettings(metric="retained", kind=RuleKind.NON_INFERIOR, margin=0.02),
    RuleSettings(metric="opted_out", kind=RuleKind.NON_INFERIOR, margin=0.01, lower_is_better=True),
)
EARLY = {Early.VISITED: 0.02, Early.OPTED_OUT: 0.01, Early.DISMISSED: 0.03}
RAMP = (0.25, 0.5)
CASES = {"better": Manner.KEEN, "harmful": Manner.PRESSING, "equal": Manner.GENTLE, "in_charge": Manner.PRESSING}
WARM_UP = 14
"""Days under the uniform policy before: features that tell segments apart."""


@dataclass(frozen=True)
class Sizes:
    """How long: `days` at most, a look every `every` days, and `after` days of watching once an experiment has ended."""

    days: int
    every: int
    after: int


def settings_of(members: int, holdback: float = 0.05) -> Settings:
    """Everything that the cases share but their homes."""
    return Settings(members=members, rules=list(RULES), experiment=ExperimentSettings(ramp=RAMP, early=EARLY, effect=0.02, holdback=holdback))


def opened(name: str, base: Settings, stage: Stage, models: tuple[Model, ...], folder: Path) -> tuple[LiveWorld, Settings]:
    """The case's world on the evening of the warm-up: version 1 in charge, version 2 in an experiment, or by hand in charge as well."""
    settings = base.model_copy(update={"home": folder / name})
    settings.home.mkdir()
    tools, file = platform(settings), settings.home / "warehouse.duckdb"
    shutil.copyfile(stage.file, file)
    world = LiveWorld(stage, Warehouse(models, settings.catalog, file), settings, tools)
    first, second = (
        register(tools.registry, manner, run, settings.home / "model" / run) for run, manner in (("champion", Manner.GENTLE), ("new", CASES[name]))
    )
    yesterday = world.today - timedelta(days=1)
    passed(tools, yesterday, first, LOGGING_POLICY)
    promote.run(yesterday, settings, tools)
    if name == "in_charge":
        change = Change(first, second, Cause.HAND, "infra/scripts/live.py", end_of(world.today), "forced into charge to see whether the watch finds it")
        tools.experiments.changed(change, hand_over(tools.registry, first, second, {ANCHOR: first}))
    else:
        passed(tools, world.today, second, first)
        promote.run(world.today, settings, tools)
    return world, settings


def passed(tools: Platform, day: date, challenger: str, baseline: str) -> None:
    """The screen lets `challenger` through: what it is worth is for living members to say."""
    evidence = Evidence("converted superior", RuleKind.SUPERIOR, 0.0, (0.0, 0.0), 0.0, 0, passed=True)
    verdict = Verdict(day.isoformat(), VerdictKind.PROMOTE, challenger, baseline, (evidence,), "Let through, to be tried on living members.", end_of(day))
    tools.ledger.record(verdict)


def end_of(day: date) -> datetime:
    """The midnight (UTC) that ends it."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)


@dataclass(frozen=True)
class Evening:
    """What the steps said in one evening. `verdict` is the look's, or the watch's where no experiment runs."""

    number: int
    day: date
    experiment: Experiment | None
    verdict: Verdict | None
    champion: str | None


def evenings(world: LiveWorld, settings: Settings, sizes: Sizes) -> Iterator[Evening]:
    """Play, publish, look, ramp, watch and roll back, until nothing is left to decide."""
    tools, ended, before = world.platform, 0, world.platform.registry.peek(CHAMPION)
    for number in range(1, sizes.days + 1):
        world.play()
        if number % sizes.every:
            continue
        world.publish()
        day = world.today
        running = tools.experiments.running()
        with contextlib.redirect_stdout(io.StringIO()):
            look.run(day, settings, tools)
            ramp.run(day, settings, tools)
            watched = watch.run(day, settings, tools)
            back = roll_back.run(day, settings, tools)
        subject = running.experiment_id if running else f"watch-{watched.champion}"
        verdict = next((v for v in tools.ledger.looks(subject) if v.run_id.endswith(day.isoformat())), None)
        known = next(iter(tools.experiments.all()), None)
        champion = tools.registry.peek(CHAMPION)
        yield Evening(number, day, known, verdict, champion)
        ended = ended or (number if known and not known.running else 0)
        if back.rolled_back or (ended and (champion == before or number >= ended + sizes.after)):
            return


def told(evening: Evening) -> str:
    """One line an evening: where it stands, the verdict, and the rules for all members."""
    found, verdict = evening.experiment, evening.verdict
    stands = f"{found.state.value}, stage {len(found.stages)} of {len(found.ramp)}" if found else f"version {evening.champion} in charge"
    if verdict is None:
        return f"day {evening.number:3}  {stands}: nothing to judge"
    shown = [e for e in verdict.evidence if "(" not in e.name and e.kind is not RuleKind.SAMPLE_RATIO and e.sample]
    rules = "; ".join(
        f"{e.name.split()[0]}{' early' if e.note.startswith('early') else ''} {100 * e.value:+.1f} [{100 * e.interval[0]:+.1f}, {100 * e.interval[1]:+.1f}]"
        for e in shown
    )
    units = verdict.lineage.get("units", "")
    why = f"\n         {verdict.reason}" if verdict.kind is not VerdictKind.HOLD else ""
    return f"day {evening.number:3}  {stands}{f' ({units})' if units else ''}: {verdict.kind.value}  {rules or 'nothing mature'}{why}"


def summary(name: str, world: LiveWorld, last: Evening) -> str:
    """Days to the decision, and what the groups were truly worth."""
    found, changes = last.experiment, world.platform.experiments.changes()
    first = found.stages[0][0] if found else min(world.worth)
    until = found.changed_at.date() - timedelta(days=1) if found and not found.running else last.day
    ended = found.state.value if found else "rolled back" if changes[0].cause is Cause.WATCH else "still in charge"
    at = f" at {found.stages[-1][1]:.0%} of the members" if found else ""
    truth = world.truth(first, until)
    new, old = (Group.CHALLENGER, Group.CHAMPION) if found else (Group.CHAMPION, Group.HOLDBACK)
    gap = {key: truth[new.value][key] - truth[old.value][key] for key in truth[new.value]}
    worth = (
        f"truly {gap['conversion']:+.3%} conversions and {gap['opt_out']:+.3%} opt-outs a decision ({truth[old.value]['conversion']:.3%} and "
        f"{truth[old.value]['opt_out']:.3%}), {gap['stays']:+.2%} of the members stay 28 days ({truth[old.value]['stays']:.2%})"
    )
    return f"RESULT {name}: {ended}{at} on day {(until - first).days + 1}, {worth}; champion is version {last.champion}"


def played(name: str, base: Settings, stage: Stage, models: tuple[Model, ...], sizes: Sizes, folder: Path) -> Evening:
    """One case, printed as it goes; returns its last evening."""
    world, settings = opened(name, base, stage, models, folder)
    last = None
    for last in evenings(world, settings, sizes):
        print(told(last), flush=True)
    world.warehouse.close()
    if last is None:
        raise ValueError(f"{sizes.days} days have no evening that is looked at every {sizes.every} days. Give more --days.")
    print(summary(name, world, last), flush=True)
    return last


def main() -> None:
    """Play the cases in one world."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--members", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=140, help="days at most")
    parser.add_argument("--every", type=int, default=7, help="days between looks")
    parser.add_argument("--after", type=int, default=42, help="days of watching after a promotion")
    a = parser.parse_args()
    base = settings_of(a.members)
    models = compiled(base)
    with tempfile.TemporaryDirectory() as folder:
        stage = warm_up(a.seed, a.members, (WARM_UP, None), models, base, Path(folder))
        for name in a.cases:
            print(f"{name}:", flush=True)
            played(name, base, stage, models, Sizes(a.days, a.every, a.after), Path(folder))


if __name__ == "__main__":
    main()
