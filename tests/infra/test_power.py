"""The script that counts how often the gate is right: what counts as harm."""

import pytest

from infra.scripts.power import KNOWN, breaks
from training.config.settings import Settings
from training.domain.nouns import RuleKind


def test_nothing_changed_breaks_nothing():
    """Under all rules of the settings, those included of which the truth says nothing."""
    settings = Settings()
    assert {rule.metric for rule in settings.guardrails()} - set(KNOWN)
    assert not breaks(dict.fromkeys(KNOWN, 0.0), settings)


@pytest.mark.parametrize(
    "rule", [rule for rule in Settings().guardrails() if rule.kind is RuleKind.NON_INFERIOR and rule.metric in KNOWN], ids=lambda r: r.metric
)
def test_what_lies_beyond_a_margin_breaks_it(rule):
    """On the side where harm is, and on no other."""
    harm = -1 if not rule.lower_is_better else 1
    worth = {share: {**dict.fromkeys(KNOWN, 0.0), rule.metric: share * harm * rule.margin} for share in (0.9, 1.1, -1.1)}
    assert {share: breaks(found, Settings()) for share, found in worth.items()} == {0.9: False, 1.1: True, -1.1: False}
