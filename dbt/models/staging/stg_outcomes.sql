with landed as (

    select
        cast(outcome_id as varchar) as outcome_id,
        cast(decision_id as varchar) as decision_id,
        cast(kind as varchar) as kind,
        cast(value as double precision) as value,
        {{ utc('occurred_at') }} as occurred_at,
        cast(day as date) as landed_on,
        row_number() over (partition by outcome_id order by cast(day as date)) as landing
    from {{ source('raw', 'outcomes') }}
    where cast(day as date) <= {{ run_day() }}

)

select
    outcome_id,
    decision_id,
    kind,
    value,
    occurred_at,
    landed_on
from landed
where landing = 1
