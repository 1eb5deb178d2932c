"""What an arm is expected to earn, and of what that is made: the utility that the policy chose by, term by term, from mean predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.config.settings import UtilitySettings
from training.domain.catalog import Catalog
from training.domain.nouns import NONE, Label

COST = "cost"
TOTAL = "total"


def with_worth(arms: Sequence[dict[str, Any]], catalog: Catalog, utility: UtilitySettings) -> None:
    """Add `worth` to each entry of `arm_shares`: money a decision, by label, of the message and in all. As utility is linear in the probabilities, the mean
    of the terms is the term of the means. Empty where a prediction is missing.
    """
    for arm in arms:
        arm["worth"] = worth(arm, catalog, utility)


def worth(arm: Mapping[str, Any], catalog: Catalog, utility: UtilitySettings) -> dict[str, float]:
    """The terms of one entry; `none` is what the others are measured against, and is worth nothing."""
    if arm["arm"] == NONE:
        return {}
    known = catalog.arms.get(arm["arm"])
    predicted, without = arm["predicted"], arm["without"]
    needed = {Label.CONVERTED: (predicted, without), Label.RETAINED: (predicted, without), Label.OPTED_OUT: (predicted,)}
    if known is None or any(table.get(label.value) is None for label, tables in needed.items() for table in tables):
        return {}
    gained = {label: predicted[label.value] - without[label.value] for label in (Label.CONVERTED, Label.RETAINED)}
    terms = {
        Label.CONVERTED.value: catalog.products[known.product_id].value * gained[Label.CONVERTED],
        Label.RETAINED.value: utility.retention * gained[Label.RETAINED],
        Label.OPTED_OUT.value: -utility.opt_out * predicted[Label.OPTED_OUT.value],
        COST: -catalog.channels[known.channel_id].cost,
    }
    return {**terms, TOTAL: sum(terms.values())}
