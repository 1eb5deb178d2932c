"""The import rules of the design hold."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_import_contracts_hold():
    """import-linter, with every module of `training` in a layer."""
    done = subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_python_under_dbt():
    """dbt imports `dbt_*.py` that it finds and breaks on a `dbt/__init__.py`."""
    assert [str(p) for p in (ROOT / "dbt").rglob("*.py")] == []


def test_source_files_stay_small():
    """A file over 300 lines does two things."""
    rooms = ("training", "sources", "dags", "feature_repo")
    long = {str(p.relative_to(ROOT)): n for room in rooms for p in (ROOT / room).rglob("*.py") if (n := len(p.read_text().splitlines())) > 300}
    assert long == {}
