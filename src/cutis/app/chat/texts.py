"""What the chat knows: the passages of Cutis's own texts that fit a case.

The words stand in the messages and the taxonomy alone; here they are only put together.
"""

from typing import NamedTuple

from cutis.app.i18n import Translator
from cutis.app.views import Bar, Result
from cutis.taxonomy import DiagnosisText, diagnoses

_PARTS = tuple(DiagnosisText.__dataclass_fields__)
_STEPS = ("clean", "light", "distance", "focus", "still", "check", "second")
_HARD = ("back", "hair", "dark_skin", "dermoscope")
_LIMITS = ("photo", "other", "pooling", "skin", "review", "certified")


class Passage(NamedTuple):
    """A short text that an answer may stand on."""

    id: str
    title: str
    text: str
    place: str  # where it can be read: a page, or a part of the result's page


def passages(result: Result, words: Translator) -> tuple[Passage, ...]:
    """The passages of a case, its result first.

    Of the diagnoses only those that the page explains; of the urgencies only the case's own, since
    the words of a calmer one would calm where they must not.
    """
    return (
        result_passage(result, words),
        *(passage for bar in _possible(result) for passage in _of_diagnosis(bar, words)),
        *_of_result(result, words),
        *_of_pages(words),
    )


def result_passage(result: Result, words: Translator) -> Passage:
    """What the model says of the case, in words."""
    said = [words.text("chat.result.verdict", verdict=result.verdict)]
    said += [result.possible] if result.possible else []
    for bar in _possible(result):
        named = {"diagnosis": bar.name, "probability": bar.value}
        said.append(words.text("chat.result.probability", **named))
    said.append(words.text("chat.result.urgency", urgency=words.term("urgency", result.urgency)))
    if result.urgent:
        said.append(words.text("urgent.not_certain"))
    return Passage("result", words.text("chat.result"), " ".join(said), "#verdict")


def urgency_words(result: Result, words: Translator) -> str:
    """The sentence that ends an answer where a doctor should see the spot soon; else empty."""
    if result.urgent:
        return words.text("urgent.when_emergency" if result.emergency else "urgent.when")
    calm = result.urgency in ("routine", "self_care")
    if calm and result.verdict_key not in ("cannot_tell", "none"):
        return ""
    return words.text(f"urgency.{'unknown' if calm else result.urgency}.do")


def _possible(result: Result) -> tuple[Bar, ...]:
    """The diagnoses that the page explains; a bundle without a policy has its first one."""
    possible = tuple(bar for bar in result.bars if bar.possible)
    return possible or (result.bars[:1] if result.verdict_key == "none" else ())


def _of_diagnosis(bar: Bar, words: Translator) -> list[Passage]:
    known = diagnoses().get(bar.id)
    if known is None or not known.text:
        return []
    text = words.pick(known.text)
    found = []
    for part in _PARTS:
        name = words.text(f"diagnosis.{part}")
        title = words.text("chat.about_diagnosis", diagnosis=bar.name, part=name)
        found.append(Passage(f"{bar.id}.{part}", title, getattr(text, part), "#explained"))
    return found


def _of_result(result: Result, words: Translator) -> list[Passage]:
    found = [
        _passage(words, "urgency.title", [f"urgency.{result.urgency}.do"], "#urgency"),
        _passage(words, "verdict.cannot_tell", ["verdict.cannot_tell.text"], "#verdict"),
        _passage(words, "layer.heat", ["layer.heat.text"], "#photos-title"),
        _passage(words, "layer.outline", ["layer.outline.text"], "#photos-title"),
    ]
    if result.bars:
        title = words.text("probability.title")
        found.append(Passage("probability.title", title, result.meaning, "#probabilities"))
    if result.urgent:
        keys = ["urgent.not_certain", "urgent.early", "urgent.take_along"]
        found.append(_passage(words, "urgent.title", keys, "#urgent"))
    if result.level:
        text = words.text("set.meaning", level=result.level)
        found.append(Passage("set.title", words.text("set.title"), text, "#probabilities"))
    if result.verdict_key in ("answer", "answer_with_caution"):
        key = f"verdict.{result.verdict_key}"
        found.append(_passage(words, key, [f"{key}.text"], "#verdict"))
    return found


def _of_pages(words: Translator) -> list[Passage]:
    steps = [f"help.step.{step}" for step in _STEPS]
    see_doctor = ["help.warning.text", "help.warning.today"]
    doctor = words.text("diagnosis.see_doctor")
    text = " ".join(words.text(key) for key in see_doctor)
    return [
        _passage(words, "help.title", ["help.lead", *steps], "/help"),
        _passage(words, "help.hard", [f"help.hard.{key}" for key in _HARD], "/help"),
        _passage(
            words, "help.not_suited", ["help.not_suited.rash", "help.not_suited.nails"], "/help"
        ),
        Passage("help.warning", doctor, text, "/help"),
        _passage(words, "about.unsure", ["about.unsure.text"], "/about"),
        _passage(words, "about.limits", [f"about.limits.{key}" for key in _LIMITS], "/about"),
        _passage(words, "about.training", ["about.training.skin"], "/about"),
        _passage(
            words, "about.privacy", ["about.privacy.metadata", "about.privacy.logs"], "/about"
        ),
    ]


def _passage(words: Translator, title: str, keys: list[str], place: str) -> Passage:
    return Passage(title, words.text(title), " ".join(words.text(key) for key in keys), place)
