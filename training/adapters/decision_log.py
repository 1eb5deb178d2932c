"""The durable decision log: what was decided, what came of it, and what every later decision must respect. All methods may be called from any thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import cached_property

from sqlalchemy import Connection, Engine, delete, select

from training.adapters import log_hot, log_outcomes, log_reads
from training.adapters.kernel_sync import KernelSync
from training.adapters.log_engine import in_order, insert_new, log_engine, micros, reading, told, writing
from training.adapters.log_hot import Hot
from training.adapters.log_outcomes import Receipt, lock_members
from training.adapters.log_reads import Event, Known
from training.adapters.log_sqlite import Wal, Writer
from training.adapters.log_syncing import Syncing, syncing
from training.adapters.log_tables import arms_table, decision_table, pause_table, withdrawal_table
from training.config.serving import Clock
from training.domain.errors import LogError
from training.domain.nouns import Outcome
from training.domain.served import UNNAMED, Served


class Writing:
    """One transaction on the members that were locked for it. `shared` is its connection where others write at the same time, None where it is alone.

    Once the transaction has ended, `settle` or `begin` makes it durable, with whatever it read.
    """

    def __init__(self, hot: Hot, shared: Connection | None, wal: Wal | None) -> None:
        self._hot, self._shared, self._wal, self._turn = hot, shared, wal, False

    def settle(self) -> None:
        """From any thread; a server's commit is durable anyway. Raises LogError where it cannot be said to be kept."""
        if self._wal is not None:
            try:
                self._wal.settle()
            except sqlite3.Error as error:
                raise told("written", error) from error

    def begin(self, kernel: KernelSync, done: Callable[[LogError | None], None]) -> bool:
        """The same by the kernel, with `done` to hear of its end. False where only `settle` can. As `Wal.begin`."""
        return self._wal is not None and self._wal.begin(kernel, lambda error: done(None if error is None else told("written", error)))

    def read(self, members: Collection[str], request_ids: Collection[str], now: datetime) -> Known:
        """As `DecisionLog.read`, with nobody else deciding on the members between this and the commit."""
        return log_hot.known(self._hot, members, request_ids, now)

    def turn(self) -> bool:
        """Wait now for those who add decisions, not in `append`. Whether there can have been any: a file's writer is alone."""
        if self._shared is None:
            return False
        if not self._turn:
            in_order(self._shared, decision_table)
            self._turn = True
        return True

    def append(self, served: Sequence[Served], earlier: Mapping[str, Served] | None = None) -> dict[str, Served]:
        """Add decisions. Those whose request id has been answered already are not added: what stands is returned by request id, and is the answer.

        `earlier` is what `read` found in this transaction for these request ids; without it they are looked up, and on Postgres once more, since the lock on
        members does not keep another member's request with the same id out.

        Raises ValueError for a decision that could never be evaluated; LogError where a decision id is not new.
        """
        if not self.turn() and earlier is not None:
            stands = dict(earlier)
        else:
            stands = log_hot.earlier(self._hot, [s.asked.request_id for s in served if not s.asked.request_id.startswith(UNNAMED)])
        new: dict[str, Served] = {}
        for one in served:
            request = one.asked.request_id
            if request in new:
                stands[request] = new[request]
            elif request not in stands:
                new[request] = one
        if new:
            log_hot.append(self._hot, list(new.values()))
        return stands


class _Alone:
    """The block of a transaction of a file, whose one writer it is. Without contextlib's generators, which cost each decision some microseconds."""

    __slots__ = ("_own", "_patient", "_writer")

    def __init__(self, writer: Writer, *, patient: bool) -> None:
        self._writer, self._patient = writer, patient

    def __enter__(self) -> Writing:
        try:
            self._own = self._writer.begin(patient=self._patient)
        except sqlite3.Error as error:
            raise told("written", error) from error
        return Writing(Hot("sqlite", self._own.connection), None, self._own.wal)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._writer.end(self._own, keep=error is None)
        except sqlite3.Error as failed:
            raise told("written", failed) from failed
        if isinstance(error, sqlite3.Error):
            raise told("written", error) from error


