"""Forgetting by hand: None changes nothing, a half-life halves, and the least surprised candidate is chosen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import torch

from training.domain.nouns import Label
from training.model.forget import HALF_LIVES, Scores, faded, recent, surprise
from training.model.funnel import Stage

END = datetime(2026, 3, 1, tzinfo=UTC)


def decisions(age, rows=4_000):
    """Decisions of one age in days."""
    return pd.DataFrame({"decision_id": [f"d{age}-{i}" for i in range(rows)], "decided_at": END - timedelta(days=age)})


def test_none_remembers_everything(model):
    """The very same frame and model, so that what is learned is today's."""
    frame = decisions(30)
    assert recent(frame, None, END) is frame
    assert faded(model, None, 3.0) is model


@pytest.mark.parametrize(("age", "share"), [(0, 1.0), (14, 0.5), (28, 0.25)])
def test_a_half_life_halves(age, share):
    """At 14 days a half-life of 14 keeps half, at 28 a quarter, and today all (4,000 rows, three standard errors)."""
    kept = len(recent(decisions(age), 14.0, END)) / 4_000
    assert kept == pytest.approx(share, abs=3 * (share * (1 - share) / 4_000) ** 0.5)


def test_what_is_forgotten_stays_forgotten():
    """The rows of a later day, and those of a shorter half-life, are among those of before."""
    frame = decisions(10)
    now = set(recent(frame, 14.0, END)["decision_id"])
    assert set(recent(frame, 14.0, END + timedelta(days=5))["decision_id"]) < now
    assert set(recent(frame, 7.0, END)["decision_id"]) < now


def test_certainty_fades_and_means_stand(model):
    """After one half-life the precision is half, so draws spread by the root of two."""
    old, new = model.heads[Stage.CLICKED], faded(model, 7.0, 7.0).heads[Stage.CLICKED]
    assert torch.equal(old.mean, new.mean)
    assert torch.allclose(new.precision, old.precision / 2)


def test_surprise_is_the_log_loss_over_the_entropy(model, frame, catalog):
    """One label: below 1 on rows like those learned from, as written out; without answers it is 1."""
    some = frame[frame["clicked"].notna()].head(3_000).reset_index(drop=True)
    found = surprise(model, {Label.CLICKED: some}, catalog)
    p, y = model.predict(some, catalog)[Label.CLICKED], some["clicked"].to_numpy(dtype="float64")
    rate = y.mean()
    by_hand = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean() / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert found == pytest.approx(by_hand)
    assert found < 1
    assert surprise(model, {Label.CLICKED: some.head(0)}, catalog) == 1.0


def test_a_model_that_forgot_a_label_is_never_chosen(model, frame, catalog):
    """Without its head for retention it would decide as if nobody could leave."""
    some = frame[frame["retained"].notna()].head(2_000).reset_index(drop=True)
    poorer = replace(model, heads={stage: head for stage, head in model.heads.items() if not stage.startswith("retained")})
    assert surprise(poorer, {Label.RETAINED: some}, catalog) == float("inf")
    assert surprise(model, {Label.RETAINED: some}, catalog) < 1.1
    assert Scores((None, 7.0)).after([1.0, float("inf")]).after([1.0, 0.5]).best is None


def test_the_least_surprised_decides_and_old_scores_fade():
    """1.0 and 0.9, then 0.5 and 0.6: sums 1.0 and 1.05 with fading by half, so the first; without any score the first too."""
    assert Scores().best is HALF_LIVES[0]
    scores = Scores((None, 7.0)).after([1.0, 0.9])
    assert scores.best == 7.0
    again = scores.after([0.5, 0.6])
    assert again.sums == pytest.approx((1.0, 1.05))
    assert again.best is None
