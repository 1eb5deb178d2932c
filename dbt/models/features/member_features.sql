{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='day',
    on_schema_change='fail',
    pre_hook='{{ forget_days() }}'
) }}

{% set counted = [
    ('visits_7d', 'visit', 7),
    ('visits_28d', 'visit', 28),
    ('jobs_28d', 'jobs', 28),
    ('hiring_28d', 'hiring', 28),
    ('business_28d', 'business', 28),
    ('selling_28d', 'selling', 28),
    ('jobs_365d', 'jobs', 365),
    ('hiring_365d', 'hiring', 365),
    ('business_365d', 'business', 365),
    ('selling_365d', 'selling', 365),
    ('purchases_365d', 'purchase', 365),
    ('cancellations_365d', 'cancelled', 365),
    ('messages_7d', 'message', 7),
    ('messages_28d', 'message', 28),
    ('clicks_28d', 'click', 28),
    ('dismissals_28d', 'dismiss', 28),
] %}
{% set summed = counted | map(attribute=0) | list + ['active_products'] %}

with recursive {{ feature_days() }},

member_days as (

    select
        days.day,
        versions.*
    from {{ ref('member_versions') }} as versions
    inner join days
        on
            versions.known_from <= days.day
            and (versions.known_until is null or versions.known_until > days.day)

),

changes as (

    {{ window_changes(ref('member_events'), 'member_id', counted) }}

    union all

    select
        member_id,
        'active_products' as feature,
        held_from as changed_on,
        1 as change
    from {{ ref('product_holdings') }}

    union all

    select
        member_id,
        'active_products' as feature,
        held_until as changed_on,
        -1 as change
    from {{ ref('product_holdings') }}
    where held_until is not null

),

-- One row a member and day that is built or changes something; what happened before the first built day is placed on it.
placed as (

    select
        changes.member_id,
        greatest(changes.changed_on, bounds.first_day) as day,
        changes.feature,
        changes.change,
        cast(null as timestamp) as active_at,
        cast(null as timestamp) as purchased_at
    from changes
    cross join bounds
    where changes.changed_on <= bounds.last_day

    union all

    select
        events.member_id,
        greatest(events.known_on, bounds.first_day) as day,
        null as feature,
        0 as change,
        events.last_at as active_at,
        case when events.event = 'purchase' then events.last_at end as purchased_at
    from {{ ref('member_events') }} as events
    cross join bounds
    where events.event not in ('cancelled', 'message', 'click', 'dismiss') and events.known_on <= bounds.last_day

    union all

    select
        member_id,
        day,
        null as feature,
        0 as change,
        cast(null as timestamp) as active_at,
        cast(null as timestamp) as purchased_at
    from member_days

),

daily as (

    select
        member_id,
        day,
        {% for name in summed -%}
        cast(sum(case when feature = '{{ name }}' then change else 0 end) as double precision) as {{ name }},
        {% endfor -%}
        max(active_at) as active_at,
        max(purchased_at) as purchased_at
    from placed
    group by 1, 2

),

running as (

    select
        member_id,
        day,
        {% for name in summed -%}
        sum({{ name }}) over until_day as {{ name }},
        {% endfor -%}
        max(active_at) over until_day as active_at,
        max(purchased_at) over until_day as purchased_at
    from daily
    window until_day as (partition by member_id order by day rows between unbounded preceding and current row)

),

joined as (

    select
        member_days.*,
        cast(member_days.day + 1 as timestamp) as event_time,
        {% for name in summed -%}
        running.{{ name }},
        {% endfor -%}
        running.active_at,
        running.purchased_at
    from member_days
    inner join running on member_days.member_id = running.member_id and member_days.day = running.day

)

select
    member_id,
    day,
    cast(event_time as timestamptz) as event_timestamp,
    cast(event_time as timestamptz) as created_timestamp,
    country,
    region,
    industry,
    seniority,
    interest,
    acquisition_channel,
    {{ days_between('signup_at', 'event_time') }} as tenure_days,
    lifetime_value,
    cast(visits_7d as double precision) as visits_7d,
    cast(visits_28d as double precision) as visits_28d,
    {{ days_between('active_at', 'event_time') }} as days_since_active,
    cast(jobs_28d as double precision) as jobs_28d,
    cast(hiring_28d as double precision) as hiring_28d,
    cast(business_28d as double precision) as business_28d,
    cast(selling_28d as double precision) as selling_28d,
    cast(jobs_365d as double precision) as jobs_365d,
    cast(hiring_365d as double precision) as hiring_365d,
    cast(business_365d as double precision) as business_365d,
    cast(selling_365d as double precision) as selling_365d,
    cast(purchases_365d as double precision) as purchases_365d,
    {{ days_between('purchased_at', 'event_time') }} as days_since_purchase,
    cast(active_products as double precision) as active_products,
    cast(cancellations_365d as double precision) as cancellations_365d,
    cast(messages_7d as double precision) as messages_7d,
    cast(messages_28d as double precision) as messages_28d,
    cast(clicks_28d as double precision) as clicks_28d,
    cast(dismissals_28d as double precision) as dismissals_28d,
    consents
from joined
