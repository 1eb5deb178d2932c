"""What the online store promises beyond Feast's: no older row wins, batches whole, layouts told apart, old files converted."""

from __future__ import annotations

import itertools
import multiprocessing
import sqlite3
import time
from contextlib import closing
from datetime import timedelta

import pytest
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float64, String

from tests.fakes.databases import move
from tests.fakes.feasts import DAY, OURS, SCHEMA, STOCK, D, feast, materialize, project, references, table
from training.adapters.feast_file import BUSY_SECONDS
from training.domain.errors import NotReadyError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:feast.*")

SMALL = {"number": Float64, "text": String}
MICRO = timedelta(microseconds=1)


def row(member, event_at, created_at=None, **values):
    """A row as Feast hands it to a store; floats and texts."""
    named = {name: Value() if v is None else Value(double_val=v) if isinstance(v, float) else Value(string_val=v) for name, v in values.items()}
    return EntityKey(join_keys=["member_id"], entity_values=[Value(string_val=member)]), named, event_at, created_at


def write(store, *rows):
    """Write rows as a push would."""
    store._get_provider().online_write_batch(store.config, store.get_feature_view("m"), list(rows), None)


def read(store, *members, names=("number", "text")):
    """Values of each member, in the order of `names`."""
    answer = store.get_online_features([f"m:{n}" for n in names], [{"member_id": m} for m in members]).to_dict()
    return [tuple(answer[n][i] for n in names) for i in range(len(members))]


@pytest.fixture
def small(tmp_path):
    """Our Feast with two features."""
    return feast(tmp_path, "ours", OURS, table(), SMALL)


def test_an_older_event_never_replaces_a_newer_one(small):
    """By event time, then by created time, to the microsecond, within a batch and between two; the same instant again is a correction."""
    write(small, row("a", D, number=1.0, text="x"), row("a", D - MICRO, number=0.0, text="older"))
    write(small, row("a", D - MICRO, D + DAY, number=2.0, text="created later but older"))
    assert read(small, "a") == [(1.0, "x")]
    write(small, row("a", D, D, number=3.0, text="correction"))
    write(small, row("a", D, D - MICRO, number=4.0, text="older correction"))
    assert read(small, "a") == [(3.0, "correction")]
    write(small, row("a", D, D, number=5.0, text="rerun"))
    assert read(small, "a") == [(5.0, "rerun")]


def test_an_earlier_materialization_changes_nothing(tmp_path):
    """The engine's way obeys the same rule: a backfill leaves today's features, a later day replaces them."""
    store = feast(tmp_path, "ours", OURS, table())
    materialize(store)
    before = read(store, "a", "b", names=tuple(SCHEMA))
    feast(tmp_path, "ours", OURS, table(event_timestamp=[D - DAY] * 4, text=["stale"] * 4))
    materialize(store)
    assert read(store, "a", "b", names=tuple(SCHEMA)) == before
    feast(tmp_path, "ours", OURS, table(event_timestamp=[D + DAY] * 4, text=["new"] * 4))
    materialize(store)
    assert read(store, "a", "b", names=("text",)) == [("new",), ("new",)]


def test_features_expire_offline_only_as_in_feast(tmp_path):
    """A row older than the range is not materialized; once online it is served however old, by Feast's own store and by ours."""
    for name, options in (("stock", STOCK), ("ours", OURS)):
        store = feast(tmp_path, name, options, table(event_timestamp=[D, D - 10 * DAY, D, D]))
        materialize(store)
        materialize(store, D + 300 * DAY)
        assert read(store, "a", "b", names=("text",)) == [("",), (None,)]


def test_a_row_with_some_features_is_merged(small):
    """As one row a feature would be: the others keep their values; an older partial row changes nothing."""
    write(small, row("a", D, number=1.0, text="x"))
    write(small, row("a", D + DAY, number=2.0), row("b", D, text="alone"), row("a", D + 2 * DAY, text="z"))
    write(small, row("a", D, number=9.0))
    assert read(small, "a", "b") == [(2.0, "z"), (None, "alone")]


