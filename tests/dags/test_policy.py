"""What every DAG file must keep to, checked on the DAGs as Airflow parses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from training.config.settings import ROOT

FILES = sorted(p for p in (ROOT / "dags").glob("*.py") if not p.name.startswith("_"))
PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])
dags = {
    d.dag_id: {
        "serialized": DagSerialization.to_dict(d),
        "doc": d.doc_md or "", "tags": sorted(d.tags), "max_active_runs": d.max_active_runs, "catchup": d.catchup,
        "tasks": {t.task_id: [t.owner, t.retries, t.retry_delay.total_seconds(), t.pool,
                            [o.name for o in t.outlets], sorted(t.downstream_task_ids)] for t in d.tasks},
    }
    for d in bag.dags.values()
}
heavy = sorted({m.split(".")[0] for m in sys.modules} & {"torch", "feast", "great_expectations", "mlflow", "duckdb", "dbt"})
print("PARSED" + json.dumps({"errors": {str(k): v for k, v in bag.import_errors.items()}, "heavy": heavy, "dags": dags}, sort_keys=True, default=str))
"""


def parse(home: Path, seed: str, **settings: str) -> dict:
    """Parse the DAG folder in a process of its own with another hash seed each."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTHONDONTWRITE"))}
    path = os.pathsep.join([str(ROOT / "dags"), *filter(None, [env.get("PYTHONPATH")])])
    env |= {"AIRFLOW_HOME": str(home), "PYTHONHASHSEED": seed, "PYTHONPATH": path, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **settings}
    env |= {"AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"), "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False"}
    done = subprocess.run([sys.executable, "-c", PARSE, str(ROOT / "dags")], env=env, cwd=home, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.split("PARSED", 1)[1])


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """One parse of the folder."""
    return parse(tmp_path_factory.mktemp("airflow"), "1")


def test_no_import_error_and_every_dag(parsed):
    """Each file imports, and exactly these DAGs exist."""
    assert parsed["errors"] == {}
    assert sorted(parsed["dags"]) == ["experiment", "features", "guard", "incident", "learn", "retrain"]


def test_parsing_imports_nothing_heavy(parsed):
    """Feast, torch and Great Expectations cost seconds: the scheduler must not pay them at each parse."""
    assert parsed["heavy"] == []


def test_two_parses_serialize_equally(parsed, tmp_path):
    """Another process with another hash seed sees the same DAG, else versions would grow at each parse."""
    again = parse(tmp_path, "2")
    assert again["dags"] == parsed["dags"]


def test_owner_retries_tags_and_one_run_at_a_time(parsed):
    """Every task has an owner and two short retries; a DAG never overlaps with itself and never catches up by itself."""
    for dag in parsed["dags"].values():
        assert dag["max_active_runs"] == 1
        assert dag["catchup"] is False
        assert "rightmatch" in dag["tags"]
        for owner, retries, delay, *_ in dag["tasks"].values():
            assert owner == "rightmatch"
            assert retries == 2
            assert delay <= 60


def test_writers_share_the_one_slot_pool(parsed):
    """DuckDB, Feast's registry and the model registry take one writer at a time."""
    pools = {name: task[3] for dag in parsed["dags"].values() for name, task in dag["tasks"].items()}
    writers = {"land", "transform", "validate", "materialize", "training_set", "promote", "ramp", "roll_back"}
    assert {name for name, pool in pools.items() if pool == "warehouse"} == writers


def test_the_asset_is_emitted_last_and_only_there(parsed):
    """A day that fails before `materialize` never starts a retrain, since no other task emits the asset."""
    tasks = {name: (task[4], task[5]) for dag in parsed["dags"].values() for name, task in dag["tasks"].items()}
    assert {name: outlets for name, (outlets, _) in tasks.items() if outlets} == {"materialize": ["features"], "alarm": ["rolled_back"]}
    assert tasks["materialize"][1] == tasks["alarm"][1] == []
    order = ["land", "transform", "validate", "materialize"]
    assert all(tasks[a][1] == [b] for a, b in pairwise(order))


def test_docs_end_with_triage_notes(parsed):
    """The person on call reads what failing means, who is affected, and whether a rerun is safe."""
    for dag in parsed["dags"].values():
        triage = dag["doc"].split("### Triage")[1]
        for question in ("What a failure means", "Who is affected", "Is a rerun safe"):
            assert question in triage


def test_a_person_is_asked_between_look_and_ramp_where_the_settings_say_so(parsed, tmp_path):
    """`experiment.approval`: look, approve, ramp; by default look, ramp."""
    asks = parse(tmp_path, "1", RIGHTMATCH_EXPERIMENT__APPROVAL="true")
    assert asks["errors"] == {}
    order = {name: task[5] for name, task in asks["dags"]["experiment"]["tasks"].items()}
    assert order == {"look": ["approve"], "approve": ["ramp"], "ramp": []}
    assert {name: task[5] for name, task in parsed["dags"]["experiment"]["tasks"].items()} == {"look": ["ramp"], "ramp": []}


def test_the_deadline_of_an_incident_is_that_of_the_settings(parsed, tmp_path):
    """`experiment.looked_within_hours`, 4 by default."""
    soon = parse(tmp_path, "1", RIGHTMATCH_EXPERIMENT__LOOKED_WITHIN_HOURS="0.5")
    for dags, seconds in ((parsed["dags"], 14400.0), (soon["dags"], 1800.0)):
        (deadline,) = dags["incident"]["serialized"]["dag"]["deadline"]
        assert f'"__data__": {seconds}' in json.dumps(deadline["interval"])
        assert "training.steps.overdue.tell" in json.dumps(deadline["callback"])


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
def test_files_are_short_declarations(file):
    """At most 80 lines, no clock and no branch."""
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    for word in ("now(", "lambda", "    if ", "import os"):
        assert word not in text
