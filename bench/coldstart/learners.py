"""Four ways to know a new arm's click rate: the platform with each text encoder, the platform that knows an arm by its id alone, and counting."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from scipy.stats import beta

from bench.names import chosen
from sources.simulated.world import Floats, Ints
from training.config.settings import TextChoice, TrainingSettings
from training.domain.catalog import Catalog, Channel, Creative, Product
from training.domain.nouns import NONE, Arm, Surface
from training.model.fit import fit
from training.model.funnel import Stage
from training.model.matching import MatchingModel, encode_rows
from training.model.posterior import LaplaceLogistic
from training.model.text import ENCODERS

DRAWS, SIDE = 200, 0.025
"""Posterior draws behind an interval, and the share of them on each side of it."""
LABEL = Stage.CLICKED
ONE_HOT, BETA = "one_hot", "beta"
LEARNERS = (*(choice.value for choice in ENCODERS), ONE_HOT, BETA)


class Belief(Protocol):
    """What is believed of one arm's click rate, averaged over an audience."""

    def rate(self) -> float:
        """Best guess."""

    def interval(self) -> tuple[float, float]:
        """Where the rate lies with 95%."""

    def after(self, shown: Ints, clicked: Floats) -> Belief:
        """The belief once the audience's members at `shown` [n] have answered `clicked` [n] (0 or 1)."""


Learner = Callable[[pd.DataFrame], Belief]
"""From an arm's audience (rows as in the training set, without labels) to the belief before anyone of it answered."""


@dataclass(frozen=True)
class Modelled:
    """The platform's: phi of the audience [n, d], and the posterior of its head."""

    phi: torch.Tensor
    head: LaplaceLogistic

    def rate(self) -> float:
        """The mean of `model.predict`."""
        return float(torch.sigmoid(self.phi @ self.head.mean.to(torch.float32)).mean())

    def interval(self) -> tuple[float, float]:
        """Quantiles over posterior draws of the audience's mean."""
        weights = self.head.draw(DRAWS, 1.0, torch.Generator().manual_seed(0)).to(torch.float32)
        low, high = np.quantile(torch.sigmoid(self.phi @ weights.T).mean(dim=0).numpy(), [SIDE, 1 - SIDE])
        return float(low), float(high)

    def after(self, shown: Ints, clicked: Floats) -> Modelled:
        """The posterior's own update."""
        return replace(self, head=self.head.update(self.phi[torch.from_numpy(shown)], torch.from_numpy(clicked)))


@dataclass(frozen=True)
class Counted:
    """Clicks over impressions, with what other arms earned as Beta(a, b) prior."""

    a: float
    b: float

    def rate(self) -> float:
        """a / (a + b)."""
        return self.a / (self.a + self.b)

    def interval(self) -> tuple[float, float]:
        """Quantiles of the Beta."""
        low, high = beta.ppf([SIDE, 1 - SIDE], self.a, self.b)
        return float(low), float(high)

    def after(self, shown: Ints, clicked: Floats) -> Counted:
        """Add clicks to a, the others to b."""
        return Counted(self.a + float(clicked.sum()), self.b + len(shown) - float(clicked.sum()))


def platform(log: pd.DataFrame, catalog: Catalog, encoder: TextChoice, seed: int) -> Learner:
    """`MatchingModel` fitted on `log`."""
    model = fit(log, catalog, TrainingSettings(text_encoder=encoder), seed, lambda _: None)
    return lambda audience: believed(model, audience, catalog)


def one_hot(log: pd.DataFrame, catalog: Catalog, seed: int) -> Learner:
    """The same classes, told nothing of an arm but its id."""
    flat = flattened(catalog)
    model = fit(log, flat, TrainingSettings(text_encoder=TextChoice.HASHED), seed, lambda _: None)
    return lambda audience: believed(model, audience, flat)


def counting(log: pd.DataFrame) -> Learner:
    """Beta prior by the method of moments: mean and variance of the known arms' rates, less what chance adds to the variance.

    It is worth the mean impressions of a known arm at most: arms that differ by no more than chance say that they are alike only so far as each is known,
    and a prior of more impressions would outweigh all answers of a new one.
    """
    shown = log[log["arm_id"] != NONE].groupby("arm_id")["clicked"].agg(["mean", "size"])
    mean, most = float(shown["mean"].mean()), float(shown["size"].mean())
    between = float(shown["mean"].var()) - float((mean * (1 - mean) / shown["size"]).mean())
    strength = min(mean * (1 - mean) / between - 1, most) if between > 0 else most
    return lambda _: Counted(mean * strength, (1 - mean) * strength)


def learners(log: pd.DataFrame, catalog: Catalog, seed: int, names: Collection[str], told: Callable[[str], None]) -> dict[str, Learner]:
    """Those of `names` that can run here, by name; a text encoder that is not installed is left out, and said."""
    found: dict[str, Learner] = {}
    for choice, encoder in ENCODERS.items():
        if choice.value in names:
            told(f"fitting with {choice.value}" if encoder.installed() else f"{choice.value} is not installed (`make extras`): left out")
            if encoder.installed():
                found[choice.value] = platform(log, catalog, choice, seed)
    if ONE_HOT in names:
        told(f"fitting {ONE_HOT}")
        found[ONE_HOT] = one_hot(log, catalog, seed)
    return found | ({BETA: counting(log)} if BETA in names else {})


def named(names: str | None) -> tuple[str, ...]:
    """The learners that a comma-separated list means, all of them for None. Raises ConfigError as `chosen`."""
    return LEARNERS if names is None else chosen(names, LEARNERS, "learners")


def believed(model: MatchingModel, audience: pd.DataFrame, catalog: Catalog) -> Modelled:
    """The model's belief about the arm of `audience`."""
    members, arms = encode_rows(audience, model.members, model.arms, model.book(catalog, audience))
    with torch.no_grad():
        return Modelled(model.towers(members, arms), model.heads[LABEL])


def flattened(catalog: Catalog) -> Catalog:
    """Every arm a creative of its own without a text, all of one product and one channel."""
    arms = {a: Arm(a, "any", a, "any") for a in catalog.arms}
    creatives = {a: Creative(a, "any", "") for a in arms}
    return Catalog({"any": Product("any", "any", 0.0)}, creatives, {"any": Channel("any", Surface.WEB, 0.0, needs_consent=False)}, arms)
