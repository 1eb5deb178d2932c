"""`python -m bench.serving.beside`: what happens beside a service under load, in a process of its own: `swap VERSION`, `materialize INSTANT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime


def main(words: Sequence[str]) -> int:
    """Put a version in charge, or write every member's features again."""
    from training.bootstrap import platform
    from training.config.settings import load_settings

    wired = platform(load_settings())
    match list(words):
        case ["swap", version]:
            wired.registry.point("champion", version)
        case ["materialize", instant]:
            wired.features.materialize(datetime.fromisoformat(instant))
        case _:
            raise SystemExit(__doc__)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
