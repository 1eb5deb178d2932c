"""Arms as tensors: product, creative, channel and text never change; the rates of the last 28 days do, so they are kept by day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from training.domain.catalog import Catalog
from training.domain.nouns import NONE, Arm
from training.domain.schema import ARM_NUMERIC
from training.model import text
from training.model.expected import Expected

RATES = ("clicks_28d", "dismissals_28d", "conversions_28d")
"""Counts that are read as rates over `impressions_28d`."""
NEWCOMERS = 8
"""New creatives, and new product x channel pairs, that are told apart at the same time; the ninth shares the first one's place."""
STRENGTH = 200.0
"""Impressions' worth of the average arm that is mixed into each arm's rate, so that a new arm starts as average."""

Places = tuple[Mapping[str, int], Mapping[tuple[str, str], int]]
"""Of new creatives and of new pairs."""
NOTHING_AHEAD = torch.zeros(0, 0)


class ArmRows(NamedTuple):
    """One row an arm: factors int64 [n, 5], text [n, encoder's size], rates [n, 3], shown [n, 1] (0 for `none`), ahead [n, L + 2].

    Factors are product, creative, channel (0 = unknown), then the places of a new creative and of a new product x channel (0 = known). `ahead` are the
    offsets of the labels and the scales of those two places (`expected`); it is empty while a model is trained.
    """

    factors: torch.Tensor
    text: torch.Tensor
    rates: torch.Tensor
    shown: torch.Tensor
    ahead: torch.Tensor = NOTHING_AHEAD

    def take(self, rows: torch.Tensor | slice) -> ArmRows:
        """The given rows."""
        ahead = self.ahead[rows] if len(self.ahead) else self.ahead
        return ArmRows(self.factors[rows], self.text[rows], self.rates[rows], self.shown[rows], ahead)


@dataclass(frozen=True)
class ArmEncoder:
    """Words seen in training, and the average rates that single arms are compared with."""

    products: tuple[str, ...]
    creatives: tuple[str, ...]
    channels: tuple[str, ...]
    average: tuple[float, ...]
    text: str
    """Name of the text encoder."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Products x channels seen together."""
    expected: Expected | None = field(default=None, compare=False, repr=False)
    """What to expect of new arms, once a model was trained."""

    @classmethod
    def fit(cls, frame: pd.DataFrame, catalog: Catalog, texts: str) -> ArmEncoder:
        """Learn from the chosen arms of `frame`; an arm that the catalog no longer has counts as unknown. `texts` names the text encoder."""
        seen = [catalog.arms[a] for a in sorted(set(frame["arm_id"])) if a in catalog.arms]
        snapshots = frame.drop_duplicates(["day", "arm_id"])
        shown = float(pd.to_numeric(snapshots["arm_impressions_28d"]).fillna(0).sum())
        average = [(float(pd.to_numeric(snapshots[f"arm_{name}"]).fillna(0).sum()) + 1.0) / (shown + 100.0) for name in RATES]
        words = ({a.product_id for a in seen}, {a.creative_id for a in seen}, {a.channel_id for a in seen})
        products, creatives, channels = (tuple(sorted(w)) for w in words)
        return cls(products, creatives, channels, tuple(average), texts, tuple(sorted({(a.product_id, a.channel_id) for a in seen})))

    def state(self) -> dict[str, Any]:
        """What `restore` needs besides `expected`, as JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "expected"}

    @classmethod
    def restore(cls, state: Mapping[str, Any], expected: Expected | None = None) -> ArmEncoder:
        """The encoder that `state()` described."""
        products, creatives, channels, average = (tuple(state[name]) for name in ("products", "creatives", "channels", "average"))
        return cls(products, creatives, channels, average, state["text"], tuple((product, channel) for product, channel in state["pairs"]), expected)

    def places(self, catalog: Catalog) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
        """Places 1 to NEWCOMERS of the creatives that were never seen, and of the pairs of arms that are new in either way.

        In the catalog's order, so that what is appended moves no other. An arm of a new creative has no recent rates, which tell what is special about
        a known pair: that pair is as uncertain for it as a new one.
        """
        new = [a for a in catalog.arms.values() if a.creative_id not in self.creatives or (a.product_id, a.channel_id) not in self.pairs]
        creatives = [c for c in dict.fromkeys(a.creative_id for a in new) if c not in self.creatives]
        pairs = dict.fromkeys((a.product_id, a.channel_id) for a in new)
        return {c: i % NEWCOMERS + 1 for i, c in enumerate(creatives)}, {p: i % NEWCOMERS + 1 for i, p in enumerate(pairs)}

    def rates(self, counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """log(smoothed rate / average rate) in [-3, 3] from counts [..., 4] in the order of ARM_NUMERIC; 0 where nothing is known."""
        known = np.nan_to_num(counts, nan=0.0)
        impressions = known[..., ARM_NUMERIC.index("impressions_28d")]
        columns = []
        for name, average in zip(RATES, self.average, strict=True):
            rate = (known[..., ARM_NUMERIC.index(name)] + STRENGTH * average) / (impressions + STRENGTH)
            columns.append(np.clip(np.log(rate / average), -3, 3))
        return np.stack(columns, axis=-1).astype(np.float32)


@dataclass(frozen=True)
class ArmBook:
    """The arms that are scored together. `value` is money for a conversion, `cost` money for a message; both 0 for `none` and retired arms."""

    ids: tuple[str, ...]
    index: Mapping[str, int]
    factors: torch.Tensor
    text: torch.Tensor
    shown: torch.Tensor
    value: torch.Tensor
    cost: torch.Tensor
    ahead: torch.Tensor

    @classmethod
    def build(cls, encoder: ArmEncoder, catalog: Catalog, arm_ids: Iterable[str]) -> ArmBook:
        """Look the factors of `arm_ids` up in the catalog; `none` is always in the book. What is new has an average text once something is `expected` of it."""
        ids, places = tuple(sorted({*arm_ids, NONE})), encoder.places(catalog)
        lines = [_line(encoder, catalog, catalog.arms.get(arm_id), places) for arm_id in ids]
        texts, ahead = (torch.from_numpy(np.stack(column)) for column in ([x.text for x in lines], [x.ahead for x in lines]))
        factors, prices = torch.tensor([x.factors for x in lines]), torch.tensor([x.prices for x in lines], dtype=torch.float32)
        shown = torch.tensor([[float(a != NONE)] for a in ids])
        return cls(ids, {a: i for i, a in enumerate(ids)}, factors, texts, shown, prices[:, 0], prices[:, 1], ahead)

    def codes(self, arm_ids: Sequence[str] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Position in the book of each arm."""
        inverse, unique = pd.factorize(np.asarray(arm_ids, dtype=object))
        return np.array([self.index[a] for a in unique], dtype=np.int64)[inverse]

    def counts(self, arm_features: Mapping[str, Mapping[str, object]]) -> npt.NDArray[np.float64]:
        """ARM_NUMERIC of each arm of the book, [arms, 4], NaN where `arm_features` does not know it."""
        return counts(self.ids, arm_features)

    def rows(self, codes: torch.Tensor, rates: torch.Tensor) -> ArmRows:
        """The arms at `codes` [n], with `rates` [n, 3] as of each row's day."""
        return ArmRows(self.factors[codes], self.text[codes], rates, self.shown[codes], self.ahead[codes])


