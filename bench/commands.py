"""`rightmatch bench ...`. Each command imports what it needs when it is called, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Sequence

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


def run(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; returns its exit code."""
    code = app(list(arguments), prog_name="rightmatch bench", standalone_mode=False)
    return code if isinstance(code, int) else 0
