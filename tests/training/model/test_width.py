"""Exploration width by replay: what cannot be won costs nothing, what was answered is learned, chance is shared."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.config.settings import TextChoice, UtilitySettings
from training.domain.nouns import NONE
from training.domain.schema import ARM_NUMERIC
from training.model import width
from training.model.fit import fit
from training.model.funnel import Stage
from training.model.posterior import LaplaceLogistic
from training.model.select import Prices
from training.model.width import IMPOSSIBLE, WIDTHS, Scene, best, latest, regrets, scene, with_width

WORTH = UtilitySettings(retention=0.0, opt_out=0.0)


def two_arms(weight, feasible=True):
    """`none`, and one arm that costs 5 and sells 100; phi = [1 | s]."""
    phi = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]]).repeat(50, 1, 1)
    allowed = torch.ones(50, 2, dtype=torch.bool)
    allowed[:, 1] = feasible
    return Scene(phi, allowed, Prices(torch.tensor([[0.0, 100.0]]).repeat(50, 1), torch.tensor([[0.0, 5.0]]).repeat(50, 1)), 1, weight, WORTH)


def believing(effect, precision):
    """Conversions at 1% unprompted, for certain, and the arm's effect in log odds with this precision."""
    return LaplaceLogistic(torch.tensor([-4.6, effect], dtype=torch.float64), torch.diag(torch.tensor([1e8, precision], dtype=torch.float64)))


def test_a_sure_model_has_nothing_to_lose(model):
    """The posterior is a point: no width errs, and of equals the widest is taken."""
    sure = replace(model, heads={Stage.CONVERTED: believing(3.0, 1e8)})
    found = regrets(sure, two_arms(10.0), 1)
    assert all(value == pytest.approx(0.0, abs=1e-3) for played in found.values() for value in played)
    assert best({nu: [0.0, 0.0] for nu in WIDTHS}) == WIDTHS[0]


def test_what_is_infeasible_is_never_played(model):
    """With `none` alone on the menu there is no regret, whatever the arm would be worth."""
    unsure = replace(model, heads={Stage.CONVERTED: believing(0.0, 0.5)})
    alone = two_arms(10.0, feasible=False)
    assert float(alone.utilities({Stage.CONVERTED: torch.tensor([[0.0, 9.0]])})[0, 1, 0]) == IMPOSSIBLE
    assert {value for played in regrets(unsure, alone, 1).values() for value in played} == {0.0}


def test_exploring_pays_where_a_dear_looking_arm_may_be_good(model):
    """The best guess is that the arm does not pay; who never tries it never learns of the worlds where it does."""
    shy = replace(model, heads={Stage.CONVERTED: believing(1.0, 0.25)})
    found = regrets(shy, two_arms(20.0), 1)
    assert sum(found[0.3]) < 0.7 * sum(found[0.1])
    assert best(found) > 0.1


def test_a_difference_by_luck_does_not_narrow_the_width():
    """One of four worlds makes 0.1 look best by a little: 1.0 is kept. Where all four agree, 0.1 is taken."""
    same = {nu: [1.0, 2.0, 3.0, 4.0] for nu in WIDTHS}
    assert best({**same, 0.1: [1.0, 2.0, 3.0, 3.5]}) == 1.0
    assert best({**same, 0.1: [0.5, 1.4, 2.5, 3.4]}) == 0.1


def test_learning_in_a_round_is_a_newton_step():
    """Rows that a certain truth answers with yes, three times each, move a head as these rows three times: H = Lambda + 3 p (1 - p) phi'phi there."""
    head, phi = believing(0.0, 2.0), torch.tensor([[1.0, 1.0], [1.0, 0.5]])
    truth = {Stage.CONVERTED: torch.tensor([[50.0, 50.0]])}
    after = width._learned({Stage.CONVERTED: head}, phi, truth, 3.0, torch.Generator().manual_seed(1))[Stage.CONVERTED]
    rows, p = phi.double(), torch.sigmoid(phi.double() @ head.mean)
    wanted = head.precision + 3 * rows.T @ (rows * (p * (1 - p))[:, None])
    assert torch.allclose(after.precision, wanted, rtol=1e-5)
    assert torch.allclose(after.mean - head.mean, torch.linalg.solve(wanted, 3 * rows.T @ (1 - p)), atol=1e-5)


@pytest.mark.parametrize("clicks", [False, True])
def test_a_stage_learns_where_it_was_asked(clicks):
    """What a click is worth is learned of those who click, the other half of those who do not, and clicks of everybody; a half that nobody asked stays."""
    heads = dict.fromkeys((Stage.CLICKED, Stage.CONVERTED_IF_CLICKED, Stage.CONVERTED_UNLESS_CLICKED), believing(0.0, 2.0))
    truth = {stage: torch.full((1, 2), -50.0 if stage is Stage.CLICKED and not clicks else 50.0) for stage in heads}
    after = width._learned(heads, torch.ones(10, 2), truth, 3.0, torch.Generator().manual_seed(1))
    asked, other = list(heads)[1:] if clicks else list(heads)[:0:-1]
    assert torch.equal(after[other].mean, heads[other].mean)
    assert torch.equal(after[other].precision, heads[other].precision)
    p = torch.sigmoid(heads[asked].mean.sum())
    for stage in (Stage.CLICKED, asked):
        assert torch.allclose((after[stage].precision - heads[stage].precision) / (p * (1 - p)), torch.full((2, 2), 30.0, dtype=torch.float64))
    assert after[asked].mean[1] > 0
    assert (after[Stage.CLICKED].mean[1] > 0) == clicks


