{{ config(materialized='table') }}

with decisions as (

    select * from {{ ref('decision_outcomes') }}

),

counted as (

    select
        {% for label in var('windows') -%}
        count({{ label }}) as {{ label }}_mature,
        avg(case when {{ label }} then 1.0 when not {{ label }} then 0.0 end) as {{ label }}_rate,
        {% endfor -%}
        day,
        assignment_group,
        count(*) as decisions,
        sum(case when arm_id <> 'none' then 1 else 0 end) as messages
    from decisions
    group by day, assignment_group

)

select
    day,
    assignment_group,
    cast(decisions as bigint) as decisions,
    cast(messages as bigint) as messages,
    cast(clicked_mature as bigint) as clicked_mature,
    cast(converted_mature as bigint) as converted_mature,
    cast(visited_mature as bigint) as visited_mature,
    cast(retained_mature as bigint) as retained_mature,
    cast(opted_out_mature as bigint) as opted_out_mature,
    cast(dismissed_mature as bigint) as dismissed_mature,
    cast(clicked_rate as double precision) as clicked_rate,
    cast(converted_rate as double precision) as converted_rate,
    cast(visited_rate as double precision) as visited_rate,
    cast(retained_rate as double precision) as retained_rate,
    cast(opted_out_rate as double precision) as opted_out_rate,
    cast(dismissed_rate as double precision) as dismissed_rate
from counted