@dataclass(frozen=True)
class ArmHistory:
    """Rates of every arm of a book as they were known on each day: [days, arms, 3]. A day without news keeps the day before."""

    days: tuple[date, ...]
    rates: torch.Tensor

    @classmethod
    def read(cls, encoder: ArmEncoder, book: ArmBook, frame: pd.DataFrame) -> ArmHistory:
        """Collect what the point-in-time join found for the chosen arm of each decision; it is the same for every decision of that day."""
        day_of = pd.to_datetime(frame["decided_at"], utc=True).dt.date.to_numpy()
        days = tuple(sorted(set(day_of)))
        counts = np.full((len(days), len(book.ids), len(ARM_NUMERIC)), np.nan)
        where = {day: i for i, day in enumerate(days)}
        names = [f"arm_{name}" for name in ARM_NUMERIC]
        first = frame.assign(_day=day_of).drop_duplicates(["_day", "arm_id"])
        values = first[names].apply(pd.to_numeric).to_numpy(dtype=np.float64, na_value=np.nan)
        counts[[where[d] for d in first["_day"]], book.codes(first["arm_id"].to_numpy())] = values
        for i in range(1, len(days)):
            counts[i] = np.where(np.isnan(counts[i]), counts[i - 1], counts[i])
        return cls(days, torch.from_numpy(encoder.rates(counts)))

    def day_codes(self, frame: pd.DataFrame) -> torch.Tensor:
        """Row of `rates` that belongs to each decision of `frame`, int64 [n]."""
        day_of = pd.to_datetime(frame["decided_at"], utc=True).dt.date
        return torch.from_numpy(day_of.map({day: i for i, day in enumerate(self.days)}).to_numpy(dtype=np.int64))


def counts(arms: Sequence[str], arm_features: Mapping[str, Mapping[str, object]]) -> npt.NDArray[np.float64]:
    """ARM_NUMERIC of each of `arms`, NaN where unknown."""
    return np.array([[_number(arm_features.get(a, {}).get(name)) for name in ARM_NUMERIC] for a in arms])


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


class Line(NamedTuple):
    """One arm of a book; `prices` are value and cost."""

    factors: tuple[int, ...]
    text: npt.NDArray[np.float32]
    prices: tuple[float, float]
    ahead: npt.NDArray[np.float32]


def _line(encoder: ArmEncoder, catalog: Catalog, arm: Arm | None, places: Places) -> Line:
    """Zeros for `none` and for an arm that the catalog no longer has."""
    expected, (creatives, pairs) = encoder.expected, places
    nothing = np.zeros(expected.columns if expected else 0, dtype=np.float32)
    if arm is None:
        return Line((0, 0, 0, 0, 0), np.zeros(text.named(encoder.text).size, dtype=np.float32), (0.0, 0.0), nothing)
    known = (_code(encoder.products, arm.product_id), _code(encoder.creatives, arm.creative_id), _code(encoder.channels, arm.channel_id))
    pair, said = (arm.product_id, arm.channel_id), catalog.creatives[arm.creative_id].text
    fresh = arm.creative_id in creatives or pair not in encoder.pairs
    factors = (*known, creatives.get(arm.creative_id, 0), pairs[pair] if fresh else 0)
    prices = (catalog.products[arm.product_id].value, catalog.channels[arm.channel_id].cost)
    if expected is None or not fresh:
        return Line(factors, text.encode_text(encoder.text, said), prices, nothing)
    vector = text.encode_text(encoder.text, said) if known[1] else expected.average[known[0]].numpy()
    return Line(factors, vector, prices, expected.row(known, text.encode_sentences(encoder.text, said)))


def _code(vocabulary: Sequence[str], word: str) -> int:
    return vocabulary.index(word) + 1 if word in vocabulary else 0
