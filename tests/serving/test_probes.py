"""What the probes say of a learner that has gone."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from serving import learner_status
from serving.learner_status import STATUS, Status, behind

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_a_learner_that_says_nothing_any_more_falls_behind(tmp_path):
    """Its last words were that nothing waits."""
    assert behind(tmp_path, AT) is None
    learner_status.write(tmp_path, Status(AT.isoformat(), "1", 3, {"1": 3}, 0.5, 0, 0, 0, 0, 0, ""))
    os.utime(tmp_path / STATUS, (AT.timestamp() - 100, AT.timestamp() - 100))
    assert behind(tmp_path, AT) == 100.5
