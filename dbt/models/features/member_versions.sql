{# A version holds from the first day on which it is known until a version with a later `updated_at` is known. #}

with members as (

    select
        *,
        greatest(landed_on, cast(updated_at as date)) as known_from
    from {{ ref('stg_members') }}

),

versions as (

    select
        *,
        min(known_from) over (
            partition by member_id
            order by updated_at
            rows between 1 following and unbounded following
        ) as known_until
    from members

)

select
    member_id,
    signup_at,
    country,
    region,
    industry,
    seniority,
    interest,
    acquisition_channel,
    lifetime_value,
    consents,
    known_from,
    known_until
from versions
where known_until is null or known_until > known_from
