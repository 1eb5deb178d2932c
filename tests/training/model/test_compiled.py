"""A compiled champion decides as the policy does layer by layer, whatever its heads read and whoever asks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.domain.catalog import Channel, Creative
from training.domain.errors import DataError
from training.domain.nouns import NONE, Arm, Context, Label, Surface
from training.domain.schema import ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.model import kernel
from training.model.arms import ArmBook, counts
from training.model.compiled import Compiled, pick, seed_of
from training.model.compiled_arms import PLANS
from training.model.compiled_heads import Form
from training.model.crosses import Crosses
from training.model.funnel import Stage
from training.model.posterior import LaplaceLogistic, constant
from training.model.select import Prices, draw_utilities, propensities
from training.model.stacked import Stacked
from training.model.towers import pairs

NEAR = 6e-4
"""Money: a millionth of what a member can be worth here (300 for staying, 300 for the dearest product, 20 for an opt-out)."""
WEB = Context(Surface.WEB, 13, 2)


def asked(row):
    """Features and context of a row of the training frame."""
    at = row["decided_at"]
    return {name: row[name] for name in (*MEMBER_CATEGORICAL, *MEMBER_NUMERIC)}, Context(Surface(row["surface"]), at.hour, at.weekday())


def served(catalog):
    """Recent counts of every arm but one, each another."""
    arms = list(catalog.arms)[:-1]
    return {a: dict(zip(ARM_NUMERIC, (1000.0 + 10 * i, 20.0 + i % 7, 5.0, float(i % 3)), strict=True)) for i, a in enumerate(arms)}


def layer_by_layer(compiled, catalog, rates, features, context, feasible):
    """Utilities [A, S] by torch, from the drawn weights."""
    model, ids = compiled.model, [compiled.arm_ids[i] for i in feasible]
    book = ArmBook.build(model.arms, catalog, ids)
    codes = torch.from_numpy(book.codes(ids))
    with torch.no_grad():
        arms = model.towers.arms(book.rows(codes, torch.from_numpy(model.arms.rates(counts(ids, rates)))))
        phi = pairs(model.towers, model.members.row(features, context), arms[None])
        assert np.allclose(compiled.phi(features, context, feasible), phi[0].numpy(), atol=1e-6)
        prices = Prices(book.value[codes[None]], book.cost[codes[None]])
        return draw_utilities(phi, model.towers.sizes.base, compiled.drawn, prices, compiled.settings.utility)[0]


def check(compiled, catalog, rates, cases, clear=0.5):
    """Same utilities; the same arm wins each draw unless two are within rounding; probabilities are those of what wins."""
    apart, epsilon = [], compiled.settings.exploration.epsilon
    for features, context, feasible in cases:
        truth = layer_by_layer(compiled, catalog, rates, features, context, feasible)
        found = compiled.utilities(features, context, feasible)
        assert np.abs(found - truth.numpy()).max() < NEAR
        best = truth.topk(min(2, len(feasible)), dim=0).values
        close = int((best[0] - best[-1] < 2 * NEAR).sum()) if len(best) > 1 else 0
        p = compiled.score(features, context, feasible).p
        wins = np.bincount(found.argmax(axis=0), minlength=len(feasible))
        assert (p == (1 - epsilon) * wins / len(found.T) + epsilon / len(feasible)).all()
        assert np.abs(p - propensities(truth[None], epsilon)[0].numpy()).max() <= 1e-6 + close / truth.shape[1]
        assert p.sum() == pytest.approx(1.0, abs=1e-12)
        assert p.min() >= epsilon / len(p) - 1e-15
        apart.append(close == 0)
    assert np.mean(apart) >= clear


@pytest.fixture(scope="module")
def compiled(model, catalog, settings):
    """As trained, with recent rates."""
    return Compiled.build(model, catalog, settings, "3").with_arms(served(catalog), "today")


@pytest.fixture(scope="module")
def cases(frame, compiled):
    """Twelve members of the log with menus in the catalog's order, out of it, short and single; one without features, one with unknown words."""
    rng = np.random.default_rng(5)
    index = {a: i for i, a in enumerate(compiled.arm_ids)}
    found = []
    for i in range(12):
        row = frame.iloc[i * 97]
        menu = [index[a] for a in row["feasible_arms"]]
        found.append((*asked(row), (menu, rng.permutation(menu).tolist(), menu[: 1 + i % 3])[i % 3]))
    return [*found, ({}, WEB, range(len(index))), ({"industry": "never seen", "visits_7d": float("inf")}, WEB, range(1, 9)), ({}, WEB, [0])]


