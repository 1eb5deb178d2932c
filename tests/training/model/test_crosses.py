"""Crosses of words with creatives and channels: what is there is found, what is not is left out, and the weights are the most probable ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.fakes.training_frame import training_frame
from tests.training.model.test_fit import SMALL
from training.domain.nouns import NONE, Label
from training.model import crosses
from training.model.arms import ArmRows
from training.model.crosses import CREATIVE, Crosses, add, described, fit, places
from training.model.encode import MemberRows
from training.model.fit import fit as train
from training.model.funnel import Stage
from training.model.matching import MatchingModel
from training.model.rows import IMMATURE, Rows
from training.model.stacked import Stacked

SIZES, VOCABULARIES = (1, 6, 3), (4, 3)
"""One product, six creatives and three channels; words of two columns."""
NAMES = (Stage.CLICKED, Stage.RETAINED_IF_VISITED)
LOGIT = -2.5


def made(n, taste=0.0, reach=0.0, seed=3):
    """`n` rows, a tenth of them of `none`: a word of the first column moves clicks on a creative by N(0, taste^2), one of the second those on a channel.

    What a creative, a channel or a word is worth to everyone is known to the logits, and is 0.
    """
    rng = np.random.default_rng(seed)
    shown = rng.random(n) > 0.1
    factors = np.stack([np.ones(n), rng.integers(1, 7, n), rng.integers(1, 4, n)], axis=1).astype(np.int64) * shown[:, None]
    words = np.stack([rng.integers(0, size + 1, n) for size in VOCABULARIES], axis=1)
    by_creative, by_channel = taste * centred(rng.standard_normal((7, 5))), reach * centred(rng.standard_normal((4, 4)))
    logit = LOGIT + shown * (by_creative[factors[:, 1], words[:, 0]] + by_channel[factors[:, 2], words[:, 1]])
    labels = np.stack([rng.random(n) < 1 / (1 + np.exp(-logit)), rng.random(n) < 0.9], axis=1).astype(np.float32)
    labels[rng.random(n) < 0.05, 0] = np.nan
    members = MemberRows(torch.zeros(n, 1), torch.from_numpy(words), torch.zeros(n, 1))
    arms = ArmRows(torch.from_numpy(factors), torch.zeros(n, 1), torch.zeros(n, 3), torch.from_numpy(shown[:, None].astype(np.float32)))
    rows = Rows.of(members, arms, torch.from_numpy(labels), NAMES, torch.zeros(n, dtype=torch.bool))
    return rows, torch.full((n, 2), LOGIT), by_creative


def centred(table):
    """Without the means of its rows and columns; the first row is of unknown arms, which nobody sees."""
    known = table[1:] - table[1:].mean(axis=1, keepdims=True)
    return np.vstack([table[:1], known - known.mean(axis=0)])


def column(table, which):
    """The words of one column, the unknown one first."""
    return torch.split(table, [size + 1 for size in VOCABULARIES], dim=-1)[which]


def test_what_is_there_is_found_and_the_rest_left_out():
    """Tastes of 0.4 by the first column: found within their noise; the second column, channels and the stage behind a surrogate change nothing."""
    rows, logits, truth = made(60_000, taste=0.4)
    found = fit(rows, logits, SIZES, VOCABULARIES)
    assert np.corrcoef(column(found.creative, 0)[0, 1:].flatten(), truth[1:].flatten())[0, 1] > 0.9
    assert float(column(found.creative, 0)[0, 1:].mean(dim=1).abs().max()) < 0.1, "for everyone together a creative is worth what the logits said"
    assert not column(found.creative, 1).any()
    assert not found.channel.any()
    assert not found.creative[1].any()
    assert not found.creative[:, 0].any(), "an unknown creative has no words of its own"
    told = described(found, NAMES, ("seniority", "country"), VOCABULARIES)
    assert list(told["clicked"]["creative"]) == ["seniority"]
    assert told["clicked"]["creative"]["seniority"] == pytest.approx(float(np.sqrt((truth[1:] ** 2).mean())), abs=0.07)
    assert told["clicked"]["channel"] == told["retained_if_visited"]["creative"] == {}


def test_what_a_creative_is_worth_to_everyone_beyond_the_heads_is_found_too():
    """Half a log odd more than the logits say, with tastes or without: no column of words has to stand for it, and the other creatives' mean stays."""
    rows, logits, _ = made(60_000)
    logits[rows.kinds.factors[rows.arm.to(torch.int64), CREATIVE] == 1, 0] -= 0.5
    plain = fit(rows, logits, SIZES, VOCABULARIES)
    assert column(plain.creative, 0)[0, 1:].mean(dim=1).tolist() == pytest.approx([0.5, 0.0, 0.0, 0.0, 0.0, 0.0], abs=0.1)
    assert described(plain, NAMES, ("seniority", "country"), VOCABULARIES)["clicked"] == {"creative": {}, "channel": {}}
    rows, logits, truth = made(60_000, taste=0.4)
    logits[rows.kinds.factors[rows.arm.to(torch.int64), CREATIVE] == 1, 0] -= 0.5
    found = column(fit(rows, logits, SIZES, VOCABULARIES).creative, 0)[0, 1:]
    assert found.mean(dim=1).tolist() == pytest.approx([0.5, 0.0, 0.0, 0.0, 0.0, 0.0], abs=0.1)
    away = found - torch.from_numpy(truth[1:]) - 0.5 * torch.eye(6)[:, :1]
    assert float((away**2).mean(dim=0).sqrt().max()) < 0.15, "of every word, over the creatives"


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_where_nothing_is(seed):
    """20,000 answers that no word changes."""
    rows, logits, _ = made(20_000, seed=seed)
    assert not any(table.any() for table in fit(rows, logits, SIZES, VOCABULARIES))


