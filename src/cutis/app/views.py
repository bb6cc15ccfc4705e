"""What the result page shows of a case, in words."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cutis.app.cases import Case, CaseFacts, Judgement
from cutis.app.i18n import Translator
from cutis.metrics.answer_policy import Verdict
from cutis.runtime import PhotoAnswer, Predictor
from cutis.taxonomy import Diagnosis, DiagnosisText, Link, Malignancy, Urgency, diagnoses

_LEAST = 0.01  # a smaller probability is "less than", and one as near to 1 "more than"
_GRAVE = (Malignancy.MALIGNANT, Malignancy.PRECANCER)
_SHARES = ("area_share",)
_FRACTIONS = ("compactness", "solidity")
_PIXELS = ("longest_diameter", "equal_area_diameter")
_MOST_HEAT_MAPS = 3


class Bar(NamedTuple):
    """One diagnosis with its probability."""

    id: str
    name: str
    value: str
    width: str  # of the bar, in hundredths
    possible: bool  # in the prediction set


class Reason(NamedTuple):
    """Why the verdict is as it is, and what to do about it."""

    text: str
    advice: str


class PhotoView(NamedTuple):
    """What was said of one photo alone."""

    number: int
    width: int
    height: int
    left_out: bool  # it does not count among the photos judged together
    says: str
    verdict: str
    hints: tuple[str, ...]
    flawless: bool  # its quality was measured and nothing was found


class Reference(NamedTuple):
    """A page of somebody else: what it is, where it lies and its language, in words."""

    words: str
    url: str


class Explained(NamedTuple):
    """A possible diagnosis explained; `text` is None where nothing is written about it."""

    name: str
    also: str
    kind: str
    icd11: str | None
    text: DiagnosisText | None
    links: tuple[Reference, ...]


class Result(NamedTuple):
    """The result page."""

    verdict: str
    verdict_key: str  # names the text and the colour
    answer: Bar | None  # None where the model cannot tell
    reasons: tuple[Reason, ...]
    bars: tuple[Bar, ...]
    possible: str  # the prediction set in words; empty without a policy
    level: str  # with which the set holds the truth; empty too where that is not known
    meaning: str  # of a calibrated probability
    urgency: str  # key of its words
    alarming: str  # the reported symptoms that make it urgent, in words; empty without any
    counted: int  # photos that were judged together
    urgent: bool
    emergency: bool
    grave: str  # the cancers and precancers of the set
    photos: tuple[PhotoView, ...]
    heat: tuple[Bar, ...]  # diagnoses that a heat map is offered for
    facts: tuple[tuple[str, str], ...]
    explained: tuple[Explained, ...]


def result_view(
    case: Case, predictor: Predictor, words: Translator, *, other_network: bool = False
) -> Result:
    """A case's judgement in the translator's words.

    Args:
        other_network: whether the case was judged by another network than the predictor's, whose
            sets hold the truth with a chance that is not known here.
    """
    judged = case.judgement
    names, kinds = diagnosis_names(judged, predictor, words), _kinds(judged, predictor)
    unsure = judged.verdict is Verdict.CANNOT_TELL
    # Where the model cannot tell, a benign diagnosis must not look like what is left.
    held = {id for id in judged.prediction_set if not unsure or kinds[id] is not Malignancy.BENIGN}
    bars = tuple(
        _bar(id, names, share, id in held, words) for id, share in judged.probabilities.items()
    )
    shown = tuple(bar for bar in bars if bar.possible) or bars[:1]
    sets = judged.verdict is not None and not unsure
    policy = None if other_network or judged.verdict is None else predictor.policy
    key = judged.verdict.replace(" ", "_") if judged.verdict else "none"
    grave = [names[id] for id in judged.prediction_set if kinds[id] in _GRAVE]
    return Result(
        verdict=words.text(f"verdict.{key}"),
        verdict_key=key,
        answer=bars[0] if bars and not unsure else None,
        reasons=tuple(
            Reason(words.text(f"reason.{name}"), words.text(f"advice.{name}"))
            for name in judged.reasons
        ),
        bars=bars,
        possible=_possible([names[id] for id in judged.prediction_set], words) if sets else "",
        level=words.percent(policy.level) if policy else "",
        meaning=_meaning(next(iter(judged.probabilities.values()), 0.0), words),
        urgency=judged.urgency.replace("-", "_") if judged.urgency else "unknown",
        alarming=". ".join(words.term("symptom", name) for name in judged.alarming),
        urgent=judged.urgent,
        emergency=judged.urgency is Urgency.EMERGENCY,
        grave=words.listing(grave, "or"),
        counted=len(case.photos) - len(judged.left_out),
        photos=tuple(
            PhotoView(
                number,
                photo.width,
                photo.height,
                number in judged.left_out,
                *_alone(answer, names, words),
            )
            for number, (photo, answer) in enumerate(
                zip(case.photos, judged.photos, strict=True), 1
            )
        ),
        heat=tuple(bar for bar in shown if bar.id in predictor.model_info.diagnoses)[
            :_MOST_HEAT_MAPS
        ],
        facts=_facts(case.facts, words),
        explained=tuple(
            _explained(bar.name, diagnoses().get(bar.id), words)
            for bar in shown
            if bar.possible or judged.verdict is None
        ),
    )


def diagnosis_names(judged: Judgement, predictor: Predictor, words: Translator) -> dict[str, str]:
    """Names by id; a saved case may have been judged by another bundle.

    What neither this bundle nor the taxonomy knows keeps its id as name.
    """
    names = {id: id for id in judged.probabilities}
    names |= {id: words.pick(one.name) for id, one in diagnoses().items()}
    return names | {one.id: words.pick(one.name) for one in predictor.info.diagnoses}


def _kinds(judged: Judgement, predictor: Predictor) -> dict[str, Malignancy | None]:
    kinds: dict[str, Malignancy | None] = dict.fromkeys(judged.probabilities)
    kinds |= {id: one.malignancy for id, one in diagnoses().items()}
    return kinds | {one.id: one.malignancy for one in predictor.info.diagnoses}


def measure_rows(
    measured: Mapping[str, Any], words: Translator
) -> tuple[tuple[str, str, str], ...]:
    """Name, value and meaning of each measure that there are words for; empty without a lesion."""
    found = []
    for name, value in measured.items():
        shown = _measure(name, value, words)
        if shown is not None:
            row = words.text(f"measure.{name}"), shown, words.text(f"measure.{name}.text")
            found.append(row)
    return tuple(found)


def _bar(id: str, names: Mapping[str, str], share: float, possible: bool, words: Translator) -> Bar:
    return Bar(id, names[id], _probability(share, words), f"{100 * share:.1f}", possible)


def _probability(share: float, words: Translator) -> str:
    if share < _LEAST:
        return words.text("probability.below", value=words.percent(_LEAST))
    if share > 1 - _LEAST:
        return words.text("probability.above", value=words.percent(1 - _LEAST))
    return words.percent(share)


def _meaning(share: float, words: Translator) -> str:
    rounded = round(100 * min(max(share, _LEAST), 1 - _LEAST))
    example = words.percent(rounded / 100)
    return words.text("probability.meaning", example=example, count=rounded)


def _possible(names: list[str], words: Translator) -> str:
    if not names:
        return words.text("set.empty")
    return words.text("set.possible", count=len(names), names=words.listing(names, "or"))


def _alone(
    answer: PhotoAnswer, names: Mapping[str, str], words: Translator
) -> tuple[str, str, tuple[str, ...], bool]:
    hints = [words.text(f"flag.{flag}") for flag in answer.flags or ()]
    if answer.lesion_fallback is not None:
        hints.append(words.term("lesion", answer.lesion_fallback))
    says = verdict = ""
    refused = answer.verdict is Verdict.CANNOT_TELL
    if answer.probabilities and not refused:
        id, share = next(iter(answer.probabilities.items()))
        probability = _probability(share, words)
        says = words.text("result.photo.says", diagnosis=names[id], probability=probability)
    if answer.verdict is not None:
        named = words.term("verdict", answer.verdict)
        verdict = words.text("result.photo.verdict", verdict=named)
    return says, verdict, tuple(hints), answer.flags == () and not hints and not refused


def _facts(facts: CaseFacts, words: Translator) -> tuple[tuple[str, str], ...]:
    found = []
    if facts.age is not None:
        found.append(("age", words.text("unit.years", count=facts.age)))
    if facts.sex is not None:
        found.append(("sex", words.term("sex", facts.sex)))
    if facts.site is not None:
        found.append(("site", words.term("site", facts.site)))
    if facts.symptoms:
        named = [words.term("symptom", symptom) for symptom in facts.symptoms]
        found.append(("symptoms", "\n".join(named)))
    if facts.note:
        found.append(("note", facts.note))
    return tuple((words.text(f"print.{name}"), value) for name, value in found)


def _explained(name: str, known: Diagnosis | None, words: Translator) -> Explained:
    if known is None:
        return Explained(name, "", words.text("malignancy.unknown"), None, None, ())
    also = words.listing([*known.synonyms.get(words.language, ())])
    kind = words.term("malignancy", known.malignancy or "unknown")
    text = words.pick(known.text) if known.text else None
    links = tuple(_reference(link, words) for link in known.links)
    return Explained(name, also, kind, known.icd11, text, links)


def _reference(link: Link, words: Translator) -> Reference:
    language = words.term("diagnosis.link.language", link.language)
    host = urlsplit(link.url).netloc
    said = words.text("diagnosis.link", title=words.pick(link.title), host=host, language=language)
    return Reference(said, link.url)


def _measure(name: str, value: Any, words: Translator) -> str | None:
    """A measure's value in words; None for one that pages do not show."""
    if name in _SHARES:
        return words.percent(value, 1)
    if name in _FRACTIONS or name == "colour_spread":
        return words.number(value, 2)
    if name in _PIXELS:
        return words.text("unit.px", value=words.number(value))
    if name == "asymmetry":
        first, second = (words.percent(share) for share in value)
        return words.text("measure.two", first=first, second=second)
    if name == "pieces":
        return words.number(value)
    if name == "touches_frame":
        return words.text("answer.yes" if value else "answer.no")
    if name == "colours":
        named = [words.term("colour", colour) for colour in value]
        return words.listing(named) or words.text("colour.none")
    return None
