-- Detects a member with two feature rows on one day, or an arm: a point-in-time join would pick one at random.
select
    member_id as id,
    day
from {{ ref('member_features') }}
group by 1, 2
having count(*) > 1

union all

select
    arm_id as id,
    day
from {{ ref('arm_features') }}
group by 1, 2
having count(*) > 1
