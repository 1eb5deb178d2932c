{{ config(materialized='table') }}

with decisions as (

    select * from {{ ref('decision_outcomes') }}

)

select
    day,
    assignment_group,
    cast(count(*) as bigint) as decisions,
    cast(sum(case when arm_id <> 'none' then 1 else 0 end) as bigint) as messages,
    {% for label in var('windows') -%}
    cast(count({{ label }}) as bigint) as {{ label }}_mature,
    {% endfor -%}
    {% for label in var('windows') -%}
    cast(avg(case when {{ label }} then 1.0 when not {{ label }} then 0.0 end) as double precision) as {{ label }}_rate{{ "," if not loop.last }}
    {% endfor %}
from decisions
group by 1, 2
