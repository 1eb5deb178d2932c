"""`rightmatch bench ...`. Each command imports what it needs when it is called, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="rightmatch bench",
    help="Benchmarks of the learner, each repeatable by one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def benchmarks() -> None:
    """Benchmarks of the learner, each repeatable by one command."""


@app.command()
def train(
    rows: Annotated[int, typer.Option(help="Logged decisions to train on.")] = 1_000_000,
    *,
    seed: Annotated[int, typer.Option(help="Seed of the world and of training.")] = 7,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    turn_seconds: Annotated[float, typer.Option(min=0.1, help="How long each plain loop trains after each of the first epochs.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Time training against a plain torch loop with a DataLoader, in one run, and measure its memory."""
    from bench.train.command import train as measure

    return measure(rows, seed, device, turn_seconds, as_json=as_json)


@app.command()
def coldstart(
    seeds: Annotated[int, typer.Option(min=1, help="Worlds to measure in.")] = 2,
    first: Annotated[int, typer.Option(help="Seed of the first world; the defaults of the learner were chosen on 1 to 3.")] = 11,
    rows: Annotated[int, typer.Option(min=1000, help="Decisions of each world's log.")] = 300_000,
    members: Annotated[int, typer.Option(min=100, help="Members of each world.")] = 20_000,
    out: Annotated[Path, typer.Option(help="Folder of the plots.")] = Path("var/bench"),
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Impressions until a new arm's rate is known within a tenth: with text and factors, with one-hot arms, and by counting."""
    from bench.coldstart.run import Plan, measure

    return measure(Plan(seeds, first, rows, members), out, as_json)


def run(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns its exit code."""
    code = app(list(arguments), prog_name="rightmatch bench", standalone_mode=False)
    return code if isinstance(code, int) else 0
