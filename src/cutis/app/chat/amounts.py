"""Doses: what the chat never says about medicines, in folded spelling.

Each rule is a function of one reading of a sentence. They are lists and err towards silence.
"""

import re
from collections.abc import Callable, Mapping

from cutis.app.chat import vocabulary as v
from cutis.app.chat.vocabulary import finds

_CITATION = re.compile(r"\[ ?\d+(?: ?, ?\d+)* ?\]")


def _unit(text: str) -> bool:
    """A unit of drugs, with a number or without: no text of ours holds one."""
    bare = re.sub(r"[\[\]]", "", text)  # "[5] mg" is no citation
    return finds(rf"(?<![^\W\d]){v.UNIT}(?![^\W\d])|{v.NUMBER}[ -]*{v.SMALL_UNIT}\b", bare)


def _portion(text: str) -> bool:
    """So many tablets, drops, spoons."""
    plain = _without_citations(text)
    return finds(rf"\b{v.COUNT}(?: ?- ?| to | or | تا | یا | )(?:\S+ ){{0,2}}?{v.PORTION}\b", plain)


def _times(text: str) -> bool:
    """So many times a day."""
    count = rf"(?:{v.COUNT}|once|twice|thrice|\d+x)"
    return finds(
        rf"\b(?:once|twice|thrice)\b[ -]*(?:an? |per |every |each )?"
        rf"(?:daily|day|night|week|morning|evening|hour)\b"
        rf"|\b{count}(?: or \S+| to \S+)? ?(?:times|x|×)[ -]*(?:an?|per|every|each|in)? ?"
        rf"(?:daily|day|night|week|hour)"
        rf"|\bevery (?:\S+ )?(?:hours?|hrs?|h)\b|\b(?:b\.?i\.?d|t\.?i\.?d|q\.?i\.?d)\b"
        rf"|روزی (?:\S+ )?(?:بار|مرتبه|نوبت|وعده|عدد|قرص)"
        rf"|{count} (?:بار|مرتبه|نوبت|وعده) (?:در|طی|هر) (?:روز|هفته|شب|شبانه)"
        rf"|هر (?:\S+ )?ساعت\b|هر {v.NUMBER} روز",
        _without_citations(text),
    )


def _schedule(text: str) -> bool:
    """When or how to take or put something: every night, after meals, a thin layer."""
    plain = _without_citations(text)
    when = (
        r"\b(?:each|every) (?:\w+ )?(?:mornings?|nights?|evenings?|days?|meals?)\b|\bnightly\b"
        r"|\b(?:in the )?mornings? and (?:at )?(?:evening|night|noon)|\bdaily\b|\bbedtime\b"
        r"|\b(?:with|before|after) (?:\w+ )?(?:breakfast|lunch|dinner|meals?|food)\b"
        r"|\b(?:thin|thick) layer\b|\bpea-?sized?\b|\bfingertip\b"
        r"|\b(?:low|small|high|large)\w* (?:amount|dose)|\d ?x ?/ ?(?:day|d)\b"
        r"|هر (?:روز|شب|صبح)|صبح و (?:شب|عصر|ظهر)|شبی\b|روزی\b|روزانه|قبل از خواب"
        r"|(?:بعد|پس|قبل|پیش) از (?:غذا|صبحانه|ناهار|شام)|لایه ?(?:ای )?(?:نازک|ضخیم)"
    )
    act = rf"\b(?:{v.FORM}|{v.DRUG}|{v.ACT})\b"
    return finds(when, plain) and finds(act, plain)


def _percent(text: str) -> bool:
    """The strength of a drug; a probability in percent is allowed where no drug is named."""
    plain = _without_citations(text)
    if not finds(rf"{v.NUMBER} ?(?:%|٪|percent|per cent|درصد)", plain):
        return False
    chance = finds(r"probab|likel|chance|\bmodel\b|\bof (?:all )?\w+|احتمال|مدل|موارد", plain)
    return not chance or finds(rf"\b(?:{v.FORM}|{v.DRUG})\b", plain)


def _drug_amount(text: str) -> bool:
    """A drug's name and a number in one sentence."""
    plain = _without_citations(text)
    amount = rf"\b(?:{v.NUMBER}|twice|double)\b"
    return finds(rf"\b{v.DRUG}\b", plain) and finds(amount, plain)


def _dose(text: str) -> bool:
    """A dose with a number near it."""
    plain = _without_citations(text)
    return finds(
        rf"(?:\bdos(?:e|es|age|ing)\b|دوز|مقدار مصرف).{{0,40}}\b{v.NUMBER}\b",
        plain,
    )


def _instruction(text: str) -> bool:
    """To take, apply or start a medicine; our own texts leave that to a doctor."""
    thing = rf"(?:{v.FORM}|{v.DRUG}|{v.PORTION})"
    told = (
        rf"(?:^|[,;:.!?] ?|\b(?:please|then|and|just|can|may|should|must|to|you) )"
        rf"(?:take|use|put|rub|smear|spread|dab|massage|swallow|drink|inject|start|try|apply|get"
        rf"|buy)"
        rf" (?:\S+ ){{0,3}}?{thing}\b"
        rf"|(?<!\w){thing}(?!\w)(?: \S+){{0,4}}? (?:بمال\S*|بزن\S*|بخور\S*|مصرف (?:کن|شود)\S*"
        rf"|میل کنید|تزریق کن\S*|بریز\S*|استفاده کن\S*|بگذار\S*|شروع کن\S*)"
    )
    return finds(told, _without_citations(text))


def _pace(text: str) -> bool:
    """How often or how long something is taken, without a medicine's name: "take it weekly"."""
    plain = _without_citations(text)
    how = (
        rf"\b(?:daily|weekly|monthly|nightly|hourly)\b|\bq ?\d+ ?h\b|\bevery \d+ ?h\w*\b"
        rf"|\b\d+ ?- ?\d+ ?- ?\d+\b|\bfor (?:an? |{v.NUMBER} )(?:days?|weeks?|months?)\b"
        rf"|\b(?:mornings?|nights?|evenings?|bedtime)\b|\bonce\b|\btwice\b"
        rf"|دو ?بار(?!ه)|(?:هفته|ماه) ?ای (?:\S+ )?بار|(?<!\w)روز\S* (?:دو|سه|یک|چهار|{v.NUMBER}"
        rf"|چند)"
        rf"|به مدت|صبح|شب ?ها|شب\b|نازک"
    )
    act = rf"\b(?:{v.ACT}|appl(?:y|ied)|smear|rub|one|water)\b|بمال|بزن|بخور|یکی|استفاده کن|مصرف کن"
    photo = r"\bphotos?\b|\bpictures?\b|عکس|نور|flash|فلاش"
    schedule = r"\b\d ?- ?\d ?- ?\d\b|\bq ?\d+ ?h\b"
    return finds(schedule, plain) or (
        finds(how, plain) and finds(act, plain) and not finds(photo, plain)
    )


def _without_citations(text: str) -> str:
    return _CITATION.sub(" ", text)


DOSING_RULES: Mapping[str, Callable[[str], bool]] = {
    "unit": _unit,
    "portion": _portion,
    "times": _times,
    "schedule": _schedule,
    "percent": _percent,
    "drug amount": _drug_amount,
    "dose": _dose,
    "instruction": _instruction,
    "pace": _pace,
}
"""By name."""
