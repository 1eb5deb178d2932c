{{ config(materialized='table') }}

{% set counted = [
    ('impressions_28d', 'impression', 28),
    ('clicks_28d', 'click', 28),
    ('dismissals_28d', 'dismiss', 28),
    ('conversions_28d', 'conversion', 28),
] %}

with recursive {{ feature_days() }},

arms as (

    select
        arm_id,
        product_id,
        creative_id,
        channel_id
    from {{ ref('arms') }}

    union all

    select
        'none' as arm_id,
        null as product_id,
        null as creative_id,
        null as channel_id

),

events as (

    select
        arm_id,
        event,
        occurred_on,
        known_on,
        sum(events) as events
    from {{ ref('decision_events') }}
    where event <> 'message'
    group by arm_id, event, occurred_on, known_on

),

changes as (

    {{ window_changes('events', 'arm_id', counted) }}

),

counts as (

    select
        {% for name, event, span in counted -%}
        sum(case when changes.feature = '{{ name }}' then changes.change else 0 end) as {{ name }},
        {% endfor -%}
        arms.arm_id,
        days.day
    from arms
    cross join days
    left join changes on arms.arm_id = changes.arm_id and days.day >= changes.changed_on
    group by arms.arm_id, days.day

)

select
    counts.arm_id,
    counts.day,
    cast(cast(counts.day + 1 as timestamp) as timestamptz) as event_timestamp,
    cast(cast(counts.day + 1 as timestamp) as timestamptz) as created_timestamp,
    arms.product_id,
    arms.creative_id,
    arms.channel_id,
    cast(counts.impressions_28d as double precision) as impressions_28d,
    cast(counts.clicks_28d as double precision) as clicks_28d,
    cast(counts.dismissals_28d as double precision) as dismissals_28d,
    cast(counts.conversions_28d as double precision) as conversions_28d
from counts
inner join arms on counts.arm_id = arms.arm_id
