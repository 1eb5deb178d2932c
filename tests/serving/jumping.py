"""`python -m tests.serving.jumping serve --port P --workers N`: the service as `rightmatch serve` runs it, by a clock that is as many seconds ahead of the real
one as the file JUMPING_CLOCK says. What measures durations goes on as it does when a machine's clock is set: by the monotonic clock.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from pathlib import Path

from training.adapters import clock
from training.cli.service_process import ONE_THREAD

FILE = "JUMPING_CLOCK"


def ahead() -> timedelta:
    """How far the clock is ahead now."""
    return timedelta(seconds=float(Path(os.environ[FILE]).read_text(encoding="utf-8")))


def jump(file: Path, seconds: float) -> None:
    """Set the clock of those who read `file`."""
    aside = file.with_suffix(".new")
    aside.write_text(str(seconds), encoding="utf-8")
    aside.replace(file)


def main() -> int:
    """Optimized and on one thread, as the command does; then the supervisor, whose children read the same clock."""
    if __debug__:
        parser = ArgumentParser()
        parser.add_argument("command")
        parser.add_argument("--port")
        parser.add_argument("--workers")
        asked = parser.parse_args()
        env = {**os.environ, **ONE_THREAD, "RIGHTMATCH_SERVING__PORT": asked.port, "RIGHTMATCH_SERVING__WORKERS": asked.workers}
        os.execve(sys.executable, [sys.executable, "-O", "-m", "tests.serving.jumping"], env)  # noqa: S606 - the service is this process from here on
    clock.wall = lambda: datetime.now(UTC) + ahead()  # before anything of the service is imported, which takes it from there
    from serving import supervisor

    return supervisor.main()


if __name__ == "__main__":
    sys.exit(main())
