{# Before a day is built again: rows that were judged with later (or the same) knowledge are forgotten, so that the run judges them as of its own day. #}
{% macro forget_from_as_of() -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where as_of >= cast({{ as_of() }} as timestamptz)
    {%- else -%}
        select 1 as nothing
    {%- endif -%}
{%- endmacro %}
