"""What ended workers counted: nothing of it is lost, and it takes one file however many ended."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from serving import archive, learner_status, probes, supervisor
from serving.archive import fold, still
from training.config.settings import ROOT

COUNT = """
import os, sys
from prometheus_client import CollectorRegistry
from serving import supervisor
from serving.metrics import Metrics

counted = Metrics(CollectorRegistry())
ended = []
for i in range(8):
    child = os.fork()
    if not child:
        for seconds in (0.001, 0.3, 9.0):
            counted.stage("log", seconds)
        counted.request("/v1/decisions", 200, 0.01 * i)
        counted._by_arm.add(f"arm{i % 3}")
        counted.lag(1.0)
        counted.shown(type("World", (), {"champion": None, "groups": type("Groups", (), {"challenger": None, "holdback": None,
            "split": type("Split", (), {"stages": ()})})}))
        counted.flush()
        os._exit(0)
    os.waitpid(child, 0)
    ended.append(child)

def told():
    gauges = ("#", "rightmatch_model", "rightmatch_posterior", "rightmatch_experiment")
    return {line for line in counted.text().decode().splitlines() if not line.startswith(gauges)}

before = told()
for child in ended:
    supervisor._forget(child)
assert told() == before, told() ^ before
assert 'rightmatch_stage_seconds_count{stage="log"} 24.0' in before
left = sorted(os.listdir(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
ours = f"_{os.getpid()}.db"
assert [name for name in left if not name.endswith(ours)] == ["counter_0.db", "histogram_0.db"], left
"""


def test_what_ended_workers_counted_stays_in_one_file_a_kind(tmp_path):
    """Eight of them, with counters, histograms and gauges: the text is the same before and after."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", COUNT], env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stderr


def _gone():
    """A process that has ended."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_a_scrape_under_way_reads_each_number_once(tmp_path, monkeypatch):
    """What it reads is left alone, and folded the next time."""
    monkeypatch.setattr(archive, "TRIES", 2)
    file = tmp_path / f"counter_{_gone()}.db"
    file.write_bytes(archive._written({'["a", "a_total", {}, "A"]': 2.0}))
    with still(tmp_path):
        assert not fold(tmp_path)
        assert file.exists()
    for _ in range(2):
        assert fold(tmp_path)
        assert {each.name: archive._read(each) for each in tmp_path.iterdir()} == {"counter_0.db": {'["a", "a_total", {}, "A"]': 2.0}}


@pytest.mark.parametrize("content", [b"", bytes(65_536), b"\xff" * 100])
def test_a_file_that_was_never_begun_is_dropped(tmp_path, content):
    """Its process was killed as it made it, and each scrape would stumble over it."""
    (tmp_path / f"histogram_{_gone()}.db").write_bytes(content)
    (tmp_path / f"counter_{os.getpid()}.db").write_bytes(archive._written({"mine": 1.0}))
    assert fold(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"counter_{os.getpid()}.db", "histogram_0.db"]


def test_a_disk_that_takes_no_archive_ends_nothing(tmp_path, monkeypatch, capfd):
    """It is told, and what was counted stays where it is."""
    monkeypatch.setenv(supervisor.MULTIPROCESS, str(tmp_path))
    file = tmp_path / f"counter_{_gone()}.db"
    file.write_bytes(archive._written({"theirs": 1.0}))
    (tmp_path / "counter_0.new").mkdir()  # where it would be written
    supervisor._forget(1)
    assert file.exists()
    assert '"part": "metrics"' in capfd.readouterr().err.replace('":"', '": "')


def test_metrics_are_made_off_the_loop(tmp_path, monkeypatch):
    """It goes on answering meanwhile, however many files there are."""
    monkeypatch.setattr(learner_status, "behind", lambda *_: None)
    threads = []
    counted = SimpleNamespace(lag=lambda _: None, text=lambda: threads.append(threading.get_ident()) or b"text")
    core = cast("Any", SimpleNamespace(settings=SimpleNamespace(posterior=tmp_path), wall=lambda: None, metrics=counted))
    answer = asyncio.run(probes.metrics(core, cast("Any", None)))
    assert (answer.body, threads == [threading.get_ident()]) == (b"text", False)
