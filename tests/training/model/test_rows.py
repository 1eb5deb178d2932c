"""Narrow columns hold the same training set as whole rows do."""

import numpy as np
import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.domain.nouns import Label
from training.model import rows as module
from training.model import text
from training.model.arms import ArmBook, ArmEncoder, ArmRows
from training.model.encode import MemberEncoder, MemberRows
from training.model.matching import encode_rows
from training.model.rows import IMMATURE, Rows, narrow, pack, spans


@pytest.fixture(scope="module")
def parts(catalog):
    """A frame, its encoders and its book."""
    frame = training_frame(catalog, 700)
    arms = ArmEncoder.fit(frame, catalog, text.Hashed().name)
    return frame, MemberEncoder.fit(frame), arms, ArmBook.build(arms, catalog, set(frame["arm_id"]))


def labels_of(frame):
    """Two labels, one of them not mature in the youngest tenth."""
    return {name: frame[name.value].astype("float64").to_numpy() for name in (Label.CLICKED, Label.CONVERTED)}


def test_packed_rows_are_the_encoded_rows(parts, monkeypatch):
    """In several chunks, the last one short: members, arms and labels of every row, as the towers take them."""
    monkeypatch.setattr(module, "CHUNK", 256)
    frame, members, arms, book = parts
    packed, known = pack(frame, members, arms, book, labels_of(frame)), labels_of(frame)
    wanted, shown = encode_rows(frame, members, arms, book)
    got, arm = packed.whole(slice(0, len(frame)))
    assert all(torch.equal(a, b) for a, b in zip((*got, *arm), (*wanted, *shown._replace(rates=shown.rates * shown.shown)), strict=True))
    assert packed.labels[:, 0].tolist() == known[Label.CLICKED].tolist()
    assert ((packed.labels[:, 1] == IMMATURE).numpy() == np.isnan(known[Label.CONVERTED])).all()
    assert packed.base_rates.tolist() == pytest.approx([np.nanmean(v) for v in known.values()])


def test_packed_rows_are_narrow(parts):
    """A row takes far less than its parts as whole tensors: one byte a word, one an arm, one a label."""
    frame, members, arms, book = parts
    packed = pack(frame, members, arms, book, labels_of(frame))
    assert (packed.codes.dtype, packed.arm.dtype, packed.labels.dtype) == (torch.uint8, torch.uint8, torch.int8)
    whole = sum(t.nbytes for t in (*(e for part in encode_rows(frame, members, arms, book) for e in part),))
    assert packed.bytes < whole / 2


def test_rows_of_whole_tensors():
    """Three rows of two kinds of arm, by hand: equal arms become one, `none` has no rates, NaN is immature."""
    members = MemberRows(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0], [300], [1]]), torch.tensor([[5.0], [6.0], [7.0]]))
    arms = ArmRows(torch.tensor([[1, 2, 3], [0, 0, 0], [1, 2, 3]]), torch.tensor([[0.5], [0.0], [0.5]]), torch.ones(3, 3), torch.tensor([[1.0], [0.0], [1.0]]))
    labels = torch.tensor([[1.0], [float("nan")], [0.0]])
    made = Rows.of(members, arms, labels, (Label.CLICKED,), torch.tensor([False, True, False]))
    assert made.dense.tolist() == [[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]
    assert (len(made.kinds.shown), made.codes.dtype, made.labels.tolist()) == (2, torch.int16, [[1], [IMMATURE], [0]])
    back, shown = made.whole(slice(0, 3))
    assert back.categorical.tolist() == [[0], [300], [1]]
    assert shown.factors.tolist() == arms.factors.tolist()
    assert shown.rates.tolist() == [[1.0] * 3, [0.0] * 3, [1.0] * 3]
    assert made.batch(torch.tensor([2, 0])).dense.tolist() == [[3.0, 7.0], [1.0, 5.0]]


def test_a_creative_can_be_hidden():
    """Each kind stands twice: as it is, and with its second factor unknown."""
    arms = ArmRows(torch.tensor([[1, 2, 3]]), torch.ones(1, 2), torch.zeros(1, 3), torch.ones(1, 1))
    kinds = Rows.of(
        MemberRows(torch.ones(1, 1), torch.ones(1, 1), torch.ones(1, 1)), arms, torch.ones(1, 1), (Label.CLICKED,), torch.zeros(1, dtype=torch.bool)
    ).kinds
    assert kinds.twice().factors.tolist() == [[1, 2, 3], [1, 0, 3]]
    assert kinds.twice().text.tolist() == [[1.0, 1.0]] * 2


@pytest.mark.parametrize(("largest", "kind"), [(0, torch.uint8), (255, torch.uint8), (256, torch.int16), (40_000, torch.int32), (2**40, torch.int64)])
def test_codes_are_as_narrow_as_they_can_be(largest, kind):
    """The largest code still fits."""
    made = narrow(torch.tensor([0, largest]))
    assert (made.dtype, int(made[1])) == (kind, largest)


def test_spans_cover_every_row_once():
    """The last one is short."""
    assert list(spans(2 * module.CHUNK + 1)) == [
        slice(0, module.CHUNK),
        slice(module.CHUNK, 2 * module.CHUNK),
        slice(2 * module.CHUNK, 2 * module.CHUNK + 1),
    ]
