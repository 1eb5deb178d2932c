"""The champion is watched against the long-term holdback; where it does harm beyond the margin, the anchor is put in charge again: watch, roll_back, alarm.

Starts when `features` has materialized a day. Before the first promotion there is nothing to watch, and the run says so. A roll-back is a green run;
`alarm` then emits the asset `rolled_back`, which starts `incident`, once for each roll-back, also for one whose run was stopped before its alarm or which
somebody else completed. Where there is nothing to tell of, it is skipped.

### Triage
- **What a failure means.** `watch`: the marts do not reach the day, or the ledger could not be written. `roll_back`: the registry was not reachable, or
  another run changed the champion at the same moment (the retry finds what it did).
- **Who is affected.** Members of the champion, if it does harm: until this run is green nobody looks. By hand: `rightmatch rollback`.
- **Is a rerun safe?** Yes, each task: a rerun reports the same roll-back and makes no other. A verdict from before the last change of the champion does
  nothing, so it overrules no person. What a killed `roll_back` left half done, a rerun completes. More: docs/runbook.md.
"""

from __future__ import annotations

from _live import alarm
from _tasks import EVERY, FEATURES, WAREHOUSE, step
from airflow.sdk import DAG

with DAG(
    "guard",
    description="Watch the champion against the holdback, and roll it back where it does harm",
    doc_md=__doc__,
    schedule=[FEATURES],
    tags=["rightmatch", "live"],
    **EVERY,
):
    watch = step("watch")
    roll_back = step("roll_back", pool=WAREHOUSE, priority_weight=10)

    watch >> roll_back
    alarm(roll_back)
