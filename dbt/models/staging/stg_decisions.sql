with landed as (

    select
        cast(decision_id as varchar) as decision_id,
        cast(member_id as varchar) as member_id,
        {{ utc('decided_at') }} as decided_at,
        cast(surface as varchar) as surface,
        cast(feasible_arms as varchar[]) as feasible_arms,
        cast(propensities as float8[]) as propensities,
        cast(chosen_arm as varchar) as chosen_arm,
        cast(propensity as double precision) as propensity,
        cast(assignment_group as varchar) as assignment_group,
        cast(model_version as varchar) as model_version,
        cast(day as date) as landed_on,
        row_number() over (partition by decision_id order by cast(day as date)) as landing
    from {{ source('raw', 'decisions') }}
    where cast(day as date) <= {{ run_day() }}

)

select
    decision_id,
    member_id,
    decided_at,
    surface,
    feasible_arms,
    propensities,
    chosen_arm,
    propensity,
    assignment_group,
    model_version,
    landed_on
from landed
where landing = 1
