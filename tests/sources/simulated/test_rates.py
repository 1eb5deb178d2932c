"""The world is of the kind that it claims to be: rates in range, noisy proxies, a conflict between conversion and retention."""

from __future__ import annotations

import json
from datetime import date

import pandas as pd
import pyarrow.parquet as pq
import pytest

from sources.simulated.world import CONFLICT
from sources.write import arrow_schema
from tests.sources.simulated.conftest import SEEDS
from training.domain.catalog import load_catalog
from training.domain.nouns import NONE, Surface
from training.domain.schema import RAW

MATURE_CONVERSION, MATURE_RETENTION = 42, 28


@pytest.fixture(name="retained", scope="module")
def _retained(world, decisions):
    """Decisions whose days 22-28 are over, with `retained`: any activity in [21 d, 28 d)."""
    mature = decisions[decisions.day < MATURE_RETENTION].copy()
    mature["opens"] = (mature.decided_at + pd.Timedelta(days=21)).astype("datetime64[ns, UTC]")
    activity = world.table("activity").sort_values("occurred_at").assign(occurred_at=lambda f: f.occurred_at.astype("datetime64[ns, UTC]"))
    found = pd.merge_asof(mature.sort_values("opens"), activity, left_on="opens", right_on="occurred_at", by="member_id", direction="forward")
    return found.assign(retained=(found.occurred_at - found.opens) < pd.Timedelta(days=7))


def test_every_file_is_as_the_schema_says(world):
    """Columns, types, closed sets, unique keys, no NULL where none may be, nothing in the future of its day."""
    for table in RAW.values():
        rows = world.table(table.name)
        assert not rows.duplicated(list(table.key)).any()
        for file in world.inbox.glob(f"{table.name}/day=*/part.parquet"):
            assert pq.read_schema(file).remove_metadata() == arrow_schema(table)
            at = pq.read_table(file, partitioning=None)[table.time].to_pandas()
            assert (at.dt.date <= date.fromisoformat(file.parent.name.removeprefix("day="))).all()
        for column in table.columns:
            assert column.nullable or rows[column.name].notna().all()
            assert not column.values or set(rows[column.name]) <= set(column.values)  # noqa: PD011 - a Column, not a DataFrame


def test_references_hold(world, decisions):
    """Whoever acts is a member by then, and each outcome has its decision, not later than itself."""
    known = world.table("members").groupby("member_id").updated_at.min()
    for name, time in (("activity", "occurred_at"), ("decisions", "decided_at")):
        rows = world.table(name)
        assert (rows[time] >= rows.member_id.map(known)).all()
    outcomes = world.table("outcomes").merge(decisions[["decision_id", "decided_at"]], on="decision_id", how="left")
    assert (outcomes.occurred_at > outcomes.decided_at).all()


def test_the_menu_is_the_catalogs_and_the_choice_is_uniform(world, decisions):
    """Feasible arms follow surface and the consents known that morning; propensities are exactly 1 / n."""
    catalog = load_catalog(SEEDS)
    consents = world.table("members").sort_values("updated_at")[["member_id", "updated_at", "consents"]]
    known = pd.merge_asof(decisions.sort_values("decided_at"), consents, left_on="decided_at", right_on="updated_at", by="member_id")
    menus = {key: catalog.feasible(Surface(key[0]), key[1].split(",")) for key in set(zip(known.surface, known.consents, strict=True))}
    same = [list(f) == menus[s, c] for f, s, c in zip(known.feasible_arms, known.surface, known.consents, strict=True)]
    assert sum(same) / len(same) > 0.999  # an opt-out later on the same day is respected early
    withheld = known[[not s for s in same]]
    assert all(set(f) < set(menus[s, c]) for f, s, c in zip(withheld.feasible_arms, withheld.surface, withheld.consents, strict=True))
    sizes = decisions.feasible_arms.map(len)
    assert sizes.between(9, 17).all()
    assert (decisions.propensity == 1 / sizes).all()
    assert all((p == 1 / len(p)).all() for p in decisions.propensities)


def test_rates_are_in_range(decisions, retained):
    """Conversion 1 to 2 % of mature decisions, retention about 95 %, opt-outs about 0.5 % of messages, a decision every third day."""
    mature = decisions[decisions.day < MATURE_CONVERSION]
    shown = mature[mature.chosen_arm != NONE]
    assert 0.3 < len(decisions) / (3_000 * 56) < 0.45
    assert 0.0085 < mature.converted.mean() < 0.02
    assert 0.93 < retained.retained.mean() < 0.97
    assert 0.003 < shown.opted_out.mean() < 0.009
    assert 0.02 < shown.clicked.mean() < 0.15


def test_conflict_creatives_convert_well_and_lose_members(decisions, retained):
    """They look best on conversion alone, and cost 2 to 6 points of retention and more opt-outs."""
    mature = decisions[(decisions.day < MATURE_CONVERSION) & (decisions.chosen_arm != NONE)]
    press = mature.creative.isin(CONFLICT)
    assert mature[press].converted.mean() > 1.4 * mature[~press].converted.mean()
    assert mature[press].opted_out.mean() > 2 * mature[~press].opted_out.mean()
    loss = retained[~retained.creative.isin(CONFLICT)].retained.mean() - retained[retained.creative.isin(CONFLICT)].retained.mean()
    assert 0.02 < loss < 0.06


def test_proxies_tell_of_the_need_but_do_not_give_it_away(world):
    """Declared interest is missing for many and wrong for some; the need is in no raw column."""
    latents = pq.read_table(world.truth / "members.parquet").to_pandas().set_index("member_id").need
    members = world.table("members").drop_duplicates("member_id").set_index("member_id")
    declared = members.interest[members.interest.notna()]
    right = declared.map({"career": "job_seeker", "hiring": "recruiter", "growth": "small_business", "selling": "seller", "learning": "none"})
    assert 0.3 < members.interest.isna().mean() < 0.5
    assert 0.6 < (right == latents.reindex(right.index)).mean() < 0.85
    assert 0.35 < (latents == "none").mean() < 0.45
    exclusions = world.table("decisions").exclusions.dropna()
    assert set(json.loads(exclusions.iloc[0]).values()) <= {f"no consent for {c}" for c in ("push", "email", "sms")}
