"""Raw day files become online features of that day: land, transform (dbt), validate (Great Expectations), materialize (Feast).

One run is one `day`; the features know what had happened and landed before the next midnight UTC. Days that are missing before it, and days
whose files changed, are built with it. Any day may be run again, or backfilled (`airflow backfill create --dag-id features ...`): the same
files give the same result, and later days stay.

### Triage
- **What a failure means.** `land`: raw files break the table contract, nothing of the batch was landed (the log names row and column).
  `transform`: a data test failed (the log names it with its rows), or a model (dbt's own message). `validate`: a critical expectation
  failed; the log names expectation, column, count and sample values, and Data Docs show them. `materialize`: the online store could not be written.
- **Who is affected.** Nobody at once: members are served the features and the model of the last good day until `feature_ttl_days` is over.
- **A skipped run.** No file of its day had landed when the schedule asked; the first run after the files builds every day that is missing.
  Only `validate` publishes, and a day that it rejects is looked at again by the next run: correct it, or the next days stop there too.
- **Is a rerun safe?** Yes, each task. After wrong rows (`land`, a data test, `validate`) correct the files and run from `land`: these are not
  retried, because the same rows fail again.
"""

from __future__ import annotations

from _tasks import EVERY, FEATURES, WAREHOUSE, daily, step
from airflow.sdk import DAG

with DAG(
    "features",
    description="Raw events to online features, one day a run",
    doc_md=__doc__,
    schedule=daily(),
    tags=["rightmatch", "features"],
    **EVERY,
):
    land = step("land", pool=WAREHOUSE)
    transform = step("transform", pool=WAREHOUSE)
    validate = step("validate", pool=WAREHOUSE)
    materialize = step("materialize", pool=WAREHOUSE, outlets=[FEATURES])

    land >> transform >> validate >> materialize
