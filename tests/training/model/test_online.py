"""Which answers follow from a decision, at each edge, and that taking them in one by one comes to what taking them in at once does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest
import torch

from tests.fakes import learning as fake
from tests.fakes.learning import AS_OF, DAY, HOUR
from training.domain.errors import DataError
from training.domain.labels import WINDOWS
from training.domain.nouns import Label, OutcomeKind
from training.domain.schema import ARM_NUMERIC
from training.domain.served import FALLBACK, NOTED_CATALOG, Reason
from training.model.arms import ArmBook
from training.model.funnel import Stage
from training.model.matching import encode_rows
from training.model.online import TOLD_BY, Followed, Sight, decided, due, learned, shown, teachable, teaches, trained_until
from training.model.posterior import LaplaceLogistic

TICK = timedelta(microseconds=1)
AT = AS_OF + 10 * HOUR
CLICK, CONVERSION, DISMISS = OutcomeKind.CLICK, OutcomeKind.CONVERSION, OutcomeKind.DISMISS
FUNNEL = (Stage.CLICKED, Stage.CONVERTED_IF_CLICKED, Stage.CONVERTED_UNLESS_CLICKED, Stage.OPTED_OUT)
LONG_AGO = AS_OF - 365 * DAY


@pytest.mark.parametrize("label", list(TOLD_BY))
def test_a_label_is_decided_by_its_event_or_by_the_end_of_its_window(label):
    """The event counts at its opening and just before its close, not at the close; without it the label is open until the close, and 0 from there on."""
    closes = WINDOWS[label].matured_at(AT)
    for moment, counts in ((AT, True), (closes - TICK, True), (closes, None)):
        assert decided(label, Followed(AT, [(TOLD_BY[label], moment)]), AT) is counts
    assert decided(label, Followed(AT), closes - TICK) is None
    assert decided(label, Followed(AT), closes) is False
    assert decided(label, Followed(AT, [(DISMISS, AT)]), closes) is False


def test_a_click_counts_at_once_and_no_click_when_the_window_closes():
    """The stages of one decision as time passes, by hand."""
    nothing, clicked = Followed(AT), Followed(AT, [(CLICK, AT + HOUR)])
    assert due(FUNNEL, nothing, AT + DAY - TICK, LONG_AGO) == {}
    assert due(FUNNEL, nothing, AT + DAY, LONG_AGO) == {Stage.CLICKED: 0}
    assert due(FUNNEL, nothing, AT + 7 * DAY, LONG_AGO) == {Stage.CLICKED: 0, Stage.OPTED_OUT: 0}
    assert due(FUNNEL, nothing, AT + 14 * DAY, LONG_AGO) == {Stage.CLICKED: 0, Stage.CONVERTED_UNLESS_CLICKED: 0, Stage.OPTED_OUT: 0}
    assert due(FUNNEL, clicked, AT + HOUR, LONG_AGO) == {Stage.CLICKED: 1}
    assert due(FUNNEL, clicked, AT + 14 * DAY, LONG_AGO) == {Stage.CLICKED: 1, Stage.CONVERTED_IF_CLICKED: 0, Stage.OPTED_OUT: 0}


def test_a_conversion_waits_for_the_click_that_says_which_question_it_answers():
    """Bought without a click so far: only when none can come any more is it a conversion without one."""
    bought = [(CONVERSION, AT + HOUR)]
    assert due(FUNNEL, Followed(AT, bought), AT + HOUR, LONG_AGO) == {}
    assert due(FUNNEL, Followed(AT, bought), AT + DAY, LONG_AGO) == {Stage.CLICKED: 0, Stage.CONVERTED_UNLESS_CLICKED: 1}
    both = Followed(AT, [*bought, (CLICK, AT + 2 * HOUR)])
    assert due(FUNNEL, both, AT + 2 * HOUR, LONG_AGO) == {Stage.CLICKED: 1, Stage.CONVERTED_IF_CLICKED: 1}
    assert due((Stage.CONVERTED,), Followed(AT, bought), AT + HOUR, LONG_AGO) == {Stage.CONVERTED: 1}


def test_a_click_that_is_told_late_does_not_ask_the_other_question_too():
    """Bought, and its click told of a day after "no click" was learned: for this model it stays a conversion without one. So does what is bought later."""
    bought, clicked = (CONVERSION, AT + HOUR), (CLICK, AT + 2 * HOUR)
    known = due(FUNNEL, Followed(AT, [bought]), AT + DAY, LONG_AGO)
    assert known == {Stage.CLICKED: 0, Stage.CONVERTED_UNLESS_CLICKED: 1}
    found = due(FUNNEL, Followed(AT, [bought, clicked]), AT + 2 * DAY, LONG_AGO, known)
    assert found.keys() - known.keys() == set()
    later = due(FUNNEL, Followed(AT, [clicked, (CONVERSION, AT + 3 * DAY)]), AT + 3 * DAY, LONG_AGO, {Stage.CLICKED: 0})
    assert (later[Stage.CONVERTED_UNLESS_CLICKED], Stage.CONVERTED_IF_CLICKED in later) == (1, False)
    nothing = due(FUNNEL, Followed(AT, [clicked]), AT + 14 * DAY, LONG_AGO, {Stage.CLICKED: 0})
    assert (nothing[Stage.CONVERTED_UNLESS_CLICKED], Stage.CONVERTED_IF_CLICKED in nothing) == (0, False)


def test_what_training_has_read_is_not_learned_again():
    """A training reads labels that were mature at its instant: a click of the day before was not, although it had happened."""
    followed, late = Followed(AT, [(CLICK, AT), (CONVERSION, AT)]), AT + 30 * DAY
    assert due(FUNNEL, followed, late, AT + DAY - TICK) == {Stage.CLICKED: 1, Stage.CONVERTED_IF_CLICKED: 1, Stage.OPTED_OUT: 0}
    assert due(FUNNEL, followed, late, AT + DAY) == {Stage.CONVERTED_IF_CLICKED: 1, Stage.OPTED_OUT: 0}
    assert due(FUNNEL, followed, late, AT + 7 * DAY) == {Stage.CONVERTED_IF_CLICKED: 1}
    assert due(FUNNEL, followed, late, AT + 14 * DAY) == {}


def test_stages_that_only_activity_can_answer_are_left_to_retrains():
    """Visited and retained are of tables that the service does not have."""
    assert teachable(reversed(Stage)) == (
        Stage.CLICKED,
        Stage.CONVERTED,
        Stage.CONVERTED_IF_CLICKED,
        Stage.CONVERTED_UNLESS_CLICKED,
        Stage.OPTED_OUT,
    )
    assert set(TOLD_BY) == set(Label) - {Label.VISITED, Label.RETAINED}


def test_a_fallback_teaches_where_the_features_were_there():
    """Who took the decision is no part of what a head is of; features that were absent or too old would be."""
    made = fake.served(1, AT)
    assert teaches(made)
    assert teaches(replace(made, group=FALLBACK, reason=Reason.NO_CHAMPION))
    assert not teaches(replace(made, group=FALLBACK, reason=Reason.STORE_DOWN, features={}))
    assert not teaches(replace(made, group=FALLBACK, reason=Reason.STALE_FEATURES))


def test_a_model_that_does_not_say_as_of_when_it_was_trained_is_refused():
    """Otherwise what it knows would count twice."""
    assert trained_until({"as_of": AS_OF.isoformat()}) == AS_OF
    with pytest.raises(DataError, match="run 2026-01-05 does not say as of when it was trained.*Train it again"):
        trained_until({"run_id": "2026-01-05"})


def test_phi_of_a_served_decision_is_phi_of_the_same_row_in_a_training_set():
    """Features, circumstances, arm and the arms' rates give what the frame of a retrain gives, up to rounding."""
    model, catalog = fake.model(), fake.catalog()
    decisions = [fake.served(i, AT + i * HOUR) for i in range(12)]
    rows = [
        {**d.features, "decided_at": d.asked.at, "surface": d.asked.context.surface.value, "arm_id": d.chosen_arm}
        | {f"arm_{name}": fake.arms_content().get(d.chosen_arm, {}).get(name) for name in ARM_NUMERIC}
        for d in decisions
    ]
    frame = pd.DataFrame(rows)
    with torch.no_grad():
        expected = model.towers(*encode_rows(frame, model.members, model.arms, ArmBook.build(model.arms, catalog, set(frame["arm_id"]))))
    found = Sight(model, catalog, lambda _: fake.arms_content()).phi([shown(d) for d in decisions])
    assert torch.allclose(found, expected, atol=1e-6)
    assert expected.std(dim=0).max() > 0.1