class DecisionLog:
    """The log at an SQLAlchemy URL; connects, and makes its tables, when it is first used.

    Every method raises LogError where the database refuses, and DataError for a damaged decision. `seq`, which counts decisions and outcomes, grows in
    the order of the commits.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def engine(self) -> Engine:
        """The connections, for readers with questions of their own."""
        return log_engine(self._url)

    @cached_property
    def _writer(self) -> Writer | None:
        return Writer(self.engine) if self.engine.dialect.name == "sqlite" else None

    def read(self, members: Collection[str], request_ids: Collection[str], now: datetime) -> Known:
        """States of `members` as of `now`, and the decisions that `request_ids` have got already."""
        with reading(self.engine) as connection:
            return log_hot.known(Hot.of(connection), members, request_ids, now)

    @property
    def local(self) -> bool:
        """Whether it is a file of this machine's."""
        return self._writer is not None

    @cached_property
    def _syncing(self) -> Syncing:
        return syncing(self.engine)

    @property
    def slow(self) -> bool:
        """Whether its disk has kept a sync of this process waiting, so that the next write may wait too; for a file of this machine's."""
        return self._syncing.slow

    @contextmanager
    def writing(self, members: Collection[str]) -> Iterator[Writing]:
        """A transaction with `members` locked: durable when the block has ended, nothing of it kept if the block raises."""
        with self.staged(members) as staged:
            yield staged
        staged.settle()

    def staged(self, members: Collection[str], *, patient: bool = True) -> AbstractContextManager[Writing]:
        """The same, but durable only once it has been settled. Raises log_sqlite.Locked where a file is locked and nobody is to wait for it."""
        return self._shared(members) if self._writer is None else _Alone(self._writer, patient=patient)

    @contextmanager
    def _shared(self, members: Collection[str]) -> Iterator[Writing]:
        with writing(self.engine) as connection:
            lock_members(connection, set(members))
            yield Writing(Hot.of(connection), connection, None)

    def append_outcomes(self, outcomes: Sequence[Outcome], received_at: datetime, clock: Clock = Clock.WALL) -> list[Receipt]:
        """Keep outcomes in one transaction; receipts in their order, of which those accepted or repeated are durable.

        By the data's clock an outcome that happens after `received_at` is received when it happens.
        """
        with writing(self.engine) as connection:
            return log_outcomes.append_outcomes(connection, outcomes, received_at, clock)

    def find(self, decision_id: str) -> Served | None:
        """One decision, or None."""
        with reading(self.engine) as connection:
            return log_reads.find(connection, decision_id)

    def outcomes_of(self, decision_id: str) -> list[Outcome]:
        """Outcomes of one decision in the order in which they came."""
        with reading(self.engine) as connection:
            return log_reads.outcomes_of(connection, decision_id)

    def events(self, after_seq: int, limit: int) -> list[Event]:
        """Up to `limit` outcomes behind `after_seq` with their decisions; reading on from the last `seq` misses none."""
        with reading(self.engine) as connection:
            return log_reads.events(connection, after_seq, limit)

    def decisions_since(self, after_seq: int, limit: int) -> list[tuple[int, Served]]:
        """Up to `limit` decisions behind `after_seq`, each with its `seq`."""
        with reading(self.engine) as connection:
            return log_reads.decisions_since(connection, after_seq, limit)

    def paused(self) -> frozenset[str]:
        """Arms that nobody may be shown."""
        with reading(self.engine) as connection:
            return frozenset(connection.execute(select(pause_table.c.arm_id)).scalars())

    def pause(self, arm_id: str, at: datetime) -> None:
        """Show `arm_id` to nobody until it is resumed; pausing it again changes nothing."""
        with writing(self.engine) as connection:
            connection.execute(insert_new(connection, pause_table), {"arm_id": arm_id, "paused_at": micros(at)})

    def resume(self, arm_id: str) -> bool:
        """Let `arm_id` be shown again; whether it was paused."""
        with writing(self.engine) as connection:
            return bool(connection.execute(delete(pause_table).where(pause_table.c.arm_id == arm_id)).rowcount)

    def withdrawn(self, members: Collection[str]) -> Mapping[str, frozenset[str]]:
        """Channels by which a member opted out; members who did not are left out."""
        with reading(self.engine) as connection:
            return log_hot.withdrawn(Hot.of(connection), members)

    def restore_consent(self, member_id: str, channel_id: str) -> bool:
        """Forget a withdrawal, where the member agreed anew; whether there was one."""
        c = withdrawal_table.c
        with writing(self.engine) as connection:
            return bool(connection.execute(delete(withdrawal_table).where(c.member_id == member_id, c.channel_id == channel_id)).rowcount)

    def keep_arms(self, version: str, content: str, at: datetime) -> None:
        """Keep the arms' features, or the catalog, that decisions name by `version`, a digest of `content`; once is enough."""
        with writing(self.engine) as connection:
            connection.execute(insert_new(connection, arms_table), {"version": version, "content": content, "seen_at": micros(at)})

    def catalogs(self) -> list[str]:
        """Contents of all catalogs that decisions named."""
        with reading(self.engine) as connection:
            return list(connection.execute(select(arms_table.c.content).where(arms_table.c.version.startswith("catalog-"))).scalars())

    def arms(self, version: str) -> str | None:
        """Content of that version, or None."""
        with reading(self.engine) as connection:
            return connection.execute(select(arms_table.c.content).where(arms_table.c.version == version)).scalar()
