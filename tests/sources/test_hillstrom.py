"""The Hillstrom importer, on a small generated file that always runs and on the real one where it is present."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sources.hillstrom.read import COLUMNS, SEGMENTS, read_customers
from sources.hillstrom.rows import ARMS, tables_by_day
from sources.write import arrow_schema, conform
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError, DataError
from training.domain.labels import WINDOWS
from training.domain.nouns import Label
from training.domain.schema import ACTIVITY_KINDS, OUTCOME_KINDS, RAW

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "hillstrom"
SEEDS = ROOT / "dbt" / "seeds" / "hillstrom"
START = date(2026, 1, 5)
NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)


def customer(**given: object) -> dict[str, object]:
    """One row of the file: an old customer who bought men's goods three months ago, got no e-mail and did nothing."""
    row: dict[str, object] = {"recency": 3, "history_segment": "2) $100 - $200", "history": 142.44, "mens": 1, "womens": 0, "zip_code": "Urban", "newbie": 0}
    return row | {"channel": "Web", "segment": "No E-Mail", "visit": 0, "conversion": 0, "spend": 0.0} | given


SMALL = [
    customer(),
    customer(newbie=1, womens=1, segment="Mens E-Mail", visit=1),
    customer(newbie=1, recency=12, mens=0, womens=1, segment="Womens E-Mail", visit=1, conversion=1, spend=29.99),
]


def write_csv(path: Path, rows: list[dict[str, object]]) -> Path:
    """The file as the challenge has it, gzipped if its name says so."""
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`python -m sources.hillstrom` as the runner calls it."""
    command = [sys.executable, "-m", "sources.hillstrom", "--out", str(folder / "inbox"), "--truth", str(folder / "truth"), "--catalog", str(SEEDS)]
    return subprocess.run([*command, "--members", "20000", "--seed", "7", *more], cwd=ROOT, capture_output=True, text=True, check=False)


def landed(inbox: Path, table: str) -> pd.DataFrame:
    """All rows of one table."""
    return pa.concat_tables([pq.read_table(f, partitioning=None) for f in sorted(inbox.glob(f"{table}/day=*/part.parquet"))]).to_pandas()


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and modification time of each file."""
    return {str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mtime_ns) for f in sorted(folder.rglob("*.parquet"))}


@pytest.fixture(name="small")
def _small(tmp_path):
    """The three customers as an inbox, and what the source printed."""
    done = run(tmp_path, "--days", "56", "--data", str(write_csv(tmp_path / "small.csv.gz", SMALL)))
    assert done.returncode == 0, done.stderr
    return tmp_path, json.loads(done.stdout.splitlines()[-1])


def test_the_last_line_says_what_was_written(small):
    """The runner reads days and rows from the last line."""
    _, said = small
    rows = {"members": 3, "activity": 6, "subscriptions": 0, "decisions": 3, "outcomes": 3}
    assert said == {"first_day": "2026-01-05", "last_day": "2026-01-21", "rows": rows}


def test_a_later_run_with_more_days_writes_nothing_and_says_the_same_last_day(small):
    """The experiment is over: the runner asks for one day more each time and gets the same world."""
    folder, said = small
    before = contents(folder / "inbox")
    done = run(folder, "--days", "57", "--data", str(folder / "small.csv.gz"))
    again = json.loads(done.stdout.splitlines()[-1])
    assert (again["last_day"], set(again["rows"].values())) == (said["last_day"], {0})
    assert contents(folder / "inbox") == before


def test_each_day_holds_each_table_as_the_schema_says(small):
    """Seventeen days of five tables; no event lies in the future of its day."""
    inbox = small[0] / "inbox"
    files = sorted(inbox.glob("*/day=*/part.parquet"))
    assert len(files) == 17 * len(RAW)
    for file in files:
        table, day = RAW[file.parent.parent.name], date.fromisoformat(file.parent.name.removeprefix("day="))
        rows = pq.read_table(file, partitioning=None)
        assert rows.schema.remove_metadata() == arrow_schema(table)
        assert all(t.date() <= day for t in rows[table.time].to_pylist())
        assert all(not c.values or set(rows[c.name].to_pylist()) <= set(c.values) for c in table.columns)  # noqa: PD011 - a Column, not a DataFrame
        assert all(c.nullable or rows[c.name].null_count == 0 for c in table.columns)


def test_customers_become_members_by_the_documented_mapping(small):
    """Region, interest, acquisition, value; signup from newbie, never after the last purchase."""
    members = landed(small[0] / "inbox", "members").set_index("member_id")
    assert members.interest.tolist() == ["mens", "both", "womens"]
    assert members.region.tolist() == ["Urban"] * 3
    assert members.acquisition_channel.tolist() == ["Web"] * 3
    assert members.lifetime_value.tolist() == [142.44] * 3
    assert [(NOON - t).days for t in members.signup_at] == [730, 182, 360]
    assert (members.updated_at < NOON.replace(hour=0)).all()


