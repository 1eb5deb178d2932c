"""How a loop ends: what has failed, what has not ended, and what waits for a person."""

from __future__ import annotations

import pytest

from training.cli.airflow_api import TaskState
from training.cli.airflow_env import prepare_home
from training.cli.run import _refuse_failure
from training.config.settings import Settings
from training.domain.errors import StepError


def loop(**experiment):
    """Tasks of a loop whose `experiment` has these states."""
    return [
        TaskState(dag, "r", task, state, 1.0, 1)
        for dag, some in {"guard": {"watch": "success"}, "experiment": experiment}.items()
        for task, state in some.items()
    ]


@pytest.mark.parametrize(
    ("experiment", "asking", "words"),
    [
        ({"look": "success", "approve": "awaiting_input", "ramp": "waiting"}, {"experiment"}, None),
        ({"look": "success", "approve": "skipped", "ramp": "success"}, set(), None),
        ({"look": "failed", "approve": "awaiting_input"}, {"experiment"}, "experiment.look failed"),
        ({"look": "success", "ramp": "waiting"}, set(), "did not complete"),
    ],
)
def test_a_question_is_no_failure(tmp_path, experiment, asking, words):
    """A loop in which a person is asked completes; one with a failed task, or one that hangs without asking, does not."""
    home = prepare_home(Settings(home=tmp_path))
    if words is None:
        _refuse_failure(home, loop(**experiment), asking)
        return
    with pytest.raises(StepError, match=words):
        _refuse_failure(home, loop(**experiment), asking)
