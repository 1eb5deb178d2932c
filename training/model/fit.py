"""From a training set to a model: encoders, the network (`optimise`), then one Laplace posterior a label (`heads`) on its frozen phi."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from training.config.settings import TrainingSettings
from training.domain.catalog import Catalog
from training.domain.errors import NotReadyError
from training.domain.nouns import Label
from training.domain.schema import MEMBER_CATEGORICAL
from training.model import crosses, text
from training.model.arms import ArmBook, ArmEncoder
from training.model.encode import MemberEncoder, numbers
from training.model.expected import Texts
from training.model.funnel import FEWEST, SPLITS, Answers, Stage, rate, stages, trainable
from training.model.heads import posteriors
from training.model.matching import MatchingModel, check_columns
from training.model.newcomers import with_newcomers
from training.model.optimise import Progress
from training.model.parallel import train_together
from training.model.posterior import LaplaceLogistic, constant
from training.model.recalibrate import levelled
from training.model.rows import IMMATURE, Rows, pack
from training.model.split import dealt, is_holdout
from training.model.stacked import Stacked
from training.model.towers import Sizes
from training.model.wide import FOLDS, Wide

KEPT_BACK, KEPT_BACK_SALT = 0.15, b"rightmatch/kept-back/v1"
"""Share of the training members who only say when to stop; the posteriors learn from them too."""
FOLDS_SALT = b"rightmatch/folds/v1"


@dataclass(frozen=True)
class Prepared:
    """A training set as tensors, with the encoders that made them and the sizes of the network for them."""

    members: MemberEncoder
    arms: ArmEncoder
    rows: Rows
    sizes: Sizes
    rates: dict[Stage, tuple[float, float]]
    """Of stages that are too rare to train: their rate, and how many answers it stands on."""
    folds: torch.Tensor
    """Which members' rows are scored together without having been learned from, int64 [n]."""
    whose: torch.Tensor
    """Which member's each row is, as a code, int64 [n]."""
    texts: Texts
    """Of the known creatives, in the encoder's order."""


def fit(frame: pd.DataFrame, catalog: Catalog, settings: TrainingSettings, seed: int, progress: Progress) -> MatchingModel:
    """Train on every row of `frame` (the caller has removed the held-out members); the same inputs give the same weights.

    Raises DataError for a missing column and NotReadyError if no label has FEWEST mature rows of both classes.
    """
    return learn(prepare(frame, catalog, settings), settings, seed, progress)


def prepare(frame: pd.DataFrame, catalog: Catalog, settings: TrainingSettings) -> Prepared:
    """Fit the encoders and encode; what follows needs `frame` no more. Raises as `fit` does."""
    check_columns(frame)
    asked = _asked(frame)
    texts = text.choose(settings.text_encoder)
    members, arms = MemberEncoder.fit(frame), ArmEncoder.fit(frame, catalog, texts.name)
    book = ArmBook.build(arms, catalog, set(frame["arm_id"]))
    rows = pack(frame, members, arms, book, {stage: answers for stage, answers in asked.items() if trainable(answers)})
    rows.kept_back.copy_(torch.from_numpy(is_holdout(frame["member_id"], KEPT_BACK, KEPT_BACK_SALT)))
    factors = (len(arms.products), len(arms.creatives), len(arms.channels))
    sizes = Sizes(settings.width, tuple(len(words) for words in members.vocabulary), factors, texts.size)
    folds = torch.from_numpy(dealt(frame["member_id"], FOLDS, FOLDS_SALT))
    whose = torch.from_numpy(pd.factorize(frame["member_id"])[0].astype(np.int64))
    return Prepared(members, arms, rows, sizes, _rates(asked), folds, whose, _texts(arms, catalog))


