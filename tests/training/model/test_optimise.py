"""When training stops: label by label, by members kept back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.config.settings import TextChoice, TrainingSettings
from training.domain.nouns import Label
from training.model.fit import prepare
from training.model.funnel import Stage
from training.model.optimise import PATIENCE, Epoch, _gaining, _newest_best, batch_rows, told, train
from training.model.rows import IMMATURE

SETTINGS = TrainingSettings(width=16, epochs=2, batch=512, text_encoder=TextChoice.HASHED)


@pytest.fixture(scope="module")
def prepared(catalog):
    """A small training set as tensors."""
    return prepare(training_frame(catalog, 4_000), catalog, SETTINGS)


@pytest.fixture(name="rows")
def _rows(prepared):
    return prepared.rows


@pytest.fixture(name="sizes")
def _sizes(prepared):
    return prepared.sizes


def epochs(*losses):
    """Epochs with these losses of the labels on members kept back."""
    return [Epoch(1.0, tuple(found)) for found in losses]


def test_a_label_stops_after_patience_without_a_gain_and_stays_stopped():
    """The first label has its best at once, the second gains in every epoch; a late luck of the first does not bring it back."""
    history = epochs(*[(0.9 + 0.01 * i, 0.9 - 0.01 * i) for i in range(PATIENCE + 1)])
    assert [_gaining(history[:n], 2).tolist() for n in range(PATIENCE + 2)] == [[True, True]] * (PATIENCE + 1) + [[False, True]]
    assert _gaining([*history, *epochs((0.1, 0.5))], 2).tolist() == [False, True]


def test_the_newest_epoch_counts_where_it_is_the_best_of_a_label():
    """0.8 is the second label's best; the first was better before."""
    assert _newest_best(epochs((0.7, 0.9), (0.75, 0.8))).tolist() == [False, True]
    assert _newest_best(epochs((0.7, 0.9))).tolist() == [True, True]


def test_progress_is_a_bar_and_the_losses():
    """A quarter of twenty epochs is three of twelve marks."""
    line = told(epochs(*[(0.9, 0.8)] * 5), 20, (Label.CLICKED, Label.CONVERTED))
    assert line.startswith("[###.........] epoch 5 of at most 20: loss 1.0000; ")
    assert "clicked 0.9000, converted 0.8000" in line


def test_training_ends_by_itself(model, frame):
    """Fewer epochs than allowed, and the manifest tells what each one gave."""
    told_epochs = model.manifest["epochs"]
    assert PATIENCE < len(told_epochs) < model.manifest["training"]["epochs"]
    assert all(len(e["kept_back"]) == len(model.heads) for e in told_epochs)
    assert torch.isfinite(model.heads[Label.CLICKED].mean).all()


def without(rows, label, kept):
    """The same rows with no answer to a label among those kept back, who are `kept`."""
    labels = rows.labels.clone()
    labels[kept, rows.names.index(label)] = IMMATURE
    return replace(rows, labels=labels, kept_back=kept)


def test_a_label_that_nobody_kept_back_has_answered_keeps_no_training_going(rows, sizes):
    """Its loss was 0 in each epoch, so each was its best: all epochs were run, and the last one kept whatever the others said."""
    _, found = train(without(rows, Stage.CONVERTED_IF_CLICKED, rows.kept_back), sizes, SETTINGS, 1, str)
    assert all(loss > 0 for epoch in found for loss in epoch.kept_back)


def test_a_log_of_kept_back_members_alone_is_learned_from(rows, sizes):
    """One member of a few may be the only one; nothing was divided by their number."""
    _, found = train(replace(rows, kept_back=torch.ones(len(rows), dtype=torch.bool)), sizes, SETTINGS, 1, str)
    assert all(np.isfinite(epoch.learned) for epoch in found)


@pytest.mark.parametrize(("learned", "rows"), [(1_000, 1024), (409_599, 1024), (409_600, 2048), (819_199, 2048), (819_200, 4096), (10**9, 4096)])
def test_batches_grow_where_an_epoch_keeps_its_steps(learned, rows):
    """200 steps of 2,048 rows are 409,600; beyond four times 1,024 nothing grows."""
    assert batch_rows(1024, learned) == rows
