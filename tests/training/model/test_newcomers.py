"""New arms: expected from what is known of the others, with a place of their own in phi that is as uncertain as that."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import expit

from training.domain.catalog import Channel, Creative, Product
from training.domain.nouns import Arm, Surface
from training.model import newcomers
from training.model.arms import NEWCOMERS, ArmBook, ArmEncoder
from training.model.encode import MemberRows
from training.model.funnel import Stage
from training.model.known import UNSEEN, Measured, averages, measured
from training.model.matching import MatchingModel, encode_rows
from training.model.newcomers import widened
from training.model.posterior import LaplaceLogistic
from training.model.rows import Kinds
from training.model.text import Hashed


def test_a_widened_head_says_the_same_of_known_arms():
    """New columns have mean 0 and deviation tau and do not move the others; of the labels' offsets the head reads its own, for certain."""
    head = LaplaceLogistic(torch.tensor([0.5, -1.0], dtype=torch.float64), torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64))
    wide = widened(head, (0.5, 0.25), (1, 3))
    assert wide.mean.tolist() == [0.5, -1.0, 0.0, 1.0, 0.0] + [0.0] * 2 * NEWCOMERS
    assert torch.equal(wide.precision[:2, :2], head.precision)
    assert wide.precision.diagonal()[2:5].min() > 1e9
    assert wide.precision.diagonal()[5:].tolist() == [4.0] * NEWCOMERS + [16.0] * NEWCOMERS


def test_answers_move_the_newcomer_before_the_rest():
    """A column that a million rows have pinned stays; the newcomer's own follows its answers, and the offset and the other newcomers' stay."""
    wide = widened(LaplaceLogistic(torch.zeros(1, dtype=torch.float64), torch.full((1, 1), 1e6, dtype=torch.float64)), (0.3, 0.3), (0, 1))
    phi = torch.zeros(200, 2 + 2 * NEWCOMERS)
    phi[:, 0] = phi[:, 2] = 1.0
    phi[:, 1] = 0.4
    after = wide.update(phi, torch.ones(200))
    assert abs(float(after.mean[0])) < 0.001
    assert float(after.mean[1]) == pytest.approx(1.0, abs=1e-6)
    assert float(after.mean[2]) > 1.0
    assert not after.mean[3:].any()


def test_a_newcomers_posterior_is_the_closed_form():
    """At even odds with prior N(0, tau^2), after 30 answers 1 and 10 answers 0 the logit is z = tau^2 (30 - 40 p), precision 1 / tau^2 + 40 p (1 - p)."""
    wide = widened(LaplaceLogistic(torch.zeros(1, dtype=torch.float64), torch.full((1, 1), 1e12, dtype=torch.float64)), (0.2, 0.3), (0, 1))
    phi = torch.zeros(40, 2 + 2 * NEWCOMERS)
    phi[:, 0] = phi[:, 2] = 1.0
    after = wide.update(phi, torch.cat([torch.ones(30), torch.zeros(10)]))
    z = brentq(lambda z: z - 0.04 * (30 - 40 * expit(z)), 0, 1)
    assert float(after.mean[2]) == pytest.approx(z, abs=1e-4)
    assert float(after.precision[2, 2]) == pytest.approx(25 + 40 * expit(z) * expit(-z), abs=0.02)


def test_offsets_are_measured_by_hand():
    """Even odds before: 3 of 4 answers say log 3, with information 4 x 3/16; what was never seen has no information. No success at all is finite."""
    answers, group = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64), torch.zeros(4, dtype=torch.int64)
    many = measured(torch.zeros(4000, dtype=torch.float64), answers.repeat(1000), group.repeat(1000), 2)
    assert float(many.offset[0]) == pytest.approx(np.log(3), abs=1e-3)
    assert float(many.error[0]) == pytest.approx(1 / (4000 * 3 / 16), rel=1e-3)
    assert (float(many.offset[1]), float(many.error[1])) == (0.0, UNSEEN)
    none = measured(torch.zeros(50, dtype=torch.float64), torch.zeros(50, dtype=torch.float64), torch.zeros(50, dtype=torch.int64), 1)
    assert -8 < float(none.offset[0]) < -2


