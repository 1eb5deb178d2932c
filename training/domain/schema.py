"""Every table and column by name, once. dbt YAML, expectations, Feast and tensors are checked against this file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from training.domain.labels import OUTCOME_WINDOWS


class Type(StrEnum):
    """Column types; `TEXTS` and `FLOATS` are arrays. Times are UTC with microseconds."""

    TEXT = "text"
    FLOAT = "float"
    INT = "int"
    BOOL = "bool"
    TIME = "time"
    DATE = "date"
    TEXTS = "texts"
    FLOATS = "floats"


@dataclass(frozen=True)
class Column:
    """`values` closes the set of a text column; `reference` names the table.column that must hold the value."""

    name: str
    type: Type
    nullable: bool = False
    values: tuple[str, ...] = ()
    reference: str = ""


@dataclass(frozen=True)
class Table:
    """`key` is the grain; `time` is the event time that must not lie in the future of the day that lands it."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    time: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(c.name for c in self.columns)


def _text(name: str, *, nullable: bool = False, values: tuple[str, ...] = (), reference: str = "") -> Column:
    return Column(name, Type.TEXT, nullable, values, reference)


def _time(name: str, *, nullable: bool = False) -> Column:
    return Column(name, Type.TIME, nullable)


ACTIVITY_KINDS = ("visit", "jobs", "hiring", "business", "selling", "purchase")
SUBSCRIPTION_KINDS = ("started", "renewed", "cancelled")
OUTCOME_KINDS = ("impression", "click", "dismiss", "conversion", "opt_out")
SURFACES = ("web", "app", "outbound")

# --- raw tables: day-partitioned files, landed by `sources` or by you -------------------------------------------------

MEMBERS = Table(
    "members",
    (
        _text("member_id"),
        _time("signup_at"),
        _text("country", nullable=True),
        _text("region", nullable=True),
        _text("industry", nullable=True),
        _text("seniority", nullable=True),
        _text("interest", nullable=True),
        _text("acquisition_channel", nullable=True),
        Column("lifetime_value", Type.FLOAT, nullable=True),
        _text("consents", nullable=True),  # channel ids joined by commas
        _time("updated_at"),
    ),
    key=("member_id", "updated_at"),
    time="updated_at",
)
ACTIVITY = Table(
    "activity",
    (_text("event_id"), _text("member_id", reference="members.member_id"), _text("kind", values=ACTIVITY_KINDS), _time("occurred_at")),
    key=("event_id",),
    time="occurred_at",
)
SUBSCRIPTIONS = Table(
    "subscriptions",
    (
        _text("event_id"),
        _text("member_id", reference="members.member_id"),
        _text("product_id", reference="products.product_id"),
        _text("kind", values=SUBSCRIPTION_KINDS),
        _time("occurred_at"),
    ),
    key=("event_id",),
    time="occurred_at",
)
DECISIONS = Table(
    "decisions",
    (
        _text("decision_id"),
        _text("member_id", reference="members.member_id"),
        _time("decided_at"),
        _text("surface", values=SURFACES),
        Column("feasible_arms", Type.TEXTS),
        Column("propensities", Type.FLOATS),
        _text("chosen_arm"),
        Column("propensity", Type.FLOAT),
        _text("assignment_group"),
        _text("model_version", nullable=True),
        _text("feature_service", nullable=True),
        _text("values_served", nullable=True),  # JSON object
        _text("exclusions", nullable=True),  # JSON object: arm id -> reason
    ),
    key=("decision_id",),
    time="decided_at",
)
OUTCOMES = Table(
    "outcomes",
    (
        _text("outcome_id"),
        _text("decision_id", reference="decisions.decision_id"),
        _text("kind", values=OUTCOME_KINDS),
        Column("value", Type.FLOAT, nullable=True),
        _time("occurred_at"),
    ),
    key=("outcome_id",),
    time="occurred_at",
)
RAW: dict[str, Table] = {t.name: t for t in (MEMBERS, ACTIVITY, SUBSCRIPTIONS, DECISIONS, OUTCOMES)}

# --- catalog: dbt seeds ------------------------------------------------------------------------------------------------

