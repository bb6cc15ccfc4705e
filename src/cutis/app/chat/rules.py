"""What the chat never says: our side's lists, the second line behind what `support.py` demands.

Each rule is a function of one reading of a sentence in folded spelling. They err on the side of
silence: a harmless sentence that is refused costs an answer, the texts are shown in its place.
"""

import re
from collections.abc import Callable, Mapping

from cutis.app.chat import vocabulary as v
from cutis.app.chat.amounts import DOSING_RULES
from cutis.app.chat.claims import without_safe_phrases
from cutis.app.chat.folding import has_foreign_letters, readings
from cutis.app.chat.vocabulary import finds

_CLAUSE = re.compile(r"[,،;؛()]|(?<!\d)\.(?=\W|$)|\.(?=\s)| but | and so | ولی | اما | پس ")
_CONDITION = re.compile(
    r"^\W*(?:(?:and|or|و|یا) )?(?:if|when|whether|unless|suppose|in case|people|اگر|چنانچه"
    r"|در صورتی که|وقتی|هرگاه|کسانی|افرادی)\b(?! (?:you ask|i look|you look|از من))"
)
_NOT_MEANT = re.compile(r"\bnot (?:\w+ ){0,2}mean\b|\bwhether\b|معنا\S* .{0,12}نیست|ایا ")


def broken_rule(sentence: str) -> str | None:
    """The rule of SENTENCE_RULES that forbids a sentence; None where it may be said."""
    if has_foreign_letters(sentence):
        return "letters"
    read = [without_safe_phrases(reading) for reading in readings(sentence)]
    for name, forbids in SENTENCE_RULES.items():
        if any(forbids(reading) for reading in read):
            return name
    return None


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
    return any(_stated(pattern, text) for pattern in (spot, it, persian, *_verdicts()))


def _verdicts() -> tuple[str, str]:
    """A name as the answer, also where a colon, a line or a dash parts the two."""
    name = rf"(?:{v.names()}|{v.CANCER}|moles?)\b"
    english = (
        rf"\b(?:diagnosis|answer|verdict|conclusion|likely(?! to))\b(?:\W+\w+){{0,2}}?\W+{name}"
        rf"|{name} (?:it is|is (?:the|your|my) (?:diagnosis|answer))|\bcall (?:it"
        rf"|this) (?:an? )?{name}"
        rf"|\b(?:have|dealing with)\W+(?:\d+\W+|an? )?{name}|\b(?:that|this"
        rf"|it) would be (?:an? )?{name}"
    )
    persian = (
        rf"(?<!\w)(?:تشخیص|جواب|احتمالا|به نظر)(?:\W+\w+){{0,3}}?\W+(?:{v.names()}|{v.CANCER})"
        rf"|(?:این|یه|یک) (?:یک |یه )?خال(?: \S+){{0,2}}? ?(?:است|هست|ه)(?!\w)"
        rf"|خال \S*(?:معمولی|ساده|عادی)ه?(?!\w)"
    )
    return english, persian


def _certain(text: str) -> bool:
    """Certainty about what a spot is, which a photo never gives."""
    what = rf"(?:{v.names()}|{v.CANCER}|{v.CALM}|{v.GRAVE})"
    return any(
        finds(rf"\b{v.CERTAIN}\b", clause) and finds(rf"\b{what}\b", clause)
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
        rf"|\bno (?:\w+ )?(?:{v.CARE}|treatment|therapy|action|follow-?up|visits?|tests?) "
        rf"(?:\w+ )?(?:is|are) \w*|\b(?:skip|avoid|cancel) (?:\w+ )?{v.CARE}\b"
    )
    persian = (
        r"(?:نیاز|لازم|احتیاج|ضرورت|لزوم)\S*(?: \S+){0,7}? (?:نیست|ندارید|ندارد|نداری)"
        r"|(?:ضروری|لازم|واجب|فوری) (?:نیست|نیس)"
    )
    return finds(not_needed, text) or any(
        finds(persian, clause) and finds(rf"\b{v.CARE}", clause) for clause in _CLAUSE.split(text)
    )