def network_heads(towers, columns, seed=3):
    """Heads of `columns` weights of which every one counts, on all stages of the split labels and on opt-outs."""
    g = torch.Generator().manual_seed(seed)
    stages = [Stage.CLICKED, Stage.CONVERTED_IF_CLICKED, Stage.CONVERTED_UNLESS_CLICKED, Stage.VISITED, Stage.RETAINED_IF_VISITED]
    stages += [Stage.RETAINED_UNLESS_VISITED, Stage.OPTED_OUT]
    precision = 30.0 * torch.eye(columns, dtype=torch.float64)
    return {stage: LaplaceLogistic(0.2 * torch.randn(columns, generator=g, dtype=torch.float64), precision) for stage in stages}


def test_as_trained(compiled, catalog, cases):
    """The heads that the fit chose."""
    check(compiled, catalog, served(catalog), cases)
    assert (compiled.version, compiled.posterior, compiled.arms_version) == ("3", 0, "today")
    assert compiled.arm_ids == (NONE, *catalog.arms)


def test_heads_that_read_everything(model, compiled, catalog, cases):
    """Every column of phi, the network's included, with the wide part beside it and without."""
    heads = network_heads(model.towers, len(next(iter(model.heads.values())).mean))
    check(compiled.with_heads(heads, 1), catalog, served(catalog), cases)
    deep = model.towers.deep
    columns = len(heads[Stage.CLICKED].mean) - model.towers.sizes.phi + deep.sizes.phi
    alone = replace(model, towers=deep, heads=network_heads(deep, columns))
    rates = served(catalog)
    check(Compiled.build(alone, catalog, compiled.settings, "x").with_arms(rates, "today"), catalog, rates, cases)


@pytest.mark.parametrize("network", [False, True])
def test_words_that_change_what_creatives_and_channels_are_worth(model, catalog, settings, cases, network):
    """Heads of odds, and heads that read the network's part; each reads its own crosses whole, whatever is drawn."""
    g, rates = torch.Generator().manual_seed(11), served(catalog)
    crosses = Crosses(*(0.4 * torch.randn(table.shape, generator=g) for table in model.towers.crosses))
    for table in crosses:
        table[:, 0] = 0.0
    crossed = replace(model, towers=Stacked(model.towers.deep, model.towers.weights, crosses), heads=model.heads)
    if network:
        heads, first = network_heads(model.towers, len(model.heads[Stage.CLICKED].mean)), model.towers.sizes.phi
        for stage, head in heads.items():
            offsets = slice(first, first + model.towers.sizes.labels)
            head.mean[offsets] = model.heads[stage].mean[offsets]
            head.precision[offsets, offsets] = model.heads[stage].precision[offsets, offsets]
        crossed = replace(crossed, heads=heads)
    found = Compiled.build(crossed, catalog, settings, "3").with_arms(rates, "today")
    assert len(found.kernel.heads.crossed) == len(found.kernel.heads.heads)
    assert {Form.LOGITS} == {head.form for head in found.kernel.heads.heads} - (set() if network else {Form.ODDS})
    check(found, catalog, rates, cases)
    plain = Compiled.build(model, catalog, settings, "3").with_arms(rates, "today")
    assert not np.allclose(found.utilities(*cases[0]), plain.utilities(*cases[0]), atol=NEAR)


def test_extreme_heads(model, compiled, catalog, cases):
    """Arms a hundred log odds from even, where odds leave float32: the logits are added up instead. Many arms are equally good then."""
    heads = {stage: LaplaceLogistic(60.0 * h.mean, h.precision) for stage, h in model.heads.items()}
    found = compiled.with_heads(heads, 1)
    assert {Form.LOGITS, Form.ODDS} <= {head.form for head in found.kernel.heads.heads}
    check(found, catalog, served(catalog), cases, clear=0.0)


