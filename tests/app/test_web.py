"""The pages without a browser: what they show, in both languages, and what their forms do."""

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from cutis.app import web
from cutis.app.cases import Case, CaseFacts, Judgement, Photo
from cutis.app.i18n import MESSAGES, languages, translator
from cutis.app.views import Result, measure_rows, result_view
from cutis.metrics.answer_policy import REASON_TEXTS, Verdict
from cutis.metrics.lesion_measures import MEASURE_TEXTS
from cutis.metrics.quality import FLAG_TEXTS
from cutis.runtime import PhotoAnswer, Predictor
from cutis.taxonomy import Urgency

from .conftest import DIAGNOSES, HOST, MakeApp

PAGES = ("/", "/help", "/about")
FOLDER = Path(web.__file__).parent
TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))

KEYS = set(json.loads((MESSAGES / "en.json").read_text("utf-8")))


class Seen(HTMLParser):
    """Tags with their attributes, and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.tags
            if name == tag and wanted.items() <= attributes.items()
        ]


def token(client: TestClient, page: str = "/") -> str:
    (field, *_) = Seen(client.get(page).text).all("input", name="csrf_token")
    return str(field["value"])


def send(client: TestClient, photo: bytes, **facts: object) -> str:
    """Makes a case as the form does and gives its path."""
    made = client.post(
        "/cases",
        data={"csrf_token": token(client), **facts},
        files={"photos": ("a.jpg", photo)},
        follow_redirects=False,
    )
    assert made.status_code == 303, made.text
    return made.headers["location"]


def case_of(**judged: object) -> Case:
    shares = dict(zip(DIAGNOSES, (0.704, 0.295, 0.001), strict=True))
    known = {"probabilities": shares, "photos": (PhotoAnswer(probabilities=shares),)}
    judgement = Judgement(**{**known, **judged})
    return Case((Photo(b"", 80, 60),), CaseFacts(), judgement)


def view(predictor: Predictor, language: str = "en", **judged: object) -> Result:
    return result_view(case_of(**judged), predictor, translator(language))


def test_a_case_of_another_network_is_shown_as_it_was_judged(predictor: Predictor) -> None:
    first, second, _ = DIAGNOSES
    words = translator("en")
    case = case_of(verdict=Verdict.ANSWER, prediction_set=(first, second))
    without = copy.copy(predictor)
    without.policy = None
    own = result_view(case, predictor, words)
    assert predictor.policy is not None
    assert own.level == words.percent(predictor.policy.level)
    for shown_by in (predictor, without):
        shown = result_view(case, shown_by, words, other_network=True)
        assert shown.possible == own.possible != ""
        assert shown.level == ""
        assert [one.name for one in shown.explained] == [one.name for one in own.explained]
    # One that made no sets says nothing of them, whatever the network of today does.
    plain = result_view(case_of(verdict=None), predictor, words, other_network=True)
    assert (plain.possible, plain.level) == ("", "")
    assert len(plain.explained) == 1


# Pages


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("page", [*PAGES, "/nothing"])
def test_a_page_is_whole_in_its_language(client: TestClient, page: str, language: str) -> None:
    words = translator(language)
    answer = client.get(page, headers={"Accept-Language": language})
    seen = Seen(answer.text)
    assert answer.status_code == (200 if page in PAGES else 404)
    assert seen.all("html", lang=language, dir=words.direction)
    assert words.text("notice.short") in answer.text
    assert words.text("page.skip") in answer.text
    current = [str(link["href"]) for link in seen.all("a") if "aria-current" in link]
    assert current == [place for place in PAGES if place == page]
    assert len(seen.all("h1")) == len(seen.all("main", id="main")) == 1
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_pages_keep_the_security_policy(client: TestClient, photo: bytes) -> None:
    for page in (*PAGES, "/nothing", send(client, photo)):
        seen = Seen(client.get(page).text)
        for tag, attributes in seen.tags:
            assert tag != "style"
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
            for link in (attributes.get("src"), attributes.get("href")):
                assert link is None or link.startswith(("/", "#"))
        scripts = seen.all("script")
        assert scripts
        assert {client.get(str(script["src"])).status_code for script in scripts} == {200}


def test_every_text_of_a_template_exists() -> None:
    pattern = r"t\.text\([^)]*?['\"](\w[\w.]*\w)['\"]"
    keys = [key for path in TEMPLATES for key in re.findall(pattern, path.read_text("utf-8"))]
    assert len(keys) > 100
    assert [key for key in keys if not KEYS & {key, f"{key}.one"}] == []


def test_every_text_of_the_script_exists() -> None:
    script = (FOLDER / "static/app.js").read_text("utf-8")
    keys = re.findall(r"\"((?:script|hint|camera)\.\w+)\"", script)
    keys.remove("camera.jpg")  # a file's name
    assert len(keys) > 15
    assert [key for key in keys if not KEYS & {key, f"{key}.one"}] == []


def test_the_language_stays_and_the_case_with_it(client: TestClient, photo: bytes) -> None:
    case = send(client, photo)
    assert 'lang="en"' in client.get(case).text
    switched = client.get(f"{case}?lang=fa")
    assert "cutis_lang=fa" in switched.headers["set-cookie"]
    assert 'dir="rtl"' in switched.text
    assert f'href="{case}?lang=en"' in switched.text
    assert 'dir="rtl"' in client.get("/help").text


def test_an_unknown_language_sets_nothing(client: TestClient) -> None:
    answer = client.get("/help?lang=xx")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


def test_static_files_have_types_of_their_own(client: TestClient) -> None:
    for name, kind in (("app.css", "text/css"), ("app.js", "text/javascript")):
        answer = client.get(f"/static/{name}")
        assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        again = client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    assert client.get("/static/fonts/vazirmatn.woff2").content.startswith(b"wOF2")


@pytest.mark.parametrize("path", ["../web.py", "%2e%2e/web.py", "..%2fmessages/en.json", "none"])
def test_static_files_end_at_their_folder(client: TestClient, path: str) -> None:
    answer = client.get(f"/static/{path}")
    assert answer.status_code == 404
    assert '<html lang="en"' in answer.text


def test_the_page_of_a_bundle_without_a_segmenter_offers_no_outline(
    make_app: MakeApp, photo: bytes
) -> None:
    with TestClient(make_app(segmenter=None), base_url=HOST) as client:
        assert "outline.png" not in client.get(send(client, photo)).text
        words = translator("en").text("about.model.no_segmenter")
        assert words in client.get("/about").text


# Forms


def test_a_case_from_the_form_to_its_end(client: TestClient, photo: bytes) -> None:
    facts = {"age": "۴۵", "sex": "female", "symptoms": ["itch", "new"], "note": "<b>\nbold</b>"}
    case = send(client, photo, **facts)
    page = client.get(case).text
    for text in ("45 years", "Female", "It itches\nIt is new", "&lt;b&gt;\nbold&lt;/b&gt;"):
        assert text in page
    assert "<b>" not in page
    for link in [*Seen(page).all("img"), {"src": f"{case}/photos/1/measures"}]:
        assert client.get(str(link["src"])).status_code == 200, link
    more = client.post(
        f"{case}/photos",
        data={"csrf_token": token(client, case)},
        files={"photos": ("b.jpg", photo)},
        follow_redirects=False,
    )
    assert (more.status_code, more.headers["location"]) == (303, case)
    assert f"{case}/photos/2.jpg" in client.get(case).text
    gone = client.post(f"{case}/delete", data={"csrf_token": token(client, case)})
    assert gone.url.path == "/"
    assert translator("en").text("case.deleted") in gone.text
    assert client.get(case).status_code == 404


@pytest.mark.parametrize("end", ["", "/photos", "/delete"])
def test_a_form_without_its_token_does_nothing(client: TestClient, photo: bytes, end: str) -> None:
    case = send(client, photo)
    address = case + end if end else "/cases"
    answer = client.post(address, data={"csrf_token": "0"}, files={"photos": ("a", photo)})
    assert answer.status_code == 403
    assert translator("en").text("error.session") in answer.text
    assert len(Seen(client.get(case).text).all("article")) == 1


@pytest.mark.parametrize("language", languages())
def test_an_error_is_a_page_that_leads_back(
    client: TestClient, photo: bytes, language: str
) -> None:
    words = translator(language)
    case = send(client, photo)
    tokens = {"csrf_token": token(client, case)}
    said = {"Accept-Language": language}
    answer = client.post(f"{case}/photos?lang={language}", data=tokens, headers=said)
    assert answer.status_code == 422
    assert words.text("error.no_photo") in answer.text
    assert words.text("error.no_photo.fix") in answer.text
    assert Seen(answer.text).all("a", href=case)


def test_a_full_queue_is_a_page_that_says_when(
    make_app: MakeApp, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app()
    with TestClient(app, base_url=HOST) as client:
        tokens = {"csrf_token": token(client)}
        monkeypatch.setattr(app.state.service.workload, "_places", 0)
        answer = client.post("/cases", data=tokens, files={"photos": ("a", photo)})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert translator("en").text("error.busy") in answer.text


# The words of a result


def test_a_probability_is_never_nothing_or_all(predictor: Predictor) -> None:
    shares = dict(zip(DIAGNOSES, (0.998, 0.0015, 0.0005), strict=True))
    shown = view(predictor, probabilities=shares)
    assert [bar.value for bar in shown.bars] == ["more than 99%", "less than 1%", "less than 1%"]
    assert shown.bars[0].width == "99.8"
    assert "99%" in shown.meaning
    persian = view(predictor, "fa").bars[0]
    assert (persian.value, persian.width) == ("۷۰٪", "70.4")


def test_the_set_in_words(predictor: Predictor) -> None:
    shown = view(predictor, prediction_set=DIAGNOSES[:2], verdict=Verdict.CAUTION, urgent=True)
    assert shown.possible == "2 diagnoses remain possible: Melanoma or Melanocytic nevus."
    assert shown.grave == "Melanoma"
    assert [bar.possible for bar in shown.bars] == [True, True, False]
    assert [bar.id for bar in shown.heat] == list(DIAGNOSES[:2])
    assert [one.kind for one in shown.explained] == ["Cancer", "Not a cancer"]
    assert shown.explained[0].text is not None


@pytest.mark.parametrize("urgency", [None, *Urgency])
def test_how_soon_stands_on_the_card(predictor: Predictor, urgency: Urgency | None) -> None:
    shown = view(predictor, verdict=Verdict.ANSWER, urgency=urgency)
    assert shown.urgency == (urgency.replace("-", "_") if urgency else "unknown")


def test_alarming_symptoms_say_why_it_is_urgent(predictor: Predictor) -> None:
    told = {"urgency": Urgency.WEEKS, "alarming": ("bleeding", "growth")}
    assert view(predictor, **told).alarming == "It bleeds. It grows"
    assert view(predictor).alarming == ""


def test_a_photo_that_does_not_count_is_not_counted(predictor: Predictor) -> None:
    photo = PhotoAnswer(probabilities={DIAGNOSES[1]: 1.0}, flags=())
    shown = view(predictor, photos=(photo,), left_out=(1,))
    assert shown.counted == len(shown.photos) - 1
    assert shown.photos[0].left_out
    assert not view(predictor, photos=(photo,)).photos[0].left_out


def test_who_cannot_tell_leaves_no_benign_diagnosis_standing(predictor: Predictor) -> None:
    photo = PhotoAnswer(probabilities={DIAGNOSES[1]: 1.0}, flags=(), verdict=Verdict.CANNOT_TELL)
    told = {"prediction_set": DIAGNOSES[:2], "photos": (photo,)}
    unsure = view(predictor, verdict=Verdict.CANNOT_TELL, **told)
    assert unsure.possible == ""
    assert unsure.grave == "Melanoma"
    assert [bar.possible for bar in unsure.bars] == [True, False, False]
    assert [one.kind for one in unsure.explained] == ["Cancer"]
    assert not unsure.photos[0].flawless
    assert not unsure.photos[0].says
    sure = view(predictor, verdict=Verdict.CAUTION, **told)
    assert [bar.possible for bar in sure.bars] == [True, True, False]


@pytest.mark.parametrize("language", languages())
def test_every_reason_flag_and_verdict_has_words(predictor: Predictor, language: str) -> None:
    answer = PhotoAnswer(
        probabilities={DIAGNOSES[0]: 1.0},
        flags=tuple(FLAG_TEXTS),
        lesion_fallback="whole image",
        verdict=Verdict.CAUTION,
    )
    for verdict in (*Verdict, None):
        shown = view(
            predictor, language, photos=(answer,), reasons=tuple(REASON_TEXTS), verdict=verdict
        )
        assert len({reason.text for reason in shown.reasons}) == len(REASON_TEXTS)
        assert len(shown.photos[0].hints) == len(FLAG_TEXTS) + 1
        assert shown.verdict


@pytest.mark.parametrize(("flags", "flawless"), [(None, False), ((), True), (("dark",), False)])
def test_a_photo_is_flawless_only_if_it_was_looked_at(
    predictor: Predictor, flags: tuple[str, ...] | None, flawless: bool
) -> None:
    answer = PhotoAnswer(probabilities={DIAGNOSES[0]: 1.0}, flags=flags)
    assert view(predictor, photos=(answer,)).photos[0].flawless == flawless


def test_a_case_without_a_readable_photo_shows_no_bars(predictor: Predictor) -> None:
    photos = (PhotoAnswer(probabilities={}, verdict=Verdict.CANNOT_TELL, error="damaged"),)
    shown = view(predictor, probabilities={}, photos=photos, verdict=Verdict.CANNOT_TELL)
    assert shown.bars == shown.heat == shown.explained == ()
    assert shown.urgency == "unknown"


@pytest.mark.parametrize("language", languages())
def test_every_measure_has_words(language: str) -> None:
    measured: dict[str, object] = dict.fromkeys(MEASURE_TEXTS, 0.5)
    measured |= {"asymmetry": [0.1, 0.2], "colours": ["red", "black"], "pieces": 2}
    rows = measure_rows({**measured, "future": 1}, translator(language))
    assert len(rows) == len(MEASURE_TEXTS)
    values = {meaning: value for _, value, meaning in rows}
    words = translator(language)
    assert values[words.text("measure.area_share.text")] == words.percent(0.5, 1)
    assert values[words.text("measure.touches_frame.text")] == words.text("answer.yes")
    assert measure_rows({}, words) == ()


def test_the_font_that_the_style_names_is_there() -> None:
    style = (FOLDER / "static/app.css").read_text("utf-8")
    (name,) = re.findall(r'url\("([^"]+)"\)', style)
    assert (FOLDER / "static" / name).is_file()
    assert MESSAGES.parent == FOLDER
