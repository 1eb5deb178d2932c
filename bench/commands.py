"""`rightmatch bench ...`. Each command imports what it needs when it is called, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Sequence
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


def run(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns its exit code."""
    code = app(list(arguments), prog_name="rightmatch bench", standalone_mode=False)
    return code if isinstance(code, int) else 0
