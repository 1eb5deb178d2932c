"""`python -O -m serving.supervisor`: the listening socket, the workers that share it, and the learner. Whatever ends by itself is started again.

Children are forks of a process that has imported everything and started no thread, so that a new worker answers in a second (Feast alone takes five to
import) and all share that memory. With -O, Feast checks no types of its own at run time.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from traceback import format_exc
from typing import Any, NoReturn

from serving import archive
from serving.learn import BUSY
from serving.logs import say
from training.adapters.decision_log import DecisionLog
from training.config.settings import Settings, load_settings
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError, RightmatchError

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
BACKLOG = 1_024
PATIENCE = 20.0
"""Seconds that children have to end before they are killed."""
AGAIN, STANDBY = 1.0, 15.0
"""Seconds between two starts of the same child, and of one that found another at its work, such as the learner of another machine, or fails again and again."""
MOST_DOUBLINGS = 4
"""Of AGAIN, which are then more than STANDBY."""
CRASHES = {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT}
"""Signals that nobody sends."""
LONG = 60.0
"""Seconds that a child runs for whose end has nothing to do with its start."""
PR_SET_PDEATHSIG = 1
"""Of prctl(2)."""
HEAVY = (
    *("feast", "feast.infra.offline_stores.duckdb", "training.adapters.feast_online", "training.adapters.feast_engine", "training.adapters.feast_store"),
    "training.model.loops_score",
)
"""What a child would import when it first asks the store, and compile when it first decides."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass
class Child:
    """One process and what it runs."""

    name: str
    run: Callable[[], object]
    pid: int = 0
    started: float = 0.0
    rest: float = 0.0
    """Seconds between its last two starts at least."""
    failures: int = 0
    """Of its last starts in a row."""
    answers: bool = False
    """Whether it accepts callers."""


def main() -> int:
    """Serve until SIGTERM or SIGINT; prints the address. Our own errors are a message and exit code 1, and so is any other failure, whose message is a line of
    the log with its whole story.
    """
    try:
        settings = load_settings()
        load_catalog(settings.catalog)  # without one no worker would start
        DecisionLog(settings.log_url).engine.dispose()  # its tables are made, and no connection is left for the forks
        with listening(settings) as listener, tempfile.TemporaryDirectory(prefix="rightmatch-metrics-") as folder:
            os.environ[MULTIPROCESS] = folder
            _supervise(_children(settings, listener), listener, settings)
    except RightmatchError as error:
        print(f"rightmatch: {error}", file=sys.stderr)
        return 1
    except Exception as error:  # noqa: BLE001 - Python's own lines would be no JSON
        say("failed", error=f"{type(error).__name__}: {error}", traceback=format_exc(), pid=os.getpid())
        return 1
    return 0


def listening(settings: Settings) -> socket.socket:
    """The socket that all workers accept from. Raises ConfigError where the address cannot be had."""
    listener = socket.socket(socket.AF_INET6 if ":" in settings.serving.host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.serving.host, settings.serving.port))
    except OSError as error:
        listener.close()
        where = address((settings.serving.host, settings.serving.port))
        raise ConfigError(f"The service cannot listen on {where} ({error.strerror}). Give another with --port, or 0 for a free one.") from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def address(name: tuple[Any, ...]) -> str:
    """The URL of a socket by its name, of IPv6 in brackets (RFC 3986, 3.2.2)."""
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _children(settings: Settings, listener: socket.socket) -> list[Child]:
    from serving import worker

    for name in HEAVY:
        import_module(name)
    gc.collect()
    gc.freeze()  # a child's garbage collector leaves what was imported alone, else it would copy that memory by writing to it
    workers = [Child(f"worker {i + 1}", lambda: worker.serve(settings, listener), answers=True) for i in range(settings.serving.workers)]
    return [*workers, Child("learner", lambda: _learn(listener))]


def _learn(listener: socket.socket) -> int:
    from serving import learn

    listener.close()  # else callers would be accepted for as long as it ends
    return learn.main()


def _supervise(children: list[Child], listener: socket.socket, settings: Settings) -> None:
    asked: list[int] = []
    for number in _heard():
        signal.signal(number, lambda n, _: asked.append(n))
    url = address(listener.getsockname())
    print(url, flush=True)
    say("serving", url=url, workers=settings.serving.workers, pid=os.getpid())
    try:
        while not asked:
            for child in children:
                _keep(child)
            _hang_up(children, listener)
            sleep(0.05)
    finally:
        listener.close()  # with the workers' own, which they close first: nobody else is accepted
        _end(children)


