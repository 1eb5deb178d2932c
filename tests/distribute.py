"""Which tests one worker of pytest-xdist takes together, and which units come first.

A file is one unit of work, because its tests share fixtures; files that share a costly one are a unit together. The longest units come first, so that no worker
is left with one at the end. (`--dist loadgroup` of pytest-xdist 3.8 does nothing under pytest 9.2, which no longer looks at the name that it gives a test.)
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "dbt": ("tests/dbt/test_days.py", "tests/dbt/test_corrections.py", "tests/dbt/test_postgres_server.py"),
    "world": (
        "tests/bench/world/test_loop.py",
        "tests/bench/world/test_drift.py",
        "tests/bench/world/test_warehouse.py",
        "tests/bench/world/test_linear.py",
    ),
    "service": (
        *("tests/serving/test_service.py", "tests/serving/test_fuzz.py", "tests/serving/test_openapi.py"),
        *("tests/serving/test_personalizer.py", "tests/serving/test_heads.py", "tests/serving/test_bodies.py"),
    ),
}
"""Files that share a costly fixture of the session: a world with its marts, a benchmark's world, a running service."""
FIRST = (
    "tests/dags/test_loop.py",
    "dbt",
    "world",
    "tests/training/test_promotion.py",
    "service",
    "tests/training/model/test_parallel.py",
    "tests/bench/coldstart/test_run.py",
    "tests/training/adapters/test_gate_days.py",
    "tests/dags/test_incident.py",
    "tests/serving/test_soak.py",
    "tests/training/steps/test_killed_changes.py",
    "tests/serving/test_kills.py",
    "tests/training/adapters/test_dbt_warehouse.py",
    "tests/bench/train/test_measure.py",
    "tests/infra/test_promotions_plugin.py",
    "tests/dbt/test_postgres.py",
    "tests/serving/test_groups.py",
    "tests/training/adapters/test_feast_push.py",
    "tests/serving/test_rollback.py",
    "tests/training/steps/test_evaluate.py",
    "tests/serving/test_swaps.py",
    "tests/serving/test_clock_jumps.py",
    "tests/serving/test_disk.py",
    "tests/serving/test_slow.py",
)
"""By the processor time that they take: 15 s and more."""
_UNIT = {file: name for name, files in TOGETHER.items() for file in files}


def unit(nodeid: str) -> str:
    """The unit of work of a test."""
    file = nodeid.split("::", 1)[0]
    return _UNIT.get(file, file)


def place(nodeid: str) -> int:
    """Where its unit stands."""
    name = unit(nodeid)
    return FIRST.index(name) if name in FIRST else len(FIRST)


class ByUnit(LoadScopeScheduling):
    """Units go, in their order, to whichever worker has nothing left."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Instead of the one that `--dist` names."""
    config.option.loadscopereorder = False
    return ByUnit(config, log)


def pytest_collection_modifyitems(config, items):
    """On a worker; tests that run in one process keep the order of their files."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place(item.nodeid))
