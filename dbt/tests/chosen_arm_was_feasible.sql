-- Detects a decision that chose an arm outside its own feasible set: its propensity would be of something else.
select decision_id
from {{ ref('decision_outcomes') }}
where not {{ array_has('feasible_arms', 'arm_id') }}
