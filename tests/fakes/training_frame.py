"""A training frame with known effects, small or large: the columns that `training_set` writes, from a uniform log."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.domain.catalog import Catalog
from training.domain.nouns import NONE, Surface
from training.domain.schema import ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_NUMERIC

FRIENDS = {"tech": "recruiter", "retail": "business"}
"""Industry -> the product that its members buy."""
HARMFUL = "last_chance"
"""The creative after which members leave."""
RATES = {"base": 0.02, "friend": 0.25, "other": 0.03, "retained": 0.9, "harmed": 0.6, "opted_out": 0.05}
START = pd.Timestamp("2026-01-05", tz="UTC")


def training_frame(catalog: Catalog, rows: int, seed: int = 1, members: int = 0) -> pd.DataFrame:
    """`rows` decisions of `members` (by default a fourth) over 28 days; the chosen arm is uniform over the feasible ones; RATES are the truth.

    P(converted) is `friend` where the product fits the industry, `base` under none, `other` elsewhere; P(retained) is `harmed` after HARMFUL.
    """
    rng = np.random.default_rng(seed)
    member = rng.integers(0, members or max(rows // 4, 1), rows)
    at = START + pd.to_timedelta(np.sort(rng.integers(0, 28 * 86_400, rows)), unit="s")
    surface = rng.choice([s.value for s in Surface], rows)
    consents = np.where(member % 2 == 0, "push,email,sms", "")
    feasible = {(s.value, c): catalog.feasible(s, c.split(",")) for s in Surface for c in ("", "push,email,sms")}
    options = [feasible[key] for key in zip(surface, consents, strict=True)]
    shown = [o[i % len(o)] for o, i in zip(options, rng.integers(0, 5040, rows), strict=True)]
    frame = pd.DataFrame({"decision_id": [f"d{i}" for i in range(rows)], "member_id": [f"m{i}" for i in member], "decided_at": at})
    frame["day"] = frame["decided_at"].dt.date
    frame["surface"], frame["arm_id"], frame["feasible_arms"] = surface, shown, [np.array(o, dtype=object) for o in options]
    frame["propensity"] = [1 / len(o) for o in options]
    frame["propensities"] = [np.full(len(o), 1 / len(o)) for o in options]
    frame["assignment_group"], frame["model_version"], frame["event_timestamp"] = "logging", None, frame["decided_at"]
    for name in MEMBER_CATEGORICAL:
        frame[name] = np.array(["tech", "retail", None], dtype=object)[member % 3] if name == "industry" else "x"
    for i, name in enumerate(MEMBER_NUMERIC):
        frame[name] = np.where(member % 10 == i, np.nan, (member * (i + 3)) % 17).astype(float)
    frame["consents"] = consents
    for name in ARM_NUMERIC:
        frame[f"arm_{name}"] = np.where(frame["arm_id"] == NONE, np.nan, 1000.0 if name == "impressions_28d" else 20.0)
    return _labelled(frame, catalog, rng)


def _labelled(frame: pd.DataFrame, catalog: Catalog, rng: np.random.Generator) -> pd.DataFrame:
    rows = len(frame)
    product = frame["arm_id"].map(lambda a: catalog.arms[a].product_id if a != NONE else "")
    creative = frame["arm_id"].map(lambda a: catalog.arms[a].creative_id if a != NONE else "")
    fits = frame["industry"].map(FRIENDS) == product
    buys = np.where(product == "", RATES["base"], np.where(fits, RATES["friend"], RATES["other"]))
    stays = np.where(creative == HARMFUL, RATES["harmed"], RATES["retained"])
    leaves = np.where(product == "", 0.0, RATES["opted_out"])
    young = np.arange(rows) >= rows * 0.9
    for name, p in {"clicked": buys * 2, "converted": buys, "visited": np.full(rows, 0.5), "retained": stays, "opted_out": leaves}.items():
        drawn = (rng.random(rows) < p).astype(object)
        drawn[young & (name != "clicked")] = None
        frame[name] = drawn
    frame["conversion_value"] = [None if c is None else (100.0 if c else 0.0) for c in frame["converted"]]
    frame["dismissed"] = [None if c is None else arm != NONE and i % 4 == 0 for i, (c, arm) in enumerate(zip(frame["converted"], frame["arm_id"], strict=True))]
    return frame
