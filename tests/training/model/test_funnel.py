"""The funnel: questions by hand, and the law of total probability."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.training_frame import training_frame
from training.config.settings import TextChoice, TrainingSettings
from training.domain.nouns import Label
from training.model.fit import fit
from training.model.funnel import FEWEST, Stage, asked, chances, needed, rate, stages
from training.model.update import updated

NAN = np.nan
SMALL = TrainingSettings(width=16, epochs=2, batch=512, text_encoder=TextChoice.HASHED)


def many(*answers, times=FEWEST):
    """The answers, often enough to learn from."""
    return np.tile(np.array(answers, dtype=float), times)


def test_a_label_is_asked_after_its_first_step():
    """Five rows: clicked and bought, clicked and not, bought without a click, neither, and one that is not mature."""
    clicked, converted = many(1, 1, 0, 0, 0), many(1, 0, 1, 0, NAN)
    found = stages({Label.CLICKED: clicked, Label.CONVERTED: converted})
    assert list(found) == [Stage.CLICKED, Stage.CONVERTED_IF_CLICKED, Stage.CONVERTED_UNLESS_CLICKED]
    assert np.array_equal(found[Stage.CONVERTED_IF_CLICKED][:5], [1, 0, NAN, NAN, NAN], equal_nan=True)
    assert np.array_equal(found[Stage.CONVERTED_UNLESS_CLICKED][:5], [NAN, NAN, 1, 0, NAN], equal_nan=True)


def test_too_few_answers_for_two_are_one():
    """One answer fewer than FEWEST after a click: conversion is asked of every row; and without clicks too."""
    clicked, converted = many(1, 0, times=FEWEST - 1), many(1, 0, times=FEWEST - 1)
    for c in (np.append(clicked, [0, 0, 0]), many(0, 0, times=FEWEST + 1)[: 2 * FEWEST + 1]):
        found = stages({Label.CLICKED: c, Label.CONVERTED: np.append(converted, [1, 0, 0])})
        assert Stage.CONVERTED in found
        assert Stage.CONVERTED_IF_CLICKED not in found


@pytest.mark.parametrize("rare", [0.0, 1.0])
def test_a_label_without_enough_answers_is_left_out(rare):
    """FEWEST of each class make a stage, and of either class one fewer makes none: a head that has seen one class alone would be noise."""
    for count, found in ((FEWEST, [Stage.OPTED_OUT]), (FEWEST - 1, []), (0, [])):
        answers = np.array([rare] * count + [1.0 - rare] * 500 + [NAN] * 500)
        assert list(stages({Label.OPTED_OUT: answers})) == found


def test_a_label_whose_first_step_is_not_there_is_one_stage():
    """Where nobody says who clicked."""
    converted = many(1, 0, NAN)
    assert list(stages({Label.CONVERTED: converted})) == [Stage.CONVERTED]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_frequencies_multiply_out(rows):
    """P(stage) as frequencies give the frequency of the label."""
    clicked, converted = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    p = clicked.mean()
    part = [float(converted[clicked == k].mean()) if (clicked == k).any() else 0.0 for k in (1, 0)]
    found = chances({Stage.CLICKED: p, Stage.CONVERTED_IF_CLICKED: part[0], Stage.CONVERTED_UNLESS_CLICKED: part[1]})
    assert found[Label.CONVERTED] == pytest.approx(converted.mean())
    assert found[Label.CLICKED] == p


def test_what_each_stage_needs_and_asks():
    """A whole label is one stage; a split one is three, and cannot be told without its first."""
    split = {Stage.CLICKED: 1, Stage.CONVERTED_IF_CLICKED: 1, Stage.CONVERTED_UNLESS_CLICKED: 1}
    assert needed(Label.CONVERTED, split) == tuple(split)
    assert needed(Label.CONVERTED, {Stage.CONVERTED: 1}) == (Stage.CONVERTED,)
    assert needed(Label.CONVERTED, {Stage.CONVERTED_IF_CLICKED: 1, Stage.CONVERTED_UNLESS_CLICKED: 1}) == ()
    assert asked(Stage.RETAINED_UNLESS_VISITED) == (Label.RETAINED, Label.VISITED, False)
    assert asked(Stage.CLICKED) == (Label.CLICKED, None, True)


def test_a_rare_stage_has_a_rate():
    """No answer: the label's own rate. Three answers, one of them yes, and half an answer before: 1.5 of 4."""
    assert rate(np.array([NAN]), 0.5) == (0.5, 1.0)
    assert rate(np.array([1.0, 0.0, 0.0, NAN]), 0.5) == (0.375, 4.0)


def test_a_model_with_a_rare_stage(catalog):
    """Nobody converts without a click: that stage is a rate near 0, the same for all, and conversions come out at the rate that was seen."""
    frame = training_frame(catalog, 6_000)
    frame.loc[(frame["clicked"] == False).to_numpy() & frame["converted"].notna().to_numpy(), "converted"] = False  # noqa: E712 - objects
    model = fit(frame, catalog, SMALL, 3, str)
    assert 0 < model.manifest["rates"]["converted_unless_clicked"] < 1e-3
    weights = model.heads[Stage.CONVERTED_UNLESS_CLICKED].draw(5, 1.0, torch.Generator().manual_seed(1))
    assert float(weights[:, 1:].abs().max()) < 1e-4
    mature = frame[frame["converted"].notna()]
    assert model.predict(mature, catalog)[Label.CONVERTED].mean() == pytest.approx(mature["converted"].astype(float).mean(), abs=0.003)


def test_answers_reach_the_stage_that_was_asked(model, frame, catalog):
    """Conversions after a click move that head and no other; only the others' rows move the other."""
    some = frame[frame["converted"].notna() & (frame["clicked"] == True)].head(300).assign(converted=True)  # noqa: E712 - objects
    after = updated(model, {Label.CONVERTED: some}, catalog)
    moved = [stage for stage, head in after.heads.items() if not torch.equal(head.mean, model.heads[stage].mean)]
    assert moved == [Stage.CONVERTED_IF_CLICKED]
    assert after.predict(some, catalog)[Label.CONVERTED].mean() > model.predict(some, catalog)[Label.CONVERTED].mean()
    others = frame[frame["converted"].notna() & (frame["clicked"] == False)].head(300).assign(converted=True)  # noqa: E712 - objects
    for rows, reached in (
        (others, [Stage.CONVERTED_UNLESS_CLICKED]),
        (some.head(0), []),
        (pd.concat([some, others]), [*moved, Stage.CONVERTED_UNLESS_CLICKED]),
    ):
        after = updated(model, {Label.CONVERTED: rows}, catalog)
        assert [stage for stage, head in after.heads.items() if not torch.equal(head.mean, model.heads[stage].mean)] == reached
    assert updated(replace(model, heads={}), {Label.CONVERTED: some}, catalog).heads == {}
