"""`/api/v1`: cases as JSON, their layers, and errors that are never a 500."""

import io
import json
import logging
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from cutis.app.api import SCHEMA
from cutis.app.cases import CaseFacts, Judgement
from cutis.app.errors import STATUS, Amount, AppError
from cutis.app.i18n import languages, translator
from cutis.records import NOTICE

from .conftest import DIAGNOSES, HOST, MakeApp, encoded, judge

CASES = "/api/v1/cases"


def files(*photos: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("photos", ("name.jpg", photo)) for photo in photos]


def code_of(answer: Any) -> str:
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "fix"}
    assert len(error["message"]) > 10
    assert len(error["fix"]) > 5
    found: str = error["code"]
    return found


def pixels(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture
def case(client: TestClient, photo: bytes) -> Any:
    answer = client.post(CASES, files=files(photo))
    assert answer.status_code == 201
    return answer.json()


def test_a_case_goes_its_whole_way(client: TestClient, photo: bytes) -> None:
    facts = {"age": "۴۵", "sex": "female", "site": "back", "symptoms": ["new", "itch", "new"]}
    sent = client.post(CASES, files=files(photo, encoded("PNG", seed=1)), data=facts)
    assert sent.status_code == 201
    case = sent.json()
    assert sent.headers["location"] == f"{CASES}/{case['id']}"
    assert case["facts"] == {
        "age": 45, "sex": "female", "site": "back", "symptoms": ["itch", "new"], "note": None,
    }  # fmt: skip
    assert case["notice"] == NOTICE
    probabilities = list(case["judgement"]["probabilities"].values())
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert probabilities == sorted(probabilities, reverse=True)
    assert [photo["number"] for photo in case["photos"]] == [1, 2]
    assert client.get(sent.headers["location"]).json() == case
    assert client.delete(sent.headers["location"]).status_code == 204
    assert client.get(sent.headers["location"]).status_code == 404
    assert code_of(client.delete(sent.headers["location"])) == "case_not_found"


def test_photo_and_layers_have_one_size(client: TestClient, case: Any) -> None:
    (shown,) = case["photos"]
    answers = {name: client.get(shown[name]) for name in ("photo", "outline", "heat", "measures")}
    kinds = {name: answer.headers["content-type"] for name, answer in answers.items()}
    assert kinds == {
        "photo": "image/jpeg", "outline": "image/png", "heat": "image/png",
        "measures": "application/json",
    }  # fmt: skip
    for name in ("photo", "outline", "heat"):
        assert pixels(answers[name].content).shape[:2] == (shown["height"], shown["width"])
    outline = pixels(answers["outline"].content)
    assert outline[30, 40].all()  # the lesion is in the middle
    assert not outline[0, 0].any()
    share = answers["measures"].json()["area_share"]
    assert share == pytest.approx(np.pi * 18**2 / (60 * 80), rel=0.1)


def test_a_heat_map_is_of_the_diagnosis_asked_for(client: TestClient, case: Any) -> None:
    heat = case["photos"][0]["heat"]
    found = [pixels(client.get(heat, params={"diagnosis": d}).content)[0, 0, 0] for d in DIAGNOSES]
    assert found == [0, 1, 2]
    first = next(iter(case["judgement"]["probabilities"]))
    assert pixels(client.get(heat).content)[0, 0, 0] == DIAGNOSES.index(first)
    assert code_of(client.get(heat, params={"diagnosis": "boredom"})) == "field"


def test_layers_are_drawn_once(make_app: MakeApp, photo: bytes) -> None:
    class Counting:
        count = 0

        def heat_map(self, *_: object) -> bytes:
            self.count += 1
            return b"png"

    layers = Counting()
    with TestClient(make_app(layers=layers), base_url=HOST) as client:
        heat = client.post(CASES, files=files(photo)).json()["photos"][0]["heat"]
        assert [client.get(heat).content for _ in range(3)] == [b"png"] * 3
    assert layers.count == 1


def test_photos_can_be_added_until_there_are_three(client: TestClient, case: Any) -> None:
    address = f"{CASES}/{case['id']}"
    added = client.post(f"{address}/photos", files=files(encoded(seed=1), encoded(seed=2)))
    assert added.status_code == 200
    assert len(added.json()["photos"]) == 3
    own = [photo["probabilities"] for photo in added.json()["judgement"]["photos"]]
    assert own[0] == case["judgement"]["photos"][0]["probabilities"]
    mean = np.mean([answer["melanoma"] for answer in own])
    assert added.json()["judgement"]["probabilities"]["melanoma"] == pytest.approx(mean)
    assert added.json()["facts"] == case["facts"]
    more = client.post(f"{address}/photos", files=files(encoded()))
    assert (more.status_code, code_of(more)) == (422, "too_many_photos")
    assert client.get(address).json() == added.json()
    nowhere = client.post(f"{CASES}/unknown/photos", files=files(encoded()))
    assert (nowhere.status_code, code_of(nowhere)) == (404, "case_not_found")


def test_two_who_add_at_once_lose_nothing(make_app: MakeApp, photo: bytes) -> None:
    """The second photo arrives while the first is being judged."""
    clients: list[TestClient] = []

    def slow(*arguments: Any, **options: Any) -> Judgement:
        if options.get("earlier") and clients:
            first = clients.pop()
            assert first.post(f"{address}/photos", files=files(photo)).status_code == 200
        return judge(*arguments, **options)

    with TestClient(make_app(judge=slow), base_url=HOST) as client:
        address = f"{CASES}/{client.post(CASES, files=files(photo)).json()['id']}"
        clients.append(client)
        added = client.post(f"{address}/photos", files=files(photo))
        assert len(added.json()["photos"]) == len(added.json()["judgement"]["photos"]) == 3


def test_the_model_describes_itself(client: TestClient) -> None:
    model = client.get("/api/v1/model").json()
    assert [found["id"] for found in model["diagnoses"]] == list(DIAGNOSES)
    assert model["diagnoses"][0]["name"]["fa"] == "ملانوم"
    assert (model["policy"], model["segmenter"], model["network"]) == (True, True, "fp32")
    assert model["limits"] == {
        "photos": 3, "upload_mb": 20, "megapixels": 40, "kinds": ["JPEG", "PNG", "WebP"],
        "lifetime_s": 1800,
    }  # fmt: skip


def test_without_a_segmenter_there_are_no_outlines(make_app: MakeApp, photo: bytes) -> None:
    with TestClient(make_app(segmenter=None), base_url=HOST) as client:
        case = client.post(CASES, files=files(photo)).json()
        assert case["photos"][0]["outline"] is case["photos"][0]["measures"] is None
        refused = client.get(f"{CASES}/{case['id']}/photos/1/outline.png")
        assert (refused.status_code, code_of(refused)) == (404, "no_layer")
        assert not client.get("/api/v1/model").json()["segmenter"]


@pytest.mark.parametrize(
    ("data", "photos", "status", "code"),
    [
        ({}, [], 415, "media_type"),
        ({"age": "4"}, [], 422, "no_photo"),
        ({}, [b""], 422, "empty_file"),
        ({}, [b"text"], 415, "not_a_photo"),
        ({}, [b"GIF89a"], 415, "wrong_type"),
        ({}, [encoded()[:700]], 422, "damaged"),
        ({}, [encoded()] * 4, 422, "too_many_photos"),
        ({"age": "-1"}, [encoded()], 422, "age"),
        ({"age": "131"}, [encoded()], 422, "age"),
        ({"age": "9" * 5000}, [encoded()], 422, "age"),
        ({"age": "4.5"}, [encoded()], 422, "age"),
        ({"age": ["4", "5"]}, [encoded()], 422, "age"),
        ({"sex": "x"}, [encoded()], 422, "sex"),
        ({"site": "../../etc/passwd"}, [encoded()], 422, "site"),
        ({"symptoms": ["itch", "joy"]}, [encoded()], 422, "symptoms"),
        ({"note": "x" * 2001}, [encoded()], 422, "note"),
        ({"symptom": "itch"}, [encoded()], 422, "field"),
    ],
)
def test_wrong_forms_are_refused(
    client: TestClient, data: dict[str, Any], photos: list[bytes], status: int, code: str
) -> None:
    kwargs: dict[str, Any] = {"files": files(*photos)} if photos else {}
    if data and not photos:
        kwargs["headers"] = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = client.post(CASES, data=data, **kwargs)
    assert (refused.status_code, code_of(refused)) == (status, code)
    assert len(client.app.state.service.store) == 0  # type: ignore[attr-defined]


def test_empty_fields_are_not_stated(client: TestClient, photo: bytes) -> None:
    """What a browser sends of a form that was left alone, an empty file input among it."""
    start = b'--x\r\nContent-Disposition: form-data; name="'
    parts = [start + name.encode() + b'"\r\n\r\n\r\n' for name in CaseFacts.model_fields]
    for name, data in ((b"a.jpg", photo), (b"", b"")):
        parts.append(start + b'photos"; filename="' + name + b'"\r\n\r\n' + data + b"\r\n")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    made = client.post(CASES, content=b"".join([*parts, b"--x--\r\n"]), headers=kind)
    assert made.status_code == 201, made.text
    assert len(made.json()["photos"]) == 1
    assert made.json()["facts"] == json.loads(CaseFacts().model_dump_json())


def test_a_note_is_plain_text(client: TestClient, photo: bytes) -> None:
    note = " <script>alert(1)</script>\r\nمی\u200cخارد\u202e 10\u00a0mm\x00\x1b[2J "
    made = client.post(CASES, data={"note": note}, files=files(photo)).json()
    assert made["facts"]["note"] == "<script>alert(1)</script>\nمی\u200cخارد 10 mm[2J"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "multipart/form-data", 400),
        (b"", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n", "multipart/form-data; boundary=x", 400),
        (b"nonsense", "multipart/form-data; boundary=x", 400),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (b"--x\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x", 400),
        (b'--x\r\nContent-Disposition: form-data; name="photos"\r\n\r\n', None, 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' * 60 + b"--x--\r\n",
            None,
            400,
        ),
        (b"--x\r\n" + b"A" * 70_000, None, 400),
        (b"--x\r\nA: " + b"b" * 70_000, None, 400),
        (b'--x\r\nContent-Disposition: attachment; name="photos"\r\n\r\nb\r\n--x--', None, 400),
        (b"x" * 100, f"multipart/form-data; boundary={'b' * 5000}", 400),
        (b"{", "application/json", 415),
        (b"%ff=\xff", "application/x-www-form-urlencoded", 400),
        (b"a=b&" * 100, "application/x-www-form-urlencoded", 400),
    ],
)
def test_malformed_bodies_are_refused(
    client: TestClient, body: bytes, kind: str | None, status: int
) -> None:
    kind = kind or "multipart/form-data; boundary=x"
    refused = client.post(CASES, content=body, headers={"Content-Type": kind})
    assert refused.status_code == status, refused.text
    assert code_of(refused) in ("malformed", "no_photo", "media_type")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1/../../etc/passwd", 404, None),
        ("GET", "/api/v1/cases/..%2f..%2fetc%2fpasswd", 404, None),
        ("GET", "/api/v1/cases/%00%ff", 404, "case_not_found"),
        ("PUT", "/api/v1/cases", 405, "method_not_allowed"),
        ("GET", "/api/v1/cases/CASE/photos/0/photo.jpg", 404, "photo_not_found"),
        ("GET", "/api/v1/cases/CASE/photos/2/heat.png", 404, "photo_not_found"),
        ("GET", "/api/v1/cases/CASE/photos/one/heat.png", 422, "field"),
        ("GET", f"/api/v1/cases/CASE/photos/{'9' * 5000}/heat.png", 422, "field"),
        ("GET", "/api/v1/cases/none/photos/1/outline.png", 404, "case_not_found"),
    ],
)
def test_wrong_addresses_are_refused(
    client: TestClient, case: Any, method: str, path: str, status: int, code: str | None
) -> None:
    refused = client.request(method, path.replace("CASE", case["id"]))
    assert refused.status_code == status
    if code is not None:
        assert code_of(refused) == code