def _no_worry(text: str) -> bool:
    """That all is well."""
    return finds(
        r"\b(?:don't|do not|not|no (?:need|reason) to|nothing to|never) (?:be )?"
        r"(?:worr\w+|concern\w*|afraid)|\bnothing (?:serious|dangerous|bad|to fear)"
        r"|\ball[- ]clear\b(?!.{0,3}$)"
        r"|\brest assured|\byou(?:'re| are) (?:\w+ )?(?:safe|fine|healthy|ok|okay|alright)\b"
        r"|\beverything is (?:\w+ )?(?:fine|well|ok|okay|normal)\b|\ball is (?:well|fine)\b"
        r"|\bcan be left alone\b|\b(?:safely|can|may) (?:ignore|wait|relax)\b"
        r"|\bsafe to (?:ignore|wait|leave)"
        r"|\bno (?:\w+ )?(?:danger|risk|harm|threat)\b|\bno (?:\w+ )?(?:cause|reason) (?:for"
        r"|to)\b|\bpos\w+ no\b"
        r"|\b(?:stop|quit) (?:worry|fret)\w*|\bin the clear\b|\bsafely (?:leave|forget)"
        r"|\bwait and see"
        r"|\b(?:not|n't|never) (?:\w+ )?(?:harm|kill)|\bwill (?:never|not) (?:become|turn)"
        r"|\bplenty of time\b"
        r"|\b(?:not|n't|hardly) (?:\w+ )?(?:urgent|serious|a problem|bad)\b(?! (?:enough|light))"
        r"|(?:چیز|مورد|مشکل|خطر|ضرر)(?:ی| خاصی| مهمی|ی خاصی)? (?:خاصی |مهمی |جدی |وجود )?(?:نیست"
        r"|نیس|ندار)"
        r"|خود(?:ش| به خود|بخود) (?:خوب|برطرف|رفع)|^\W*بی ?(?:خطر|ضرر)(?:ه| است)"
        r"|نگران(?:ش|ی)? (?:نباش|نکن|ندار)|جای (?:هیچ )?نگرانی|خیال\S* (?:\S+ )?راحت|خطری ندار"
        r"|چیز مهمی نیست|مشکلی (?:نیست|ندار)|سالم هستید|می ?توانید (?:\S+ )?(?:صبر|نادیده)",
        text,
    )


def _no_cancer(text: str) -> bool:
    """That a cancer is ruled out."""
    named = rf"(?:{v.CANCER}|melanomas?|ملانوما?)"
    return finds(
        rf"\b(?:is|are|was|'s|there is|there's) ?(?:n't|not|no|never)(?: an?| any| the| \w+ly)? "
        rf"(?:sign of |trace of )?(?:{named}|malignant|cancerous|dangerous)\b"
        rf"|{named}(?: \S+){{0,2}}? (?:ruled out|excluded|impossible)"
        rf"|\b(?:rules?|ruled|ruling) out (?:\w+ )?{named}|\bno (?:{named})\b"
        rf"|(?:{named}|سرطانی|بدخیم|خطرناک)(?: \S+)? (?:نیست|ندارید)(?! که)"
        rf"|\b(?:no|without) (?:\w+ )?(?:sign|trace|evidence|indication)s? (?:of|for)\b"
        rf"|\b(?:exclude|excludes|excluded|excluding|dismiss) (?:\w+ )?{named}"
        rf"|{named} is out of the\b"
        rf"|\b(?:chances?|probabilit\w+|risks?|likelihood)\b(?: \S+){{0,5}}? (?:zero|nil|tiny"
        rf"|negligible"
        rf"|minimal|remote|very (?:low|small)|low|small|0 ?%)|(?:احتمال|خطر)(?!ات)(?: \S+){{0,4}}? "
        rf"(?:صفر|ناچیز|اندک|خیلی کم|بسیار کم|پایین|کم)(?:ه| است| هست)"
        rf"|{named}(?: \S+){{0,2}}? (?:منتفی|رد می شود|رد شده)",
        text,
    )


SENTENCE_RULES: Mapping[str, Callable[[str], bool]] = {
    **DOSING_RULES,
    "you have": _you_have,
    "spot is": _spot_is,
    "certain": _certain,
    "no doctor": _no_doctor,
    "no worry": _no_worry,
    "no cancer": _no_cancer,
}
"""By name; a sentence that one of them forbids is never shown."""


def _stated(pattern: str, text: str) -> bool:
    """Whether a clause states what a pattern finds, rather than supposing it."""
    for clause in _CLAUSE.split(text):
        if finds(pattern, clause):
            supposed = _CONDITION.search(clause) or _NOT_MEANT.search(clause)
            if not supposed or finds(rf"\b{v.CERTAIN}\b", clause):
                return True
    return False
