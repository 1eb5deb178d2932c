"""Same seed, same bytes; and a world that is extended is the world that ran through."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice

import pytest

from sources.simulated.__main__ import generate
from sources.simulated.world import build_world, save_world
from tests.sources.simulated.conftest import ROOT, SEEDS, START
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError
from training.domain.schema import RAW


def contents(folder):
    """File name -> bytes of every Parquet file below."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*.parquet"))}


@pytest.fixture(name="whole", scope="module")
def _whole(write, tmp_path_factory):
    """200 members and 17 days without a break."""
    return write(tmp_path_factory.mktemp("whole"), 200, 17, 5)


def test_the_same_seed_gives_the_same_bytes(write, whole, tmp_path):
    """Inbox and truth, file by file; another seed gives another world."""
    again, other = write(tmp_path / "a", 200, 17, 5), write(tmp_path / "b", 200, 17, 6)
    assert len(contents(whole.inbox)) == 17 * len(RAW)
    assert contents(again.inbox) == contents(whole.inbox)
    assert contents(again.truth) == contents(whole.truth)
    assert contents(other.inbox) != contents(whole.inbox)


def test_more_days_extend_the_same_world(write, whole, tmp_path):
    """4 days, then 10, then 17 are the 17 days of an uninterrupted run, byte for byte, and what was there is not touched."""
    write(tmp_path, 200, 4, 5)
    kept = {f: f.stat().st_mtime_ns for f in (tmp_path / "inbox").rglob("*.parquet")}
    write(tmp_path, 200, 10, 5)
    last = write(tmp_path, 200, 17, 5)
    assert contents(last.inbox) == contents(whole.inbox)
    assert contents(last.truth) == contents(whole.truth)
    assert all(f.stat().st_mtime_ns == at for f, at in kept.items())


def test_a_run_that_is_cut_off_is_completed_by_the_next(write, whole, tmp_path):
    """Stopped after day 9 without its state, and with a file of day 3 lost: the next run gives the same bytes."""
    world = build_world(5, 200, START, load_catalog(SEEDS))
    save_world(world, tmp_path / "truth", SEEDS)
    list(islice(generate(world, 17, tmp_path / "inbox", tmp_path / "truth"), 9))
    (tmp_path / "inbox" / "outcomes" / "day=2026-01-08" / "part.parquet").unlink()
    assert contents(write(tmp_path, 200, 17, 5).inbox) == contents(whole.inbox)


def test_another_world_in_the_same_folder_is_refused(write, whole):
    """Two worlds in one history cannot be told apart afterwards."""
    with pytest.raises(ConfigError, match="another world"):
        write(whole.truth.parent, 201, 17, 5)


def test_the_command_reports_days_and_rows_and_refuses_an_empty_world(tmp_path):
    """The last line is the runner's JSON; unusable arguments end in words, not in a traceback."""
    command = [sys.executable, "-m", "sources.simulated", "--out", tmp_path / "inbox", "--truth", tmp_path / "truth", "--catalog", SEEDS, "--members", "50"]
    done = subprocess.run([*map(str, command), "--days", "3"], cwd=ROOT, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["first_day"], said["last_day"]) == ("2026-01-05", "2026-01-07")
    assert set(said["rows"]) == set(RAW)
    refused = subprocess.run([*map(str, command), "--days", "0"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "is empty" in refused.stderr
    assert "Traceback" not in refused.stderr
