{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='decision_id',
    on_schema_change='fail',
    full_refresh=(true if env_var('RIGHTMATCH_BUILD_REJUDGE', '') else none)
) }}

with decisions as (

    select * from {{ ref('stg_decisions') }}

),

outcomes as (

    select * from {{ ref('stg_outcomes') }}

),

activity as (

    select * from {{ ref('stg_activity') }}

),

{% if is_incremental() -%}
judged as (

    select
        decision_id,
        member_id,
        cast(decided_at as timestamp) as decided_at,
        cast(as_of as timestamp) as as_of
    from {{ this }}

),

last_build as (

    select cast(max(as_of) as date) as next_day from judged

),

-- Judged while a window was open, or something has landed since the last build that falls in one of its windows.
reopened as (

    select decision_id
    from judged
    where {% for label in var('windows') %}{{ matured_at(label) }} > as_of{{ " or " if not loop.last }}{% endfor %}

    union

    select judged.decision_id
    from judged
    inner join outcomes on judged.decision_id = outcomes.decision_id
    inner join last_build on outcomes.landed_on >= last_build.next_day

    union

    select judged.decision_id
    from judged
    inner join activity
        on
            judged.member_id = activity.member_id
            and (
                {{ in_window('visited', 'activity.occurred_at') }}
                or {{ in_window('retained', 'activity.occurred_at') }}
            )
    inner join last_build on activity.landed_on >= last_build.next_day

),
{%- endif %}

pending as (

    select decisions.*
    from decisions
    {% if is_incremental() -%}
    left join judged on decisions.decision_id = judged.decision_id
    left join reopened on decisions.decision_id = reopened.decision_id
    where judged.decision_id is null or reopened.decision_id is not null
    {%- endif %}

),

answers as (

    select
        pending.decision_id,
        bool_or(outcomes.kind = 'click' and {{ in_window('clicked', 'outcomes.occurred_at') }}) as clicked,
        bool_or(outcomes.kind = 'conversion' and {{ in_window('converted', 'outcomes.occurred_at') }}) as converted,
        bool_or(outcomes.kind = 'opt_out' and {{ in_window('opted_out', 'outcomes.occurred_at') }}) as opted_out,
        bool_or(outcomes.kind = 'dismiss' and {{ in_window('dismissed', 'outcomes.occurred_at') }}) as dismissed,
        sum(
            case when outcomes.kind = 'conversion' and {{ in_window('converted', 'outcomes.occurred_at') }} then outcomes.value end
        ) as conversion_value
    from pending
    inner join outcomes on pending.decision_id = outcomes.decision_id
    group by 1

),

-- For each opening of a window the member's next activity, by one sort of openings and activities together.
moments as (

    select
        member_id,
        null as decision_id,
        null as label,
        occurred_at as moment,
        occurred_at as active_at
    from activity

    {% for label in ['visited', 'retained'] %}
    union all

    select
        member_id,
        decision_id,
        '{{ label }}' as label,
        decided_at + interval '{{ var("windows")[label]["opens"] }} hours' as moment,
        null as active_at
    from pending
    {% endfor %}

),

next_activity as (

    select
        decision_id,
        label,
        min(active_at) over (
            partition by member_id
            order by moment
            range between current row and unbounded following
        ) as active_at
    from moments

),

returns as (

    select
        decision_id,
        max(case when label = 'visited' then active_at end) as next_after_decision,
        max(case when label = 'retained' then active_at end) as next_after_absence
    from next_activity
    where decision_id is not null
    group by 1

),

labelled as (

    select
        pending.*,
        coalesce(answers.clicked, false) as clicked,
        coalesce(answers.converted, false) as converted,
        coalesce({{ in_window('visited', 'returns.next_after_decision') }}, false) as visited,
        coalesce({{ in_window('retained', 'returns.next_after_absence') }}, false) as retained,
        coalesce(answers.opted_out, false) as opted_out,
        coalesce(answers.dismissed, false) as dismissed,
        coalesce(answers.conversion_value, 0) as conversion_value
    from pending
    left join answers on pending.decision_id = answers.decision_id
    left join returns on pending.decision_id = returns.decision_id

)

select
    decision_id,
    member_id,
    cast(decided_at as timestamptz) as decided_at,
    cast(decided_at as date) as day,
    surface,
    chosen_arm as arm_id,
    propensity,
    feasible_arms,
    propensities,
    assignment_group,
    model_version,
    {% for label in var('windows') -%}
    case when {{ matured_at(label) }} <= {{ as_of() }} then {{ label }} end as {{ label }},
    {% endfor -%}
    case when {{ matured_at('converted') }} <= {{ as_of() }} then conversion_value end as conversion_value,
    {% for label in var('windows') -%}
    cast({{ matured_at(label) }} as timestamptz) as {{ label }}_matured_at,
    {% endfor -%}
    cast(least({{ as_of() }}, {{ settled_at() }}) as timestamptz) as as_of
from labelled
