{#
  Two CTEs, `bounds` (first_day, last_day) and `days` (day): the days that this run builds, of those on which any member was known.
  A table and a first run: all of them. Later: from `since` on, or without it from the day after the last built one. Use it after `with recursive`.
#}
{% macro feature_days() -%}
bounds as (

    select
        {% if is_incremental() and asked_since() -%}
        case when known.since < {{ since_day() }} then {{ since_day() }} else known.since end as first_day,
        {%- elif is_incremental() -%}
        case when known.since <= built.until then built.until + 1 else known.since end as first_day,
        {%- else -%}
        known.since as first_day,
        {%- endif %}
        {{ run_day() }} as last_day
    from (select min(known_from) as since from {{ ref('member_versions') }}) as known
    {% if is_incremental() and not asked_since() -%}
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

{# Before days are built again: all their rows go, since a corrected day may have lost members, or all of them. #}
{% macro forget_days() -%}
    {%- if is_incremental() and asked_since() -%}
        delete from {{ this }} where day >= {{ since_day() }}
    {%- else -%}
        select 1 as nothing
    {%- endif -%}
{%- endmacro %}

{#
  Turns counted events into changes of running sums. An event counts for day D where it is known by D and D is less than
  `span` days after it happened, that is for D in [known_on, occurred_on + span): +n on the first of these days, -n after the last.
  So each day's count is the sum of all changes until that day, late rows included, and no old day ever changes.
  Events that no built day counts are left out: most of a long history. Use it after `feature_days`.
#}
{% macro window_changes(relation, id, features) -%}
{%- for name, event, span in features %}
select
    {{ id }},
    '{{ name }}' as feature,
    known_on as changed_on,
    events as change
from {{ relation }}
where
    event = '{{ event }}'
    and known_on < occurred_on + {{ span }}
    and occurred_on + {{ span }} > (select first_day from bounds)

union all

select
    {{ id }},
    '{{ name }}' as feature,
    occurred_on + {{ span }} as changed_on,
    -events as change
from {{ relation }}
where
    event = '{{ event }}'
    and known_on < occurred_on + {{ span }}
    and occurred_on + {{ span }} > (select first_day from bounds)
{% if not loop.last %}
union all
{% endif %}
{%- endfor %}
{%- endmacro %}
