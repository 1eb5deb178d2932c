"""The ledger's experiments: one at a time, each change once, whole or not at all."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from training.adapters.experiments import SqlExperiments
from training.domain.errors import ConflictError
from training.domain.experiment import Cause, Change, Experiment, State

DAY, AT = date(2026, 3, 1), datetime(2026, 3, 1, 6, tzinfo=UTC)
OPENED = Experiment("e1", "2", "1", State.RUNNING, (0.1,), ((DAY, 0.1),), 0.05, AT, AT, "opened")
PROMOTED = OPENED.ended(State.PROMOTED, AT + timedelta(40), "passed")
CHANGE = Change("1", "2", Cause.EXPERIMENT, "run", AT, "passed", "e1")


@pytest.fixture
def experiments(tmp_path):
    """An empty ledger."""
    return SqlExperiments(f"sqlite:///{tmp_path}/new/ledger.db")


def test_an_experiment_comes_back_whole_with_its_events(experiments):
    """Ramp, stages, instants and all; reading an absent ledger makes none."""
    assert (experiments.all(), experiments.running(), experiments.changes()) == ([], None, [])
    experiments.open(OPENED, "run", "2026-02-28")
    assert (experiments.all(), experiments.running()) == ([OPENED], OPENED)
    experiments.move(PROMOTED, "run", "2026-04-10", CHANGE)
    assert (experiments.all(), experiments.running(), experiments.changes()) == ([PROMOTED], None, [CHANGE])
    assert [(e.revision, e.key, e.state, e.stage, e.by) for e in experiments.events("e1")] == [
        (0, "2026-02-28", State.RUNNING, 1, "run"),
        (1, "2026-04-10", State.PROMOTED, 1, "run"),
    ]


def test_one_runs_at_a_time(experiments):
    """Another one may begin when it is over, the same one never again."""
    experiments.open(OPENED, "run")
    with pytest.raises(ConflictError, match="another one runs"):
        experiments.open(replace(OPENED, experiment_id="e2"), "run")
    experiments.move(OPENED.ended(State.STOPPED, AT, "by hand"), "me")
    experiments.open(replace(OPENED, experiment_id="e2"), "run")
    with pytest.raises(ConflictError, match="opened before"):
        experiments.open(OPENED, "run")


def test_of_two_at_once_one_promotes(experiments):
    """Whoever comes second is told, and neither its change nor its effect happens."""
    experiments.open(OPENED, "run")
    moved = []

    def promote(by):
        try:
            experiments.move(PROMOTED, by, "2026-04-10", CHANGE, lambda: moved.append(by))
        except ConflictError:
            return None
        return by

    with ThreadPoolExecutor(8) as pool:
        done = [by for by in pool.map(promote, [f"run{i}" for i in range(8)]) if by]
    assert len(done) == 1
    assert (moved, len(experiments.changes()), len(experiments.events("e1"))) == (done, 1, 2)


def test_a_day_changes_an_experiment_once(experiments):
    """A look that is run again after its stage began does not begin the next one too."""
    three = replace(OPENED, ramp=(0.1, 0.2, 0.3))
    experiments.open(three, "run")
    second = three.advanced(DAY + timedelta(30), AT, "passed")
    experiments.move(second, "run", "2026-03-30")
    with pytest.raises(ConflictError, match="has changed experiment e1 already"):
        experiments.move(second.advanced(DAY + timedelta(31), AT, "passed"), "run", "2026-03-30")
    assert experiments.running() == second


def test_what_fails_half_way_did_not_happen(experiments):
    """The alias could not be moved: neither state nor change is recorded."""
    experiments.open(OPENED, "run")
    with pytest.raises(OSError, match="registry"):
        experiments.move(PROMOTED, "run", "2026-04-10", CHANGE, lambda: (_ for _ in ()).throw(OSError("registry")))
    assert (experiments.running(), experiments.changes()) == (OPENED, [])
