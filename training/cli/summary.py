"""What a finished loop says, in 80 columns: the verdict, who is in charge, one member, one decision, where things are, how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from training.cli.airflow_api import TaskState
from training.config.settings import Settings
from training.domain.aliases import CHAMPION
from training.domain.errors import NotReadyError
from training.domain.nouns import RuleKind, Verdict

COLOURS = {"PROMOTE": "green", "REJECT": "red", "HOLD": "yellow"}
COUNT = 100.0
"""From here on a number is a count of rows, not a rate."""


def show(console: Console, settings: Settings, day: date) -> None:
    """Print the summary of the loop of `day`."""
    from training.bootstrap import platform
    from training.cli.decide import decide
    from training.cli.lookup import lookup

    wired = platform(settings)
    verdict = verdict_of(wired.ledger.verdicts(), day)
    console.print()
    console.print(verdict_table(verdict))
    prose(console, verdict.reason)
    champion = wired.registry.version(CHAMPION)
    prose(console, f"Champion: {'version ' + champion if champion else 'none yet; the logging policy stays in charge'}")
    running = wired.experiments.running()
    if running:
        stage = f"stage {len(running.stages)} of {len(running.ramp)} from {running.stages[-1][0]}"
        prose(console, f"Experiment: {running.experiment_id}, {stage}; `rightmatch experiment` shows it")
    console.print()
    member, surface = example(settings)
    lookup(member, False)
    console.print(f"\n[bold]A decision for member {member} on {surface}[/]", highlight=False)
    if champion:
        decide(member, surface, settings.seed, False)
    else:
        prose(console, "There is no champion yet: offers stay with the logging policy until a challenger is promoted.")
    console.print()


def verdict_of(verdicts: Sequence[Verdict], day: date) -> Verdict:
    """The verdict on the challenger of `day`, which need not be the newest one."""
    found = next((v for v in verdicts if v.run_id == day.isoformat()), None)
    if found is None:
        raise NotReadyError(f"The retrain of {day} left no verdict in the ledger: the loop is not complete. Run `retrain` again.")
    return found


def prose(console: Console, text: str) -> None:
    """Sentences: broken between words on a terminal, whole in a log."""
    console.print(text, highlight=False, markup=False, soft_wrap=not console.is_terminal)


def verdict_table(verdict: Verdict) -> Table:
    """Each rule with its value, interval, threshold, sample and result, one line of 80 columns each. Threshold 0 asks for superiority."""
    colour = COLOURS[verdict.kind.value]
    title = f"Verdict: [bold {colour}]{verdict.kind.value}[/]  challenger {verdict.challenger} against {verdict.baseline}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("rule")
    for column in ("value", "interval", "threshold", "sample"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("passed", no_wrap=True)
    for rule in verdict.evidence:
        passed = "[green]yes[/]" if rule.passed else "[red]refuted[/]" if rule.refuted else "[yellow]not shown[/]"
        measured = rule.kind is not RuleKind.SUPPORT
        interval = f"{_short(rule.interval[0])}, {_short(rule.interval[1])}" if measured else ""
        table.add_row(
            rule.name.removesuffix(f" {rule.kind.value}").replace("_", " "), _short(rule.value), interval, _short(rule.threshold), f"{rule.sample:,}", passed
        )
    return table


def _short(value: float) -> str:
    """Four decimals for rates and their differences, none for counts."""
    if not value:
        return "0"
    return f"{value:,.0f}" if abs(value) >= COUNT else f"{value:+.4f}"


def example(settings: Settings) -> tuple[str, str]:
    """Member and surface of the newest decision in the marts."""
    import pyarrow.parquet as pq

    rows = pq.read_table(settings.marts / "decision_outcomes.parquet", columns=["decided_at", "decision_id", "member_id", "surface"])
    newest = rows.sort_by([("decided_at", "descending"), ("decision_id", "ascending")]).slice(0, 1).to_pylist()
    if not newest:
        raise NotReadyError("The marts hold no decision, so there is no member to show. Land decisions first.")
    return str(newest[0]["member_id"]), str(newest[0]["surface"])


def duration(start: float, tasks: list[TaskState], total: float) -> str:
    """Seconds of the start (data and Airflow), of each stage, and of what lies between and after them."""
    parts = {"start": start, **{task.task: task.seconds or 0.0 for task in tasks}}
    parts["the rest"] = total - sum(parts.values())
    return f"The loop took {total:.1f} s: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in parts.items()) + "."


def places(settings: Settings, day: date) -> dict[str, str]:
    """Where the artefacts of one loop are."""
    docs = settings.data_docs / "index.html"
    return {
        "report": str(settings.reports / f"{day.isoformat()}.html"),
        "promotions": str(settings.reports / "promotions.html"),
        "data docs": str(docs if docs.is_file() else settings.data_docs),
        "logs": str(settings.home / "airflow" / "logs"),
    }
