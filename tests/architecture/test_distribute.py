"""How tests are shared out to workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.distribute import FIRST, TOGETHER, place, unit

ROOT = Path(__file__).parents[2]
FILE = """
import os, pathlib, pytest, time

@pytest.fixture(scope="module", autouse=True)
def costly():
    with (pathlib.Path(__file__).parent / "made").open("a") as file:
        print(pathlib.Path(__file__).stem, file=file)

@pytest.mark.parametrize("i", range(4))
def test_it(i):
    time.sleep(0.05)
"""


def test_every_file_that_is_named_is_there():
    """A file that was renamed would be shared out like any other."""
    files = {file for files in TOGETHER.values() for file in files}
    assert all((ROOT / file).is_file() for file in files | (set(FIRST) - set(TOGETHER)))
    assert unit("tests/serving/test_fuzz.py::test_a") == unit("tests/serving/test_service.py::test_b[x::y]") == "service"
    assert place("tests/dags/test_loop.py::test_a") < place("tests/dbt/test_days.py::test_b") < place("tests/training/test_live.py::test_c")


def test_a_fixture_of_a_file_is_made_once(tmp_path):
    """By whichever of two workers takes the file: else the costliest ones would be made twice."""
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(FILE)
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert "8 passed" in done.stdout, done.stdout + done.stderr
    assert sorted((tmp_path / "made").read_text().split()) == ["test_a", "test_b"]
