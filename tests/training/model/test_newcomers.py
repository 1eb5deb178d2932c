"""New arms: a place of their own in phi, as uncertain as the known ones were surprising."""

from dataclasses import replace

import pytest
import torch

from training.domain.catalog import Creative
from training.domain.nouns import Arm, Label
from training.model import newcomers
from training.model.arms import NEWCOMERS, ArmBook, ArmEncoder
from training.model.encode import MemberRows
from training.model.newcomers import BELIEF, WORTH, spread, widened
from training.model.posterior import LaplaceLogistic
from training.model.rows import Kinds
from training.model.text import Hashed


def test_spread_by_hand():
    """Four groups, information 10 each, half of their log odds 0.5 above and half below: Q = 4 x 10 x 0.25 = 10, so tau^2 = (10 - 4) / 40 before belief."""
    surprise, information = torch.tensor([5.0, -5.0, 5.0, -5.0, 0.0]), torch.tensor([10.0, 10.0, 10.0, 10.0, 0.0])
    assert spread(surprise, information, 0) == pytest.approx(((4 * 0.15 + WORTH * BELIEF**2) / (4 + WORTH)) ** 0.5)
    assert spread(surprise, information, 3) == pytest.approx(((4 * 0.15 + WORTH * BELIEF**2) / (1 + WORTH)) ** 0.5)


def test_spread_without_any_group_is_the_belief():
    """Nothing was seen, so the belief stands; groups without surprise lower it, but never to 0."""
    assert spread(torch.zeros(3), torch.zeros(3), 0) == pytest.approx(BELIEF)
    assert 0 < spread(torch.zeros(50), torch.full((50,), 1e6), 1) < BELIEF / 3


def test_spread_finds_a_known_tau():
    """2,000 groups whose true offsets deviate by 0.2: found within a tenth."""
    generator = torch.Generator().manual_seed(4)
    offset = 0.2 * torch.randn(2000, generator=generator, dtype=torch.float64)
    rows, level = 400, -3.0
    happened = torch.binomial(torch.full((2000,), float(rows), dtype=torch.float64), torch.sigmoid(level + offset), generator=generator)
    p = torch.sigmoid(torch.tensor(level, dtype=torch.float64))
    assert spread(happened - rows * p, torch.full((2000,), float(rows * p * (1 - p)), dtype=torch.float64), 0) == pytest.approx(0.2, rel=0.1)


def test_a_widened_head_says_the_same_of_known_arms():
    """New columns have mean 0 and deviation tau, and do not move the others."""
    head = LaplaceLogistic(torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64))
    wide = widened(head, (0.5, 0.25))
    assert wide.mean.tolist() == [0.5, -1.0] + [0.0] * 2 * NEWCOMERS
    assert torch.equal(wide.precision[:2, :2], head.precision)
    assert wide.precision.diagonal()[2:].tolist() == [4.0] * NEWCOMERS + [16.0] * NEWCOMERS


def test_answers_move_the_newcomer_before_the_rest():
    """A column that a million rows have pinned stays; the newcomer's own follows its answers, and the other newcomers' stay."""
    wide = widened(LaplaceLogistic(torch.zeros(1, dtype=torch.float64), torch.full((1, 1), 1e6, dtype=torch.float64)), (0.3, 0.3))
    phi = torch.zeros(200, 1 + 2 * NEWCOMERS)
    phi[:, 0] = phi[:, 1] = 1.0
    after = wide.update(phi, torch.ones(200))
    assert abs(float(after.mean[0])) < 0.001
    assert float(after.mean[1]) > 1.0
    assert not after.mean[2:].any()


def test_groups_by_hand():
    """Three creatives of two texts, and a pair for each product and channel; `none` and the unknown belong to no group."""
    factors = torch.tensor([[1, 1, 1, 0, 0], [1, 2, 2, 0, 0], [2, 3, 1, 0, 0], [0, 0, 0, 0, 0]])
    kinds = Kinds(factors, torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), torch.tensor([[1.0], [1.0], [1.0], [0.0]]))
    assert newcomers.creatives(kinds, 16).of.tolist() == [1, 2, 3, 0]
    assert newcomers.creatives(kinds, 16).used == 2
    found = newcomers.pairs(kinds)
    assert sorted(found.of[:3].tolist()) == [1, 2, 3]
    assert int(found.of[3]) == 0
    assert found.used == 3


@pytest.fixture
def grown(catalog):
    """The catalog with a new creative on two channels, and a known creative on a channel where its product never was (of a log that lacks it)."""
    creative = Creative("brand_new", "career", "Find the job you love")
    new = [Arm(f"career.brand_new.{k}", "career", "brand_new", k) for k in ("email", "feed")]
    return replace(catalog, creatives={**catalog.creatives, "brand_new": creative}, arms={**catalog.arms, **{a.arm_id: a for a in new}})


def test_places_are_of_what_was_never_seen(frame, catalog, grown):
    """One creative has one place on all its channels, and each pair of it one; a pair that the log lacks has one; appending an arm moves none."""
    log = frame[~frame["arm_id"].str.fullmatch(r"sales\..*\.push")]
    encoder = ArmEncoder.fit(log, catalog, Hashed.name)
    book = ArmBook.build(encoder, grown, grown.arms)
    places = {arm: tuple(book.factors[book.index[arm], 3:].tolist()) for arm in book.ids}
    assert places["sales.warm_leads.push"] == places["sales.team_quota.push"] == (0, 1)
    assert (places["career.brand_new.email"], places["career.brand_new.feed"]) == ((1, 2), (1, 3))
    assert places["career.who_viewed.email"] == places["sales.warm_leads.email"] == places["none"] == (0, 0)
    arm = Arm("sales.aaa.email", "sales", "aaa", "email")
    more = replace(grown, creatives={"aaa": Creative("aaa", "sales", "x"), **grown.creatives}, arms={**grown.arms, arm.arm_id: arm})
    creatives, pairs = encoder.places(more)
    assert creatives == {"brand_new": 1, "aaa": 2}
    assert pairs == {("sales", "push"): 1, ("career", "email"): 2, ("career", "feed"): 3, ("sales", "email"): 4}


def test_a_new_arm_is_scorable_at_once_and_less_certain(model, frame, grown):
    """Before any impression: a probability, a wider belief than about its known siblings, and phi as long as the head."""
    book = model.book(grown, frame.head(1))
    codes = torch.from_numpy(book.codes(["career.brand_new.email", "career.who_viewed.email"]))
    members = model.members.rows(frame.head(2))
    one = MemberRows(*(torch.cat([part[:1], part[:1]]) for part in members))
    with torch.no_grad():
        phi = model.towers(one, book.rows(codes, torch.zeros(2, 3))).to(torch.float64)
    head = model.heads[Label.CLICKED]
    assert phi.shape[1] == len(head.mean)
    new, known = (float(row @ torch.linalg.solve(head.precision, row)) for row in phi)
    tau = model.manifest["heads"]["clicked"]["newcomers"]["creative"]
    assert new > tau**2
    assert known < tau**2
    p = model.score(one, book.rows(codes, torch.zeros(2, 3)))[Label.CLICKED]
    assert ((p > 0) & (p < 1)).all()
