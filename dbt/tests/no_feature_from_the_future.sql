-- Detects a feature row that says to be known before its day has ended, or that knows a sign-up or an activity after its event time.
select
    member_id,
    day
from {{ ref('member_features') }}
where
    event_timestamp <> cast(cast(day + 1 as timestamp) as timestamptz)
    or created_timestamp < event_timestamp
    or days_since_active < 0
    or days_since_purchase < 0
