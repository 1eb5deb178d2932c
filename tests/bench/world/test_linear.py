"""The peers' design: scores without rows are scores of the rows."""

import pytest
import torch

from bench.world.linear import Design
from tests.fakes.training_frame import training_frame
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.nouns import NONE


def test_scores_are_those_of_the_rows():
    """Every member with every arm, under three weight vectors; `none` is worth the member's part alone."""
    catalog = load_catalog(Settings().catalog)
    frame = training_frame(catalog, 50)
    design = Design.fit(frame, catalog)
    members, arms = design.members(frame)[:5], torch.tensor([0, 7, design.index[NONE]])
    weights = torch.randn(3, design.size, generator=torch.Generator().manual_seed(1))
    found = design.scores(members, arms, weights)
    for j, arm in enumerate(arms):
        assert found[:, j].numpy() == pytest.approx((design.rows(members, arm.repeat(5)) @ weights.T).numpy(), abs=1e-3)
    assert torch.allclose(found[:, 2], members @ weights[:, : members.shape[1]].T, atol=1e-4)
