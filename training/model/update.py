"""Between two retrains the network stands still and the heads go on learning: one update with the answers that have matured since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
import torch

from training.domain.catalog import Catalog
from training.domain.nouns import Label
from training.model.encode import numbers
from training.model.funnel import asked
from training.model.matching import MatchingModel, check_columns, encode_rows


def updated(model: MatchingModel, answers: Mapping[Label, pd.DataFrame], catalog: Catalog) -> MatchingModel:
    """The model after `answers`: of each label the decisions (columns as in the training set) whose answer is new and mature.

    A stage of the funnel learns from the rows where it was asked, so the label before it is a column too. Labels that the model has no head for are left
    out. Raises DataError for a missing column.
    """
    heads = dict(model.heads)
    for stage, head in model.heads.items():
        label, first, happened = asked(stage)
        frame = answers.get(label)
        if frame is None or frame.empty:
            continue
        check_columns(frame)
        rows = frame if first is None else frame[numbers(frame[first.value]) == float(happened)]
        if rows.empty:
            continue
        with torch.no_grad():
            phi = model.towers(*encode_rows(rows, model.members, model.arms, model.book(catalog, rows)))
        heads[stage] = head.update(phi, torch.from_numpy(rows[label.value].to_numpy(dtype="float64")))
    return replace(model, heads=heads)
