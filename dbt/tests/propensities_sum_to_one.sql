-- Detects decisions whose propensities do not cover the feasible arms or do not sum to 1: every estimate from them would be biased.
with arms as (

    select
        decision_id,
        propensity,
        cardinality(feasible_arms) as arms,
        cardinality(propensities) as probabilities,
        {{ array_total('propensities') }} as total
    from {{ ref('decision_outcomes') }}

)

select *
from arms
where arms <> probabilities or abs(total - 1) > 0.000001 or propensity <= 0 or propensity > 1
