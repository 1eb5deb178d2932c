-- Detects a label that is filled before it is mature (a false negative in the making), or still NULL after.
select decision_id
from {{ ref('decision_outcomes') }}
where
    {% for label in var('windows') -%}
    ({{ label }} is not null) <> ({{ label }}_matured_at <= as_of)
    or {% endfor -%}
    (conversion_value is not null) <> (converted is not null)
