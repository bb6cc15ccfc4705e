"""Questions that are not answered, and never sent anywhere."""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache

from cutis.app.chat import vocabulary as v
from cutis.app.chat.folding import readings


class Topic(StrEnum):
    """What a question is about that is not answered."""

    EMERGENCY = "emergency"
    DOSING = "dosing"
    DIAGNOSIS = "diagnosis"


def topic_of(question: str) -> Topic | None:
    """Why a question is not sent and not answered; None for one that may be."""
    asked = readings(question)
    for topic, rules in _patterns().items():
        if any(rule.search(reading) for rule in rules for reading in asked):
            return topic
    return None


@cache
def _patterns() -> Mapping[Topic, tuple[re.Pattern[str], ...]]:
    ill = rf"(?:{v.names()}|{v.CANCER}|{v.GRAVE})"
    what = rf"(?:{ill}|{v.CALM}|dangerous|serious|deadly|خطرناک|کشنده|جدی|بد)"
    mine = rf"(?:(?:it|this|that)(?: {v.SPOT})?|(?:the|my)(?: \w+)? {v.SPOT})"
    found = {
        Topic.EMERGENCY: (
            r"\b(?:can't|cannot|can not|cant|hard to|trouble|difficulty|unable to)(?: \w+)? breath",
            r"\bbleed(?:s|ing)?(?: \w+){0,3} (?:heavily|badly|a lot|(?:won't|not|n't|cannot) stop)",
            r"\b(?:heavy|severe|massive|uncontrolled) bleeding",
            r"\bbleeding (?:does|will|is)(?: not|n't)|\bblood everywhere\b",
            r"\b(?:won't|not|doesn't|can't|cannot) stop(?:ped)? bleeding",
            r"\bthroat (?:is |feels )?(?:clos|tight|swoll)",
            r"\b(?:face|lips?|tongue|throat)\b(?: \w+){0,3} sw[eo]ll|sw[eo]ll\w+(?: \w+){0,3} "
            r"(?:face|lips?|tongue|throat)\b",
            r"\bunconscious|\bfaint(?:ed|ing)\b|\bpassed out\b|\bchest pain|\bsuicid|\bkill myself"
            r"|\bwant to die\b|\bhigh fever\b|\boverdos|\bambulance\b|\bseizure",
            r"خون (?:زیاد|فراوان)|بند نمی|تب\S* (?:\S+ ){0,2}(?:شدید|بالا)",
            r"نفس\S* (?:\S+ )?(?:بالا نمی|نمی|تنگ|بند|بکشم)|تنگی نفس|نمی ?توانم نفس",
            r"خونریزی (?:\S+ )?(?:شدید|زیاد|بند نمی|قطع نمی)|خون\S* (?:\S+ )?(?:بند نمی|قطع نمی)",
            r"(?:صورت|لب|زبان|گلو)\S*(?: \S+){0,2} (?:ورم|متورم|باد)|بی ?هوش|غش کرد|درد قفسه",
            r"تب (?:\S+ )?(?:شدید|بالا)|خودکشی|خودم را بکشم|می ?خواهم بمیرم|اورژانس|تشنج",
        ),
        Topic.DOSING: (
            r"\bdos(?:e|es|age|ages|ing)\b",
            r"\bhow (?:much|many|often|long)\b(?! photos?| pictures?).{0,60}(?<!it )\b"
            rf"(?:take|taking|apply|use|using|put|swallow|inject|{v.PORTION}|{v.FORM}|{v.DRUG})\b",
            rf"\b(?:which|what) (?:\w+ )?(?:medicines?|antibiotics?|tablets?|pills?|{v.DRUG})\b",
            r"^(?!.*(?:photo|picture)).*\b(?:should|can|may|must) (?:i|we|he|she) (?:swallow|inject"
            r"|take(?! (?:this|it|that) seriously))\b|\b(?:take|use|apply) (?:\w+ )?{v.DRUG}\b",
            rf"\bhow many times\b|\b{v.NUMBER} ?(?:{v.UNIT}|{v.SMALL_UNIT})\b",
            rf"\b{v.UNIT}(?![^\W\d])",
            rf"\b{v.NUMBER} {v.PORTION}\b|\bprescri\w+|\b{v.DRUG}\b.{{0,40}}\b{v.NUMBER}\b",
            r"چه (?:دارو|قرص|کرم|پماد|امپول|کپسول)|دوز\b|مقدار مصرف",
            rf"(?:چند(?! عکس)|چه? ?قدر|چه مقدار|هر چند|روزی چند)\b.{{0,50}}"
            rf"(?:بار|قرص|کپسول|قطره|میلی|گرم|سی ?سی|ساعت|عدد|بخور|مصرف|بزنم|بمال|استفاده|تزریق"
            rf"|{v.FORM}|{v.DRUG})|نسخه (?:بده|بنویس)|{v.DRUG}.{{0,40}}(?:چند|چه? ?قدر)",
        ),
        Topic.DIAGNOSIS: (
            rf"\b(?:do|have|did|could|might|may|can|am|if|that|think|sure) (?:i|we)\b"
            rf"(?! (?:\w+ )?(?:prevent|avoid|recogni[sz]e|check for))(?: \S+){{0,5}}? {ill}\b"
            rf"|\bi have (?:\w+ )?{ill}\b.{{0,12}}\?",
            rf"\b(?:is|was|could|can|may|might|does|if|whether|think|that) {mine}\b"
            rf"(?: \S+){{0,5}}? {what}\b",
            r"\bwhat (?:this|it|that)(?: \w+)? (?:is|could be|might be)\b",
            r"\bwhat(?:'s| is) (?:this|that|it)(?: \w+)? (?:on|in|under|at) (?:my|his|her|the)\b",
            r"\bam i (?:ok|okay|fine|safe|healthy|sick|ill|dying|going to die)\b"
            r"|\bshould (?:i|we) (?:be )?(?:worr|concern|afraid)",
            r"\bwhat (?:do|have|could|might) (?:i|we) (?:have|got)\b|\bwhat(?:'s| is) wrong\b",
            rf"\bwhat(?:'s| is|'re| are)(?: \w+)? (?:it|this|that|(?:this|the|my) {v.SPOT})"
            r"(?: \w+)?\W*$|\bdiagnos(?:e|ing)\b"
            r"|\b(?:my|the|a) (?:\w+ )?diagnosis\b(?! means?\b)",
            rf"{ill}(?: \S+){{0,3}}? (?:دارم|گرفته ام|گرفتم|مبتلا\S*)",
            rf"مبتلا(?:\S*) به (?:\S+ )?{ill}",
            rf"(?:\bاین(?! ها| که)|{v.PERSIAN_SPOT}(?: ?ام|م| من| پوستم))\b"
            rf"(?: \S+){{0,5}}? {what}",
            rf"\bاین(?: {v.PERSIAN_SPOT})? (?:چیست|چیه|چی|چه )",
            rf"{v.PERSIAN_SPOT}(?: ?ام|م| من) (?:چیه|چیست)\W*$|(?:چیه|چیست) این\b",
            rf"^\W*(?:ایا )?(?:{ill}|{v.CALM}|خطرناک)(?:ه|ست| است)\b.{{0,12}}\W*$",
            r"نگران (?:باشم|بشم|بشوم)|می ?میرم",
            r"چه (?:بیماری|مرضی|سرطانی)\S*(?: \S+)? (?:دارم|گرفته)"
            r"|تشخیص (?:بده|بدهید|من|شما چی)|بیماری (?:من|ام) ",
        ),
    }
    return {
        topic: tuple(re.compile(pattern) for pattern in patterns)
        for topic, patterns in found.items()
    }