def test_features_added_and_removed_are_told_apart(tmp_path):
    """A row written before a change of the view is read by the columns that it was written with; new features are absent until written."""
    store = feast(tmp_path, "ours", OURS, table(), SMALL)
    write(store, row("a", D, number=1.0, text="x"))
    store = feast(tmp_path, "ours", OURS, None, {"another": Float64, "number": Float64})
    write(store, row("b", D, number=2.0, another=7.0))
    answer = store.get_online_features(["m:another", "m:number"], [{"member_id": "a"}, {"member_id": "b"}])
    assert answer.to_dict() == {"member_id": ["a", "b"], "another": [None, 7.0], "number": [1.0, 2.0]}
    statuses = dict(zip(answer.proto.metadata.feature_names.val, [list(r.statuses) for r in answer.proto.results], strict=True))
    assert statuses["another"] != statuses["number"] == [statuses["another"][1]] * 2  # absent, not null, for the older row
    store = feast(tmp_path, "ours", OURS, None, SMALL)
    assert read(store, "a", "b") == [(1.0, "x"), (2.0, None)]


def test_a_file_of_feast_s_own_layout_is_refused_then_converted(tmp_path):
    """Reading it says what to do; `apply` converts it with its rows, values and times, and twice is once."""
    stock = feast(tmp_path, "online", STOCK, table())
    materialize(stock)
    before = stock.get_online_features(references(), [{"member_id": m} for m in ("a", "b", "ç", "nobody")]).to_dict(include_event_timestamps=True)
    (tmp_path / "online_registry.db").rename(tmp_path / "kept.db")
    with pytest.raises(NotReadyError, match="feast apply"):
        read(not_applied(tmp_path, "online.db"), "a")
    for _ in range(2):
        ours = feast(tmp_path, "online", OURS)
        after = ours.get_online_features(references(), [{"member_id": m} for m in ("a", "b", "ç", "nobody")]).to_dict(include_event_timestamps=True)
        assert str({n: after[n] for n in sorted(after)}) == str({n: before[n] for n in sorted(before)})
    with closing(sqlite3.connect(tmp_path / "online.db")) as file:
        assert {n for (n,) in file.execute("select name from sqlite_master where type = 'table'")} == {"feast_layouts", f"{project(tmp_path)}_m"}


def test_a_file_of_a_later_version_is_refused(small, tmp_path):
    """Misreading it would be worse."""
    write(small, row("a", D, number=1.0, text="x"))
    with closing(sqlite3.connect(tmp_path / "ours.db")) as file:
        file.execute("pragma user_version = 99")
    with pytest.raises(NotReadyError, match="version 99"):
        read(not_applied(tmp_path, "ours.db"), "a")


def not_applied(folder, file):
    """A store that finds `file` as it is."""
    other = feast(folder, "other", OURS, None, SMALL)
    other.config.online_store.path = str(folder / file)
    return FeatureStore(config=other.config)


def test_a_view_that_was_not_applied_is_an_error(small, tmp_path):
    """No table: nobody would be found, and nobody told why."""
    with closing(sqlite3.connect(tmp_path / "ours.db")) as file:
        file.execute(f"drop table {project(tmp_path)}_m")
    with pytest.raises(NotReadyError, match="never applied"):
        read(small, "a")


def test_a_file_that_is_held_as_a_whole_keeps_no_reader_waiting(small, tmp_path):
    """Something that is not ours locks the file for good: who opens it to read is told soon, where a writer waits for half a minute, and reads afterwards."""
    write(small, row("a", D, number=1.0, text="x"))
    small._get_provider().online_store._mine.file.close()
    reader = not_applied(tmp_path, "ours.db")
    with closing(sqlite3.connect(tmp_path / "ours.db", isolation_level=None)) as other:
        other.execute("pragma locking_mode = exclusive")
        other.execute("begin exclusive")
        begin = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            read(reader, "a")
        assert time.monotonic() - begin < BUSY_SECONDS / 2
    assert read(reader, "a") == [(1.0, "x")]


