"""What the chat never says: our side's check, whatever a model writes.

Each rule is a function of one sentence in folded spelling. They err on the side of silence: a
harmless sentence that is refused costs an answer, the texts are shown in its place.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache

from cutis.app.chat import vocabulary as v
from cutis.app.chat.folding import fold

_MARKS = re.compile(r"<[^>]*>|[*_`~#|\\]")  # HTML and Markdown, which would part "5 *mg*"
_CITATION = re.compile(r"\[ ?\d+(?: ?, ?\d+)* ?\]")
_CLAUSE = re.compile(r"[,،;؛:\n()«»\"“”]|(?<!\d)\.|\.(?!\d)| but | and so | ولی | اما | پس ")
_CONDITION = re.compile(
    r"^\W*(?:(?:and|or|و|یا) )?(?:if|when|whether|unless|suppose|in case|people|اگر|چنانچه"
    r"|در صورتی که|وقتی|هرگاه|کسانی|افرادی)\b"
)
_NOT_MEANT = re.compile(r"\bnot (?:\w+ ){0,2}mean\b|\bwhether\b|معنا\S* .{0,12}نیست|ایا ")


def broken_rule(sentence: str) -> str | None:
    """The rule of SENTENCE_RULES that forbids a sentence; None where it may be said."""
    marked = without_marks(sentence)
    for name, forbids in SENTENCE_RULES.items():
        if forbids(marked):
            return name
    return None


def without_marks(text: str) -> str:
    """The folded text without HTML and Markdown."""
    return _MARKS.sub("", fold(text))


def _without_citations(text: str) -> str:
    return _CITATION.sub(" ", text)


# Amounts of drugs


def _unit(text: str) -> bool:
    """A unit of drugs, with a number or without: no text of ours holds one."""
    bare = re.sub(r"[\[\]]", "", text)  # "[5] mg" is no citation
    return _finds(rf"(?<![^\W\d]){v.UNIT}(?![^\W\d])|{v.NUMBER}[ -]*{v.SMALL_UNIT}\b", bare)


def _portion(text: str) -> bool:
    """So many tablets, drops, spoons."""
    plain = _without_citations(text)
    return _finds(
        rf"\b{v.COUNT}(?: ?- ?| to | or | تا | یا | )(?:\S+ ){{0,2}}?{v.PORTION}\b", plain
    )


def _times(text: str) -> bool:
    """So many times a day."""
    count = rf"(?:{v.COUNT}|once|twice|thrice|\d+x)"
    return _finds(
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
    return _finds(when, plain) and _finds(act, plain)


def _percent(text: str) -> bool:
    """The strength of a drug; a probability in percent is allowed where no drug is named."""
    plain = _without_citations(text)
    if not _finds(rf"{v.NUMBER} ?(?:%|٪|percent|per cent|درصد)", plain):
        return False
    chance = _finds(r"probab|likel|chance|\bmodel\b|\bof (?:all )?\w+|احتمال|مدل|موارد", plain)
    return not chance or _finds(rf"\b(?:{v.FORM}|{v.DRUG})\b", plain)


def _drug_amount(text: str) -> bool:
    """A drug's name and a number in one sentence."""
    plain = _without_citations(text)
    amount = rf"\b(?:{v.NUMBER}|twice|double)\b"
    return _finds(rf"\b{v.DRUG}\b", plain) and _finds(amount, plain)


def _dose(text: str) -> bool:
    """A dose with a number near it."""
    plain = _without_citations(text)
    return _finds(
        rf"(?:\bdos(?:e|es|age|ing)\b|دوز|مقدار مصرف).{{0,40}}\b{v.NUMBER}\b",
        plain,
    )


# Diagnoses and all-clears


def _you_have(text: str) -> bool:
    """A diagnosis given to a person, or taken from one."""
    have = (
        rf"\b(?:you|he|she|u|your \w+)(?: \S+){{0,3}}? ?(?:have|has|had|got|'ve|suffer\w*"
        rf"|diagnosed)\b(?: \S+){{0,6}}? (?:{v.names()}|{v.CANCER})\b"
    )
    be_ill = (
        rf"(?:{v.names()}|{v.CANCER})(?: \S+){{0,3}}? (?:دارید|دارین|داری|ندارید|ندارین|نداری"
        rf"|گرفته اید|گرفتی|مبتلا\S*)|مبتلا(?:\S*| شده اید| هستید) به (?:\S+ )?(?:{v.names()}"
        rf"|{v.CANCER})|(?:بیماری|تشخیص) (?:شما|من|ما|قطعی) (?:\S+ ){{0,3}}?(?:{v.names()}"
        rf"|{v.CANCER})"
    )
    i_say = rf"\bi(?: \w+)? (?:diagnose|believe|conclude|think)\b(?: \S+){{0,5}}? (?:{v.names()}"
    i_say += rf"|{v.CANCER}|{v.CALM})\b"
    return _stated(have, text) or _stated(be_ill, text) or _stated(i_say, text)


