"""The wide part: its sums by product are those of the whole design, and no row is scored by what it answered."""

import pytest
import torch

from tests.fakes.training_frame import FRIENDS, training_frame
from training.config.settings import TextChoice, TrainingSettings
from training.domain.nouns import NONE
from training.model import posterior
from training.model.fit import prepare
from training.model.funnel import Stage
from training.model.heads import DEEP, WIDE, _better
from training.model.rows import IMMATURE
from training.model.stacked import Stacked
from training.model.towers import Towers, initialise
from training.model.wide import FOLDS, Wide, scores

SMALLEST = 1.0


@pytest.fixture(scope="module", name="made")
def _made(catalog):
    """A training set of 6,000 rows, and the wide part of it."""
    prepared = prepare(training_frame(catalog, 6_000), catalog, TrainingSettings(width=16, text_encoder=TextChoice.HASHED))
    wide = Wide(prepared.rows, prepared.sizes.categories, prepared.sizes.factors, SMALLEST)
    return prepared, wide, wide.fit(prepared.folds)


def design(wide):
    """All columns of the logistic regression, one row a decision, written out."""
    part = wide.part(slice(None))
    crossed = [part.x * (part.product == p)[:, None] for p in range(1, wide.shape.products + 1)]
    return torch.cat([part.x, part.f, *crossed], dim=1)


@pytest.mark.parametrize("stage", [Stage.CONVERTED_UNLESS_CLICKED, Stage.RETAINED_IF_VISITED])
def test_sums_by_product_are_the_whole_regression(made, stage):
    """Weights and precisions equal those of the plain posterior on the whole design."""
    prepared, wide, held = made
    i = prepared.rows.names.index(stage)
    answers = prepared.rows.labels[:, i]
    mature = answers != IMMATURE
    head, precisions = posterior.fit(design(wide)[mature], answers[mature].to(torch.float32), wide.shape.blocks, SMALLEST)
    assert torch.allclose(held.weights[i], head.mean.to(torch.float32), atol=1e-3)
    assert wide.searches[i].precisions.tolist() == pytest.approx(list(precisions), rel=1e-2)


def test_a_fold_is_scored_without_itself(made):
    """One Newton step is near the regression that never saw the fold, and far nearer than the weights that did."""
    prepared, wide, held = made
    i = prepared.rows.names.index(Stage.CLICKED)
    answers, columns, here = prepared.rows.labels[:, i], design(wide), prepared.folds == 3
    learned = (answers != IMMATURE) & ~here
    head, _ = posterior.fit(columns[learned], answers[learned].to(torch.float32), wide.shape.blocks, SMALLEST)
    exact, seen = (columns[here] @ w.to(torch.float32) for w in (head.mean, held.weights[i]))
    found = held.scores(torch.nonzero(here)[:, 0])
    mine = (found.base + found.effect)[:, i]
    assert float((mine - exact).std()) < 0.5 * float((seen - exact).std())


def test_members_are_dealt_whole(made, catalog):
    """All rows of a member lie in one fold, and every fold has rows."""
    folds = made[0].folds
    frame = training_frame(catalog, 6_000)
    assert frame.assign(fold=folds.numpy()).groupby("member_id")["fold"].nunique().max() == 1
    assert set(folds.tolist()) == set(range(FOLDS))


def test_stacked_is_the_towers_and_the_scores(made):
    """phi of single pairs holds the towers' phi and the wide logits; nothing of the arm's part is left for `none`."""
    prepared, wide, held = made
    towers = Towers(prepared.sizes)
    initialise(towers, torch.Generator().manual_seed(1))
    stacked = Stacked(towers, held.weights)
    members, arms = prepared.rows.whole(slice(0, 300))
    with torch.no_grad():
        phi, deep = (part(members, arms)[:, : part.sizes.phi] for part in (stacked, towers))
    logits = design(wide)[:300] @ held.weights.T
    sizes = stacked.sizes
    constant, u, b, c, *effects, e = torch.split(phi, list(sizes.blocks), dim=1)
    assert torch.allclose(torch.cat([constant, u, *effects], dim=1), deep, rtol=0, atol=1e-6)  # machines add the columns of a wider matrix in another order
    assert torch.allclose(b + e, logits, atol=1e-4)
    assert c.shape[1] == sizes.labels * sizes.shape.products
    silent = arms.shown[:, 0] == 0
    assert silent.any()
    assert (phi[silent][:, sizes.base :] == 0).all()
    assert sizes.phi == phi.shape[1]


def test_who_wants_what_is_learned_from_few_rows(made, catalog):
    """With 6,000 rows the product that fits the industry has the highest conversion effect, for both industries."""
    prepared, wide, held = made
    frame = training_frame(catalog, 6_000)
    i = prepared.rows.names.index(Stage.CLICKED)
    part = wide.part(slice(None))
    crossed = held.weights[i, wide.shape.member + wide.shape.factors :].reshape(wide.shape.products, -1)
    wanted = (part.x @ crossed.T).argmax(dim=1)
    names = prepared.arms.products
    for industry, product in FRIENDS.items():
        rows = (frame["industry"] == industry).to_numpy() & (frame["arm_id"] != NONE).to_numpy()
        assert (wanted[torch.from_numpy(rows)] == names.index(product)).float().mean() > 0.9


def test_the_deep_part_must_be_better_by_more_than_luck():
    """A gain of 0.1 a row wins where it is steady, and does not where one row of 200 makes it."""
    steady, lucky = torch.full((200,), 0.1), torch.full((200,), -0.05)
    lucky[:1] = 20.0
    base, alone = torch.ones(200), torch.arange(200)
    assert _better({WIDE: (None, base), DEEP: (None, base - steady + torch.linspace(-0.01, 0.01, 200))}, alone) == DEEP
    assert _better({WIDE: (None, base), DEEP: (None, base - lucky)}, alone) == WIDE


def test_folds_stand_where_rows_to_come_are_scored(made):
    """In each fold the mean of the scores is that of the weights of all rows, for the member's part of every row and the arm's part of those that show one."""
    prepared, wide, held = made
    part = wide.part(slice(None))
    found, whole = held.scores(slice(None)), scores(held.weights, wide.shape, part)
    shown = part.f[:, 0] == 1
    for k in range(FOLDS):
        here = prepared.folds == k
        assert torch.allclose(found.base[here].mean(dim=0), whole.base[here].mean(dim=0), atol=1e-3)
        assert torch.allclose(found.effect[here & shown].mean(dim=0), whole.effect[here & shown].mean(dim=0), atol=1e-3)
    assert (found.effect[~shown] == 0).all()
