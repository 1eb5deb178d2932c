"""One member's row without a data frame: the same numbers as the encoder and the network give."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.domain.nouns import Context, Surface
from training.domain.schema import MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.model.compiled_members import Members, number
from training.model.encode import MemberEncoder
from training.model.numbers import NumberEncoder

NUMBERS = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from(["12", " 7 ", "1e3", "", "nan", "inf", "word", np.float32(0.1), np.int16(4), np.bool_(True), Decimal("2.5")]),
)
WORDS = st.one_of(st.none(), st.sampled_from(["tech", "retail", "x", "X", "never seen", "", np.str_("tech")]), st.just(float("nan")), st.integers(0, 1))


@pytest.fixture(scope="module")
def members(model):
    """The member's side of the small model."""
    return Members.build(model.members, model.towers)


@settings(max_examples=150, deadline=None)
@given(
    features=st.fixed_dictionaries(
        {}, optional={**dict.fromkeys(MEMBER_NUMERIC, NUMBERS), **dict.fromkeys(MEMBER_CATEGORICAL, WORDS), "unheard_of": st.just(1.0)}
    ),
    context=st.builds(Context, st.sampled_from(Surface), st.integers(0, 23), st.integers(0, 6)),
)
def test_a_row_is_that_of_the_network(model, members, features, context):
    """Base columns of phi, and the numbers to the last bit, whatever stands in the features."""
    row = model.members.row(features, context)
    assert (members.encoded(members.read(features)[0]).astype(np.float32) == row.numeric.numpy()[0]).all()
    found = members.base(features, context)
    with torch.no_grad():
        base = model.towers.members(row).numpy()[0]
    assert np.abs(found.columns - base).max() < 1e-5
    assert np.abs(found.columns[: model.towers.sizes.deep.base] - base[: model.towers.sizes.deep.base]).max() < 1e-6
    assert (found.context == row.context.numpy()[0]).all()
    assert not found.each[0].any()
    assert found.each[1:].ravel().tolist() == found.columns[-found.each[1:].size :].tolist()


def test_numbers_in_pieces(model):
    """An encoder that cuts numbers into pieces is followed too."""
    column = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 8.0])
    pieces = NumberEncoder.fit(lambda _: column, len(MEMBER_NUMERIC), 3)
    encoder = MemberEncoder(pieces, model.members.vocabulary)
    features = {"tenure_days": 2.5, "visits_7d": None, "clicks_28d": 100}
    alone = replace(Members.build(model.members, model.towers), numbers=pieces, mean=np.array([]))
    assert (alone.encoded(alone.read(features)[0]) == encoder.row(features, Context(Surface.APP, 1, 1)).numeric.numpy()[0]).all()


def test_the_network_alone(model):
    """Without the wide part no product adds anything."""
    features, context = {"visits_7d": 3.0, "industry": "tech"}, Context(Surface.OUTBOUND, 23, 6)
    found = Members.build(model.members, model.towers.deep).base(features, context)
    with torch.no_grad():
        base = model.towers.deep.members(model.members.row(features, context)).numpy()[0]
    assert np.abs(found.columns - base).max() < 1e-6
    assert found.each.shape == (5, 0)


def test_plain_numbers_are_read_at_once():
    """And what is no number is missing."""
    assert [number(x) for x in (1, True, 2.5, -3)] == [1.0, 1.0, 2.5, -3.0]
    assert all(np.isnan(number(x)) for x in (None, "word", float("nan")))
    assert number("12") == 12.0
