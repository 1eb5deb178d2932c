"""A champion was rolled back because it did harm: a person acknowledges that (*Required Actions* in this UI). Started by the asset `rolled_back`.

If nobody has within `experiment.looked_within_hours`, Airflow's deadline alert logs it as critical (`training.steps.overdue`; put the company's pager there).

### Triage
- **What a failure means.** `acknowledge` asks and waits; it fails where `rightmatch up` was started anew while it waited.
- **Who is affected.** Nobody any more: the anchor is in charge since the roll-back. Find out why the harm was not seen before the promotion.
- **Is a rerun safe?** Yes: it asks again. What to look at: `rightmatch experiment`, docs/runbook.md.
"""

from __future__ import annotations

from _live import ROLLED_BACK, living
from _tasks import EVERY
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, DeadlineAlert, DeadlineReference, SyncCallback

with DAG(
    "incident",
    description="A person acknowledges a roll-back",
    doc_md=__doc__,
    schedule=[ROLLED_BACK],
    tags=["rightmatch", "live"],
    **EVERY,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=living().looked_within,
        callback=SyncCallback("training.steps.overdue.tell", {"hours": living().looked_within_hours}),
    ),
):
    HITLOperator(
        task_id="acknowledge",
        subject="A champion was rolled back because it did harm",
        body="""{% for events in triggering_asset_events.values() %}{% for event in events %}
{{ event.extra['day'] }}: version {{ event.extra['before'] }} was replaced by version {{ event.extra['after'] }}. {{ event.extra['why'] }}
{% endfor %}{% endfor %}""",
        options=["Acknowledged"],
    )
