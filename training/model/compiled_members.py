"""The member's side of a compiled champion: features and circumstances -> the part of phi that no arm changes, in numpy and without a data frame.

Numbers, words and circumstances enter the first layer of the member tower and the wide part linearly, so both are one matrix here, and each word and
each circumstance is one row of it, added up. float64 throughout: next to the draws this costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from training.domain.nouns import Context, Surface
from training.domain.schema import MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.model.encode import MemberEncoder, circumstances
from training.model.loops_member import Layers, encode, enter
from training.model.numbers import NumberEncoder
from training.model.stacked import Stacked
from training.model.towers import Towers

Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

EXACT = 2**53
"""Integers up to this are the same number as a float."""


class Base(NamedTuple):
    """Of one member in one context: base columns of phi [base], what each product, after an unknown one, would add to each label's logit
    [1 + P, L], the context [12], and where its words stand among all words.
    """

    columns: Doubles
    each: Doubles
    context: Singles
    words: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Members:
    """Encoder and first layer in one. Columns of the first layer: the member tower's hidden layer, then b [L], then c [P L]."""

    numbers: NumberEncoder
    mean: Doubles
    deviation: Doubles
    """Of each number; none where numbers have pieces, which are encoded before the loops."""
    words: tuple[tuple[str, Mapping[str, int], int], ...]
    """Of each feature that is a word: its name, the row of the layer's table of each known word, and that of all others."""
    layers: Layers
    contexts: Mapping[tuple[Surface, int, int], tuple[Doubles, Singles]]
    """Of each circumstance what it adds to the first layer, with the layer's constant, and its columns."""
    products: int

    @classmethod
    def build(cls, encoder: MemberEncoder, net: Towers | Stacked) -> Members:
        """Take the weights out of `net`."""
        deep = net.deep if isinstance(net, Stacked) else net
        layer, second = _First.of(net), cast("nn.Linear", deep.member[2])
        start = np.cumsum([0, *(len(words) + 1 for words in encoder.vocabulary)]).tolist()
        named, pieces = zip(MEMBER_CATEGORICAL, start, encoder.vocabulary, strict=False), any(encoder.numbers.edges)
        return cls(
            numbers=encoder.numbers,
            mean=np.array([] if pieces else encoder.numbers.mean),
            deviation=np.array([] if pieces else encoder.numbers.deviation),
            words=tuple((name, {word: at + 1 + i for i, word in enumerate(words)}, at) for name, at, words in named),
            layers=Layers(*(np.ascontiguousarray(each) for each in (layer.numbers, layer.words, double(second.weight).T, double(second.bias)))),
            contexts=_contexts(layer),
            products=deep.sizes.factors[0],
        )

    def base(self, features: Mapping[str, object], context: Context) -> Base:
        """What `Stacked.members` says of this row, with every product's part. A feature that is absent counts as missing."""
        constant, about = self.contexts[context.surface, context.hour, context.weekday]
        (numbers, words), (_, first, columns, each) = self.read(features), self.room()
        first[:] = constant
        enter(self.encoded(numbers), words, self.layers, first, columns, each)
        return Base(columns, each, about, words)

    def encoded(self, numbers: Doubles) -> Doubles:
        """Those of `read` as `NumberEncoder.encode` has them, in float32 steps."""
        if not len(self.mean):
            return numbers
        found = np.empty(2 * len(numbers))
        encode(numbers, self.mean, self.deviation, found)
        return found

    def read(self, features: Mapping[str, object]) -> tuple[Doubles, npt.NDArray[np.int64]]:
        """The numbers of one member, raw, or as `NumberEncoder.encode` where they have pieces; and the rows of the layer's table, one a word."""
        raw = np.array([value if type(value) is float else number(value) for value in map(features.get, MEMBER_NUMERIC)])
        words = [known.get(word, other) if isinstance(word := features.get(name), str) else other for name, known, other in self.words]
        return raw if len(self.mean) else np.asarray(self.numbers.encode(raw[None])[0], dtype=np.float64), np.array(words, dtype=np.int64)

    def room(self) -> tuple[Doubles, Doubles, Doubles, Doubles]:
        """Where the loops write: numbers as encoded, the first layer, base columns of phi, what products add."""
        (entering, first), (hidden, said) = self.layers.dense.shape, self.layers.matrix.shape
        labels = (first - hidden) // (self.products + 1)
        return np.empty(entering), np.empty(first), np.empty(1 + said + first - hidden), np.empty((1 + self.products, labels))


class _First(NamedTuple):
    """The first layer by what enters it: numbers [N, O], words [W, O], circumstances [12, O], and the constant [O]."""

    numbers: Doubles
    words: Doubles
    context: Doubles
    constant: Doubles

    @classmethod
    def of(cls, net: Towers | Stacked) -> _First:
        deep, wide = (net.deep, _wide(net)) if isinstance(net, Stacked) else (net, None)
        layer, tables = cast("nn.Linear", deep.member[0]), [double(cast("nn.Embedding", table).weight) for table in deep.words]
        cuts = np.cumsum([deep.sizes.numeric, *(table.shape[1] for table in tables)])
        numbers, *words, context = np.split(double(layer.weight).T, cuts)
        named = np.concatenate([table @ rows for table, rows in zip(tables, words, strict=True)])
        found = cls(numbers, named, context, double(layer.bias))
        return found if wide is None else cls(*(np.concatenate(both, axis=-1) for both in zip(found, wide, strict=True)))


def _wide(net: Stacked) -> _First:
    """The wide part's rows for b and c; an unknown word adds nothing."""
    shape, deep = net.sizes.shape, net.sizes.deep
    on_x, _, on_each = torch.split(net.weights, [shape.member, shape.factors, shape.products * shape.member], dim=1)
    crossed = on_each.reshape(len(on_x), shape.products, shape.member).transpose(0, 1).reshape(-1, shape.member)
    rows = double(torch.cat([on_x, crossed])).T
    constant, numbers, context, words = np.split(rows, np.cumsum([1, deep.numeric, deep.context]))
    parts = np.split(words, np.cumsum(deep.categories)[:-1])
    return _First(numbers, np.concatenate([np.pad(part, ((1, 0), (0, 0))) for part in parts]), context, constant[0])


def _contexts(layer: _First) -> dict[tuple[Surface, int, int], tuple[Doubles, Singles]]:
    """Every circumstance there is."""
    keys = list(product(Surface, range(24), range(7)))
    columns = circumstances(np.array([s.value for s, _, _ in keys]), np.array([h for _, h, _ in keys]), np.array([d for _, _, d in keys]))
    return dict(zip(keys, zip(columns.astype(np.float64) @ layer.context + layer.constant, columns, strict=True), strict=True))


def number(value: object) -> float:
    """As the training set's columns are read: what is no number is NaN."""
    if value is None:
        return float("nan")
    if isinstance(value, float) or (isinstance(value, int) and -EXACT <= value <= EXACT):
        return float(value)
    read: float = pd.to_numeric(pd.DataFrame([{"x": value}])["x"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)[0]
    return read


def double(tensor: torch.Tensor) -> Doubles:
    """As float64, away from the graph."""
    found: Doubles = tensor.detach().to(torch.float64).numpy()
    return found
