"""The real dbt on tiny raw files: what it builds, and what a person reads when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date

import pyarrow.parquet as pq
import pytest

from tests.fakes.raw import at, close, decision, land, member, outcome
from training.adapters import dbt_commands
from training.adapters.dbt_freshness import stale
from training.adapters.dbt_results import explain, read_run
from training.adapters.dbt_state import PROJECT
from training.adapters.dbt_warehouse import DbtWarehouse, environment
from training.adapters.parquet import arrow_schema
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError, StepError
from training.domain.schema import MARTS

DAY = date(2026, 1, 3)
ARM = "career.who_viewed.feed"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Settings and report. Two members, one decision; no subscription and no outcome has ever landed, and no row of activity."""
    found = Settings(home=tmp_path_factory.mktemp("dbt's home"))
    land(found.raw, "members", [member("m1", "2026-01-01 00:00"), member("m2", "2026-01-02 00:00")])
    land(found.raw, "decisions", [decision("d1", "m1", "2026-01-02 10:00", ARM)])
    close(found.raw, DAY)
    return found, DbtWarehouse(found).build(DAY)


def test_tables_without_rows_are_named(built):
    """As of 3 January members and decisions of the 2nd are fresh enough; the others never brought a row."""
    assert built[1].stale == tuple(f"raw table {name} has no row at all" for name in ("activity", "outcomes", "subscriptions"))


def test_a_table_that_has_fallen_behind_is_named(built):
    """Seen from 6 January, in dbt's own words: members and decisions are four days old, two are allowed."""
    warehouse = DbtWarehouse(built[0])
    subprocess.run(warehouse._command(*warehouse._ages()), env=environment(built[0], date(2026, 1, 6)), cwd=PROJECT, check=False)
    behind = [f"the newest file of raw table {name} is 4 days older than the day that is built" for name in ("decisions", "members")]
    assert [said for said in warehouse._stale() if "no row" not in said] == behind


def test_dbt_that_cannot_tell_is_told(built, tmp_path):
    """It warns with dbt's last line and stops nothing: the exit code is that of the command before it, which alone speaks to standard output."""
    said = tmp_path / "said"
    nothing = ["source", "freshness", "--project-dir", tmp_path, "--profiles-dir", PROJECT]
    command = [sys.executable, "-P", dbt_commands.__file__, said, "--version", "--", *nothing]
    done = subprocess.run([str(word) for word in command], env=environment(built[0], DAY), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "installed" in done.stdout
    assert "No dbt_project.yml found" in said.read_text()
    assert "No dbt_project.yml found" not in done.stdout + done.stderr
    said.write_text("first\nno such source\n")
    assert stale(tmp_path, said) == ("dbt could not tell how fresh the raw tables are: no such source",)


def test_after_a_command_that_fails_none_follows(tmp_path):
    """Its exit code is the process's."""
    said = tmp_path / "said"
    command = [sys.executable, "-P", dbt_commands.__file__, said, "no-such-command", "--", "--version"]
    assert subprocess.run([str(word) for word in command], cwd=tmp_path, capture_output=True, check=False).returncode == 2
    assert not said.exists()


def test_a_build_exports_each_mart_in_the_schema_types(built):
    """Also where tables are still empty and the path holds a quote; sizes: m1 on 3 days, m2 on 2; all arms and none on 3 days."""
    settings, report = built
    assert report.invocation_id
    assert report.models > len(MARTS)
    assert report.tests > 0
    rows = {}
    for name, table in MARTS.items():
        found = pq.read_table(settings.candidate / f"{name}.parquet")
        assert found.schema.names == arrow_schema(table).names
        assert [f.type for f in found.schema if not str(f.type).startswith("list")] == [
            f.type for f in arrow_schema(table) if not str(f.type).startswith("list")
        ]
        rows[name] = found.num_rows
        if name == "member_features":
            assert max(found["event_timestamp"].to_pylist()) == at("2026-01-04 00:00")
    assert rows == {"member_features": 5, "arm_features": 49 * 3, "decision_outcomes": 1, "guardrail_daily": 1}


def test_a_failed_test_is_told_with_its_rows_and_the_marts_remain(built):
    """An outcome before its decision: the test's name, its count, the row and its SQL file reach the user, no stack does. Rerunning cannot help."""
    settings, _ = built
    before = {f.name: f.read_bytes() for f in settings.candidate.iterdir()}
    land(settings.raw, "outcomes", [outcome("o1", "d1", "click", "2026-01-02 09:00")])
    with pytest.raises(DataError) as caught:
        DbtWarehouse(settings).build(DAY)
    text = str(caught.value)
    assert "1 data test(s) failed for 2026-01-03" in text
    row = "outcome_id=o1, occurred_at=2026-01-02 09:00:00, decided_at=2026-01-02 10:00:00"
    assert f"- no_outcome_before_its_decision: 1 row(s), such as\n    {row}\n  compiled SQL: " in text
    assert "no_outcome_before_its_decision.sql" in text
    assert "Traceback" not in text
    assert {f.name: f.read_bytes() for f in settings.candidate.iterdir()} == before


def test_a_day_of_which_nothing_has_landed_is_not_ready(built):
    """The newest landed day is named; dbt is not started."""
    with pytest.raises(NotReadyError, match=r"No file of 2026-01-04 or later has landed \(the newest landed day is 2026-01-03\)"):
        DbtWarehouse(built[0]).build(date(2026, 1, 4))


def test_a_failed_model_is_told_in_dbt_words(tmp_path):
    """A raw column that cannot be cast: DuckDB's own message, by the name of the model."""
    settings = Settings(home=tmp_path)
    land(settings.raw, "members", [member("m1", "2026-01-01 00:00")])
    file = next(settings.raw.rglob("*.parquet"))
    close(settings.raw, DAY)
    rows = pq.read_table(file)
    column = rows.schema.get_field_index("lifetime_value")
    pq.write_table(rows.set_column(column, "lifetime_value", [["plenty"]]), file)
    with pytest.raises(StepError) as caught:
        DbtWarehouse(settings).build(DAY)
    text = str(caught.value)
    assert "- model stg_members: " in text
    assert "plenty" in text
    assert "Traceback" not in text


def test_without_results_the_end_of_the_output_is_told(tmp_path):
    """dbt stopped before it wrote results: its last error is shown from where it begins."""
    assert read_run(tmp_path / "run_results.json") is None
    text = explain(None, ["noise", "Encountered an error:", "Could not find profile"], DAY)
    assert "Encountered an error:\nCould not find profile" in text
    assert "noise" not in text


def test_only_nodes_that_failed_themselves_are_told(tmp_path):
    """Skipped nodes are a consequence; more than five failures are counted."""
    results: list[dict[str, object]] = [{"unique_id": f"model.rightmatch.m{i}", "status": "error", "message": f"bad {i}"} for i in range(7)]
    results.append({"unique_id": "model.rightmatch.after", "status": "skipped", "message": None})
    file = tmp_path / "run_results.json"
    file.write_text(json.dumps({"metadata": {"invocation_id": "i"}, "elapsed_time": 1.5, "results": results}))
    run = read_run(file)
    assert run is not None
    assert len(run.failures) == 7
    assert not run.only_tests_failed
    text = explain(run, [], DAY)
    assert "- model m0: bad 0" in text
    assert "- and 2 more" in text
    assert "after" not in text.split("store:")[1].split("Correct")[0]
