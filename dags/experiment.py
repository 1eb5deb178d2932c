"""The live experiment is looked at with the day's mature outcomes, and what the look says is done: look, (approve), ramp.

Starts when `features` has materialized a day. Without an experiment both tasks are green and say so. PROMOTE opens the next stage from the first
midnight ahead, or after the last stage puts the challenger in charge; REJECT ends the experiment; HOLD does nothing, unless members are not split as
planned, which stops it. With `experiment.approval` a person is asked before a PROMOTE is acted on (*Required Actions* in this UI); no answer within 20
hours is no, and the next look asks again.

### Triage
- **What a failure means.** `look`: the marts do not reach the day, or the ledger could not be written. `ramp`: the day was not looked at, the registry was
  not reachable, or another run changed the experiment at the same moment (the retry finds what it did).
- **Who is affected.** Nobody at once: the experiment stays at its stage, and members get what they got yesterday. Harm is watched by `guard` as well.
- **Is a rerun safe?** Yes, each task: a day's look replaces its row, and a day changes an experiment once. What a killed `ramp` left half done, a rerun
  completes. More: docs/runbook.md.
"""

from __future__ import annotations

from _live import approval
from _tasks import EVERY, FEATURES, WAREHOUSE, step
from airflow.sdk import DAG

with DAG(
    "experiment",
    description="Look at the live experiment, and ramp it up, promote or end it",
    doc_md=__doc__,
    schedule=[FEATURES],
    tags=["rightmatch", "live"],
    **EVERY,
):
    look = step("look")
    ramp = step("ramp", pool=WAREHOUSE, trigger_rule="none_failed")

    approval(look) >> ramp
