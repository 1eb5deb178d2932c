"""What the processes do that tests of the decision log and the ledger start, stop and kill: each says on a pipe what was acknowledged to it."""

from __future__ import annotations

import multiprocessing
import random
import resource
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from typing import Any

from tests.fakes.logs import AT, served
from training.adapters.decision_log import DecisionLog
from training.domain.errors import LogError
from training.domain.nouns import NONE, Outcome, OutcomeKind
from training.domain.served import Served

TOGETHER = 5
"""Decisions of one transaction."""


def start(work: Any, *args: Any) -> tuple[Any, Connection]:
    """A process of `work(pipe, *args)` with no lock or connection of ours, and our end of its pipe."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def gate(processes: int) -> Barrier:
    """What that many processes wait at, before each transaction, until all of them are there."""
    return multiprocessing.get_context("forkserver").Barrier(processes, timeout=60)


def said(pipe: Connection) -> list[Any]:
    """All that a process said until it ended, however it did; what it had not said whole is left out."""
    heard = []
    while True:
        try:
            heard.append(pipe.recv())
        except (EOFError, OSError):
            return heard


def transaction(number: int) -> list[Served]:
    """The decisions of one transaction, of members of their own; every fifth shows nothing."""
    return [served(f"{number}.{i}", f"m{number}.{i}", **({"arm": NONE} if i == 0 else {})) for i in range(TOGETHER)]


def opt_outs(number: int) -> list[Outcome]:
    """Outcomes of that transaction: an impression and an opt-out of each message."""
    kinds = (OutcomeKind.IMPRESSION, OutcomeKind.OPT_OUT)
    return [Outcome(f"o-{number}.{i}.{k}", f"d-{number}.{i}", k, AT + timedelta(hours=1)) for i in range(1, TOGETHER) for k in kinds]


def write(pipe: Connection, url: str, number: int) -> None:
    """Transactions from `number` on, each with its outcomes, until somebody ends the process."""
    log = DecisionLog(url)
    while True:
        ones = transaction(number)
        with log.writing([one.asked.member_id for one in ones]) as writer:
            writer.append(ones)
        pipe.send(("decisions", number))
        log.append_outcomes(opt_outs(number), AT + timedelta(days=1))
        pipe.send(("outcomes", number))
        number += 1


def message(pipe: Connection, url: str, gate: Barrier, seed: int, members: int) -> None:
    """Send each member one message if nobody did, in an order of its own, under request ids that all processes share; says which decision is the answer."""
    log = DecisionLog(url)
    order = list(range(members))
    random.Random(seed).shuffle(order)
    for some in (order[i : i + 3] for i in range(0, members, 3)):
        gate.wait()
        names = [f"m{i}" for i in some]
        with log.writing(names) as writer:
            known = writer.read(names, [f"r-{i}" for i in some], AT)
            ours = [served(str(i), f"m{i}", notes={"by": str(seed)}) for i in some if not known.states[f"m{i}"].messages]
            stands = dict(known.earlier) | writer.append(ours)
        pipe.send({one.asked.request_id: one.notes["by"] for one in ours} | {request: one.notes["by"] for request, one in stands.items()})


def request(pipe: Connection, url: str, gate: Barrier, seed: int, requests: int) -> None:
    """Ask under the same request ids as all other processes, in an order of its own and for members of its own; says whose decision is the answer."""
    log = DecisionLog(url)
    order = list(range(requests))
    random.Random(seed).shuffle(order)
    for i in order:
        gate.wait()
        one = served(f"{i}", f"m{seed}")
        with log.writing([one.asked.member_id]) as writer:
            known = writer.read([one.asked.member_id], [one.asked.request_id], AT)
            stands = writer.append([one], known.earlier)
        pipe.send((i, stands.get(one.asked.request_id, one).asked.member_id))


def make(pipe: Connection, url: str, gate: Barrier) -> None:
    """Open a log at the same moment as all other processes; says that it is open."""
    gate.wait()
    DecisionLog(url).paused()
    pipe.send("open")


def answer(pipe: Connection, url: str, gate: Barrier, seed: int, outcomes: list[Outcome]) -> None:
    """Append the same outcomes as all other processes in an order of its own, 7 at a time; says each answer."""
    log = DecisionLog(url)
    order = list(outcomes)
    random.Random(seed).shuffle(order)
    for i in range(0, len(order), 7):
        gate.wait()
        pipe.send([r.answer.value for r in log.append_outcomes(order[i : i + 7], AT + timedelta(days=1))])


def fill(pipe: Connection, url: str, limit: int) -> None:
    """Transactions while no file may grow beyond `limit` bytes; says each one, then the error and, with the limit gone, the next one."""
    log = DecisionLog(url)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    number = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        while True:
            _append(log, number)
            pipe.send(number)
            number += 1
    except LogError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        pipe.send(str(error))
    _append(log, number)
    pipe.send(number)


def _append(log: DecisionLog, number: int) -> None:
    ones = transaction(number)
    with log.writing([one.asked.member_id for one in ones]) as writer:
        writer.append(ones)


def opens_ledgers(pipe: Connection, urls: list[str], gate: Barrier) -> None:
    """Open one ledger after another, all processes at the same moment."""
    from training.adapters.ledger_engine import LedgerDatabase

    for url in urls:
        gate.wait()
        try:
            LedgerDatabase(url).engine.dispose()
        except Exception as error:  # noqa: BLE001 - the test shows it
            pipe.send(repr(error))
        else:
            pipe.send("opened")
