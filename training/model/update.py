"""Between two retrains the network stands still and the heads go on learning: one Newton step on the answers that have matured since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import torch

from training.domain.catalog import Catalog
from training.domain.nouns import Label
from training.model.matching import MatchingModel, check_columns, encode_rows


def updated(model: MatchingModel, answers: Mapping[Label, pd.DataFrame], catalog: Catalog) -> MatchingModel:
    """The model after `answers`: of each label the decisions (columns as in the training set) whose answer is new and mature.

    Labels that the model has no head for are left out. Raises DataError for a missing column.
    """
    heads = dict(model.heads)
    for label, frame in answers.items():
        if label not in heads or frame.empty:
            continue
        check_columns(frame)
        with torch.no_grad():
            phi = model.towers(*encode_rows(frame, model.members, model.arms, model.book(catalog, frame)))
        heads[label] = heads[label].update(phi, torch.from_numpy(frame[label.value].to_numpy(dtype="float64")))
    return replace(model, heads=heads)
