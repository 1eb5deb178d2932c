with landed as (

    select
        cast(event_id as varchar) as event_id,
        cast(member_id as varchar) as member_id,
        cast(product_id as varchar) as product_id,
        cast(kind as varchar) as kind,
        {{ utc('occurred_at') }} as occurred_at,
        cast(day as date) as landed_on,
        row_number() over (partition by event_id order by cast(day as date)) as landing
    from {{ source('raw', 'subscriptions') }}
    where cast(day as date) <= {{ run_day() }}

)

select
    event_id,
    member_id,
    product_id,
    kind,
    occurred_at,
    landed_on
from landed
where landing = 1