def _spot_is(text: str) -> bool:
    """What the spot is said to be."""
    is_ = (
        r"(?:is|was|'s|are|must be|has to be|will be|shows|means|looks like|turns out to be"
        r"|(?:appears|seems|looks)(?: to be)?|suggests|indicates|proves)"
    )
    what = rf"(?:{v.names()}|{v.CANCER}|{v.CALM}|{v.GRAVE})\b"
    spot = (
        rf"\b(?:your|the|this|that)(?: \w+)? {v.SPOT}\b(?: \S+){{0,2}}? ?{is_}\b(?: \S+){{0,4}}? "
        rf"{what}"
    )
    it = (
        rf"\b(?:it|this|that)(?: \w+)? ?{is_}(?: \w+ly| not| just| only)*(?: an?| the)? "
        rf"(?:{v.CALM} )?(?:{v.names()}|{v.GRAVE}|{v.CALM}|moles?|{v.CANCER}(?=\W*$))(?= |\W|$)"
        rf"(?! (?:way|time))"
    )
    persian = (
        rf"(?:\bاین(?! ها| که| دو| بیماری ها)|{v.PERSIAN_SPOT} (?:شما|تان|تو)\b)(?: \S+){{0,4}}? "
        rf"{what}(?: \S+){{0,2}}? ?(?:است|نیست|هست|باشد|می باشد)"
        rf"|^\W*(?:لکه|ضایعه)(?: \S+){{0,2}}? (?:{v.CALM}|{v.GRAVE})(?: \S+)? ?(?:است|نیست)"
    )
    return _stated(spot, text) or _stated(it, text) or _stated(persian, text)


def _certain(text: str) -> bool:
    """Certainty about what a spot is, which a photo never gives."""
    what = rf"(?:{v.names()}|{v.CANCER}|{v.CALM}|{v.GRAVE})"
    return any(
        _finds(rf"\b{v.CERTAIN}\b", clause) and _finds(rf"\b{what}\b", clause)
        for clause in _CLAUSE.split(text)
    )


def _no_doctor(text: str) -> bool:
    """That no doctor is needed, or can wait for ever."""
    not_needed = (
        rf"\b(?:need not|needn't|(?:do|does|did)(?: not|n't) (?:need|have|require)"
        rf"|no (?:need|reason)|not (?:necessary|required|needed)|unnecessary|without)\b"
        rf"(?: \S+){{0,7}}? {v.CARE}\b"
        rf"|\b{v.CARE}\b(?: \S+){{0,4}}? (?:is|are|isn't|aren't)(?: \w+)?"
        rf"(?: not)? ?(?:needed|necessary|required|unnecessary|optional)"
        rf"|\bno {v.CARE} (?:\w+ )?(?:is|are) \w*|\b(?:skip|avoid|cancel) (?:\w+ )?{v.CARE}\b"
    )
    persian = r"(?:نیاز|لازم|احتیاج|ضرورت|لزوم)\S*(?: \S+){0,7}? (?:نیست|ندارید|ندارد|نداری)"
    return _finds(not_needed, text) or any(
        _finds(persian, clause) and _finds(rf"\b{v.CARE}", clause) for clause in _CLAUSE.split(text)
    )


def _no_worry(text: str) -> bool:
    """That all is well."""
    return _finds(
        r"\b(?:don't|do not|not|no (?:need|reason) to|nothing to|never) (?:be )?"
        r"(?:worr\w+|concern\w*|afraid)|\bnothing (?:serious|dangerous|bad|to fear)"
        r"|\ball[- ]clear\b(?!.{0,3}$)"
        r"|\brest assured|\byou(?:'re| are) (?:\w+ )?(?:safe|fine|healthy|ok|okay|alright)\b"
        r"|\beverything is (?:\w+ )?(?:fine|well|ok|okay|normal)\b|\ball is (?:well|fine)\b"
        r"|\bcan be left alone\b|\b(?:safely|can|may) (?:ignore|wait|relax)\b"
        r"|\bsafe to (?:ignore|wait|leave)"
        r"|نگران(?:ش|ی)? (?:نباش|نکن|ندار)|جای (?:هیچ )?نگرانی|خیال\S* (?:\S+ )?راحت|خطری ندار"
        r"|چیز مهمی نیست|مشکلی (?:نیست|ندار)|سالم هستید|می ?توانید (?:\S+ )?(?:صبر|نادیده)",
        text,
    )


def _no_cancer(text: str) -> bool:
    """That a cancer is ruled out."""
    named = rf"(?:{v.CANCER}|melanomas?|ملانوما?)"
    return _finds(
        rf"\b(?:is|are|was|'s|there is|there's) ?(?:n't|not|no|never)(?: an?| any| the| \w+ly)? "
        rf"(?:sign of |trace of )?(?:{named}|malignant|cancerous|dangerous)\b"
        rf"|{named}(?: \S+){{0,2}}? (?:ruled out|excluded|impossible)"
        rf"|\b(?:rules?|ruled|ruling) out (?:\w+ )?{named}|\bno (?:{named})\b"
        rf"|(?:{named}|سرطانی|بدخیم|خطرناک)(?: \S+)? (?:نیست|ندارید)(?! که)"
        rf"|{named}(?: \S+){{0,2}}? (?:منتفی|رد می شود|رد شده)",
        text,
    )


SENTENCE_RULES: Mapping[str, Callable[[str], bool]] = {
    "unit": _unit,
    "portion": _portion,
    "times": _times,
    "schedule": _schedule,
    "percent": _percent,
    "drug amount": _drug_amount,
    "dose": _dose,
    "you have": _you_have,
    "spot is": _spot_is,
    "certain": _certain,
    "no doctor": _no_doctor,
    "no worry": _no_worry,
    "no cancer": _no_cancer,
}
"""By name; a sentence that one of them forbids is never shown."""
DOSING_RULES = ("unit", "portion", "times", "schedule", "percent", "drug amount", "dose")


def _stated(pattern: str, text: str) -> bool:
    """Whether a clause states what a pattern finds, rather than supposing it."""
    for clause in _CLAUSE.split(text):
        if _finds(pattern, clause):
            supposed = _CONDITION.search(clause) or _NOT_MEANT.search(clause)
            if not supposed or _finds(rf"\b{v.CERTAIN}\b", clause):
                return True
    return False


def _finds(pattern: str, text: str) -> bool:
    return _compiled(pattern).search(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