def test_the_weights_are_the_most_probable_ones():
    """Where the search ends the slope of the log likelihood is precision times weight, for creatives and channels together."""
    rows, logits, _ = made(40_000, taste=0.5, reach=0.5)
    sides = []
    with pytest.MonkeyPatch.context() as patch:
        real = crosses._Side
        patch.setattr(crosses, "_Side", lambda *asked: sides.append(real(*asked)) or sides[-1])
        fit(rows, logits, SIZES, VOCABULARIES)
    now = Crosses(*(side.table(whole=True) for side in sides))
    for side in sides:
        slope, curvature = side._sums(logits, now)
        prior = side.precisions[:, side.column][:, None, :]
        away = (slope - prior * side.mean) / (torch.diagonal(curvature, dim1=-2, dim2=-1) + prior)
        assert float(away.abs().max()) < 2 * crosses.STILL
        assert float(side.gain[0, 0 if side is sides[0] else 1]) > 100


def test_gain_is_the_evidence_of_a_closed_form():
    """One word a creative alone: log N(y; 0, 1 / c + 1 / lambda) - log N(y; 0, 1 / c), the ratio of two normal densities."""
    rows, logits, _ = made(30_000, taste=0.5)
    side = crosses._Side(rows, [0], CREATIVE, SIZES[CREATIVE], VOCABULARIES)
    slope, curvature = side._sums(logits, Crosses.none(2, SIZES, VOCABULARIES))
    c = torch.diagonal(curvature, dim1=-2, dim2=-1)
    gain = side._gain(slope, c)
    seen, prior = c[0] > 0, side.precisions[0][side.column]
    y, noise = slope[0] / c[0].clamp(min=1e-9), 1 / c[0].clamp(min=1e-9)
    wide = torch.distributions.Normal(0.0, (noise + 1 / prior).sqrt()).log_prob(y)
    narrow = torch.distributions.Normal(0.0, noise.sqrt()).log_prob(y)
    nats = torch.where(seen, wide - narrow, 0.0)
    assert torch.allclose(gain[0], torch.stack([nats[:, side.column == i].sum() for i in (0, 1, 2)]))