def test_each_version_of_the_arms_features_is_read_once_and_counts():
    """Decisions of one arm under two versions differ, and a retired arm is scored as one."""
    asked = []

    def snapshots(version):
        asked.append(version)
        return fake.arms_content(clicks=20.0 if version == "a1" else 300.0)

    sight = Sight(fake.model(), fake.catalog(), snapshots)
    one = shown(fake.served(1, AT))
    phi = sight.phi([one, replace(one, arms_version="a2"), one])
    assert torch.allclose(phi[0], phi[2], rtol=0, atol=1e-6)
    assert not torch.allclose(phi[0], phi[1], rtol=0, atol=1e-3)
    sight.phi([one])
    assert sorted(asked) == ["a1", "a2"]
    assert sight.phi([replace(one, arm_id="gone.by.mail")]).shape == (1, phi.shape[1])


def test_each_decision_is_read_under_the_catalog_that_it_notes():
    """Three of one arm, of which a text changed between: each as if it were alone, whatever stands between. Kept catalogs are read once each."""
    old, asked = fake.catalog(), []
    new = replace(old, creatives={name: replace(creative, text=f"{name} for nothing") for name, creative in old.creatives.items()})

    def catalogs(version):
        asked.append(version)
        return {"old": old, "new": new}.get(version)

    sight = Sight(fake.model(), old, lambda _: fake.arms_content(), catalogs)
    one = shown(fake.served(1, AT, notes={NOTED_CATALOG: "old"}))
    both = sight.encode([replace(one, catalog="new"), one, replace(one, catalog="new"), replace(one, catalog="")])
    whole = [sight.encode([each]) for each in (replace(one, catalog="new"), one, replace(one, catalog="new"), one)]
    for i, alone in enumerate(whole):
        assert all(torch.equal(column, of_it) for column, of_it in zip(both.take(torch.tensor([i])).arms, alone.arms, strict=True))
    assert not torch.equal(both.arms.text[0], both.arms.text[1])
    assert torch.equal(sight.encode([replace(one, catalog="lost")]).arms.text, whole[1].arms.text)
    assert sorted(asked) == ["lost", "new", "old"]


