"""Bodies that are refused: a caller learns from the answer alone what to send instead."""

from __future__ import annotations

import gzip
import json

import msgspec
import pytest

from serving import bodies
from serving.messages import OutcomeItem
from tests.serving.conftest import ago, member
from training.domain.nouns import OutcomeKind, Surface

SURFACES, KINDS = "allowed: 'web', 'app', 'outbound'", "allowed: 'impression', 'click', 'dismiss', 'conversion', 'opt_out'"


def test_a_value_outside_a_closed_set_is_told_the_set(service):
    """Of a decision, of an outcome, alone and in a batch, and of a context of Personalizer's."""
    told = {"outcome_id": "o", "decision_id": "d", "kind": "shrug", "occurred_at": ago(minutes=1)}
    rank = {"contextFeatures": [{"member_id": member(2), "surface": "email"}], "actions": [{"id": "none"}]}
    with service.client() as client:
        details = [
            client.post(path, json=body).json()["detail"]
            for path, body in (
                ("/v1/decisions", {"member_id": member(2), "surface": "email"}),
                ("/v1/outcomes", told),
                ("/v1/outcomes", [told]),
                ("/personalizer/v1.1/rank", rank),
            )
        ]
    assert [allowed in detail for allowed, detail in zip((SURFACES, KINDS, KINDS, SURFACES), details, strict=True)] == [True] * 4
    assert details[0] == f"Invalid enum value 'email' - at `$.surface`; {SURFACES}. Nothing was decided or applied."


@pytest.mark.parametrize(
    ("kind", "body", "allowed"),
    [
        (Surface, b'"fax"', SURFACES),
        (list[Surface], b'["web", "fax"]', SURFACES),
        (list[OutcomeItem] | None, b'[{"outcome_id": "o", "decision_id": "d", "kind": "x"}]', KINDS),
        (OutcomeItem, b'{"outcome_id": "o", "decision_id": "d", "kind": "a\' - at `$.value` b"}', KINDS),
        (dict[str, OutcomeKind], b'{"surface": "x"}', ""),
        (OutcomeItem, b'{"outcome_id": "o", "decision_id": "d", "kind": 7}', ""),
    ],
)
def test_the_set_is_found_wherever_it_stands(kind, body, allowed):
    """Where it cannot be, and of other errors, the message stays as it is."""
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(body, type=kind)
    assert bodies.wrong(raised.value, kind) == (f"{raised.value}; {allowed}" if allowed else str(raised.value))


QUESTION = {"member_id": member(2), "surface": "web"}
RANK = {"contextFeatures": [{"member_id": member(2)}], "actions": [{"id": "none"}]}


@pytest.mark.parametrize(
    ("path", "body", "taken"),
    [
        ("/v1/decisions", QUESTION, 200),
        ("/v1/outcomes", {"outcome_id": "packed", "decision_id": "nope", "kind": "click", "occurred_at": ago(minutes=1)}, 422),
        ("/personalizer/v1.1/rank", RANK, 201),
        ("/personalizer/v1.1/events/nope/reward", {"value": 1.0}, 404),
    ],
)
def test_a_packed_body_is_refused_by_the_name_of_its_encoding(service, path, body, taken):
    """Whatever the encoding; `identity` is none."""
    plain = json.dumps(body).encode()
    with service.client() as client:
        packed = client.post(path, content=gzip.compress(plain), headers={"Content-Encoding": "gzip"})
        others = [client.post(path, content=plain, headers={"Content-Encoding": name}) for name in ("BR", "identity, gzip", "identity", "Identity")]
    assert (packed.status_code, packed.json()["title"], packed.headers["accept-encoding"]) == (415, "Unsupported content encoding", "identity")
    assert packed.json()["detail"] == "The body is encoded as 'gzip', which nobody here unpacks. Send it unencoded, without Content-Encoding."
    assert [answer.status_code for answer in others] == [415, 415, taken, taken]
