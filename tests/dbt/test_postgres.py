"""The SQL of the `cluster` target. No server runs here: each model is rendered as dbt renders it for Postgres, and parsed in that dialect.

Not covered: what only a server knows (types of expressions, speed), dbt's own incremental statements, and generic tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jinja2
import pytest
import sqlfluff
import yaml

from training.adapters.dbt_warehouse import PROJECT

MODELS = sorted((PROJECT / "models").rglob("*.sql")) + sorted((PROJECT / "tests").glob("*.sql"))
VARS = yaml.safe_load((PROJECT / "dbt_project.yml").read_text(encoding="utf-8"))["vars"]


def rendered(file: Path, *, incremental: bool) -> str:
    """The SQL of one file: macros and model as one template, dispatched to the default (Postgres) implementations."""
    macros = "".join(f.read_text(encoding="utf-8") for f in sorted((PROJECT / "macros").glob("*.sql")))

    @jinja2.pass_context
    def dispatch(context, name, project):
        return context.vars[f"default__{name}"]

    names = {
        "adapter": SimpleNamespace(dispatch=dispatch),
        "return": lambda value: value,
        "config": lambda **_: "",
        "ref": lambda name: f'"rightmatch"."{name}"',
        "source": lambda schema, name: f'"{schema}"."{name}"',
        "this": '"rightmatch"."this_model"',
        "var": VARS.__getitem__,
        "env_var": lambda _, default: default,
        "execute": True,
        "is_incremental": lambda: incremental,
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - SQL, not HTML
    return environment.from_string(macros + file.read_text(encoding="utf-8")).render(names).strip()


@pytest.mark.parametrize("incremental", [False, True], ids=["first", "later"])
@pytest.mark.parametrize("file", MODELS, ids=lambda f: f.stem)
def test_each_model_and_singular_test_is_postgres_sql(file, incremental):
    """The first run's SQL and a later run's parse; nothing that only DuckDB knows is left."""
    sql = rendered(file, incremental=incremental)
    sqlfluff.parse(sql, dialect="postgres")
    assert not [word for word in ("list_sum", "list_contains", "read_parquet", " exclude ", " qualify ") if word in sql.lower()]


@pytest.mark.parametrize("target", ["local", "cluster"])
def test_the_project_parses_without_any_setting(tmp_path, target):
    """`dbt parse` needs no variable, no server and no data, for either target."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RIGHTMATCH_")}
    where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(tmp_path), "--log-path", str(tmp_path)]
    command = [sys.executable, "-P", "-m", "dbt.cli.main", "--quiet", "parse", "--target", target, *where]
    done = subprocess.run(command, env=env, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
