"""Predictions for members to whom nothing is shown."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes.learning import catalog, model
from tests.fakes.training_frame import training_frame
from training.config.settings import Settings
from training.domain.nouns import NONE, Label
from training.model.nothing import shown_nothing
from training.model.policy import policy_probabilities


def test_they_are_what_the_policy_expects_of_none():
    """The means that the policy itself weighs `none` with, whatever arm was shown; the arm and its outcome are not looked at."""
    frame = training_frame(catalog(), 300, seed=5)
    expected = policy_probabilities(model(), frame, Settings(), 7)
    found = shown_nothing(model(), frame.drop(columns=["arm_id", "retained", "converted"]), catalog())
    none = expected.arms == NONE
    rows = np.repeat(np.arange(len(frame)), np.diff(expected.offsets))[none]
    for label in (Label.RETAINED, Label.CONVERTED):
        assert found[label.value][rows] == pytest.approx(expected.means[label][none], abs=1e-6)
