"""SQLite as a log: how it is written to, and tended."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic, sleep

import pytest

from tests.fakes.databases import move
from tests.fakes.logs import AT, served
from training.adapters import log_sqlite, log_syncing
from training.adapters.decision_log import DecisionLog
from training.adapters.log_driver import Driver
from training.adapters.log_sqlite import Locked, Tending, Writer
from training.domain.errors import LogError


@pytest.fixture(name="log")
def _log(tmp_path):
    """A log in a file."""
    return DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")


def append(log, name):
    """One decision."""
    with log.writing(["m1"]) as writing:
        writing.append([served(name)])


def test_each_thread_keeps_a_connection(log):
    """Its own, for its next transaction, and not after one that failed."""
    writer, seen = Writer(log.engine), []

    def look():
        own = writer.begin()
        seen.append((id(own), own.connection.execute("PRAGMA synchronous").fetchone()[0], own.connection.execute("PRAGMA journal_mode").fetchone()[0]))
        writer.end(own, keep=True)

    look()
    look()
    held = writer._own
    writer.end(writer.begin(), keep=False)
    assert {each[1:] for each in seen} == {(1, "wal")}  # 1: NORMAL, which syncs WAL's beginnings; what is appended is settled
    assert seen[0] == seen[1]
    assert (held is not None, writer._own) == (True, None)
    other = threading.Thread(target=look)
    other.start()
    other.join()
    assert seen[2][1:] == (1, "wal")
    assert writer._own is None


@pytest.mark.parametrize("instead", [None, "other.db"])
def test_a_file_that_is_moved_away_is_neither_written_nor_read_nor_made_anew(log, tmp_path, instead):
    """SQLite would go on with the file that it has open, where nobody finds anything again; with it back all goes on, by connections old and new."""
    append(log, "1")
    assert log.paused() == frozenset()
    file, kept = tmp_path / "log.db", tmp_path / "kept.db"
    if instead:
        append(DecisionLog(f"sqlite:///{tmp_path / instead}"), "9")
    move(file, kept)
    if instead:
        move(tmp_path / instead, file)
    for what in (lambda: append(log, "2"), log.paused, lambda: log.pause("a", AT), lambda: log.find("d2")):
        with ThreadPoolExecutor(1) as thread:
            for ask in (what, lambda what=what: thread.submit(what).result()):
                with pytest.raises(LogError, match=r"log\.db was moved, deleted or replaced"):
                    ask()
    assert file.exists() == bool(instead)
    move(kept, file)
    append(log, "3")
    assert [one.asked.request_id for _, one in log.decisions_since(0, 9)] == [served(name).asked.request_id for name in "13"]


def test_no_empty_log_is_made_where_only_a_wal_lies(log, tmp_path):
    """SQLite would delete it, with the decisions that had not been moved into the file yet."""
    append(log, "1")
    file, url = tmp_path / "log.db", f"sqlite:///{tmp_path / 'log.db'}"
    file.rename(tmp_path / "kept.db")
    log.engine.dispose()
    assert (tmp_path / "log.db-wal").stat().st_size > 0
    with pytest.raises(LogError, match=r"log\.db is gone, but log\.db-wal holds what was written"):
        append(DecisionLog(url), "2")
    assert not file.exists()
    (tmp_path / "kept.db").rename(file)
    assert [one.asked.decision_id for _, one in DecisionLog(url).decisions_since(0, 9)] == ["d-1"]


def test_a_wal_that_holds_nothing_keeps_no_log_from_being_made(tmp_path):
    """As SQLite leaves one that is opened and never written."""
    (tmp_path / "log.db-wal").touch()
    made = DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")
    append(made, "1")
    assert len(made.decisions_since(0, 9)) == 1


def test_a_link_that_leads_elsewhere_is_noticed(tmp_path):
    """What is acknowledged would lie where nobody else looks."""
    link, log = tmp_path / "log.db", DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")
    link.symlink_to(tmp_path / "one.db")
    append(log, "1")
    link.unlink()
    link.symlink_to(tmp_path / "two.db")
    with pytest.raises(LogError, match="was moved, deleted or replaced"):
        append(log, "2")


def test_a_copy_is_made_while_others_write_and_put_back(log, tmp_path):
    """As docs/service.md says: it holds what was acknowledged before, and is a log that goes on."""
    append(log, "first")
    stop, acknowledged = threading.Event(), []

    def write():
        while not stop.is_set():
            append(log, str(len(acknowledged)))
            acknowledged.append(len(acknowledged))

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 20:
        sleep(0.01)
    before = len(acknowledged)
    with closing(sqlite3.connect(tmp_path / "log.db")) as reader:
        reader.execute("VACUUM INTO ?", [str(tmp_path / "copy.db")])
    during = len(acknowledged)
    while len(acknowledged) < during + 20:
        sleep(0.01)
    stop.set()
    writer.join()
    log.engine.dispose()
    for end in ("-wal", "-shm"):
        (tmp_path / f"log.db{end}").unlink(missing_ok=True)
    (tmp_path / "copy.db").rename(tmp_path / "log.db")
    again = DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")
    kept = [one.asked.decision_id for _, one in again.decisions_since(0, 10_000)]
    assert kept == ["d-first", *(f"d-{i}" for i in range(len(kept) - 1))]
    assert before < len(kept) <= during + 2
    append(again, "last")
    with closing(sqlite3.connect(tmp_path / "log.db")) as reader:
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_nothing_is_written_without_a_sync_behind_it(log, tmp_path, monkeypatch):
    """Of the very WAL that the rows went to, and after they did, whatever connections came and went; what is only staged waits for its own."""
    synced, wal = [], tmp_path / "log.db-wal"
    assert log.decisions_since(0, 1) == []  # it is there

    def sync(file):
        synced.append((os.fstat(file).st_ino == wal.stat().st_ino, len(log.decisions_since(0, 10))))

    monkeypatch.setattr(os, "fdatasync", sync)
    append(log, "1")
    with pytest.raises(ValueError, match="no"), log.writing(["m1"]):
        raise ValueError("no")
    append(log, "2")
    assert synced == [(True, 1), (True, 2)]
    with log.staged(["m1"]) as staged:
        staged.append([served("3")])
    assert len(synced) == 2
    staged.settle()
    assert synced[2:] == [(True, 3)]


class Kernel:
    """Syncs that end when, and as, the test says."""

    def __init__(self):
        self.begun = []

    def sync(self, file, done):
        self.begun.append((os.fstat(file).st_ino, done))


def test_a_sync_by_the_kernel_is_of_the_same_wal_and_its_failure_is_everybodys(log, tmp_path):
    """It is heard by who began it; from then on only `settle` may say that something is kept, and does so after all was moved."""
    kernel, heard = Kernel(), []
    with log.staged(["m1"]) as staged:
        staged.append([served("1")])
    assert staged.begin(kernel, heard.append)
    (inode, done), before = kernel.begun[0], (tmp_path / "log.db").stat().st_size
    assert inode == (tmp_path / "log.db-wal").stat().st_ino
    assert heard == []
    done(None)
    assert heard == [None]
    with log.staged(["m1"]) as staged:
        staged.append([served("2")])
    assert staged.begin(kernel, heard.append)
    kernel.begun[1][1]("Input/output error")
    assert "Input/output error" in str(heard[1])
    with log.staged(["m1"]) as staged:
        staged.append([served("3")])
    assert not staged.begin(kernel, heard.append)
    assert (tmp_path / "log.db").stat().st_size == before
    staged.settle()
    assert (tmp_path / "log.db").stat().st_size > before
    with log.staged(["m1"]) as staged:
        staged.append([served("4")])
    assert staged.begin(kernel, heard.append)


def test_a_failure_is_told_of_once_though_every_open_file_hears_of_it(log, monkeypatch):
    """Whoever opened the file is told by the system at their next sync: the one after the refused one is none to refuse."""
    kernel, heard, told = Kernel(), [], set()
    with log.staged(["m1"]) as staged:
        staged.append([served("1")])
    assert staged.begin(kernel, heard.append)
    kernel.begun[0][1]("Input/output error")

    def sync(file):
        if file not in told:
            told.add(file)
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", sync)
    append(log, "2")
    assert len(told) == 2


def test_a_failure_that_is_heard_while_the_log_is_moved_is_not_forgotten(log, tmp_path, monkeypatch):
    """What was committed since may be what failed."""
    file, _ = failed(log, tmp_path, monkeypatch)
    connect = Driver.connect

    def meanwhile(driver):
        log_syncing._syncing[file].failures += 1
        return connect(driver)

    with monkeypatch.context() as patch:
        patch.setattr(Driver, "connect", meanwhile)
        append(log, "3")
    assert log_syncing._syncing[file].doubt
    append(log, "4")
    assert not log_syncing._syncing[file].doubt


def failed(log, folder, monkeypatch):
    """The log's file, and its size before the second of two decisions was refused by the disk, which works again."""
    append(log, "1")
    file = folder / "log.db"
    before = file.stat().st_size

    def refuse(_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(LogError, match="Input/output error"):
            append(log, "2")
    return file, before


def test_after_a_failed_sync_nothing_is_durable_before_all_of_it_is_in_the_file(log, tmp_path, monkeypatch):
    """The system takes what it could not write for written, so the next sync alone would say nothing."""
    file, before = failed(log, tmp_path, monkeypatch)
    assert file.stat().st_size == before
    append(log, "3")
    assert file.stat().st_size > before


def test_a_doubt_outlives_the_connection_that_it_came_from(log, tmp_path, monkeypatch):
    """The next one's file was opened after the failure, so the system never tells it; while a reader keeps the WAL from being moved nothing is acknowledged."""
    file, before = failed(log, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match="no"), log.writing(["m1"]):
        raise ValueError("no")
    monkeypatch.setattr(log_sqlite, "_MOVE_MS", 10)
    reader = log.engine.connect()
    reader.exec_driver_sql("SELECT count(*) FROM sqlite_master").fetchone()
    with pytest.raises(LogError, match="could not be moved into its file yet"):
        append(log, "3")
    reader.close()
    assert log_syncing._syncing[file].doubt
    append(log, "4")
    assert file.stat().st_size > before
    assert not log_syncing._syncing[file].doubt


def test_the_wal_of_a_linked_file_is_the_one_that_is_synced(tmp_path):
    """SQLite keeps it beside what the link points to."""
    (tmp_path / "real").mkdir()
    (tmp_path / "log.db").symlink_to(tmp_path / "real" / "kept.db")
    append(DecisionLog(f"sqlite:///{tmp_path / 'log.db'}"), "1")
    assert (tmp_path / "real" / "kept.db-wal").stat().st_size > 0


@pytest.fixture
def hurried(log):
    """Writes in a thread without patience, and says what came of it."""
    writer = Writer(log.engine)

    def write():
        try:
            writer.end(writer.begin(patient=False), keep=True)
        except Locked:
            return "locked"
        return "written"

    with ThreadPoolExecutor(1) as pool:
        yield lambda: pool.submit(write)


def test_who_does_not_wait_is_told_that_another_one_writes(log, hurried):
    """Soon, and its connection is there for the next time."""
    writer = Writer(log.engine)
    own = writer.begin()
    assert hurried().result() == "locked"
    writer.end(own, keep=True)
    assert hurried().result() == "written"


def test_who_does_not_wait_lets_a_short_writer_end(log, hurried, monkeypatch):
    """Going to a thread instead would cost more than the learner's few rows."""
    monkeypatch.setattr(log_sqlite, "_BRIEF_MS", 10_000)
    writer = Writer(log.engine)
    own = writer.begin()
    waiting = hurried()
    with pytest.raises(TimeoutError):
        waiting.result(0.2)
    writer.end(own, keep=True)
    assert waiting.result() == "written"


def test_what_was_appended_moves_into_the_file_while_others_write(log, tmp_path, monkeypatch):
    """By one process at a time; without it none of this would, since no commit moves less than 32 MB; and every decision is still there."""
    monkeypatch.setattr(log_sqlite, "_TEND_BYTES", 1 << 16)
    monkeypatch.setattr(log_sqlite, "_TEND_EVERY", 0.01)
    file = tmp_path / "log.db"
    append(log, "first")
    before = file.stat().st_size
    for i in range(40):
        append(log, f"before{i}")
    assert file.stat().st_size == before
    with (tmp_path / "log.db-tending").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as another process that does it
        tending = Tending(log.engine)
        tending.start()
        for i in range(40):
            append(log, f"held{i}")
            sleep(0.005)
        assert file.stat().st_size == before
    until = monotonic() + 60
    count = 0
    while file.stat().st_size == before and monotonic() < until:
        append(log, f"with{count}")
        count += 1
        sleep(0.001)
    tending.stop()
    assert file.stat().st_size > before
    assert len(log.decisions_since(0, 10_000)) == 81 + count
