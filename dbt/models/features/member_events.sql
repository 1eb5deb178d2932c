{{ config(materialized='table') }}

with activity as (

    select
        member_id,
        kind as event,
        occurred_at,
        landed_on
    from {{ ref('stg_activity') }}

),

cancellations as (

    select
        member_id,
        kind as event,
        occurred_at,
        landed_on
    from {{ ref('stg_subscriptions') }}
    where kind = 'cancelled'

),

own as (

    select * from activity
    union all
    select * from cancellations

)

select
    member_id,
    event,
    cast(occurred_at as date) as occurred_on,
    greatest(landed_on, cast(occurred_at as date)) as known_on,
    count(*) as events,
    max(occurred_at) as last_at
from own
group by 1, 2, 3, 4

union all

select
    member_id,
    event,
    occurred_on,
    known_on,
    sum(events) as events,
    cast(null as timestamp) as last_at
from {{ ref('decision_events') }}
where event in ('message', 'click', 'dismiss')
group by 1, 2, 3, 4
