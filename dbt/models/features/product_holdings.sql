{#
  A started or renewed event holds its product from the first day on which it is known until a later event of the same member and
  product is known, whatever order they land in.
#}

with events as (

    select
        *,
        greatest(landed_on, cast(occurred_at as date)) as held_from
    from {{ ref('stg_subscriptions') }}

),

spans as (

    select
        *,
        min(held_from) over (
            partition by member_id, product_id
            order by occurred_at, event_id
            rows between 1 following and unbounded following
        ) as held_until
    from events

)

select
    event_id,
    member_id,
    product_id,
    held_from,
    held_until
from spans
where kind in ('started', 'renewed') and (held_until is null or held_until > held_from)
