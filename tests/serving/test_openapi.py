"""Every operation of the service, called with what its description allows and forbids."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from serving import examples, messages, personalizer
from serving.front import MOST_BYTES
from serving.heads import MOST_HEADERS
from serving.openapi import description
from serving.problems import MEDIA as PROBLEM
from tests.serving.conftest import PATIENCE, member, wait
from tests.serving.test_quick import answers
from training.adapters.log_keys import ApiKeys
from training.config.settings import Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def test_the_description_is_openapi_3_1():
    """By the schema of OpenAPI itself."""
    schemathesis.openapi.from_dict(description("Rightmatch")).validate()


@pytest.mark.parametrize(
    ("example", "kind"),
    [
        (examples.QUESTION, messages.DecisionRequest),
        (examples.ANSWER, messages.DecisionAnswer),
        (examples.OUTCOMES, list[messages.OutcomeItem]),
        (examples.OUTCOMES_ANSWER, messages.OutcomeAnswer),
        (examples.RANK, personalizer.RankRequest),
        (examples.RANK_ANSWER, personalizer.RankAnswer),
        (examples.RECORD, messages.DecisionRecord),
    ],
)
def test_examples_are_what_they_show(example, kind):
    """Read by the types that the routes read."""
    assert msgspec.convert(example, kind) is not None


def media(node):
    """Every body that the description names, by its type."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "content":
                yield from value.items()
            yield from media(value)


def test_every_body_has_an_example_of_its_schema():
    """Of requests, answers and problems alike, by JSON Schema itself."""
    whole = description("Rightmatch")
    found = list(media(whole["paths"]))
    assert len(found) > 40
    for kind, body in found:
        schema = {**body["schema"], "components": whole["components"]}
        for example in body["examples"].values():
            errors = list(Draft202012Validator(schema).iter_errors(example["value"]))
            assert not errors, (kind, errors)


def test_names_that_are_none_are_told_of_and_treated_as_told(service):
    """In `exclude` they rule out nothing, in `channels` they leave nothing."""
    asked = description("Rightmatch")["components"]["schemas"]["DecisionRequest"]["properties"]
    assert "rules out nothing" in asked["exclude"]["description"]
    assert "nothing is shown" in next(kind["description"] for kind in asked["channels"]["anyOf"] if kind["type"] == "array")
    with service.client() as client:

        def considered(who, **more):
            """Arms of a member's first decision, and its reason."""
            answer = client.post("/v1/decisions", json={"member_id": member(who), "surface": "web", **more}).json()
            return [arm["arm_id"] for arm in client.get(f"/v1/decisions/{answer['decision_id']}").json()["considered"]], answer["reason"]

        assert considered(174, exclude=["no.such.arm"]) == considered(176)
        assert considered(178, channels=["no-such-channel"]) == (["none"], "champion")
        assert len(considered(180, channels=["no-such-channel", "feed"])[0]) > 1


def test_examples_can_be_sent(service):
    """To a service over the catalog of the simulated world, whose arms they name; as they stand but for their ids, which other tests have used."""
    with service.client() as client:
        assert client.post("/v1/decisions", json=examples.QUESTION | {"request_id": "example"}).status_code == 200
        assert client.post("/personalizer/v1.1/rank", json=examples.RANK | {"eventId": "another example"}).status_code == 201
        outcomes = client.post("/v1/outcomes", json=examples.OUTCOMES)
    assert [r["why"] for r in outcomes.json()["refused"]] == [f"decision {examples.ANSWER['decision_id']} is not in the log"] * 2


OPERATIONS = [(path, method) for path, operations in description("")["paths"].items() for method in operations if method != "parameters"]

ELSEWHERE = {"429", "500", "503"}
"""Statuses that tests of their own provoke: beyond the rate, and where something fails."""
LATE = ("/personalizer/v1.1/events/{event_id}/activate", "422")
"""What an impression is refused for needs a clock that was set back."""