SEEDS: dict[str, Table] = {
    "products": Table("products", (_text("product_id"), _text("name"), Column("value", Type.FLOAT)), key=("product_id",)),
    "creatives": Table("creatives", (_text("creative_id"), _text("product_id", reference="products.product_id"), _text("text")), key=("creative_id",)),
    "channels": Table(
        "channels",
        (_text("channel_id"), _text("surface", values=SURFACES), Column("cost", Type.FLOAT), Column("needs_consent", Type.BOOL)),
        key=("channel_id",),
    ),
    "arms": Table(
        "arms",
        (
            _text("arm_id"),
            _text("product_id", reference="products.product_id"),
            _text("creative_id", reference="creatives.creative_id"),
            _text("channel_id", reference="channels.channel_id"),
        ),
        key=("arm_id",),
    ),
}

# --- features ----------------------------------------------------------------------------------------------------------

MEMBER_CATEGORICAL = ("country", "region", "industry", "seniority", "interest", "acquisition_channel")
MEMBER_NUMERIC = (
    "tenure_days",
    "lifetime_value",
    "visits_7d",
    "visits_28d",
    "days_since_active",
    "jobs_28d",
    "hiring_28d",
    "business_28d",
    "selling_28d",
    "jobs_365d",
    "hiring_365d",
    "business_365d",
    "selling_365d",
    "purchases_365d",
    "days_since_purchase",
    "active_products",
    "cancellations_365d",
    "messages_7d",
    "messages_28d",
    "clicks_28d",
    "dismissals_28d",
)
"""Counts are over [event_timestamp - window, event_timestamp); ages are days before event_timestamp, NULL where it never happened."""
ARM_NUMERIC = ("impressions_28d", "clicks_28d", "dismissals_28d", "conversions_28d")

_STAMPS = (Column("day", Type.DATE), _time("event_timestamp"), _time("created_timestamp"))
"""Features of day D know what happened and had landed before D + 1 day 00:00, which is their event time. Created time: when they became available."""

MEMBER_FEATURES = Table(
    "member_features",
    (
        _text("member_id"),
        *_STAMPS,
        *(_text(name, nullable=True) for name in MEMBER_CATEGORICAL),
        *(Column(name, Type.FLOAT, nullable=True) for name in MEMBER_NUMERIC),
        _text("consents", nullable=True),
    ),
    key=("member_id", "day"),
    time="event_timestamp",
)
ARM_FEATURES = Table(
    "arm_features",
    (
        _text("arm_id"),
        *_STAMPS,
        _text("product_id", nullable=True),
        _text("creative_id", nullable=True),
        _text("channel_id", nullable=True),
        *(Column(name, Type.FLOAT, nullable=True) for name in ARM_NUMERIC),
    ),
    key=("arm_id", "day"),
    time="event_timestamp",
)

# --- outcomes ----------------------------------------------------------------------------------------------------------

DECISION_OUTCOMES = Table(
    "decision_outcomes",
    (
        _text("decision_id"),
        _text("member_id"),
        _time("decided_at"),
        Column("day", Type.DATE),
        _text("surface", values=SURFACES),
        _text("arm_id"),
        Column("propensity", Type.FLOAT),
        Column("feasible_arms", Type.TEXTS),
        Column("propensities", Type.FLOATS),
        _text("assignment_group"),
        _text("model_version", nullable=True),
        *(Column(name, Type.BOOL, nullable=True) for name in OUTCOME_WINDOWS),
        Column("conversion_value", Type.FLOAT, nullable=True),
        *(_time(f"{name}_matured_at") for name in OUTCOME_WINDOWS),
        _time("as_of"),
    ),
    key=("decision_id",),
    time="decided_at",
)
"""A label is NULL, never false, while its `_matured_at` lies after `as_of`. `conversion_value` is mature with `converted`."""

GUARDRAIL_DAILY = Table(
    "guardrail_daily",
    (
        Column("day", Type.DATE),
        _text("assignment_group"),
        Column("decisions", Type.INT),
        Column("messages", Type.INT),
        *(Column(f"{name}_mature", Type.INT) for name in OUTCOME_WINDOWS),
        *(Column(f"{name}_rate", Type.FLOAT, nullable=True) for name in OUTCOME_WINDOWS),
    ),
    key=("day", "assignment_group"),
    time="",
)
MARTS: dict[str, Table] = {t.name: t for t in (MEMBER_FEATURES, ARM_FEATURES, DECISION_OUTCOMES, GUARDRAIL_DAILY)}

# --- names that more than one tool must agree on -----------------------------------------------------------------------

FEATURE_SERVICE = "matching_v1"
MEMBER_VIEW = "member_features"
ARM_VIEW = "arm_features"
