"""The app's languages: whole, equal in keys and placeholders, spelt as they should be."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from string import Formatter

import pytest
from persiantools.jdatetime import JalaliDate

from cutis.app.cases import SEXES, SITES, SYMPTOMS
from cutis.app.errors import STATUS
from cutis.app.i18n import MESSAGES, Translator, languages, preferred, translator
from cutis.errors import InputError
from cutis.lesion import REASONS
from cutis.metrics.answer_policy import REASON_TEXTS, Verdict
from cutis.metrics.lesion_colours import COLOURS
from cutis.metrics.lesion_measures import MEASURE_TEXTS, MEASURES_NOTICE
from cutis.metrics.quality import FLAG_TEXTS
from cutis.records import NOTICE
from cutis.taxonomy import DiagnosisText, Malignancy, Urgency, diagnoses

FSI, PDI = "\u2068", "\u2069"
HALF_SPACE = "\u200c"
# The words of the collection's `localization`.
HAM10000_SITES = ["abdomen", "acral", "back", "chest", "ear", "face", "foot", "genital", "hand"]
HAM10000_SITES += ["lower extremity", "neck", "scalp", "trunk", "unknown", "upper extremity"]
# Names that stay Latin in Persian, digits in them included.
LATIN_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9 ./+-]*[A-Za-z0-9])?")


def pairs(language: str) -> list[tuple[str, str]]:
    """Keys and texts as the file holds them, repeated keys included."""
    text = (MESSAGES / f"{language}.json").read_text(encoding="utf-8")
    found: list[tuple[str, str]] = json.loads(text, object_pairs_hook=list)
    return found


def placeholders(text: str) -> Counter[str]:
    return Counter(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def prose(language: str) -> Iterator[tuple[str, str]]:
    """What is read by people, a sign of neither script for each placeholder."""
    for key, text in pairs(language):
        if not key.startswith("format."):
            yield key, re.sub(r"\{\w+\}", "#", text)


EN, FA = dict(pairs("en")), dict(pairs("fa"))


@pytest.fixture
def en() -> Translator:
    return translator("en")


@pytest.fixture
def fa() -> Translator:
    return translator("fa")


# The files


def test_languages_are_the_files_of_the_folder() -> None:
    assert languages() == ("en", "fa")
    assert {path.stem for path in MESSAGES.glob("*.json")} == set(languages())


@pytest.mark.parametrize("language", languages())
class TestEveryLanguage:
    def test_has_the_keys_of_english_in_its_order(self, language: str) -> None:
        assert [key for key, _ in pairs(language)] == list(EN)
        assert len(EN) > 400

    def test_has_the_same_placeholders(self, language: str) -> None:
        differing = [
            key for key, text in pairs(language) if placeholders(text) != placeholders(EN[key])
        ]
        assert differing == []

    def test_has_no_empty_text_and_no_stray_space(self, language: str) -> None:
        wrong = [
            key
            for key, text in pairs(language)
            if not text.strip() or (text != text.strip() and key != "format.list_comma")
        ]
        wrong += [key for key, text in pairs(language) if "  " in text or " ." in text]
        assert wrong == []

    def test_placeholders_are_plain_names(self, language: str) -> None:
        for key, text in pairs(language):
            for _, name, form, conversion in Formatter().parse(text):
                assert name is None or (name.isidentifier() and not form and not conversion), key

    def test_plurals_come_in_pairs_with_a_count(self, language: str) -> None:
        texts = dict(pairs(language))
        stems = [key.removesuffix(".one") for key in texts if key.endswith(".one")]
        assert len(stems) >= 9
        for stem in stems:
            assert stem not in texts
            assert "count" in placeholders(texts[f"{stem}.other"]), stem

    def test_has_what_formats_need(self, language: str) -> None:
        texts = dict(pairs(language))
        assert texts["format.direction"] in ("ltr", "rtl")
        assert texts["format.calendar"] in ("gregorian", "jalali")
        assert len(set(texts["format.digits"])) == 10
        assert [int(sign) for sign in texts["format.digits"]] == list(range(10))
        assert len({texts[f"month.{n}"] for n in range(1, 13)}) == 12


def test_every_value_of_the_program_has_its_words() -> None:
    wanted = {f"reason.{reason}" for reason in REASON_TEXTS}
    wanted |= {f"advice.{reason}" for reason in REASON_TEXTS}
    wanted |= {f"flag.{flag}" for flag in FLAG_TEXTS}
    wanted |= {f"measure.{name}{end}" for name in MEASURE_TEXTS for end in ("", ".text")}
    wanted |= {f"colour.{name}" for name in COLOURS}
    wanted |= {f"site.{name}".replace(" ", "_") for name in (*SITES, *HAM10000_SITES)}
    wanted |= {f"sex.{name}" for name in SEXES} | {f"symptom.{name}" for name in SYMPTOMS}
    wanted |= {f"diagnosis.{field}" for field in DiagnosisText.__dataclass_fields__}
    wanted |= {f"error.{code}" for code in STATUS}
    assert sorted(wanted - set(EN)) == []
    for code in STATUS:
        assert {f"error.{code}.fix", f"error.{code}.fix.one"} & set(EN), code


@pytest.mark.parametrize("language", languages())
def test_terms_are_found_by_the_values_themselves(language: str) -> None:
    words = translator(language)
    for urgency in Urgency:
        assert words.term("urgency", urgency)
        assert words.text(f"urgency.{urgency.name.lower()}.do")
    for group, values in (("malignancy", Malignancy), ("verdict", Verdict), ("lesion", REASONS)):
        assert len({words.term(group, value) for value in values}) == len(list(values))


@pytest.mark.parametrize("language", languages())
def test_every_diagnosis_is_named(language: str) -> None:
    assert len(diagnoses()) > 100
    for diagnosis in diagnoses().values():
        assert translator(language).pick(diagnosis.name)


def test_english_says_what_the_package_says_elsewhere() -> None:
    assert EN["notice"] == NOTICE
    assert EN["notice.measures"] == MEASURES_NOTICE
    for name, text in MEASURE_TEXTS.items():
        assert EN[f"measure.{name}.text"] == text
    for flag, text in FLAG_TEXTS.items():
        assert EN[f"flag.{flag}"] == text
        assert text.startswith(EN[f"reason.{flag}"].removesuffix(".") + ":")
    for reason in set(REASON_TEXTS) - set(FLAG_TEXTS):
        assert REASON_TEXTS[reason].startswith(EN[f"reason.{reason}"].removesuffix("."))


# Spelling


def test_persian_is_written_in_persian() -> None:
    for key, text in prose("fa"):
        rest = LATIN_NAME.sub("", text)
        assert not re.search(r"[0-9,;?%\"'“”]", rest), f"{key}: {text}"
        assert not re.search(r"[۰-۹٠-٩]", rest), f"{key}: digits are filled in: {text}"
        assert not re.search(r"[يكىةۀ\u064c-\u0652]", rest), f"{key}: {text}"
        assert rest.count("(") == rest.count(")"), key
        assert rest.count("«") == rest.count("»"), key


def test_persian_has_its_own_words() -> None:
    latin_only = {key for key, text in prose("fa") if not re.search(r"[ا-ی]", text)}
    assert latin_only == {
        "site_name",
        "page.title",
        "diagnosis.icd11",
        "diagnosis.link",
    }


def test_persian_uses_half_spaces() -> None:
    joined = re.compile(r"\b(?:ن?می) (?=[ا-ی])|[ا-ی]{2} (?:ها|های|هایی|تر|ترین|اند|ای)\b")
    for key, text in prose("fa"):
        assert not joined.search(text), f"{key}: {text}"
        assert not re.search(rf"(?:^| ){HALF_SPACE}|{HALF_SPACE}(?: |$)", text), key
        assert not re.search(r" [،؛؟:.]|[،؛؟](?=[^\s])", text), f"{key}: {text}"
    assert sum(HALF_SPACE in text for _, text in prose("fa")) > 150


def test_english_is_plain() -> None:
    for key, text in prose("en"):
        assert re.sub("[×·…“”]", "", text).isascii(), f"{key}: {text}"


# Texts


def test_fills_placeholders_with_digits_of_the_language(en: Translator, fa: Translator) -> None:
    assert en.text("result.photo", number=2) == "Photo 2"
    assert fa.text("result.photo", number=2) == "عکس ۲"
    assert fa.text("result.photo.size", width=1024, height=768) == "۱٬۰۲۴ × ۷۶۸ پیکسل"


def test_counts_choose_the_plural(en: Translator) -> None:
    assert en.text("unit.minutes", count=1) == "1 minute"
    assert en.text("unit.minutes", count=0) == "0 minutes"
    assert en.text("unit.minutes", count=30) == "30 minutes"
    assert en.text("set.possible", count=1, names="melanoma").startswith("One diagnosis")
    # a count may stand in a text without plurals too
    assert "60" in en.text("probability.meaning", example="60%", count=60)


def test_what_is_missing_is_an_error(en: Translator) -> None:
    with pytest.raises(KeyError, match="no such"):
        en.text("no such")
    with pytest.raises(KeyError, match="number"):
        en.text("result.photo")
    with pytest.raises(KeyError, match=r"unit\.minutes"):
        en.text("unit.minutes")


def test_latin_values_are_isolated_in_persian(fa: Translator) -> None:
    text = fa.text("result.answer", diagnosis="Spitz nevus")
    assert text == f"محتمل‌ترین تشخیص: {FSI}Spitz nevus{PDI}"
    for value in ("۹۳٪", "ملانوم", "12 (3)"):
        assert FSI not in fa.text("result.answer", diagnosis=value)


def test_persian_values_are_isolated_in_english(en: Translator) -> None:
    assert en.text("script.preview", number=1, name="خال.jpg") == f"Photo 1: {FSI}خال.jpg{PDI}"
    assert FSI not in en.text("script.preview", number=1, name="mole.jpg")


def test_latin_names_of_the_texts_are_isolated_one_by_one(fa: Translator) -> None:
    formats = fa.text("error.not_a_photo.fix")
    assert f"{FSI}JPEG{PDI}، {FSI}PNG{PDI} یا {FSI}WebP{PDI}" in formats
    assert f"{FSI}Apache License 2.0{PDI}" in fa.text("about.licences.code")


@pytest.mark.parametrize("language", languages())
def test_isolates_are_closed(language: str) -> None:
    words = translator(language)
    for key, text in pairs(language):
        filled = words.text(key, **dict.fromkeys(placeholders(text), "Latin خال"))
        assert filled.count(FSI) == filled.count(PDI)
        assert not re.search(r"[{}]", filled), key


def test_groups_are_given_whole_for_the_script(fa: Translator) -> None:
    texts = fa.texts("script")
    assert set(texts) == {key for key in FA if key.startswith("script.")}
    assert "{number}" in texts["script.removed"]


def test_picks_the_language_or_english(fa: Translator) -> None:
    assert fa.pick({"en": "mole", "fa": "خال"}) == "خال"
    assert fa.pick({"en": "mole"}) == "mole"


def test_lists(en: Translator, fa: Translator) -> None:
    assert en.listing([]) == ""
    assert en.listing(["a"]) == "a"
    assert en.listing(["a", "b"], "or") == "a or b"
    assert en.listing(["a", "b", "c"]) == "a, b and c"
    assert fa.listing(["الف", "ب", "Spitz"], "or") == f"الف، ب یا {FSI}Spitz{PDI}"


# Numbers


@pytest.mark.parametrize(
    ("value", "digits", "english", "persian"),
    [
        (0, 0, "0", "۰"),
        (1234567, 0, "1,234,567", "۱٬۲۳۴٬۵۶۷"),
        (3.14159, 2, "3.14", "۳٫۱۴"),
        (1234.5, 1, "1,234.5", "۱٬۲۳۴٫۵"),
    ],
)
def test_numbers(
    en: Translator, fa: Translator, value: float, digits: int, english: str, persian: str
) -> None:
    assert en.number(value, digits) == english
    assert fa.number(value, digits) == persian


def test_percentages_and_lengths(en: Translator, fa: Translator) -> None:
    assert (en.percent(0.934), en.percent(0.0046, 1)) == ("93%", "0.5%")
    assert (fa.percent(0.934), fa.percent(0.0046, 1)) == ("۹۳٪", "۰٫۵٪")
    assert en.length_mm(6.25) == "6.2 mm"
    assert fa.length_mm(1006.28) == "۱٬۰۰۶٫۳ میلی‌متر"


# Dates

# First days of Persian years (by the rule that a year begins with the day whose noon in Tehran
# follows the equinox), the last days of two leap years, and days known from history.
DAYS = [
    (date(2026, 3, 21), "۱ فروردین ۱۴۰۵"),
    (date(2025, 3, 20), "۳۰ اسفند ۱۴۰۳"),  # 1403 is a leap year
    (date(2025, 3, 21), "۱ فروردین ۱۴۰۴"),
    (date(2024, 3, 20), "۱ فروردین ۱۴۰۳"),
    (date(2021, 3, 20), "۳۰ اسفند ۱۳۹۹"),  # and 1399
    (date(1979, 2, 11), "۲۲ بهمن ۱۳۵۷"),
    (date(2000, 1, 1), "۱۱ دی ۱۳۷۸"),
    (date(2026, 11, 21), "۳۰ آبان ۱۴۰۵"),
]


@pytest.mark.parametrize(("day", "persian"), DAYS)
def test_persian_dates_are_in_the_persian_calendar(fa: Translator, day: date, persian: str) -> None:
    assert fa.date(datetime(day.year, day.month, day.day, 23, 59)) == persian


def test_persian_days_follow_each_other() -> None:
    day, there = date(2020, 3, 20), JalaliDate(1399, 1, 1)
    for _ in range(2000):
        assert JalaliDate(day) == there
        day, there = day + timedelta(days=1), there + timedelta(days=1)


def test_english_dates_and_times(en: Translator, fa: Translator) -> None:
    moment = datetime(2026, 7, 4, 9, 5)
    assert en.date(moment) == "4 July 2026"
    assert en.time(moment) == "09:05"
    assert en.date_time(moment) == "4 July 2026, 09:05"
    assert fa.time(moment) == "۰۹:۰۵"
    assert fa.date_time(moment) == "۱۳ تیر ۱۴۰۵، ساعت ۰۹:۰۵"


def test_the_moments_own_time_zone_counts(fa: Translator) -> None:
    late = datetime(2026, 3, 20, 22, tzinfo=UTC)
    tehran = timezone(timedelta(hours=3, minutes=30))
    assert fa.date(late) == "۲۹ اسفند ۱۴۰۴"
    assert fa.date(late.astimezone(tehran)) == "۱ فروردین ۱۴۰۵"


# Which language


def test_a_third_language_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for language in languages():
        (tmp_path / f"{language}.json").write_bytes((MESSAGES / f"{language}.json").read_bytes())
    words = {**EN, "language.name": "Deutsch", "format.decimal_mark": ","}
    (tmp_path / "de.json").write_text(json.dumps(words), encoding="utf-8")
    monkeypatch.setattr("cutis.app.i18n.MESSAGES", tmp_path)
    languages.cache_clear()
    translator.cache_clear()
    try:
        assert languages() == ("en", "de", "fa")
        assert translator("de").number(0.5, 1) == "0,5"
        assert translator("de").pick(diagnoses()["melanoma"].name) == "Melanoma"
    finally:
        languages.cache_clear()
        translator.cache_clear()


def test_unknown_languages_are_refused() -> None:
    for code in ("xx", "../en", ""):
        with pytest.raises(InputError, match="does not speak"):
            translator(code)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("fa", "fa"),
        ("fa-IR", "fa"),
        ("fa-IR,fa;q=0.9,en;q=0.8", "fa"),
        ("en-US,en;q=0.9,fa;q=0.8", "en"),
        ("de,fa;q=0.5", "fa"),
        ("fa;q=0.2, en;q=0.7", "en"),
        ("FA", "fa"),
        ("fa;q=0", "en"),
        ("fa;q=nonsense", "en"),
        ("de", "en"),
        ("*", "en"),
        ("", "en"),
        (";;,,=\x00", "en"),
    ],
)
def test_accept_language(header: str, language: str) -> None:
    assert preferred(header) == language
