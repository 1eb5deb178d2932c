"""Landing: whole or not at all, the same when repeated, and every broken rule named."""

import math
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fakes.landing import FakeLanding, decision, good_day, write_rows, write_tables
from training.adapters.landing import FileLanding
from training.adapters.parquet import arrow_schema
from training.config.settings import ROOT, Settings
from training.domain.errors import LandingError, NotReadyError
from training.domain.schema import RAW

FIRST, SECOND, THIRD = (date(2026, 1, d) for d in (5, 6, 7))
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path):
    """A home of its own with the simulated catalog."""
    return Settings(home=tmp_path, catalog=ROOT / "dbt" / "seeds" / "simulated")


@pytest.fixture
def zone(settings):
    """The landing zone under test."""
    return FileLanding(settings)


def landed(settings):
    """Contents of every landed file by its path below raw."""
    return {str(p.relative_to(settings.raw)): p.read_bytes() for p in sorted(settings.raw.rglob("*.parquet"))}


def raw_ids(settings, table, day):
    """First key of the landed rows."""
    return pq.ParquetFile(settings.raw / table / f"day={day}" / "part.parquet").read()[RAW[table].key[0]].to_pylist()


def fake(settings):
    """The fake with the row counts of what `settings.inbox` holds."""
    days = {}
    for file in settings.inbox.rglob("part.parquet"):
        day = date.fromisoformat(file.parent.name.removeprefix("day="))
        days.setdefault(day, {})[file.parents[1].name] = pq.read_metadata(file).num_rows
    return FakeLanding(days)


@pytest.mark.parametrize("make", [FileLanding, fake], ids=["files", "fake"])
def test_new_days_land_once(settings, make):
    """Days up to `until` land with their rows; a rerun has nothing to do; the next day is alone in the next report."""
    with pytest.raises(NotReadyError):
        make(settings).land(FIRST)
    for day in (FIRST, SECOND, THIRD):
        write_tables(settings.inbox, day, good_day(day))
    zone = make(settings)
    report = zone.land(SECOND)
    assert report.days == (FIRST, SECOND)
    assert report.rows == dict.fromkeys(RAW, 4)
    again = zone.land(SECOND)
    assert (dict(again.rows), again.days) == ({}, ())
    assert zone.land(THIRD).days == (THIRD,)


def test_landing_copies_and_keeps_the_inbox(settings, zone):
    """Landed bytes are the source's; a file changed later in place does not change raw until it lands."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    zone.land(FIRST)
    source = settings.inbox / "activity" / f"day={FIRST}" / "part.parquet"
    target = settings.raw / "activity" / f"day={FIRST}" / "part.parquet"
    assert target.read_bytes() == source.read_bytes()
    with source.open("r+b") as file:
        file.write(b"XXXX")
    assert target.read_bytes() != source.read_bytes()
    assert not list(settings.raw.glob(".staging"))


def test_a_corrected_day_replaces_the_landed_one(settings, zone):
    """Backfill: only the changed table of that day is landed again, and nothing of its old rows stays."""
    for day in (FIRST, SECOND):
        write_tables(settings.inbox, day, good_day(day))
    zone.land(SECOND)
    visit = {"event_id": "new", "member_id": f"m{FIRST}-0", "kind": "purchase", "occurred_at": AT}
    write_rows(settings.inbox, "activity", FIRST, [visit])
    report = zone.land(SECOND)
    assert (dict(report.rows), report.days) == ({"activity": 1}, (FIRST,))
    assert raw_ids(settings, "activity", FIRST) == ["new"]


def test_a_touched_file_is_not_new(settings, zone):
    """The content counts, not the time of the file."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    zone.land(FIRST)
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    assert zone.land(FIRST).days == ()


