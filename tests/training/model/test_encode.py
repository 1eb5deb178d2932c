"""Encoders: numbers, words, context, text and arm rates, by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from training.domain.nouns import Context, Surface
from training.domain.schema import MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.model.arms import STRENGTH, ArmBook, ArmEncoder
from training.model.encode import CONTEXT_SIZE, NUMERIC_SIZE, MemberEncoder
from training.model.text import Hashed


def members(**columns):
    """Two members whose columns are missing unless given."""
    frame = pd.DataFrame({name: [None, None] for name in (*MEMBER_NUMERIC, *MEMBER_CATEGORICAL)}, dtype=object)
    return frame.assign(surface="app", decided_at=pd.Timestamp("2026-01-05T06:00", tz="UTC"), **columns)


def test_numbers_and_missing_values_by_hand():
    """log1p(0) = 0 and log1p(e^2 - 1) = 2: mean 1, deviation 1, so -1 and +1; a missing number is 0 with its flag set."""
    encoder = MemberEncoder.fit(members(visits_7d=[0.0, math.e**2 - 1]))
    rows = encoder.rows(members(visits_7d=[0.0, None]))
    place = MEMBER_NUMERIC.index("visits_7d")
    assert rows.numeric.shape == (2, NUMERIC_SIZE)
    assert rows.numeric[:, place].tolist() == pytest.approx([-1.0, 0.0])
    assert rows.numeric[:, len(MEMBER_NUMERIC) + place].tolist() == [0.0, 1.0]
    assert rows.numeric[:, len(MEMBER_NUMERIC)].tolist() == [1.0, 1.0]


def test_words_by_hand():
    """Known words count from 1 in order; unknown and missing ones are 0."""
    encoder = MemberEncoder.fit(members(industry=["retail", "tech"]))
    place = MEMBER_CATEGORICAL.index("industry")
    assert encoder.rows(members(industry=["tech", "retail"])).categorical[:, place].tolist() == [2, 1]
    assert encoder.rows(members(industry=["farming", None])).categorical[:, place].tolist() == [0, 0]


def test_context_by_hand():
    """Monday 06:00 on the app: one-hot surface, a quarter of the circle, one-hot weekday."""
    rows = MemberEncoder.fit(members()).rows(members())
    assert rows.context.shape == (2, CONTEXT_SIZE)
    assert rows.context[0].tolist() == pytest.approx([0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0], abs=1e-6)


def test_one_member_is_encoded_as_in_a_frame():
    """Serving and training see the same numbers."""
    frame = members(visits_7d=[3.0, 9.0], industry=["retail", "tech"])
    encoder = MemberEncoder.fit(frame)
    single = encoder.row({"visits_7d": 9.0, "industry": "tech"}, Context(Surface.APP, 6, 0))
    assert all(torch.equal(one, many[1:]) for one, many in zip(single, encoder.rows(frame), strict=True))


def test_encoders_survive_json(frame, catalog):
    """What is restored equals what was fitted."""
    member, arm = MemberEncoder.fit(frame), ArmEncoder.fit(frame, catalog, Hashed.name)
    assert MemberEncoder.restore(json.loads(json.dumps(member.state()))) == member
    assert ArmEncoder.restore(json.loads(json.dumps(arm.state()))) == arm


def test_arm_rates_by_hand():
    """No impressions: the average (0). As many as STRENGTH, at three times the average: twice the average, log 2."""
    encoder = ArmEncoder((), (), (), (0.1, 0.1, 0.1), Hashed.name)
    rates = encoder.rates(np.array([[np.nan, np.nan, np.nan, np.nan], [STRENGTH, 0.3 * STRENGTH, 0.1 * STRENGTH, 0.0]]))
    assert rates[0].tolist() == [0.0, 0.0, 0.0]
    assert rates[1].tolist() == pytest.approx([math.log(2), 0.0, math.log(0.5)], abs=1e-6)


def test_a_book_knows_none_and_strangers(frame, catalog):
    """`none` is always there and costs nothing; an arm outside the catalog has unknown factors and no price."""
    book = ArmBook.build(ArmEncoder.fit(frame, catalog, Hashed.name), catalog, ["career.who_viewed.push", "gone.for.ever"])
    assert book.ids == ("career.who_viewed.push", "gone.for.ever", "none")
    assert book.value.tolist() == [90.0, 0.0, 0.0]
    assert book.cost.tolist() == pytest.approx([0.01, 0.0, 0.0])
    assert book.shown[:, 0].tolist() == [1.0, 1.0, 0.0]
    assert (book.factors[0, :3] > 0).all()
    assert not book.factors[0, 3:].any()
    assert not book.factors[1:].any()
    assert book.codes(["none", "gone.for.ever", "none"]).tolist() == [2, 1, 2]
