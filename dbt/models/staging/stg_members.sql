with landed as (

    select
        cast(member_id as varchar) as member_id,
        {{ utc('signup_at') }} as signup_at,
        cast(country as varchar) as country,
        cast(region as varchar) as region,
        cast(industry as varchar) as industry,
        cast(seniority as varchar) as seniority,
        cast(interest as varchar) as interest,
        cast(acquisition_channel as varchar) as acquisition_channel,
        cast(lifetime_value as double precision) as lifetime_value,
        cast(consents as varchar) as consents,
        {{ utc('updated_at') }} as updated_at,
        cast(day as date) as landed_on,
        row_number() over (partition by member_id, updated_at order by cast(day as date)) as landing
    from {{ source('raw', 'members') }}
    where cast(day as date) <= {{ run_day() }}

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
    updated_at,
    landed_on
from landed
where landing = 1