def test_late_rows_are_fine(settings, zone):
    """A row may be older than the day whose file brings it."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    late = {"event_id": "late", "member_id": f"m{FIRST}-0", "kind": "visit", "occurred_at": AT - timedelta(days=3)}
    write_rows(settings.inbox, "activity", SECOND, [late])
    assert zone.land(SECOND).rows["activity"] == 3


def test_an_empty_table_is_a_day(settings, zone):
    """No rows is an answer: the day lands."""
    write_tables(settings.inbox, FIRST, {name: [] for name in RAW})
    assert zone.land(FIRST).rows == dict.fromkeys(RAW, 0)


WRONG = {
    "null": ("activity", {"kind": None}, "kind is NULL"),
    "closed set": ("activity", {"kind": "yawn"}, "kind is none of visit, jobs"),
    "null id": ("outcomes", {"outcome_id": None}, "outcome_id is NULL"),
    "unknown product": ("subscriptions", {"product_id": "yacht"}, "product_id is none of career"),
    "infinite": ("members", {"lifetime_value": math.inf}, "lifetime_value is not a finite number"),
    "future": ("activity", {"occurred_at": AT.replace(hour=0) + timedelta(days=1)}, "occurred_at lies after the day of its file"),
    "unknown member": ("activity", {"member_id": "ghost"}, "member_id is not in members"),
    "decision of unknown member": ("decisions", {"member_id": "ghost"}, "member_id is not in members"),
    "outcome without decision": ("outcomes", {"decision_id": "ghost"}, "decision_id is not in decisions"),
    "outcome before decision": ("outcomes", {"occurred_at": AT - timedelta(seconds=1)}, "occurred_at lies before its decision"),
    "no propensity": ("decisions", {"propensity": None}, "propensity is NULL"),
    "nan propensity": ("decisions", {"propensity": math.nan}, "propensity is not a finite number"),
    "no propensities": ("decisions", {"propensities": None}, "propensities is NULL"),
    "empty propensities": ("decisions", {"propensities": []}, "propensities do not sum to 1"),
    "sum": ("decisions", {"propensities": [0.2, 0.75]}, "propensities do not sum to 1"),
    "nan in list": ("decisions", {"propensities": [math.nan, 0.75]}, "propensities do not sum to 1"),
    "null in list": ("decisions", {"propensities": [None, 0.75]}, "feasible_arms or propensities hold a NULL"),
    "negative": ("decisions", {"feasible_arms": ["none", "career.who_viewed.feed", "career.who_viewed.email"], "propensities": [0.5, 0.75, -0.25]}, "below 0"),
    "length": ("decisions", {"propensities": [0.25, 0.5, 0.25]}, "feasible_arms and propensities differ in length"),
    "twice": ("decisions", {"feasible_arms": ["career.who_viewed.feed"] * 2, "propensities": [0.75, 0.25]}, "feasible_arms names an arm twice"),
    "not feasible": ("decisions", {"chosen_arm": "career.who_viewed.email"}, "chosen_arm is not among feasible_arms"),
    "other propensity": ("decisions", {"propensity": 0.25}, "propensity is not that of chosen_arm"),
    "zero": ("decisions", {"propensities": [1.0, 0.0], "propensity": 0.0}, "propensity is not above 0"),
    "unknown arm": ("decisions", {"feasible_arms": ["none", "it's.new"], "chosen_arm": "it's.new"}, "is not in the catalog"),
}


@pytest.mark.parametrize(("table", "change", "rule"), WRONG.values(), ids=WRONG)
def test_each_wrong_row_is_refused(settings, zone, table, change, rule):
    """The error names table, rule, file, count and id; nothing of the batch lands, neither the good day nor the good tables."""
    write_tables(settings.inbox, FIRST, good_day(FIRST) | {})
    write_tables(settings.inbox, SECOND, good_day(SECOND))
    rows = good_day(FIRST)[table]
    rows[0] |= change
    write_rows(settings.inbox, table, FIRST, rows)
    with pytest.raises(LandingError) as error:
        zone.land(SECOND)
    told = [line for line in str(error.value).splitlines() if rule in line]
    assert len(told) == 1, str(error.value)
    key = rows[0][RAW[table].key[0]] or "(no id)"
    assert told[0].startswith(f"- {table}: ")
    assert f"({table}/day=2026-01-05/part.parquet; 1 row(s); such as {key})" in told[0]
    assert landed(settings) == {}


@pytest.mark.parametrize("table", ["activity", "subscriptions", "outcomes", "decisions", "members"])
def test_a_repeated_key_is_refused(settings, zone, table):
    """Once within the batch, once against what has landed; both places are named."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    rows = good_day(FIRST)[table]
    write_rows(settings.inbox, table, FIRST, [*rows, rows[0]])
    with pytest.raises(LandingError, match=r"is there more than once .*2 row"):
        zone.land(FIRST)
    write_rows(settings.inbox, table, FIRST, rows)
    zone.land(FIRST)
    write_rows(settings.inbox, table, SECOND, rows[:1])
    with pytest.raises(LandingError, match=rf"has landed before, with another day \({table}/day=2026-01-06/part.parquet; 1 row"):
        zone.land(SECOND)