def test_averages_by_hand():
    """Each creative counts once, on however many channels it is; the first row is of all."""
    factors = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 2, 0, 0], [1, 2, 1, 0, 0], [2, 3, 1, 0, 0], [0, 0, 0, 0, 0]])
    texts = torch.tensor([[1.0], [1.0], [3.0], [8.0], [0.0]])
    assert averages(Kinds(factors, texts, torch.ones(5, 1))).flatten().tolist() == [4.0, 2.0, 8.0]


def test_pairs_add_up():
    """Levels of product + channel, measured well on all pairs but one: that one is expected at their sum, which corrects the network that says 0 of it."""
    product, channel = torch.tensor([0.0, -0.4, 0.1, 0.5]), torch.tensor([0.0, 0.3, -0.2, 0.2, -0.6])
    levels = (product[:, None] + channel[None, :]) - 3.0
    offset, error = torch.zeros(4, 5, dtype=torch.float64), torch.full((4, 5), 1e-4, dtype=torch.float64)
    error[0], error[:, 0], error[2, 3] = UNSEEN, UNSEEN, UNSEEN
    said = levels.clone()
    said[2, 3] += 0.7
    pair, deviation, tau = newcomers._pairs(Measured(offset.flatten(), error.flatten()), said)
    assert float(pair[2, 3]) == pytest.approx(-0.7, abs=0.03)
    assert pair[1:, 1:][offset[1:, 1:] + error[1:, 1:] < 1].abs().max() < 0.02
    assert 0.01 < float(deviation[2, 3]) < 0.15
    assert float(deviation[0, 1]) > 0.2 > tau


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
    head = model.heads[Stage.CLICKED]
    assert phi.shape[1] == len(head.mean)
    new, known = (float(row @ torch.linalg.solve(head.precision, row)) for row in phi)
    seats = float((book.ahead[codes[0], -2:] ** 2) @ model.arms.expected.taus[list(model.heads).index(Stage.CLICKED)] ** 2)
    assert new > seats > known
    assert not book.ahead[codes[1]].any()
    p = model.score(one, book.rows(codes, torch.zeros(2, 3)))[Stage.CLICKED]
    assert ((p > 0) & (p < 1)).all()


def test_what_is_expected_survives_saving(model, frame, grown, tmp_path):
    """A loaded model says the same of an arm that it never saw."""
    model.save(tmp_path / "model")
    rows, loaded = frame.head(20).assign(arm_id="career.brand_new.email"), MatchingModel.load(tmp_path / "model")
    assert model.arms.expected is not None
    before, after = model.predict(rows, grown), loaded.predict(rows, grown)
    assert all((before[label] == after[label]).all() for label in before)


def test_what_is_new_in_every_way_is_scorable(model, frame, grown):
    """An unknown product on an unknown channel, whose creative says nothing: finite, and the least certain of all."""
    arm = Arm("moon.void.fax", "moon", "void", "fax")
    more = replace(
        grown,
        products={**grown.products, "moon": Product("moon", "Moon", 1.0)},
        creatives={**grown.creatives, "void": Creative("void", "moon", "")},
        channels={**grown.channels, "fax": Channel("fax", Surface.OUTBOUND, 0.0, needs_consent=False)},
        arms={**grown.arms, arm.arm_id: arm},
    )
    book = model.book(more, frame.head(1))
    void, new = (book.ahead[book.index[name]] for name in ("moon.void.fax", "career.brand_new.email"))
    assert void.isfinite().all()
    assert void[-1] > new[-1] > 0
    rows = encode_rows(frame.head(3).assign(arm_id=arm.arm_id), model.members, model.arms, book)
    assert all(np.isfinite(p).all() for p in model.score(*rows).values())
