with decisions as (

    select * from {{ ref('stg_decisions') }}

),

outcomes as (

    select * from {{ ref('stg_outcomes') }}

),

messages as (

    select
        member_id,
        chosen_arm as arm_id,
        'message' as event,
        decided_at as occurred_at,
        landed_on
    from decisions
    where chosen_arm <> 'none'

),

answers as (

    select
        decisions.member_id,
        decisions.chosen_arm as arm_id,
        outcomes.kind as event,
        outcomes.occurred_at,
        greatest(outcomes.landed_on, decisions.landed_on) as landed_on
    from outcomes
    inner join decisions on outcomes.decision_id = decisions.decision_id

),

events as (

    select * from messages
    union all
    select * from answers

)

select
    member_id,
    arm_id,
    event,
    cast(occurred_at as date) as occurred_on,
    greatest(landed_on, cast(occurred_at as date)) as known_on,
    count(*) as events
from events
group by 1, 2, 3, 4, 5
