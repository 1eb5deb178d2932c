"""dbt's unit tests of the models, which a build leaves out since they say nothing about data."""

import json
import shutil
import subprocess
import sys

from tests.fakes.scattered import LAST
from training.adapters.dbt_state import PROJECT
from training.adapters.dbt_warehouse import environment


def test_dbt_unit_tests_pass(built, tmp_path):
    """In a copy of a warehouse that was built, whose columns dbt asks for."""
    home = tmp_path / "home"
    shutil.copytree(built.home, home)
    where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(tmp_path / "dbt"), "--log-path", str(tmp_path / "dbt")]
    command = [sys.executable, "-P", "-m", "dbt.cli.main", "--no-use-colors", "test", "--select", "test_type:unit", *where]
    own = built.model_copy(update={"home": home})
    done = subprocess.run(command, cwd=PROJECT, env=environment(own, LAST, rejudge=True), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4_000:]
    results = json.loads((tmp_path / "dbt" / "run_results.json").read_text(encoding="utf-8"))["results"]
    units = {r["unique_id"].rsplit(".", 1)[1]: r["status"] for r in results if r["unique_id"].startswith("unit_test.")}
    assert units["each_topic_counts_its_own_events_for_28_days_and_for_a_year"] == "pass"
    assert set(units.values()) == {"pass"}