@pytest.mark.parametrize("gone", [("retained", "visited"), ("converted",), ("opted_out",), ("converted", "retained", "visited", "opted_out")])
def test_labels_that_are_not_there(model, catalog, settings, cases, gone):
    """A young log teaches some labels only; with clicks alone the cost decides, and `none` wins what is free."""
    heads = {stage: h for stage, h in model.heads.items() if not stage.value.startswith(gone)}
    young = Compiled.build(replace(model, heads=heads), catalog, settings, "1").with_arms(served(catalog), "today")
    features, context, menu = cases[-3]
    truth = layer_by_layer(young, catalog, served(catalog), features, context, menu)
    assert np.abs(young.utilities(features, context, menu) - truth.numpy()).max() < NEAR
    assert np.allclose(young.score(features, context, menu).p, propensities(truth[None], settings.exploration.epsilon)[0].numpy(), atol=1e-6)


def test_constant_and_undivided_heads(model, catalog, settings, cases):
    """A label in one stage, and stages that say the same of everyone, wherever they stand in a split."""
    size = len(model.heads[Stage.CLICKED].mean)
    rare, rates = constant(0.01, 500.0, size), served(catalog)
    whole = {Stage.CLICKED: model.heads[Stage.CLICKED], Stage.CONVERTED: model.heads[Stage.CLICKED], Stage.RETAINED: rare, Stage.OPTED_OUT: rare}
    check(Compiled.build(replace(model, heads=whole), catalog, settings, "1").with_arms(rates, "t"), catalog, rates, cases)
    for stage in (Stage.CLICKED, Stage.CONVERTED_IF_CLICKED, Stage.CONVERTED_UNLESS_CLICKED, Stage.VISITED):
        some = replace(model, heads={**network_heads(model.towers, size), stage: rare})
        check(Compiled.build(some, catalog, settings, "1").with_arms(rates, "t"), catalog, rates, cases)


def test_newcomers(model, settings, catalog, cases):
    """New creatives, a new channel and a new product are scored with what is expected of them, before and after they have shown themselves."""
    product = next(iter(catalog.products.values()))
    products = {**catalog.products, "new": replace(product, product_id="new", value=500.0), "newer": replace(product, product_id="newer", value=70.0)}
    texts = {name: Creative(name, p, "A course that nobody knows yet") for name, p in (("fresh", product.product_id), ("own", "new"), ("other", "newer"))}
    channels = {**catalog.channels, "kiosk": Channel("kiosk", Surface.WEB, 0.5, needs_consent=False)}
    made = [Arm(f"{c.product_id}.{c.creative_id}.{k}", c.product_id, c.creative_id, k) for c in texts.values() for k in ("feed", "kiosk")]
    wider = replace(catalog, products=products, creatives={**catalog.creatives, **texts}, channels=channels)
    wider = replace(wider, arms={**{a.arm_id: a for a in made}, **catalog.arms})
    found = Compiled.build(model, wider, settings, "3").with_arms(served(wider), "today")
    everything = range(len(found.arm_ids))
    check(found, wider, served(wider), [(f, c, everything) for f, c, _ in cases])
    features, context, _ = cases[0]
    phi = torch.from_numpy(found.phi(features, context, [1] * 40))
    taught = {Stage.CLICKED: found.model.heads[Stage.CLICKED].update(phi, torch.ones(40))}
    after = found.with_heads(taught, 1)
    check(after, wider, served(wider), [(f, c, everything) for f, c, _ in cases])
    assert after.moments(features, context, [1]).chances[Label.CLICKED][0] > found.moments(features, context, [1]).chances[Label.CLICKED][0]


def test_arms_take_turns(model, compiled, catalog, cases, monkeypatch):
    """Where heads read the network's part, a few arms are worked on at once: five, and what is left."""
    monkeypatch.setattr(kernel, "TURN", 5 * compiled.settings.exploration.draws)
    heads = network_heads(model.towers, len(next(iter(model.heads.values())).mean))
    check(compiled.with_heads(heads, 1), catalog, served(catalog), cases)