def test_errors_speak_the_readers_language(client: TestClient) -> None:
    path = f"{CASES}/nothing"
    english = client.get(path).json()["error"]["message"]
    persian = client.get(path, headers={"Accept-Language": "fa-IR,en;q=0.5"}).json()["error"]
    assert english.isascii()
    assert re.search("[آ-ی]", persian["message"])
    assert persian["code"] == "case_not_found"
    assert "۳۰" in persian["fix"]
    assert client.get(path, params={"lang": "fa"}).json()["error"] == persian


def test_every_error_has_words_in_every_language() -> None:
    for language in languages():
        words = translator(language)
        for code in STATUS:
            error = AppError(
                code, retry_after=3, limit=Amount(20, "unit.mb"), type="GIF", field="x", low=0,
                high=130, minutes=Amount(30, "unit.minutes"), methods="GET", least=3, most=40,
            )  # fmt: skip
            message, fix = error.words(words)
            assert message
            assert fix
            assert "{" not in message + fix
    assert len(STATUS) > 25


def test_what_nobody_foresaw_is_a_500_without_a_word_of_it(
    make_app: MakeApp, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Judgement:
        raise RuntimeError("SECRET of a patient")

    with (
        caplog.at_level(logging.DEBUG),
        TestClient(make_app(judge=broken), base_url=HOST) as client,
    ):
        failed = client.post(CASES, files=files(photo))
        assert (failed.status_code, code_of(failed)) == (500, "internal")
        assert client.get("/health").json() == {"status": "ok"}
    said = failed.text + caplog.text
    assert "SECRET" not in said
    assert "RuntimeError in broken" in caplog.text


def test_the_schema_names_every_route_of_the_api(client: TestClient) -> None:
    schema = client.get(SCHEMA).json()
    assert schema["openapi"].startswith("3.")
    assert set(schema["paths"]) == {
        "/health", "/ready", "/api/v1/model", "/api/v1/cases", "/api/v1/cases/{case_id}",
        "/api/v1/cases/{case_id}/photos",
        *(f"/api/v1/cases/{{case_id}}/photos/{{number}}/{name}"
          for name in ("photo.jpg", "outline.png", "heat.png", "measures.json")),
    }  # fmt: skip
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404
