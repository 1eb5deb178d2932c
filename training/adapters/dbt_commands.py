"""dbt's commands one after the other in one process, because dbt takes seconds to be imported: `python dbt_commands.py OUT COMMAND [-- COMMAND ...]`.

The first command speaks to standard output, and its exit code is this process's. Those after it run only if it succeeded; what they say goes to the file OUT,
and that they fail changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

BETWEEN = "--"


def split(words: Sequence[str]) -> list[list[str]]:
    """The commands between BETWEEN."""
    found: list[list[str]] = [[]]
    for word in words:
        if word == BETWEEN:
            found.append([])
        else:
            found[-1].append(word)
    return found


def run(command: Sequence[str]) -> int:
    """dbt's own exit code of one command, whose errors it tells itself."""
    from dbt.cli.main import cli

    try:
        cli.main(args=list(command), prog_name="dbt")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main(out: str, *words: str) -> int:
    """Run them; the first one's exit code."""
    first, *others = split(words)
    code = run(first)
    if code == 0:
        with Path(out).open("w", encoding="utf-8") as said, redirect_stdout(said), redirect_stderr(said):
            for command in others:
                with suppress(Exception):
                    run(command)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