def learn(prepared: Prepared, settings: TrainingSettings, seed: int, progress: Progress) -> MatchingModel:
    """Train the network, then the posteriors on it."""
    rows = prepared.rows
    towers, epochs = train_together(rows, prepared.sizes, settings, seed, progress)
    held = Wide(rows, prepared.sizes.categories, prepared.sizes.factors, settings.prior_precision).fit(prepared.folds)
    known, found, logits = posteriors(towers, rows, settings.prior_precision, progress, held, prepared.whose)
    crossed = crosses.fit(rows, logits, prepared.sizes.factors, prepared.sizes.categories)
    stacked, known = Stacked(towers, held.weights, crossed), _levelled(known, rows, crosses.add(crossed, rows, prepared.sizes.categories, logits))
    del logits
    for stage, told in crosses.described(crossed, rows.names, MEMBER_CATEGORICAL, prepared.sizes.categories).items():
        found[stage]["crosses"] = told
    heads, expected = with_newcomers(stacked, rows, known, prepared.texts)
    for stage, taus, scales in zip(heads, expected.taus.tolist(), expected.scales.exp().tolist(), strict=True):
        names = ("creative", "product_x_channel", "amplitude", "length", "own")
        found[stage.value]["newcomers"] = {name: round(value, 6) for name, value in zip(names, [*taus, *scales], strict=True)}
    manifest: dict[str, Any] = {
        "seed": seed,
        "rows": len(rows),
        "base_rates": {n.value: float(r) for n, r in zip(rows.names, rows.base_rates, strict=True)},
        "epochs": [asdict(e) for e in epochs],
        "heads": found,
        "rates": {stage.value: chance for stage, (chance, _) in prepared.rates.items()},
        "training": settings.model_dump(),
    }
    arms = replace(prepared.arms, expected=expected)
    return MatchingModel(prepared.members, arms, stacked, _with_rates(heads, prepared.rates), manifest)


def _levelled(heads: Mapping[Stage, LaplaceLogistic], rows: Rows, logits: torch.Tensor) -> dict[Stage, LaplaceLogistic]:
    """The heads with the mean predictions of their labels, now that `logits` [n, L] are those with crosses."""
    found = {}
    for (stage, head), answers, said in zip(heads.items(), rows.labels.T, logits.T, strict=True):
        mature = answers != IMMATURE
        found[stage] = levelled(head, said[mature], answers[mature])
    return found


def _texts(arms: ArmEncoder, catalog: Catalog) -> Texts:
    """What the known creatives say, and of which product they are."""
    known = [catalog.creatives[name] for name in arms.creatives]
    parts = [torch.from_numpy(text.encode_sentences(arms.text, c.text)) for c in known]
    owner = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor([len(p) for p in parts], dtype=torch.int64))
    products = torch.tensor([arms.products.index(c.product_id) + 1 if c.product_id in arms.products else 0 for c in known], dtype=torch.int64)
    return Texts(torch.cat(parts) if parts else torch.zeros(0, text.named(arms.text).size), owner, products)


def _with_rates(heads: dict[Stage, LaplaceLogistic], rates: Mapping[Stage, tuple[float, float]]) -> dict[Stage, LaplaceLogistic]:
    """The heads of all stages, those of `rates` saying the same of everyone."""
    size = len(next(iter(heads.values())).mean)
    return heads | {stage: constant(chance, answers, size) for stage, (chance, answers) in rates.items()}


def _asked(frame: pd.DataFrame) -> dict[Stage, Answers]:
    """The stages that `frame` can teach, and the answers of each."""
    found = stages({label: numbers(frame[label.value]) for label in Label if label.value in frame})
    if not any(trainable(answers) for answers in found.values()):
        raise NotReadyError(
            f"No label has {FEWEST} mature rows of each class among {len(frame)} decisions: there is nothing to learn yet. "
            "Wait until more decisions have matured (clicks after 1 day, conversions after 14)."
        )
    return found


def _rates(asked: Mapping[Stage, Answers]) -> dict[Stage, tuple[float, float]]:
    """Rate, and how many answers it stands on, of each stage that is too rare to train."""
    found = {}
    for split in SPLITS.values():
        if split.otherwise in asked and not trainable(asked[split.otherwise]):
            both = np.concatenate([asked[stage][~np.isnan(asked[stage])] for stage in (split.happened, split.otherwise)])
            found[split.otherwise] = rate(asked[split.otherwise], float(both.mean()))
    return found