def test_a_file_that_is_deleted_or_replaced_is_noticed(small, tmp_path):
    """By who has it open too, and who reads makes no empty one in its place."""
    write(small, row("a", D, number=1.0, text="x"))
    assert read(small, "a") == [(1.0, "x")]
    file, kept = tmp_path / "ours.db", tmp_path / "kept.db"
    move(file, kept)
    with pytest.raises(NotReadyError, match="is not there"):
        read(small, "a")
    assert not file.exists()
    small._get_provider().online_store.update(small.config, [], [small.get_feature_view("m")], [], [], False)
    write(small, row("b", D, number=2.0, text="y"))
    assert read(small, "a", "b") == [(None, None), (2.0, "y")]
    move(kept, file)
    assert read(small, "a", "b") == [(1.0, "x"), (None, None)]


def test_teardown_leaves_no_file(small, tmp_path):
    """Nor its log: a log without its file would be replayed into the next one."""
    write(small, row("a", D, number=1.0, text="x"))
    small.teardown()
    assert not list(tmp_path.glob("ours.db*"))


FORK = multiprocessing.get_context("fork")  # a child has Feast imported already, and a connection that it must not use


def batch(version):
    """2,000 members, all of one version."""
    return [row(f"m{i}", D + timedelta(seconds=version), number=float(version), text=str(version) * 40) for i in range(2_000)]


def write_on(store, first, acknowledge):
    """Write one version after the other for ever, acknowledging each."""
    for version in itertools.count(first):
        write(store, *batch(version))
        acknowledge.put(version)


def read_on(store, versions, report):
    """Read some members again and again until `versions` were seen, each of them whole and none after a later one."""
    last, reads, seen = 0.0, 0, set()
    while len(seen) < versions:
        ((number, text),) = set(read(store, *(f"m{i}" for i in range(0, 2_000, 100))))
        assert number >= last
        assert text == str(int(number)) * 40
        last, reads = number, reads + 1
        seen.add(number)
    report.put(reads)


def test_two_processes_read_whole_batches_while_one_writes(small):
    """Each read of 20 members of a batch sees one version in all of them, never an earlier one than before, and is never refused."""
    write(small, *batch(0))
    report, acknowledged = FORK.Queue(), FORK.Queue()
    readers = [FORK.Process(target=read_on, args=(small, 12, report)) for _ in range(2)]
    writer = FORK.Process(target=write_on, args=(small, 1, acknowledged))
    for process in (*readers, writer):
        process.start()
    for reader in readers:
        reader.join(300)
    writer.kill()
    writer.join()
    assert [reader.exitcode for reader in readers] == [0, 0]
    assert min(report.get(), report.get()) >= 12


@pytest.mark.parametrize("pause", [0.0, 0.003, 0.006, 0.009, 0.012, 0.015, 0.018, 0.021])
def test_a_kill_leaves_the_old_batch_or_the_new_one(small, tmp_path, pause):
    """Killed while it writes: all members are of one version, the last that was acknowledged or the one after, and the file is sound."""
    write(small, *batch(0))
    acknowledged = FORK.SimpleQueue()
    writer = FORK.Process(target=write_on, args=(small, 1, acknowledged))
    writer.start()
    last = [acknowledged.get() for _ in range(2)][-1]
    time.sleep(pause)
    writer.kill()
    writer.join()
    while not acknowledged.empty():
        last = acknowledged.get()
    ((number, text),) = set(read(small, *(f"m{i}" for i in range(2_000))))
    assert number in {last, last + 1}
    assert text == str(int(number)) * 40
    with closing(sqlite3.connect(tmp_path / "ours.db")) as file:
        assert file.execute("pragma integrity_check").fetchone() == ("ok",)