def heads(size=3, precision=50.0):
    """Two stages that know nothing but how sure they are of it."""
    return {stage: LaplaceLogistic(torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64) * precision) for stage in FUNNEL[:2]}


def test_one_answer_by_hand():
    """phi = 0.2, p = 1/2, y = 1, precision 9.99: precision 9.99 + 0.04 / 4 = 10, mean 0.2 (1 - 1/2) / 10 = 0.01; the other stage keeps its bytes."""
    before = heads(1, 9.99)
    after = learned(before, torch.tensor([[0.2]]), [(0, Stage.CLICKED, 1)])
    assert after[Stage.CLICKED].precision.item() == pytest.approx(10.0)
    assert after[Stage.CLICKED].mean.item() == pytest.approx(0.01)
    assert after[Stage.CONVERTED_IF_CLICKED] is before[Stage.CONVERTED_IF_CLICKED]


def batches(rows, size):
    """Consecutive batches of `size`."""
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def test_small_batches_in_any_order_come_to_one_large_batch():
    """400 answers one by one, in tens, backwards and at once: the means move by four deviations and agree within a sixtieth of one, precisions within 1.5%.

    The same batches in the same order give the same bytes.
    """
    g = torch.Generator().manual_seed(5)
    phi = torch.randn(400, 3, generator=g) * 0.5
    phi[:, 0] = 1.0
    answers = [(i, FUNNEL[i % 2], int(torch.rand(1, generator=g) < 0.3)) for i in range(400)]

    def after(parts):
        state = heads()
        for part in parts:
            state = learned(state, phi, part)
        return state

    whole = after([answers])
    for parts in (batches(answers, 1), batches(answers, 10), batches(answers[::-1], 10)):
        found = after(parts)
        for stage, head in whole.items():
            deviation = torch.linalg.inv(head.precision).diagonal().sqrt()
            assert ((found[stage].mean - head.mean).abs() / deviation).max() < 1 / 60
            assert (found[stage].precision - head.precision).abs().max() < 0.015 * head.precision.diagonal().max()
            assert ((head.mean - heads()[stage].mean).abs() / deviation).max() > 2
    twice = [after(batches(answers, 10)) for _ in range(2)]
    for stage in whole:
        assert torch.equal(twice[0][stage].mean, twice[1][stage].mean)
        assert torch.equal(twice[0][stage].precision, twice[1][stage].precision)
