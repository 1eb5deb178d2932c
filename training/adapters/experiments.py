"""Live experiments and changes of the champion, in the ledger's database. Each change is one transaction, and moves what it speaks of inside it.

Two databases, ledger and registry, cannot be changed in one. So who changes the champion, and why, is written down before the alias moves (`begun`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from training.adapters.ledger_engine import LedgerDatabase
from training.adapters.ledger_tables import alarm_table, change_table, event_table, experiment_table, intent_table
from training.domain.errors import ConflictError
from training.domain.experiment import Cause, Change, Event, Experiment, State

LIVE = "live"


class SqlExperiments:
    """What `training.adapters.ports.Experiments` says, on SQLite (WAL) or any database that SQLAlchemy knows."""

    def __init__(self, url: str) -> None:
        self._database = LedgerDatabase(url)

    def all(self) -> list[Experiment]:
        """The newest first."""
        if not self._database.there:
            return []
        order = select(experiment_table).order_by(experiment_table.c.opened_at.desc(), experiment_table.c.experiment_id.desc())
        with self._database.engine.connect() as connection:
            return [_experiment(row) for row in connection.execute(order).mappings()]

    def running(self) -> Experiment | None:
        """The one that runs, or None."""
        if not self._database.there:
            return None
        with self._database.engine.connect() as connection:
            row = connection.execute(select(experiment_table).where(experiment_table.c.slot == LIVE)).mappings().first()
        return None if row is None else _experiment(row)

    def events(self, experiment_id: str) -> list[Event]:
        """Its changes, the oldest first."""
        order = select(event_table).where(event_table.c.experiment_id == experiment_id).order_by(event_table.c.revision)
        with self._database.engine.connect() as connection:
            return [_event(row) for row in connection.execute(order).mappings()]

    def open(self, experiment: Experiment, by: str, key: str = "") -> None:
        """Begin. Raises ConflictError where another one runs, or this one was begun before."""
        try:
            with self._database.engine.begin() as connection:
                connection.execute(insert(experiment_table).values(_row(experiment)))
                connection.execute(insert(event_table).values(_event_row(experiment, by, key)))
        except IntegrityError as error:
            raise ConflictError(f"Experiment {experiment.experiment_id} was not opened: another one runs, or it was opened before. Read the ledger.") from error

    def move(self, after: Experiment, by: str, key: str = "", change: Change | None = None, effect: Callable[[], None] = lambda: None) -> None:
        """From the revision before to `after`. `change` is recorded with it, and `effect` moves the alias before the transaction ends: killed before that,
        no change is recorded, but that it was begun.

        Raises ConflictError where another revision stands, or `key` (the look's day) has changed this experiment before: then nothing is changed.
        """
        told = f"The look of {key} has changed experiment {after.experiment_id} already, so nothing was changed again."
        with self._changing(change, key, told) as connection:
            t = experiment_table.c
            query = update(experiment_table).where(t.experiment_id == after.experiment_id, t.revision == after.revision - 1).values(_row(after))
            if connection.execute(query).rowcount != 1:
                raise ConflictError(f"Experiment {after.experiment_id} has changed since it was read, so it was not made {after.state.value}. Read it again.")
            connection.execute(insert(event_table).values(_event_row(after, by, key)))
            _done(connection, change, effect)

    def changed(self, change: Change, effect: Callable[[], None]) -> None:
        """Record a change of the champion that no experiment led to; `effect` as in `move`.

        Raises ConflictError where it is recorded already, or another came first.
        """
        told = "Another change of the champion was recorded at the same time, so this one was not made. Read the ledger again."
        with self._changing(change, "", told) as connection:
            _done(connection, change, effect)

    def begun(self) -> tuple[Change, str] | None:
        """The change, and its key, that was begun and is not recorded: whoever began it was killed, or is at it."""
        if not self._database.there:
            return None
        with self._database.engine.connect() as connection:
            row = connection.execute(select(intent_table)).mappings().first()
        return None if row is None else (_change(row), row["key"])

    def give_up(self, change: Change) -> bool:
        """Forget that `change` was begun: the alias was not moved. Whoever is still at it is refused. False where it is recorded or given up by now."""
        with self._database.engine.begin() as connection:
            return _forget(connection, change)

    @contextmanager
    def _changing(self, change: Change | None, key: str, told: str) -> Iterator[Connection]:
        """A transaction; where it is to move an alias it has been begun in one of its own before. IntegrityError becomes a ConflictError that says `told`."""
        if change is None or change.before == change.after:
            with _refused(told), self._database.engine.begin() as connection:
                yield connection
            return
        mine = self._begin(change, key)
        try:
            with _refused(told), self._database.engine.begin() as connection:
                _own(connection, change)
                yield connection
        except ConflictError:
            if mine:  # else its alias may have moved before, and whoever completes it must know why
                self.give_up(change)
            raise

    def _begin(self, change: Change, key: str) -> bool:
        """Whether it had not been begun before."""
        if self.begun() == (change, key):
            return False
        told = (
            "Another change of the champion is being made, so this one was not begun. Run it again; one that was left half done is completed by the DAG "
            "`guard` or by `rightmatch rollback`."
        )
        with _refused(told), self._database.engine.begin() as connection:
            connection.execute(insert(intent_table).values(_change_row(change) | {"slot": 1, "key": key}))
        return True

    def untold(self, run: str) -> list[Change]:
        """Roll-backs by the watch, the newest first, since the last one that another run than `run` has told of."""
        if not self._database.there:
            return []
        c, a = change_table.c, alarm_table.c
        others = select(func.coalesce(func.max(a.seq), 0)).where(a.run != run).scalar_subquery()
        with self._database.engine.connect() as connection:
            rows = connection.execute(select(change_table).where(c.cause == Cause.WATCH.value, c.seq > others).order_by(c.seq.desc())).mappings()
            return [_change(row) for row in rows]

    def tell(self, run: str) -> None:
        """Note that `run` tells of what is `untold` to it. Of two runs at once one raises ConflictError; a rerun changes nothing."""
        c, a = change_table.c, alarm_table.c
        query = select(c.seq, literal(run)).where(c.cause == Cause.WATCH.value, c.seq > select(func.coalesce(func.max(a.seq), 0)).scalar_subquery())
        with _refused("Another run tells of the same roll-back."), self._database.engine.begin() as connection:
            connection.execute(insert(alarm_table).from_select(["seq", "run"], query))

    def changes(self) -> list[Change]:
        """Who was in charge, the newest first."""
        if not self._database.there:
            return []
        with self._database.engine.connect() as connection:
            rows = connection.execute(select(change_table).order_by(change_table.c.seq.desc())).mappings()
            return [_change(row) for row in rows]


def _done(connection: Connection, change: Change | None, effect: Callable[[], None]) -> None:
    """One row more, under the number after the last, so that of two at once one is refused by the database."""
    if change is not None:
        last = connection.execute(select(change_table).order_by(change_table.c.seq.desc()).limit(1)).mappings().first()
        if last is not None and (last["before"], last["after"]) == (change.before, change.after) and change.before != change.after:
            raise ConflictError(
                f"That {change.after} came into charge after {change.before} was recorded already, so nothing was changed again. If the alias was moved back "
                "since, past the ledger (in MLflow's own UI), run this again: that is recorded first."
            )
        connection.execute(insert(change_table).values(_change_row(change) | {"seq": last["seq"] + 1 if last else 1}))
    effect()


@contextmanager
def _refused(told: str) -> Iterator[None]:
    """What the database refuses is a ConflictError that says `told`."""
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(told) from error


def _own(connection: Connection, change: Change) -> None:
    """Whoever ends this transaction makes `change`, and nobody else."""
    if not _forget(connection, change):
        raise ConflictError(f"Another run has recorded or given up that {change.after} replaces {change.before}. Nothing was changed again.")


def _forget(connection: Connection, change: Change) -> bool:
    """Whether it was begun until now."""
    t = intent_table.c
    mine = (t.after == change.after, t.cause == change.cause.value, t.by == change.by, t.at == _naive(change.at))
    return connection.execute(delete(intent_table).where(*mine)).rowcount == 1


def _change_row(change: Change) -> dict[str, Any]:
    return vars(change) | {"cause": change.cause.value, "at": _naive(change.at)}


def _row(e: Experiment) -> dict[str, Any]:
    return vars(e) | {
        "slot": LIVE if e.running else None,
        "state": e.state.value,
        "ramp": json.dumps(e.ramp),
        "stages": json.dumps([(first.isoformat(), share) for first, share in e.stages]),
        "opened_at": _naive(e.opened_at),
        "changed_at": _naive(e.changed_at),
    }


def _experiment(row: RowMapping) -> Experiment:
    return Experiment(
        experiment_id=row["experiment_id"],
        challenger=row["challenger"],
        champion=row["champion"],
        state=State(row["state"]),
        ramp=tuple(json.loads(row["ramp"])),
        stages=tuple((date.fromisoformat(first), share) for first, share in json.loads(row["stages"])),
        alpha=row["alpha"],
        opened_at=row["opened_at"].replace(tzinfo=UTC),
        changed_at=row["changed_at"].replace(tzinfo=UTC),
        reason=row["reason"],
        revision=row["revision"],
    )


def _event_row(e: Experiment, by: str, key: str) -> dict[str, Any]:
    return {
        "experiment_id": e.experiment_id,
        "revision": e.revision,
        "key": key or None,
        "state": e.state.value,
        "stage": len(e.stages),
        "at": _naive(e.changed_at),
        "by": by,
        "reason": e.reason,
    }


def _event(row: RowMapping) -> Event:
    return Event(**{**row, "key": row["key"] or "", "state": State(row["state"]), "at": row["at"].replace(tzinfo=UTC)})


def _change(row: RowMapping) -> Change:
    return Change(
        **{name: row[name] for name in ("before", "after", "by", "reason", "experiment_id")}, cause=Cause(row["cause"]), at=row["at"].replace(tzinfo=UTC)
    )


def _naive(at: datetime) -> datetime:
    """As the tables keep it: UTC without saying so."""
    return at.astimezone(UTC).replace(tzinfo=None)
