{#
  Two CTEs, `bounds` (first_day, last_day) and `days` (day): the days that this run builds.
  First run: from the first day on which a member was known. Later: from the day after the last built one, or exactly the
  day asked for where that is already built. Use it after `with recursive`.
#}
{% macro feature_days() -%}
bounds as (

    select
        {% if is_incremental() -%}
        case
            when built.until is null then known.since
            when {{ run_day() }} <= built.until then {{ run_day() }}
            else built.until + 1
        end as first_day,
        {%- else -%}
        known.since as first_day,
        {%- endif %}
        {{ run_day() }} as last_day
    from (select min(known_from) as since from {{ ref('member_versions') }}) as known
    {% if is_incremental() -%}
    cross join (select max(day) as until from {{ this }}) as built
    {%- endif %}

),

days as (

    select first_day as day
    from bounds
    where first_day <= last_day

    union all

    select days.day + 1 as day
    from days
    cross join bounds
    where days.day < bounds.last_day

)
{%- endmacro %}

{#
  Turns counted events into changes of running sums. An event counts for day D where it is known by D and D is less than
  `span` days after it happened, that is for D in [known_on, occurred_on + span): +n on the first of these days, -n after the last.
  So each day's count is the sum of all changes until that day, late rows included, and no old day ever changes.
#}
{% macro window_changes(relation, id, features) -%}
{%- for name, event, span in features %}
select
    {{ id }},
    '{{ name }}' as feature,
    known_on as changed_on,
    events as change
from {{ relation }}
where event = '{{ event }}' and known_on < occurred_on + {{ span }}

union all

select
    {{ id }},
    '{{ name }}' as feature,
    occurred_on + {{ span }} as changed_on,
    -events as change
from {{ relation }}
where event = '{{ event }}' and known_on < occurred_on + {{ span }}
{% if not loop.last %}
union all
{% endif %}
{%- endfor %}
{%- endmacro %}
