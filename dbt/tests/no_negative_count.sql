-- Detects running counts that went below zero: an event would have left its window without ever having entered it.
select
    member_id,
    day
from {{ ref('member_features') }}
where
    least(
        visits_7d, visits_28d, jobs_28d, hiring_28d, business_28d, selling_28d, jobs_365d, hiring_365d, business_365d, selling_365d,
        purchases_365d, active_products, cancellations_365d, messages_7d, messages_28d, clicks_28d, dismissals_28d, tenure_days
    ) < 0