def test_a_backfill_must_not_orphan_what_has_landed(settings, zone):
    """A corrected day without a decision that a landed outcome follows is refused, and the landed day stays."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    zone.land(FIRST)
    before = landed(settings)
    write_rows(settings.inbox, "decisions", FIRST, good_day(FIRST)["decisions"][:1])
    with pytest.raises(LandingError, match=r"outcomes: decision_id is not in decisions of .* before \(outcomes/day=2026-01-05 \(landed before\); 1 row"):
        zone.land(FIRST)
    assert landed(settings) == before


def test_all_broken_rules_are_listed_once(settings, zone):
    """One line a table and rule, with five ids at most and the rows of all files."""
    for day in (FIRST, SECOND):
        tables = good_day(day, members=4)
        for row in tables["activity"]:
            row["kind"] = "yawn"
        tables["decisions"][0]["propensity"] = None
        write_tables(settings.inbox, day, tables)
    with pytest.raises(LandingError) as error:
        zone.land(SECOND)
    lines = [line for line in str(error.value).splitlines() if line.startswith("- ")]
    assert len(lines) == 2
    assert "activity/day=2026-01-05/part.parquet, activity/day=2026-01-06/part.parquet; 8 row(s)" in lines[0]
    assert lines[0].count("a-m") == 5
    assert "2 row(s)" in lines[1]
    assert "docs/your-data.md" in str(error.value)
    assert (ROOT / "docs" / "your-data.md").is_file()


def test_missing_columns_and_wrong_types_are_refused(settings, zone):
    """The columns that are missing are named; a time without a zone is not accepted, since it could be any hour."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    folder = settings.inbox / "decisions" / f"day={FIRST}"
    pd.DataFrame({"decision_id": ["d1"], "member_id": ["m1"]}).to_parquet(folder / "part.parquet")
    naive = {"event_id": ["a"], "member_id": [7], "kind": ["visit"], "occurred_at": [datetime(2026, 1, 5)]}  # noqa: DTZ001 - that is the point
    pd.DataFrame(naive).to_parquet(settings.inbox / "activity" / f"day={FIRST}" / "part.parquet")
    with pytest.raises(LandingError) as error:
        zone.land(FIRST)
    told = str(error.value)
    assert "- decisions: missing column(s) decided_at, surface, feasible_arms, propensities, chosen_arm, propensity, assignment_group" in told
    assert "- activity: column member_id must be text, not int64 (activity/day=2026-01-05/part.parquet)" in told
    assert "- activity: column occurred_at must be time" in told
    assert landed(settings) == {}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("decisons/day=2026-01-05/part.parquet", "decisons: is not a raw table"),
        ("decisions/day=2026-13-05/part.parquet", "folder is not named day=YYYY-MM-DD"),
        ("decisions/day=2026-01-06/part.csv", r"folder holds no \.parquet file"),
        ("decisions/day=2026-01-06/part.parquet", "is not a readable Parquet file"),
    ],
)
def test_folders_that_mean_nothing_are_refused(settings, zone, name, rule):
    """A misspelt name must not silently leave rows out."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    file = settings.inbox / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"nothing")
    with pytest.raises(LandingError, match=rule):
        zone.land(SECOND)
    assert landed(settings) == {}


def test_files_that_are_being_written_are_ignored(settings, zone):
    """Hidden folders and files belong to a source at work."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    (settings.inbox / "activity" / ".day=2026-01-06.writing").mkdir()
    (settings.inbox / "activity" / f"day={FIRST}" / ".half.parquet").write_bytes(b"half")
    assert zone.land(SECOND).days == (FIRST,)


def test_other_types_and_columns_are_brought_into_the_schema(settings, zone, capsys):
    """Several files, categories, whole numbers, nanoseconds, another zone, all-empty columns and an extra column land in the schema's types."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    at = pd.Timestamp(AT).tz_convert("Asia/Tokyo").as_unit("ns")
    frame = pd.DataFrame({"member_id": ["x", "y"], "signup_at": [at, at], "lifetime_value": [3, 4], "updated_at": [at, at], "shoe_size": [41, 42]})
    frame["interest"] = pd.Categorical(["jobs", None])
    frame = frame.assign(**dict.fromkeys(("country", "region", "industry", "seniority", "acquisition_channel", "consents")))
    frame.to_parquet(settings.inbox / "members" / f"day={FIRST}" / "two.parquet")
    assert zone.land(FIRST).rows["members"] == 4
    rows = pq.ParquetFile(settings.raw / "members" / f"day={FIRST}" / "part.parquet").read()
    assert rows.schema.equals(arrow_schema(RAW["members"]))
    last = rows.to_pylist()[2]
    assert (last["member_id"], last["interest"], last["lifetime_value"], last["updated_at"], last["country"]) == ("x", "jobs", 3.0, AT, None)
    assert "column shoe_size of 1 file(s) of members is not in the data contract and is left out" in capsys.readouterr().out


def test_a_crash_before_the_proof_leaves_nothing(settings, zone):
    """What an interrupted run staged is forgotten, even where it was only half written."""
    half = settings.raw / ".staging" / "members" / f"day={FIRST}" / "part.parquet"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    assert zone.land(FIRST).rows["members"] == 2
    assert b"half" not in landed(settings).values()


def test_a_crash_between_the_renames_is_repaired(settings, zone):
    """A batch that was proven and half moved is whole after the next call, without its source."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    blocker = settings.raw / "outcomes"
    blocker.parent.mkdir(parents=True)
    blocker.write_text("in the way")
    with pytest.raises(OSError, match="outcomes"):
        zone.land(FIRST)
    assert len(landed(settings)) == 5  # four in place, one still staged
    blocker.unlink()
    (settings.inbox / "outcomes" / f"day={FIRST}" / "part.parquet").unlink()
    (settings.inbox / "outcomes" / f"day={FIRST}").rmdir()
    assert zone.land(FIRST).days == ()
    assert raw_ids(settings, "outcomes", FIRST) == [f"o-m{FIRST}-0", f"o-m{FIRST}-1"]
    assert not list(settings.raw.glob(".staging"))


