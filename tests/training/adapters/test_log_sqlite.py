"""SQLite as a log: how it is written to, and tended."""

from __future__ import annotations

import threading
from time import monotonic, sleep

import pytest

from tests.fakes.logs import served
from training.adapters import log_sqlite
from training.adapters.decision_log import DecisionLog
from training.adapters.log_sqlite import Tending, Writer


@pytest.fixture(name="log")
def _log(tmp_path):
    """A log in a file."""
    return DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")


def append(log, name):
    """One decision."""
    with log.writing(["m1"]) as writing:
        writing.append([served(name)])


def test_every_commit_is_synced(log):
    """By each thread's own connection, which is kept for its next transaction and not after one that failed."""
    writer, seen = Writer(log.engine), []

    def look():
        with writer.transaction() as connection:
            seen.append((id(connection), connection.execute("PRAGMA synchronous").fetchone()[0], connection.execute("PRAGMA journal_mode").fetchone()[0]))

    look()
    look()
    held = writer._connection
    with pytest.raises(ValueError, match="no"), writer.transaction():
        raise ValueError("no")
    assert {each[1:] for each in seen} == {(2, "wal")}  # 2: FULL
    assert seen[0] == seen[1]
    assert (held is not None, writer._connection) == (True, None)
    other = threading.Thread(target=look)
    other.start()
    other.join()
    assert seen[2][1:] == (2, "wal")
    assert writer._connection is None


def test_what_was_appended_moves_into_the_file_while_others_write(log, tmp_path, monkeypatch):
    """Without it none of this would, since no commit moves less than 32 MB; and every decision is still there."""
    monkeypatch.setattr(log_sqlite, "_TEND_BYTES", 1 << 16)
    monkeypatch.setattr(log_sqlite, "_TEND_EVERY", 0.01)
    file = tmp_path / "log.db"
    append(log, "first")
    before = file.stat().st_size
    for i in range(40):
        append(log, f"before{i}")
    assert file.stat().st_size == before
    tending = Tending(log.engine)
    tending.start()
    until = monotonic() + 20
    count = 0
    while file.stat().st_size == before and monotonic() < until:
        append(log, f"with{count}")
        count += 1
        sleep(0.001)
    tending.stop()
    assert file.stat().st_size > before
    assert len(log.decisions_since(0, 10_000)) == 41 + count
