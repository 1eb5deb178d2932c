"""A home's second build takes dbt's parse of the first, and builds what a parse of its own would have built."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date

import pyarrow.parquet as pq
import pytest

from tests.fakes.raw import at, close, decision, land, member, outcome
from training.adapters.dbt_parse import PARSED, forget_another_projects
from training.adapters.dbt_state import PROJECT
from training.adapters.dbt_warehouse import DbtWarehouse, environment
from training.config.settings import Settings

ONE, TWO = date(2026, 1, 2), date(2026, 1, 3)
ARM = "career.who_viewed.feed"
AGAIN = "Unable to do partial parsing"
KEPT = "Partial parsing enabled, no changes found"
CHANGED = "Partial parsing: updated file: rightmatch://models/outcomes/decision_outcomes.sql"


RUN = ("compiled", "compiled_code", "extra_ctes", "extra_ctes_injected", "index")
"""What a run notes of the hook after it."""


def parsed(folder):
    """What dbt knows of the project in this target folder, without when it learned it."""

    def timeless(value):
        if isinstance(value, dict):
            left_out = ("created_at", *(RUN if value.get("resource_type") == "operation" else ()))
            return {k: timeless(v) for k, v in value.items() if k not in left_out}
        return sorted((timeless(v) for v in value), key=str) if isinstance(value, list) else value

    whole = timeless(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    del whole["metadata"]
    return whole


def build(settings, day, since, *, rejudge):
    """Build the day; the log of it, dbt's view, and that of a parse from nothing under the same environment."""
    target, log = settings.home / "dbt", settings.home / "dbt" / "dbt.log"
    before = len(log.read_text()) if log.is_file() else 0
    DbtWarehouse(settings).build(day)
    said = log.read_text()[before:]
    other = settings.home / f"parse{day}{rejudge}"
    where = ["--project-dir", PROJECT, "--profiles-dir", PROJECT, "--target-path", other, "--log-path", other]
    command = [sys.executable, "-P", "-m", "dbt.cli.main", "--quiet", "--no-partial-parse", "parse", *where]
    subprocess.run([str(word) for word in command], env=environment(settings, day, since, rejudge=rejudge), cwd=PROJECT, check=True)
    marts = {name: pq.read_table(settings.candidate / f"{name}.parquet").to_pylist() for name in ("member_features", "decision_outcomes")}
    return said, parsed(target), parsed(other), marts


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """The second; the second corrected, which also judges every decision again. The first outcome of all lands on the second."""
    settings = Settings(home=tmp_path_factory.mktemp("parse"))
    land(settings.raw, "members", [member("m1", "2026-01-01 00:00")])
    land(settings.raw, "decisions", [decision("d1", "m1", "2026-01-02 10:00", ARM)])
    close(settings.raw, ONE)
    DbtWarehouse(settings).build(ONE)
    assert AGAIN in (settings.home / "dbt" / "dbt.log").read_text()
    land(settings.raw, "outcomes", [outcome("o1", "d1", "click", "2026-01-03 09:00")])
    close(settings.raw, TWO)
    second = build(settings, TWO, TWO, rejudge=False)
    land(settings.raw, "outcomes", [outcome("o1", "d1", "dismiss", "2026-01-03 09:00")])
    return second, build(settings, TWO, TWO, rejudge=True)


def test_the_parse_is_kept_with_all_that_a_new_one_finds(days):
    """Every node, data test, source and edge, the paths of the raw files and the configuration too; only what read a changed variable is parsed again."""
    for said, kept, new, _ in days:
        assert AGAIN not in said
        assert KEPT in said  # the second command of the build
        assert CHANGED in said  # judged again by the first and the third build, not by the second
        assert kept == new
        assert sum(name.startswith("test.") for name in kept["nodes"]) > 100
    assert [kept["nodes"]["model.rightmatch.decision_outcomes"]["config"]["full_refresh"] for _, kept, _, _ in days] == [None, True]


def test_no_day_of_another_build_is_used(days):
    """Features of both days, and labels as of the second, from files that were not there at the first."""
    for (*_, marts), label in zip(days, ("clicked", "dismissed"), strict=True):
        assert [row["event_timestamp"] for row in marts["member_features"]] == [at(f"2026-01-0{d} 00:00") for d in (2, 3, 4)]
        (judged,) = marts["decision_outcomes"]
        assert judged["as_of"] == at("2026-01-04 00:00")
        assert judged["clicked"] is (label == "clicked")


def test_the_parse_of_other_files_is_not_used(tmp_path):
    """Same files, same parse; another byte, another name or one more file, none."""
    project, target = tmp_path / "project", tmp_path / "target"
    (project / "models").mkdir(parents=True)
    target.mkdir()
    kept, file = target / PARSED, project / "models" / "a.sql"

    def survives():
        kept.write_bytes(b"")
        forget_another_projects(target, project)
        return kept.is_file()

    file.write_text("select 1")
    assert [survives(), survives()] == [False, True]
    file.write_text("select 2")
    assert [survives(), survives()] == [False, True]
    file.rename(file.with_name("b.sql"))
    assert [survives(), survives()] == [False, True]
    (project / "dbt_project.yml").write_text("name: other")
    assert [survives(), survives()] == [False, True]
