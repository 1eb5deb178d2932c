"""The log's connections, on SQLite and on a real Postgres."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, inspect, select

from tests.fakes import log_writers
from tests.fakes.logs import database
from training.adapters.log_driver import PAUSE
from training.adapters.log_engine import in_order, insert_new, insert_or_replace, instant, log_engine, micros, reading, write_parts, writing
from training.adapters.log_tables import METADATA, pause_table, recent_table
from training.domain.errors import ConfigError, LogError


def test_six_processes_make_the_tables_of_an_empty_log_together(log_url):
    """All of them start well, and every table is there once."""
    gate = log_writers.gate(6)
    starts = [log_writers.start(log_writers.make, log_url, gate) for _ in range(6)]
    assert [log_writers.said(pipe) for _, pipe in starts] == [["open"]] * 6
    assert set(inspect(log_engine(log_url)).get_table_names()) == set(METADATA.tables)


def test_a_log_of_before_gets_the_index_of_now(log_url):
    """What a cap counts is read from the index alone; the one that it replaces is gone. Opening it again changes nothing."""
    with writing(log_engine(log_url)) as connection:
        connection.exec_driver_sql("DROP INDEX served_messages")
        connection.exec_driver_sql("CREATE INDEX served_by_member ON served_decisions (member_id, decided_at)")
    for _ in range(2):
        found = {index["name"]: index["column_names"] for index in inspect(log_engine(log_url)).get_indexes("served_decisions")}
        assert found["served_messages"] == ["member_id", "decided_at", "channel_id"]
        assert "served_by_member" not in found


def test_a_log_that_is_whole_is_opened_beside_a_writer(tmp_path, monkeypatch):
    """Nobody waits for the lock then; where something is to be made first, and the lock cannot be had, it says so."""
    monkeypatch.setattr("training.adapters.log_sqlite.WAIT_MS", 100)
    url = f"sqlite:///{tmp_path}/log.db"
    engine = log_engine(url)
    for made in (True, False):
        with closing(sqlite3.connect(tmp_path / "log.db", isolation_level=None)) as other:
            if not made:
                other.execute("DROP INDEX served_messages")
            other.execute("BEGIN IMMEDIATE")
            if made:
                log_engine(url).dispose()
            else:
                with pytest.raises(LogError, match="could not be opened"):
                    log_engine(url)
    log_engine(url).dispose()
    assert "served_messages" in {index["name"] for index in inspect(engine).get_indexes("served_decisions")}


def test_sqlite_syncs_each_commit_and_lets_others_go_on(tmp_path, monkeypatch):
    """The WAL that was written to, before the block has ended and when others may write already; also where everybody had left and the WAL is another."""
    log, synced = tmp_path / "log.db", []

    def sync(file):
        with closing(sqlite3.connect(log, timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            synced.append((os.fstat(file).st_ino == (tmp_path / "log.db-wal").stat().st_ino, other.execute("SELECT count(*) FROM paused_arms").fetchone()[0]))

    engine = log_engine(f"sqlite:///{log}")
    monkeypatch.setattr(os, "fdatasync", sync)
    for count in (1, 2):
        with writing(engine) as connection:
            connection.execute(insert(pause_table), {"arm_id": str(count), "paused_at": count})
            assert len(synced) == count - 1
        assert synced[count - 1 :] == [(True, count)]
        engine.dispose()
        assert not (tmp_path / "log.db-wal").exists()
    with reading(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1  # NORMAL: beginnings of the WAL, and what goes into the file
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    assert len(synced) == 2


def test_what_the_disk_did_not_keep_is_not_acknowledged(tmp_path, monkeypatch):
    """The block ends with an error; it may be there all the same, and the same ids may be sent again."""
    engine = log_engine(f"sqlite:///{tmp_path}/log.db")

    def refuse(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(LogError, match="Input/output error"), writing(engine) as connection:
            connection.execute(insert(pause_table), {"arm_id": "a", "paused_at": 1})
    engine.dispose()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(LogError, match="could not be opened to be synced"), writing(engine) as connection:
            connection.execute(insert(pause_table), {"arm_id": "b", "paused_at": 1})
    with writing(engine) as connection:
        connection.execute(insert_new(connection, pause_table), {"arm_id": "a", "paused_at": 1})


def test_postgres_syncs_each_commit_even_if_the_server_would_not(postgres_server):
    """A database whose default is to acknowledge before it writes."""
    log_url = database(postgres_server)
    engine = log_engine(log_url)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET synchronous_commit = off")
    engine.dispose()
    with reading(log_engine(log_url)) as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


def test_a_block_that_raises_leaves_nothing(log_url):
    """Neither on the disk nor in a lock: the next writer goes on."""
    engine = log_engine(log_url)
    row = {"arm_id": "a", "paused_at": 1}

    def fail():
        with writing(engine) as connection:
            in_order(connection, pause_table)
            connection.execute(insert(pause_table), row)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with writing(engine) as connection:
        in_order(connection, pause_table)
        connection.execute(insert_new(connection, pause_table), row)
        connection.execute(insert_new(connection, pause_table), {**row, "paused_at": 2})
    with reading(engine) as connection:
        assert connection.execute(select(pause_table)).all() == [("a", 1)]


def test_what_the_database_refuses_is_told_in_its_words(log_url):
    """And is an error that Rightmatch raises on purpose."""
    engine = log_engine(log_url)
    with pytest.raises(LogError, match=r"could not be written: .*paused_arms.*(?s:.)*whole or not at all"), writing(engine) as connection:
        connection.execute(insert(pause_table), [{"arm_id": "a", "paused_at": 1}] * 2)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://u@h/d", "nonsense", "oracle://x/y"])
def test_a_log_that_would_not_last_is_refused(url):
    """Memory, unknown databases, and what is no URL."""
    with pytest.raises(ConfigError, match="decision log"):
        log_engine(url)


def test_a_log_that_cannot_be_opened_says_so(tmp_path):
    """A folder in the place of the file."""
    (tmp_path / "log.db").mkdir()
    with pytest.raises(LogError, match="could not be opened: unable to open database file"):
        log_engine(f"sqlite:///{tmp_path}/log.db")


def test_time_is_kept_in_microseconds():
    """The unit of every instant of the log, checked by hand."""
    at = datetime(1970, 1, 2, 0, 0, 1, 5, tzinfo=UTC)
    assert micros(at) == 86_401_000_005
    assert instant(86_401_000_005) == at
    with pytest.raises(ValueError, match="time zone"):
        micros(datetime(2026, 1, 1))  # noqa: DTZ001 - the point


def test_between_the_parts_of_many_rows_others_write(tmp_path, monkeypatch):
    """The lock is free for longer than whoever waits for it looks away; all rows are there at the end."""
    engine = log_engine(f"sqlite:///{tmp_path / 'log.db'}")
    rows = [{"member_id": f"m{i}", "base": "{}", "base_at": 1, "pushed_at": 1} for i in range(5)]
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        with writing(engine) as connection:
            connection.execute(insert_or_replace(connection, recent_table), [{**rows[0], "member_id": f"other {len(pauses)}"}])

    monkeypatch.setattr(time, "sleep", pause)
    write_parts(engine, insert_or_replace(engine, recent_table), [rows[:2], rows[2:4], rows[4:]])
    assert (len(pauses), min(pauses) > PAUSE) == (2, True)
    with reading(engine) as connection:
        assert set(connection.scalars(select(recent_table.c.member_id))) == {*(row["member_id"] for row in rows), "other 1", "other 2"}