def test_words_stand_one_column_after_the_other():
    """Each column begins with its unknown word."""
    assert places((4, 3, 2)).tolist() == [0, 5, 9]
    assert places((4,)).tolist() == [0]


def test_what_is_added_is_what_the_arms_say():
    """What is added to training rows is what an arm's own table says of their words."""
    rows, _, _ = made(500)
    g = torch.Generator().manual_seed(1)
    some = Crosses(*(torch.randn(table.shape, generator=g) for table in Crosses.none(2, SIZES, VOCABULARIES)))
    by_arm, words = some.of(rows.kinds.factors), places(VOCABULARIES) + rows.codes.to(torch.int64)
    found = add(some, rows, VOCABULARIES, torch.zeros(len(rows), 2))
    for i in (0, 17, 499):
        assert torch.allclose(found[i], by_arm[int(rows.arm[i])][:, words[i]].sum(dim=1), atol=1e-6)


def test_immature_answers_teach_nothing():
    """With every click unknown nothing is found, and nothing fails."""
    rows, logits, _ = made(5_000, taste=0.5)
    rows.labels[:, 0] = IMMATURE
    assert not any(table.any() for table in fit(rows, logits, SIZES, VOCABULARIES))


def test_a_model_learns_and_keeps_them(catalog, tmp_path):
    """One industry clicks on every other creative, the rest on the others; a saved model says the same, and `none` what it does without crosses."""
    frame, rng = training_frame(catalog, 6_000), np.random.default_rng(2)
    odd = frame["arm_id"].map({a: sorted(catalog.creatives).index(arm.creative_id) % 2 for a, arm in catalog.arms.items()})
    frame["clicked"] = (rng.random(len(frame)) < np.where((frame["industry"] == "tech") == (odd == 1), 0.5, 0.1)) & odd.notna()
    model = train(frame, catalog, SMALL, 7, str)
    assert list(model.manifest["heads"]["clicked"]["crosses"]["creative"]) == ["industry"]
    model.save(tmp_path / "model")
    again = MatchingModel.load(tmp_path / "model")
    assert all(torch.equal(a, b) for a, b in zip(model.towers.crosses, again.towers.crosses, strict=True))
    without = replace(model, towers=Stacked(model.towers.deep, model.towers.weights))
    rows = frame.head(400)
    found, same, plain = (one.predict(rows, catalog)[Label.CLICKED] for one in (model, again, without))
    silent = (rows["arm_id"] == NONE).to_numpy()
    assert (found == same).all()
    assert (found == plain)[silent].all()
    assert (found != plain)[~silent].any()


def test_a_head_that_is_certain_and_wrong_throws_no_weight_away():
    """It gives all rows 30 log odds, where 1 in 500 says otherwise: there is no curvature to go by, and Newton's step would be 100 log odds long. The weights
    walk to where the answers are, and take nothing from another label.
    """
    rows, logits, _ = made(60_000, taste=0.4)
    alone = fit(rows, logits, SIZES, VOCABULARIES)
    labels = torch.stack([rows.labels[:, 0], torch.ones_like(rows.labels[:, 0])], dim=1)
    labels[::500, 1] = 0
    both, said = replace(rows, labels=labels, names=(Stage.CLICKED, Stage.VISITED)), torch.stack([logits[:, 0], torch.full((60_000,), 30.0)], dim=1)
    side = crosses._Side(both, [0, 1], CREATIVE, SIZES[CREATIVE], VOCABULARIES)
    side.learn(said, Crosses.none(2, SIZES, VOCABULARIES))
    assert side.moved == crosses.FARTHEST
    found = fit(both, said, SIZES, VOCABULARIES)
    known = rows.kinds.factors[rows.arm.to(torch.int64), CREATIVE] > 0
    rate = torch.sigmoid(add(found, both, VOCABULARIES, said.clone())[known, 1]).mean()
    assert 0.997 < float(rate) < 0.999
    assert torch.allclose(found.creative[0], alone.creative[0], atol=0.02)
    assert found.creative[0].abs().max() > 0.2
