"""`/api/v1` under generated requests: documented answers, and never a 500."""

from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

from cutis.app.api import SCHEMA

from .conftest import encoded, judge

CASES = "/api/v1/cases"


@pytest.fixture(scope="module")
def app(bundle: Any, predictor: Any, segmenter: Any) -> FastAPI:
    """One for many generated requests."""
    from cutis.app.server import create_app
    from cutis.app.settings import Settings

    from .conftest import PlainLayers

    limits = Settings(host="testserver", workers=1, queue=8)
    return create_app(predictor, segmenter, limits, judge=judge, layers=PlainLayers())


@pytest.fixture(scope="module")
def api_schema(app: FastAPI) -> Any:
    return schemathesis.openapi.from_asgi(SCHEMA, app)


def test_generated_requests_get_documented_answers(api_schema: Any) -> None:
    """Wrong and right values, missing and surplus parts: statuses and bodies as in the schema."""
    seen = []
    for found in api_schema.get_all_operations():
        operation = found.ok()
        seen.append(f"{operation.method.upper()} {operation.path}")

        @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=CHECKS)
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            # The schema cannot say which bytes are a photo.
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()
    assert len(seen) == 11


@pytest.fixture(scope="module")
def one_client(app: FastAPI) -> Any:
    with TestClient(app, base_url="http://testserver") as opened:
        yield opened


CHECKS = list(HealthCheck)
PIECES = st.sampled_from(
    [
        b"--x\r\n", b"--x--\r\n", b"\r\n", b"\r\n\r\n", b"--x", b"\0", b"--", b"photos", encoded(),
        b'Content-Disposition: form-data; name="photos"; filename="a"\r\n\r\n',
        b'Content-Disposition: form-data; name="age"\r\n\r\n7\r\n', b"Content-Disposition:\r\n",
        b'Content-Disposition: form-data; name*=utf-8\'\'%ff; filename*=x\'y\'z\r\n\r\n',
    ]
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(parts=st.lists(st.one_of(PIECES, st.binary(max_size=30)), max_size=12))
def test_no_multipart_body_is_a_500(one_client: TestClient, parts: list[bytes]) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = one_client.post(CASES, content=b"".join(parts), headers=kind)
    assert answer.status_code in (201, 400, 413, 415, 422), answer.text


@settings(max_examples=100, deadline=None, derandomize=True)
@given(kind=st.text(st.characters(min_codepoint=32, max_codepoint=126)), body=st.binary())
def test_no_content_type_is_a_500(one_client: TestClient, kind: str, body: bytes) -> None:
    starts = ("", "multipart/form-data;", "application/x-www-form-urlencoded;")
    for start in starts:
        answer = one_client.post(CASES, content=body, headers={"Content-Type": start + kind})
        assert answer.status_code in (400, 413, 415, 422), answer.text