@pytest.fixture(scope="module")
def keys(service):
    """Keys of one scope each, which the service knows."""
    made = [ApiKeys(Settings(home=service.home).log_url).create("narrow", (scope,), datetime.now(UTC)) for scope in ("decide", "outcomes")]
    for key in made:
        with service.client(key) as client:
            wait(lambda client=client: client.get("/metrics").status_code == 403)
    return made


def raw(service, method, path, *headers):
    """Status and type of the answer to a head, over a line of its own."""
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), PATIENCE) as line:
        line.sendall("\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode())
        ((status, told, _),) = answers(line, 1)
    return str(status), told["content-type"]


def sent(path, name):
    """Bodies that an operation takes, and one that it refuses for what was asked before."""
    ranked = {"contextFeatures": [{"member_id": member(186)}], "actions": [{"id": "none"}], "eventId": "described"}
    asked = {"member_id": member(184), "surface": "web", "request_id": "described-too"}
    told = {"outcome_id": f"described {name}", "decision_id": name, "kind": "conversion", "value": 1.0, "occurred_at": datetime.now(UTC).isoformat()}
    return {
        "/v1/decisions": [asked, asked | {"member_id": member(188)}],
        "/v1/outcomes": [told],
        "/personalizer/v1.1/rank": [ranked, ranked | {"contextFeatures": [{"member_id": member(188)}]}],
    }.get(path, [{"value": 1.0}])


def provoked(service, keys, path, method):
    """Statuses of one operation and the types of their bodies, when it is asked rightly, and wrongly in every way that a caller has."""
    with service.client() as client:
        decision = client.post("/v1/decisions", json={"member_id": member(182), "surface": "web"}).json()["decision_id"]
        client.post("/personalizer/v1.1/rank", json=sent("/personalizer/v1.1/rank", "")[0])
    there, nowhere = ({"decision_id": decision, "event_id": "described"}, {"decision_id": "nope", "event_id": "nope"})
    url = path.format(**there)
    body = method == "post"
    about = [{"json": each} for each in sent(path, decision)] if body else [{}]
    if body and not path.endswith("activate"):
        about += [{"content": b"{"}, {"content": b"{}"}, {"content": b"{}", "headers": {"Content-Type": "text/xml"}}, {"content": b" " * (MOST_BYTES + 1)}]
    with service.client() as client:
        found = [client.request(method, url, **each) for each in about]
        found.append(client.request(method, path.format(**nowhere), **about[0]))
    for token in (*keys, "nobody's"):
        with service.client(token) as client:
            found.append(client.request(method, url, **about[0]))
    headers = (f"Authorization: Bearer {service.token}",)
    many = raw(service, method.upper(), url, *headers, *(f"X-{i}: {i}" for i in range(MOST_HEADERS)))
    heads = [many, raw(service, method.upper(), url, *headers, "no colon")]
    return {(str(answer.status_code), answer.headers.get("content-type", "")) for answer in found} | set(heads)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_what_an_operation_answers_is_described_and_nothing_else(service, keys, path, method):
    """Each status that a caller can provoke is in the document, with the type of its body, and each one there can be provoked."""
    described = description("")["paths"][path][method]["responses"]
    expected = {(status, kind) for status, answer in described.items() for kind in answer.get("content", {"": None})}
    found = {(status, kind.split(";")[0]) for status, kind in provoked(service, keys, path, method)}
    assert found == {each for each in expected if each[0] not in ELSEWHERE and (path, each[0]) != LATE}
    assert {kind for status, kind in expected if status in ELSEWHERE} <= {PROBLEM, "application/json"}


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_an_operation_keeps_to_its_description(service, path, method):
    """No 5xx, and no status, content type or body that the description lacks, for 25 drawn calls that it allows or forbids."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operation = schema[path][method.upper()]
    headers = {"Authorization": f"Bearer {service.token}"} if description("")["paths"][path][method].get("security") != [] else {}

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
    @given(data=strategies.data(), mode=strategies.sampled_from(GenerationMode))
    def call(data, mode):
        case = data.draw(operation.as_strategy(generation_mode=mode))
        case.call_and_validate(headers=headers, checks=CHECKS)

    call()