@pytest.mark.parametrize("weight", [0.25, 1.5])
def test_a_row_stands_for_a_part_of_a_decision_too(weight):
    """Of 4,000 rows that stand for a quarter each, a thousand answers are learned; weeks of few decisions taught as much as those of 1,000."""
    head, phi = believing(0.0, 2.0), torch.ones(4_000, 2)
    after = width._learned({Stage.CONVERTED: head}, phi, {Stage.CONVERTED: torch.tensor([[50.0, 50.0]])}, weight, torch.Generator().manual_seed(1))
    p = torch.sigmoid(head.mean.sum())
    learned = float((after[Stage.CONVERTED].precision - head.precision)[0, 0] / (p * (1 - p)))
    assert learned == pytest.approx(4_000 * weight, rel=0.1)


def test_the_posteriors_own_way_to_learn_agrees_where_answers_move_little():
    """A head that 10,000 answers stand behind: one step and `update`, which goes on to the most probable weights, differ by a hundredth of the move."""
    head, phi = believing(0.0, 2.0), torch.tensor([[1.0, 1.0], [1.0, 0.5]])
    head = replace(head, precision=head.precision + 2_500 * torch.eye(2, dtype=torch.float64))
    truth = {Stage.CONVERTED: torch.tensor([[50.0, 50.0]])}
    after = width._learned({Stage.CONVERTED: head}, phi, truth, 3.0, torch.Generator().manual_seed(1))[Stage.CONVERTED]
    wanted = head.update(phi.repeat_interleave(3, 0), torch.ones(6))
    assert torch.allclose(after.mean - head.mean, wanted.mean - head.mean, rtol=0.01)


def test_what_one_round_uses_up_is_no_chance_of_the_next(monkeypatch):
    """Answers take more or fewer random numbers with what was chosen; a width must not meet another chance in the next round for that."""
    unsure = {Stage.CONVERTED: believing(1.0, 0.25)}
    played = []
    for used in (0, 7):
        monkeypatch.setattr(width, "_learned", lambda heads, *rest, used=used: (torch.rand(used, generator=rest[-1]), heads)[1])
        played.append(width._played(unsure, two_arms(10.0), 0.5, width.Chance(3)))
    assert played[0] == played[1]


def test_a_model_carries_its_width(model, frame, catalog, settings):
    """One of the candidates, the same again; padded menus hold what is feasible and nothing else."""
    some = frame.head(400).reset_index(drop=True)
    found = with_width(model, frame, some, catalog, settings)
    assert found.nu in WIDTHS
    assert found.manifest["regrets"] == with_width(model, frame, some, catalog, settings).manifest["regrets"]
    made = scene(model, some, latest(frame), catalog, settings.utility, 100.0)
    assert made.feasible.sum(dim=1).tolist() == some["feasible_arms"].map(len).tolist()
    assert made.weight == pytest.approx(100.0 * 7 / 400)


def test_an_even_sample_stands_for_the_decisions_of_a_round(model, frame, catalog, settings, monkeypatch):
    """100 of 400 menus, every fourth: each counts for a week's decisions divided by 100, as many a day as the training set has."""
    scenes, some = [], frame.head(400)
    monkeypatch.setattr(width, "ROWS", 100)
    monkeypatch.setattr(width, "regrets", lambda _, stage, __: scenes.append(stage) or {nu: [0.0, 0.0] for nu in WIDTHS})
    assert with_width(model, frame, some, catalog, settings).nu == WIDTHS[0]
    days = (frame["decided_at"].max().normalize() - frame["decided_at"].min().normalize()).days + 1
    assert days > 1
    assert scenes[0].weight == pytest.approx(len(frame) / days * 7 / 100)
    assert scenes[0].feasible.sum(dim=1).tolist() == some["feasible_arms"].iloc[::4].map(len).tolist()


def test_the_newest_rates_of_each_arm():
    """Two decisions of one arm on two days: the later one knows better, wherever it stands."""
    days = pd.to_datetime(["2026-01-02", "2026-01-01"], utc=True)
    frame = pd.DataFrame({"arm_id": ["a", "a"], "decided_at": days, **{f"arm_{name}": [2.0, 1.0] for name in ARM_NUMERIC}})
    assert latest(frame) == {"a": dict.fromkeys(ARM_NUMERIC, 2.0)}


def test_a_log_that_showed_nothing_is_learned_from(catalog, settings):
    """As before the first message was ever sent: what a product on a channel would do is unknown, not no number, and a width is found."""
    frame = training_frame(catalog, 3_000)
    frame["arm_id"], frame["clicked"] = NONE, False
    quick = settings.training.model_copy(update={"epochs": 1, "text_encoder": TextChoice.HASHED})
    made = fit(frame, catalog, quick, 1, str)
    assert all(bool(torch.isfinite(part).all()) for part in made.arms.expected.tensors().values() if part.is_floating_point())
    assert with_width(made, frame, frame, catalog, settings).nu in WIDTHS
