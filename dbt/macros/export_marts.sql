{#
  Writes each mart that was built to one Parquet file, aside and then renamed, and only where the whole build passed.
  Readers never open the warehouse, and see these files once the quality gate has passed them.
#}
{% macro export_marts(results) -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- set failed = results | selectattr('status', 'in', ['error', 'fail', 'skipped', 'runtime error']) | list -%}
        {%- if not failed -%}
            {{ return(adapter.dispatch('export_marts', 'rightmatch')(results)) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# A server's marts are read where they are. #}
{% macro default__export_marts(results) -%}{%- endmacro %}

{% macro duckdb__export_marts(results) -%}
    {%- set folder = env_var('RIGHTMATCH_CANDIDATE', '') -%}
    {%- set ordering = {
        'member_features': 'day, member_id',
        'arm_features': 'day, arm_id',
        'decision_outcomes': 'day, decision_id',
        'guardrail_daily': 'day, assignment_group',
    } -%}
    {%- for result in results if folder and result.node.resource_type == 'model' and result.node.name in ordering %}
        copy (select * from {{ result.node.relation_name }} order by {{ ordering[result.node.name] }})
        to '{{ folder }}/{{ result.node.name }}.parquet'
        (format parquet, compression zstd, row_group_size 122880, use_tmp_file true);
    {%- endfor %}
{%- endmacro %}