def test_decisions_are_the_randomised_experiment(small):
    """One each, uniform over none and two arms, with exact propensities and the arm of the segment."""
    decisions = landed(small[0] / "inbox", "decisions")
    assert decisions.chosen_arm.tolist() == ["none", "mens.mens_mail.email", "womens.womens_mail.email"]
    assert all(sorted(f) == sorted(ARMS.values()) for f in decisions.feasible_arms)
    assert all(np.allclose(p, 1 / 3) and abs(sum(p) - 1) < 1e-12 for p in decisions.propensities)
    assert (decisions.decided_at == NOON).all()


def test_answers_fall_into_their_windows_and_mature_by_the_last_day(small):
    """A visit a day later, the purchase after it; 14 days are over at the end, 28 are not."""
    inbox = small[0] / "inbox"
    outcomes, activity = landed(inbox, "outcomes"), landed(inbox, "activity")
    bought = outcomes[outcomes.kind == "conversion"]
    assert bought.decision_id.tolist() == ["d00003"]
    assert bought.value.tolist() == [29.99]
    assert outcomes[outcomes.kind == "impression"].decision_id.tolist() == ["d00002", "d00003"]
    after = activity[activity.occurred_at > NOON]
    assert after[["member_id", "kind"]].to_numpy().tolist() == [["c00002", "visit"], ["c00003", "visit"], ["c00003", "purchase"]]
    assert [(NOON - t).days for t in activity[activity.occurred_at <= NOON].occurred_at] == [90, 90, 360]
    end = datetime(2026, 1, 22, tzinfo=UTC)
    assert WINDOWS[Label.CONVERTED].matured_at(NOON) <= end < WINDOWS[Label.RETAINED].matured_at(NOON)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"segment": "Kids E-Mail"}, "segment is not one of No E-Mail, Mens E-Mail, Womens E-Mail: 1 row.*row 2"),
        ({"recency": 13}, "recency is not 1 to 12 months"),
        ({"visit": 2}, "visit is not 0 or 1"),
        ({"spend": 5.0}, "spend and conversion contradict"),
        ({"conversion": 1, "spend": 5.0}, "conversion without a visit"),
        ({"history": ""}, "history is empty"),
        ({"newbie": "yes"}, "is not the file"),
    ],
)
def test_rows_that_the_challenge_cannot_hold_are_refused(tmp_path, change, said):
    """Each broken rule is named with its rows; nothing is guessed."""
    path = write_csv(tmp_path / "wrong.csv", [customer(), customer(**change)])
    with pytest.raises(DataError, match=said):
        read_customers(path)


def test_another_file_or_none_is_refused_in_words(tmp_path):
    """No traceback: what is missing, and which file is meant."""
    path = tmp_path / "wrong.csv"
    path.write_text("a,b\n1,2\n")
    for more, said in ((["--data", str(path)], "recency"), (["--data", str(tmp_path / "no.csv")], "There is no file"), ([], "Give --data")):
        done = run(tmp_path, *more)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "inbox").exists()


def test_another_catalog_is_refused(tmp_path):
    """With other arms the propensities would not be 1/3."""
    rows = read_customers(write_csv(tmp_path / "small.csv", SMALL))
    with pytest.raises(ConfigError, match="propensities of 1/3 would be wrong"):
        tables_by_day(rows, START, load_catalog(ROOT / "dbt" / "seeds" / "simulated"))


def test_kinds_are_those_of_the_schema():
    """What the importer writes are words of the closed sets."""
    assert {"visit", "purchase"} <= set(ACTIVITY_KINDS)
    assert {"impression", "conversion"} <= set(OUTCOME_KINDS)
    assert set(ARMS) == set(SEGMENTS)


def test_the_real_file_gives_its_published_figures():
    """64,000 customers: visits 10.62 / 18.28 / 15.14 %, conversions 0.573 / 1.253 / 0.884 %, mean spend 0.6528 / 1.4226 / 1.0772."""
    found = sorted(REAL.glob("*.csv.gz"))
    if not found:
        pytest.skip(f"the challenge's file is not in {REAL}: it may not be redistributed, so this test runs only where you put it")
    customers = read_customers(found[0])
    tables: dict[str, list[pa.Table]] = {name: [] for name in RAW}
    for day in tables_by_day(customers, START, load_catalog(SEEDS)).values():
        for name, rows in day.items():
            tables[name].append(conform(name, rows))
    raw = {name: pa.concat_tables(parts).to_pandas() for name, parts in tables.items()}
    assert len(raw["decisions"]) == 64_000
    assert all(raw[name][RAW[name].key[0]].is_unique for name in RAW)
    bought = raw["outcomes"][raw["outcomes"].kind == "conversion"].set_index("decision_id").value
    came = set(raw["activity"][raw["activity"].kind == "visit"].member_id)
    decisions = raw["decisions"].assign(
        spend=raw["decisions"].decision_id.map(bought).fillna(0.0),
        conversion=raw["decisions"].decision_id.isin(set(bought.index)),
        visit=raw["decisions"].member_id.isin(came),
    )
    rates = decisions.groupby("chosen_arm")[["visit", "conversion", "spend"]].mean()
    published = [[0.1062, 0.00573, 0.6528], [0.1828, 0.01253, 1.4226], [0.1514, 0.00884, 1.0772]]
    assert rates.loc[list(ARMS.values())].to_numpy() == pytest.approx(np.array(published), rel=0.002)
    assert set(COLUMNS) <= set(customers.column_names)
