{#
  What a build is asked for. It comes from the environment and is read while SQL runs, never while dbt parses: with other `--vars` dbt parses the whole
  project again, and each file again that read a variable of the environment which has changed. RIGHTMATCH_BUILD_REJUDGE is the exception, since dbt needs it
  while parsing: if it is not empty, every decision is judged again, because files of days that are built already have changed.
#}
{% macro asked(name, default) -%}
{{ return(env_var(name, default) if execute else default) }}
{%- endmacro %}

{# The last day whose landed rows may be used, as ISO text; all is built as of the midnight that ends it (UTC). Never before a day that is built already. #}
{% macro asked_day() -%}
{{ return(asked('RIGHTMATCH_BUILD_DAY', '1970-01-01')) }}
{%- endmacro %}

{# The first day whose features are built again, as ISO text; where it is empty, those after the last built day are added. #}
{% macro asked_since() -%}
{{ return(asked('RIGHTMATCH_BUILD_SINCE', '')) }}
{%- endmacro %}

{# The day that is built, as a date. #}
{% macro run_day() -%}
cast('{{ asked_day() }}' as date)
{%- endmacro %}

{# The first day whose features are built again, as a date. #}
{% macro since_day() -%}
cast('{{ asked_since() }}' as date)
{%- endmacro %}

{# The midnight (UTC, naive) that ends the day: nothing at or after it is known. #}
{% macro as_of() -%}
(cast('{{ asked_day() }}' as timestamp) + interval '1 day')
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
