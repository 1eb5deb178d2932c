{# Sum of an array of numbers. #}
{% macro array_total(array) -%}
{{ return(adapter.dispatch('array_total', 'rightmatch')(array)) }}
{%- endmacro %}

{% macro default__array_total(array) -%}
(select sum(item) from unnest({{ array }}) as items (item))
{%- endmacro %}

{% macro duckdb__array_total(array) -%}
list_sum({{ array }})
{%- endmacro %}

{# True where the array holds the value. #}
{% macro array_has(array, value) -%}
{{ return(adapter.dispatch('array_has', 'rightmatch')(array, value)) }}
{%- endmacro %}

{% macro default__array_has(array, value) -%}
({{ value }} = any({{ array }}))
{%- endmacro %}

{% macro duckdb__array_has(array, value) -%}
list_contains({{ array }}, {{ value }})
{%- endmacro %}