def _heard() -> list[signal.Signals]:
    """Those that end the service: no hang-up that the caller ignores (`nohup`)."""
    return [n for n in SIGNALS if n is not signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]


def _keep(child: Child) -> None:
    """Start `child` where it does not run, and not too often."""
    if child.pid:
        _look(child)
    if not child.pid and monotonic() - child.started >= child.rest:
        child.started = monotonic()
        try:
            child.pid = _fork(child)
        except OSError as error:  # too many processes, or too little memory; the others go on
            child.failures += 1
            child.rest = _rest(child)
            say("failed", child=child.name, error=f"{type(error).__name__}: {error}", failures=child.failures)
            return
        say("started", child=child.name, pid=child.pid)


def _rest(child: Child) -> float:
    """Seconds until its next start at least, ever more while it fails."""
    return min(STANDBY, AGAIN * 2.0 ** min(MOST_DOUBLINGS, max(0, child.failures - 1)))


def _look(child: Child) -> None:
    """Tell of its end, where it has ended; one that fails soon after each start rests ever longer."""
    ended, status = os.waitpid(child.pid, os.WNOHANG)
    if not ended:
        return
    code, soon = os.waitstatus_to_exitcode(status), monotonic() - child.started < LONG
    failed = (code > 0 and code != BUSY) or -code in CRASHES
    child.failures = (child.failures if soon else 0) + 1 if failed else 0
    child.rest = STANDBY if code == BUSY else _rest(child)
    about = {"error": _last_words(child.pid), "failures": child.failures} if failed else {}
    say("ended", child=child.name, pid=child.pid, code=code, **about)
    _forget(child.pid)
    child.pid = 0


def _hang_up(children: list[Child], listener: socket.socket) -> None:
    """On whoever calls while no worker can start, who would wait for an answer that nobody gives."""
    if all(child.failures > 1 and not child.pid for child in children if child.answers):
        with suppress(OSError):  # nobody calls
            for _ in range(BACKLOG):
                listener.accept()[0].close()


def _words(pid: int) -> Path:
    """Where a child that fails leaves why."""
    return Path(os.environ[MULTIPROCESS]) / f"{pid}.error"


def _last_words(pid: int) -> str:
    try:
        return _words(pid).read_text(encoding="utf-8")
    except OSError:
        return ""
    finally:
        _words(pid).unlink(missing_ok=True)


def _forget(pid: int) -> None:
    """Drop the gauges of a process that has ended; what it counted stays, in one file with what others did before it."""
    from prometheus_client import multiprocess  # imported before MULTIPROCESS is set, it would keep metrics in memory

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
    try:
        archive.fold(Path(os.environ[MULTIPROCESS]))
    except OSError as error:
        say("trouble", part="metrics", error=f"{type(error).__name__}: {error}")


def _fork(child: Child) -> int:
    parent, pid = os.getpid(), os.fork()
    if pid:
        return pid
    code = 1
    try:
        _end_with(parent)
        for number in _heard():
            signal.signal(number, signal.SIG_DFL)
        found = child.run()
        code = found if isinstance(found, int) else 0
    except BaseException as error:  # noqa: BLE001 - a child must never return into the supervisor's code
        words = f"{type(error).__name__}: {error}"
        say("failed", child=child.name, error=words)
        with suppress(OSError):
            _words(os.getpid()).write_text(words, encoding="utf-8")
    finally:
        leave(code)


def _end_with(parent: int) -> None:
    """Let the kernel send SIGTERM to this process when `parent` is gone, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _end(children: list[Child]) -> None:
    """SIGTERM to all, then SIGKILL to whatever is left."""
    running = {c.pid for c in children if c.pid}
    for pid in running:
        os.kill(pid, signal.SIGTERM)
    until = monotonic() + PATIENCE
    while running and monotonic() < until:
        running = {pid for pid in running if not os.waitpid(pid, os.WNOHANG)[0]}
        sleep(0.02)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def leave(code: int) -> NoReturn:
    """End the process, whose work is done and whose files are closed. In Python's own end DuckDB would tell, in lines that are no JSON, what it never freed."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    leave(main())