def test_nothing_carries_over(compiled, cases):
    """Scores do not depend on what was asked before, and another posterior leaves the first one's as they were."""
    first = [compiled.score(*case).p for case in cases]
    other = compiled.with_heads({}, 1)
    changed = [other.score(*case).p for case in cases]
    assert all((compiled.score(*case).p == p).all() for case, p in zip(reversed(cases), reversed(first), strict=True))
    assert any((p != q).any() for p, q in zip(first, changed, strict=True))
    again = compiled.with_heads({}, 1)
    assert all((again.score(*case).p == p).all() for case, p in zip(cases, changed, strict=True))


def test_moments_are_those_of_the_draws(compiled, cases):
    """Mean and deviation of the utilities, and the means that the model gives."""
    features, context, menu = cases[-3]
    found, money = compiled.moments(features, context, menu), compiled.utilities(features, context, menu)
    assert np.allclose(found.mean, money.mean(axis=1), atol=1e-3)
    assert np.allclose(found.deviation, money.std(axis=1), atol=1e-3)
    means = compiled.model.means(torch.from_numpy(compiled.phi(features, context, menu)))
    assert set(found.chances) == set(means)
    assert all(np.allclose(found.chances[label], means[label].numpy()) for label in means)


def test_draws_belong_to_version_and_posterior():
    """Seeds are stable, and every pair has its own."""
    assert seed_of("1", 0) == 5_995_469_358_269_906_430
    assert len({seed_of(v, n) for v in ("1", "2", "12") for n in range(40)}) == 120


def test_a_menu_is_known_by_what_it_is_not_by_where_it_lies(compiled):
    """A list that is changed in place is another menu, and so is a tuple at the address of one that has gone; more of them than are remembered do no harm."""
    shelf, count = compiled.shelf, len(compiled.arm_ids)
    menu = [0, 1]
    assert shelf.plan(menu).order.tolist() != shelf.plan([0]).order.tolist()
    menu.append(2)
    assert len(shelf.plan(menu).order) == 3
    for i in range(2 * PLANS):
        arms = tuple(k for k in range(count) if k < 2 or i >> (k - 2) & 1)
        assert sorted(shelf.row[list(arms)].tolist()) == shelf.plan(arms).menu.rows.tolist()
        assert shelf.plan(arms) is shelf.plan(arms)
    assert len(shelf.met) <= PLANS


def test_a_menu_without_arms_or_with_a_wrong_one_is_refused(compiled):
    """Nothing is scored in place of what was asked."""
    with pytest.raises(DataError, match="no feasible arm"):
        compiled.score({}, WEB, [])
    with pytest.raises(IndexError, match="no arm of 49"):
        compiled.score({}, WEB, [0, -1])
    with pytest.raises(IndexError):
        compiled.score({}, WEB, [0, 49])


def test_picking_by_hand():
    """The first arm whose cumulated probability is above u."""
    p = np.array([0.25, 0.0, 0.5, 0.25])
    assert [pick(p, u) for u in (0.0, 0.2499, 0.25, 0.74, 0.75, np.nextafter(1.0, 0.0))] == [0, 0, 2, 2, 3, 3]
    assert pick(np.array([0.0, 1.0, 0.0]), 0.999) == 1
    assert pick(np.array([1 / 3, 1 / 3, 1 / 3 - 1e-9, 0.0]), 1 - 1e-12) == 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30).filter(lambda w: sum(w) > 1e-3), st.floats(0, 1, exclude_max=True))
def test_every_u_picks_an_arm_that_can_be_picked(weights, u):
    """Whatever the rounding of the sum; and the picked arm is the one whose share of [0, 1) holds u."""
    p = np.array(weights) / sum(weights)
    found = pick(p, u)
    assert p[found] > 0
    below = float(np.cumsum(p)[found])
    assert below - p[found] - 1e-9 <= u
    assert u < below or found == np.flatnonzero(p)[-1]
