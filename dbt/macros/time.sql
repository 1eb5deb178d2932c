{# The day that is built, as a date. #}
{% macro run_day() -%}
cast('{{ var("day") }}' as date)
{%- endmacro %}

{# The first day whose features are built again, as a date. #}
{% macro since_day() -%}
cast('{{ var("since") }}' as date)
{%- endmacro %}

{# The midnight (UTC, naive) that ends the day: nothing at or after it is known. #}
{% macro as_of() -%}
(cast('{{ var("day") }}' as timestamp) + interval '1 day')
{%- endmacro %}

{# Days, with fractions, from one timestamp to another. #}
{% macro days_between(earlier, later) -%}
(cast(extract(epoch from ({{ later }} - {{ earlier }})) as double precision) / 86400)
{%- endmacro %}

{# First instant at which the label can no longer change. #}
{% macro matured_at(label) -%}
(decided_at + interval '{{ var("windows")[label]["closes"] }} hours')
{%- endmacro %}

{# The first midnight at which every label is mature: a later build of the same files says the same. #}
{% macro settled_at() -%}
(
    date_trunc('day', decided_at + interval '{{ var("windows").values() | map(attribute="closes") | max }} hours' - interval '1 microsecond')
    + interval '1 day'
)
{%- endmacro %}

{# True where `moment` lies in the label's window. #}
{% macro in_window(label, moment) -%}
(
    {{ moment }} >= decided_at + interval '{{ var("windows")[label]["opens"] }} hours'
    and {{ moment }} < {{ matured_at(label) }}
)
{%- endmacro %}

{# A time of any precision, with or without a zone (then UTC), as a naive UTC timestamp; the session's time zone is UTC. #}
{% macro utc(column) -%}
cast(cast({{ column }} as timestamptz) as timestamp)
{%- endmacro %}
