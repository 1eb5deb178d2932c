"""States of a live experiment: what is legal, and nothing else."""

from datetime import UTC, date, datetime, timedelta

import pytest

from training.domain.errors import ConflictError
from training.domain.experiment import LEGAL, Experiment, State

DAY, AT = date(2026, 3, 1), datetime(2026, 3, 1, 6, tzinfo=UTC)
OPENED = Experiment("e1", "2", "1", State.RUNNING, (0.1, 0.5), ((DAY, 0.1),), 0.05, AT, AT, "opened")


def test_a_ramp_goes_stage_by_stage_and_ends_in_a_promotion():
    """Each change counts one revision."""
    second = OPENED.advanced(DAY + timedelta(30), AT, "passed")
    assert (second.stages, second.last, second.revision) == (((DAY, 0.1), (DAY + timedelta(30), 0.5)), True, 1)
    promoted = second.ended(State.PROMOTED, AT, "passed")
    assert (promoted.state, promoted.running, promoted.revision) == (State.PROMOTED, False, 2)
    assert promoted.ended(State.ROLLED_BACK, AT, "harm").state is State.ROLLED_BACK


def test_no_stage_is_left_out():
    """Only the last stage can promote; nothing comes after it but that; a stage begins after the one before."""
    with pytest.raises(ConflictError, match="stage 1 of 2 cannot become promoted"):
        OPENED.ended(State.PROMOTED, AT, "")
    with pytest.raises(ConflictError, match="cannot go past stage 1 of 2 on 2026-03-01"):
        OPENED.advanced(DAY, AT, "")
    with pytest.raises(ConflictError, match="cannot go past stage 2 of 2"):
        OPENED.advanced(DAY + timedelta(1), AT, "").advanced(DAY + timedelta(2), AT, "")


@pytest.mark.parametrize("state", [s for s in State if s not in {State.RUNNING, State.PROMOTED}])
def test_what_is_over_stays_so(state):
    """From an end nothing leads anywhere."""
    over = OPENED.ended(State.REJECTED, AT, "") if state is State.REJECTED else OPENED.ended(State.STOPPED, AT, "")
    with pytest.raises(ConflictError, match="nothing leads to"):
        over.ended(state, AT, "")
    assert not LEGAL[state]
