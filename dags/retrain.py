"""New features become a challenger, the challenger is judged, and the judgement is kept: training_set, train, evaluate, judge, promote.

Starts when `features` has materialized a day and learns for that day (the newest, where several days came in at once).
A refused promotion is a green run: PROMOTE, REJECT and HOLD are all written to the ledger with their evidence and to a report.

### Triage
- **What a failure means.** `training_set`: the day's features are not published, or Feast could not join them. `train`: the optimiser failed, or no
  label is mature yet. `evaluate` or `judge`: the log and the challenger do not fit together. `promote`: the registry was not reachable.
- **Who is affected.** Nobody: the champion in charge stays, and no alias moves before `promote`, which moves one alias at the end.
- **Is a rerun safe?** Yes, each task: a run's files are replaced by its day, its verdict replaces the same row, its version is reused.
"""

from __future__ import annotations

from _tasks import EVERY, FEATURES, WAREHOUSE, step
from airflow.sdk import DAG

with DAG(
    "retrain",
    description="Train a challenger on the log, judge it, promote it or say why not",
    doc_md=__doc__,
    schedule=[FEATURES],
    tags=["rightmatch", "model"],
    **EVERY,
):
    training_set = step("training_set", pool=WAREHOUSE)
    train = step("train")
    evaluate = step("evaluate")
    judge = step("judge")
    promote = step("promote", pool=WAREHOUSE)

    training_set >> train >> evaluate >> judge >> promote
