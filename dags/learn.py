"""What came into the decision log becomes the champion's next posterior and the members' recent features: learn, every ten minutes.

Only for where no service runs with a learner of its own (`rightmatch serve`), which does the same some times a second: while one does, a run finds it at
work and ends green. Paused until somebody wants it.

### Triage
- **What a failure means.** `learn`: the champion's folder cannot be read or does not say as of when it was trained, or the decision log cannot be reached.
- **Who is affected.** Members are decided on with the last posterior that was published, and with counts of messages as of then. Nothing is lost: the next
  run takes in what this one left.
- **Is a rerun safe?** Yes: each answer is counted once, by its decision.
"""

from __future__ import annotations

from _tasks import EVERY, often, step
from airflow.sdk import DAG

with DAG(
    "learn",
    description="Outcomes to posteriors between two retrains",
    doc_md=__doc__,
    schedule=often(),
    tags=["rightmatch", "model"],
    **EVERY,
):
    step("learn")
