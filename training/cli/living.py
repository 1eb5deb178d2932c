"""Commands around live judging: what runs and why, and what a person may do to it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from training.domain.errors import NotReadyError

if TYPE_CHECKING:
    from training.adapters.ports import Platform
    from training.config.settings import Settings
    from training.domain.experiment import Experiment
    from training.domain.nouns import Verdict

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
NOT_WANTED = 1


class _Shown(TyperGroup):
    """A group whose first word may be an experiment: `show` is what is meant then."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's context, of the copy that typer brings
        return super().parse_args(ctx, args if args and (args[0] in self.commands or args[0] == "--help") else ["show", *args])


experiment = typer.Typer(help="The live experiment: how it stands, and its end by hand.", cls=_Shown)


@experiment.command("show")
def show(experiment_id: Annotated[str | None, typer.Argument(help="Default: the newest one.")] = None, *, as_json: JsonOption = False) -> int:
    """Show state, stages, the last look's evidence and the history. `show` may be left out."""
    settings, platform = _platform()
    found = _found(platform, experiment_id)
    if found is None:
        print(json.dumps({"experiment": None}) if as_json else f"There was no experiment yet. The next one has alpha {_next_alpha(settings, platform):.4g}.")
        return 0
    looks, events = platform.ledger.looks(found.experiment_id), platform.experiments.events(found.experiment_id)
    if as_json:
        from training.cli.judging import verdict_object

        history = [{**asdict(e), "at": e.at.isoformat()} for e in events]
        look = verdict_object(looks[-1]) if looks else None
        print(json.dumps({"experiment": _object(found), "look": look, "looks": len(looks), "history": history}))
        return 0
    _show(found, looks, [f"{e.at:%Y-%m-%d %H:%M}  {e.state.value}, stage {e.stage}, by {e.by}: {e.reason}" for e in events])
    return 0


@experiment.command("stop")
def stop(reason: Annotated[str, typer.Option(help="Why; kept in the ledger.")], *, yes: YesOption = False) -> int:
    """End the running experiment; the champion decides for everybody again."""
    from training.steps import by_hand

    settings, platform = _platform()
    running = platform.experiments.running()
    if running is not None and not _sure(f"Stop {running.experiment_id}? It cannot be taken up again.", yes):
        return NOT_WANTED
    stopped = by_hand.stop(settings, platform, reason, running.experiment_id if running else None)
    print(f"{stopped.experiment_id} is stopped; version {stopped.champion} decides for everybody outside holdback and control.")
    return 0


def rollback(to: str | None, reason: str, yes: bool) -> int:
    """Put an earlier version in charge; the running service follows within a second."""
    from training.steps import by_hand
    from training.steps.in_charge import who_runs

    settings, platform = _platform()
    if by_hand.completed(settings, platform, to) is not None:
        return 0
    before, after = by_hand.planned(platform, to)
    if not _sure(f"Put version {after} in charge instead of version {before}?", yes):
        return NOT_WANTED
    change = by_hand.roll_back(settings, platform, who_runs(), reason, before, after)
    print(f"Champion was version {before}, is version {after} (by {change.by}: {reason}).")
    return 0


def anchor(version: str, yes: bool) -> int:
    """Renew what the holdback gets."""
    from training.steps import by_hand
    from training.steps.in_charge import who_runs

    settings, platform = _platform()
    if not _sure(f"Give the holdback version {version} from now on? What promotions did together up to now is then no longer measured.", yes):
        return NOT_WANTED
    before = by_hand.renew_anchor(settings, platform, who_runs(), version)
    print(f"The holdback got {f'version {before}' if before else 'no version of its own'}, and gets version {version}.")
    return 0


def _platform() -> tuple[Settings, Platform]:
    from training.bootstrap import platform
    from training.config.settings import load_settings

    settings = load_settings()
    return settings, platform(settings)


def _found(platform: Platform, experiment_id: str | None) -> Experiment | None:
    known = platform.experiments.all()
    if experiment_id is None:
        return known[0] if known else None
    found = next((e for e in known if e.experiment_id == experiment_id), None)
    if found is None:
        raise NotReadyError(f"There is no experiment {experiment_id!r}. There are: {', '.join(e.experiment_id for e in known) or 'none yet'}.")
    return found


def _next_alpha(settings: Settings, platform: Platform) -> float:
    from training.steps.opening import next_alpha

    return next_alpha(settings, platform.experiments)


def _sure(question: str, yes: bool) -> bool:
    if yes or typer.confirm(question):
        return True
    print("Nothing was changed.")
    return False


def _object(found: Experiment) -> dict[str, Any]:
    return asdict(found) | {
        "stages": [{"first_day": first.isoformat(), "share": share} for first, share in found.stages],
        "opened_at": found.opened_at.isoformat(),
        "changed_at": found.changed_at.isoformat(),
    }


def _show(found: Experiment, looks: list[Verdict], history: list[str]) -> None:
    from rich.console import Console

    from training.cli.summary import prose, verdict_table

    console = Console()
    stages = ", ".join(f"{share:.0%} from {first}" for first, share in found.stages)
    stage = f"stage {len(found.stages)} of {len(found.ramp)}"
    prose(
        console, f"{found.experiment_id}: {found.state.value}, {stage}. Version {found.challenger} against {found.champion}, alpha {found.alpha:.3g}: {stages}."
    )
    if looks:
        prose(console, f"\nLook {len(looks)}, {looks[-1].run_id}:")
        console.print(verdict_table(looks[-1]))
        prose(console, looks[-1].reason)
    prose(console, "\nHistory:")
    for line in history:
        prose(console, f"  {line}")
