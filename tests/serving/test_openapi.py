"""Every operation of the service, called with what its description allows and forbids."""

from __future__ import annotations

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings, strategies
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from serving import examples, messages, personalizer
from serving.openapi import description

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
    ],
)
def test_examples_are_what_they_show(example, kind):
    """Read by the types that the routes read."""
    assert msgspec.convert(example, kind) is not None


OPERATIONS = [(path, method) for path, operations in description("")["paths"].items() for method in operations if method != "parameters"]


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
