-- Detects an outcome that happened before its decision: clocks disagree, and labels would be credited to the wrong decision.
select
    outcomes.outcome_id,
    outcomes.occurred_at,
    decisions.decided_at
from {{ ref('stg_outcomes') }} as outcomes
inner join {{ ref('stg_decisions') }} as decisions on outcomes.decision_id = decisions.decision_id
where outcomes.occurred_at < decisions.decided_at
