"""What a finished loop says: the verdict, who is in charge, one member, one decision, where things are, how long each stage took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from training.cli.airflow_api import TaskState
from training.config.settings import Settings
from training.domain.errors import NotReadyError
from training.domain.nouns import RuleKind, Verdict

COLOURS = {"PROMOTE": "green", "REJECT": "red", "HOLD": "yellow"}
COUNT = 100.0
"""From here on a number is a count of rows, not a rate."""


def show(console: Console, settings: Settings, day: date, stages: Mapping[str, float]) -> None:
    """Print the summary of the loop of `day`. `stages` are seconds by stage in order."""
    from training.bootstrap import platform
    from training.cli.decide import decide
    from training.cli.lookup import lookup

    wired = platform(settings)
    verdict = next((v for v in wired.ledger.verdicts() if v.run_id == day.isoformat()), None)
    if verdict is None:
        raise NotReadyError(f"The retrain of {day} left no verdict in {settings.ledger_url}: the loop is not complete. Run `retrain` again.")
    console.print()
    console.print(verdict_table(verdict))
    console.print(verdict.reason, highlight=False)
    champion = wired.registry.version("champion")
    console.print(f"Champion: {'version ' + champion if champion else 'none yet; the logging policy stays in charge'}\n", highlight=False)
    member, surface = example(settings)
    console.print(f"[bold]Member {member}, as the online store knows them[/]", highlight=False)
    lookup(member, False)
    console.print(f"\n[bold]A decision for member {member} on {surface}[/]", highlight=False)
    if champion:
        decide(member, surface, settings.seed, False)
    else:
        console.print("There is no champion yet: offers stay with the logging policy until a challenger is promoted.")
    console.print()
    console.print(stage_table(stages))


def verdict_table(verdict: Verdict) -> Table:
    """Each rule with its value, interval, threshold, sample and result; narrow enough for 80 columns."""
    colour = COLOURS[verdict.kind.value]
    title = f"Verdict: [bold {colour}]{verdict.kind.value}[/]  challenger {verdict.challenger} against {verdict.baseline}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("rule")
    for column in ("value", "interval", "threshold", "sample"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("passed", no_wrap=True)
    for rule in verdict.evidence:
        passed = "[green]yes[/]" if rule.passed else "[red]no, refuted[/]" if rule.refuted else "[yellow]not shown[/]"
        measured = rule.kind is not RuleKind.SUPPORT
        interval = f"{_short(rule.interval[0])} to {_short(rule.interval[1])}" if measured else ""
        table.add_row(rule.name.replace("_", " "), _short(rule.value), interval, _short(rule.threshold), f"{rule.sample:,}", passed)
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


def stage_table(stages: Mapping[str, float]) -> Table:
    """Seconds by stage."""
    table = Table(title="Time", title_justify="left", show_header=False)
    for name, seconds in stages.items():
        table.add_row(name, f"{seconds:7.1f} s")
    table.add_row("[bold]total[/]", f"[bold]{sum(stages.values()):7.1f} s[/]")
    return table


def task_seconds(tasks: list[TaskState]) -> dict[str, float]:
    """Seconds of each task by DAG and name."""
    return {f"{task.dag}.{task.task}": task.seconds or 0.0 for task in tasks}


def places(settings: Settings, day: date) -> dict[str, str]:
    """Where the artefacts of one loop are."""
    docs = settings.data_docs / "index.html"
    return {
        "report": str(settings.reports / f"{day.isoformat()}.html"),
        "data docs": str(docs if docs.is_file() else settings.data_docs),
        "logs": str(settings.home / "airflow" / "logs"),
    }
