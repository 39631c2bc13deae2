"""Requests made from the gateway's own OpenAPI description: whatever comes, it answers as described and never fails by itself."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from slm_pipeline.bench.gateway import gateway_process

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """A gateway in front of an upstream that is content with any request; what is not 200 is the gateway's word."""
    with gateway_process(tmp_path_factory.mktemp("described")) as (_, url, _):
        yield url.removesuffix("/v1")


POSTED = ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages", "/v1/messages/count_tokens", "/v1/feedback"]
READ = ["/v1/models", "/healthz", "/readyz", "/metrics"]  # nothing can be wrong with a request for these
CASES = [(path, mode) for path in POSTED for mode in GenerationMode] + [(path, GenerationMode.POSITIVE) for path in READ]


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_the_gateway_is_as_it_describes_itself(described, path, mode, soak):
    schema = schemathesis.openapi.from_url(f"{described}/openapi.json")
    operation = schema[path]["POST" if path in POSTED else "GET"]

    @settings(max_examples=500 if soak else 20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def answers_as_described(case):
        case.call_and_validate(base_url=described, checks=CHECKS, timeout=20)

    answers_as_described()
