"""The arms of the benchmark; the fit itself is the platform's."""

import numpy as np
import pytest

from bench.serving import champion
from training.domain.catalog import load_catalog
from training.domain.nouns import Label, Surface


def test_every_arm_is_on_the_web(tmp_path):
    """As many as asked for, each with a text of its own, and the platform reads them as they were written."""
    made = champion.offers(203)
    assert len(made.arms) == 203
    assert len(made.feasible(Surface.WEB, [])) == 204
    assert len({c.text for c in made.creatives.values()}) == len(made.creatives) == 102
    champion.write(made, tmp_path)
    assert load_catalog(tmp_path) == made


def test_more_arms_than_texts_are_refused():
    """Nothing is timed with fewer arms than are said."""
    with pytest.raises(ValueError, match="Ask for fewer"):
        champion.offers(100_000)


def test_the_log_has_every_label():
    """Both answers of each, and only feasible arms."""
    cold = champion._world(champion.offers(20), 1)
    frame = champion.log(cold, np.random.default_rng(1), 4_000)
    assert all(set(frame[label.value].unique()) == {True, False} for label in Label)
    assert all(arm in options for arm, options in zip(frame["arm_id"], frame["feasible_arms"], strict=True))