def test_a_landed_file_that_was_deleted_lands_again(settings, zone):
    """The fingerprint alone does not prove that the rows are there."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    zone.land(FIRST)
    (settings.raw / "members" / f"day={FIRST}" / "part.parquet").unlink()
    assert dict(zone.land(FIRST).rows) == {"members": 2}


def test_an_inbox_that_begins_later_is_not_ready(settings, zone):
    """The error says where the data begins."""
    write_tables(settings.inbox, SECOND, good_day(SECOND))
    with pytest.raises(NotReadyError, match=r"The inbox begins on 2026-01-06\. Make the simulated world"):
        zone.land(FIRST)


def test_two_processes_land_one_batch_once(settings):
    """The second waits for the first and then finds nothing to do."""
    for day in (FIRST, SECOND):
        write_tables(settings.inbox, day, good_day(day))
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda zone: zone.land(SECOND), [FileLanding(settings), FileLanding(settings)]))
    assert sorted(len(r.days) for r in reports) == [0, 2]


def test_a_column_that_is_there_twice_is_refused(settings, zone):
    """Nobody could say which of the two is meant."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    file = settings.inbox / "activity" / f"day={FIRST}" / "part.parquet"
    rows = pq.ParquetFile(file).read()
    pq.write_table(rows.append_column("kind", rows["kind"]), file)
    with pytest.raises(LandingError, match=r"activity: column\(s\) kind are there more than once"):
        zone.land(FIRST)


def test_columns_of_nulls_may_have_no_type(settings, zone):
    """Writers give a column without any value the type null: fine where NULL is allowed, refused as NULL where it is not."""
    write_tables(settings.inbox, FIRST, good_day(FIRST))
    file = settings.inbox / "decisions" / f"day={FIRST}" / "part.parquet"
    rows = pq.ParquetFile(file).read()
    for name in ("model_version", "propensities"):
        rows = rows.set_column(rows.column_names.index(name), name, pa.nulls(rows.num_rows))
    pq.write_table(rows, file)
    with pytest.raises(LandingError, match=r"1 rule\(s\).*\n- decisions: propensities is NULL .*2 row"):
        zone.land(FIRST)


def test_the_documented_contract_is_the_schema():
    """The table of docs/your-data.md has each column once, in order, with its type and whether it may be NULL."""
    words = {"list of text": "texts", "list of float": "floats"}
    told, table = [], ""
    for row in re.findall(r"^\| (?:`(\w+)` )?\| (`.*?`) \| ([\w ]+) \| (yes|no) \|", (ROOT / "docs" / "your-data.md").read_text(), re.MULTILINE):
        table = row[0] or table
        told += [(table, name, words.get(row[2], row[2]), row[3] == "yes") for name in re.findall(r"\w+", row[1])]
    assert told == [(t.name, c.name, c.type.value, c.nullable) for t in RAW.values() for c in t.columns]


def test_thousands_of_decisions_land(settings, zone):
    """Fourteen arms each, over several days: the checks between rows work beyond one vector of DuckDB."""
    tables = good_day(FIRST, members=1)
    arms = ["none", *(line.split(",")[0] for line in (settings.catalog / "arms.csv").read_text().splitlines()[1:14])]
    odds = [1 / len(arms)] * len(arms)
    logged = {"feasible_arms": arms, "propensities": odds, "chosen_arm": arms[3], "propensity": odds[3]}
    tables["decisions"] += [decision(f"d{i}", f"m{FIRST}-0", AT) | logged for i in range(5000)]
    write_tables(settings.inbox, FIRST, tables)
    assert zone.land(FIRST).rows["decisions"] == 5001
    assert pa.compute.sum(pq.ParquetFile(settings.raw / "decisions" / f"day={FIRST}" / "part.parquet").read()["propensity"]).as_py() == pytest.approx(
        0.75 + 5000 / 14
    )
