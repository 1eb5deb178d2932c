"""What is said of outcomes that are not applied."""

from __future__ import annotations

import json

import msgspec
import pytest

from serving.messages import OutcomeAnswer, Refused
from serving.outcomes import _items
from serving.problems import partly

GOOD = {"outcome_id": "o1", "decision_id": "d1", "kind": "click", "occurred_at": "2026-03-02T12:01:07Z"}


def detail(accepted, repeated, refused):
    """Of a batch."""
    body = partly(OutcomeAnswer(accepted, repeated), [Refused(i, f"o{i}", "so it is") for i in range(refused)], "/v1/outcomes").body
    return json.loads(body)["detail"]


def test_what_became_of_the_others_is_said_where_there_are_others():
    """One alone, all of several, and some."""
    assert detail(0, 0, 1) == "The outcome was refused because so it is. Nothing was applied."
    assert detail(0, 0, 3) == "All 3 outcomes were refused, the first because so it is. None was applied."
    assert detail(0, 1, 1) == detail(1, 0, 1) == "1 of 2 outcomes were refused, the first because so it is. The others are applied."


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (GOOD | {"kind": "shrug"}, "o1"),
        (GOOD | {"colour": 1}, "o1"),
        ({"outcome_id": "o1"}, "o1"),
        (GOOD | {"outcome_id": ""}, None),
        (GOOD | {"outcome_id": 7}, None),
        (GOOD | {"outcome_id": "\ud800"}, None),
        ({"kind": "click"}, None),
        ("o1", None),
        (None, None),
    ],
)
def test_an_item_that_breaks_the_schema_is_named_by_its_id(item, name):
    """Where it has one that could be an id."""
    items, (refused,) = _items([msgspec.Raw(json.dumps(one).encode()) for one in (GOOD, item)])
    assert ([i for i, _ in items], refused.index, refused.outcome_id) == ([0], 1, name)
