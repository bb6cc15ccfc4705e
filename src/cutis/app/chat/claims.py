"""Who a sentence speaks of: an answer may explain diagnoses, and never gives or takes one.

The rule is turned round: a sentence with a diagnosis, a cancer or a calming word passes only in one
of the few forms in which it says nothing about the person's own spot.
"""

import re
from functools import cache

from cutis.app.chat import vocabulary as v

SETTLED_NOT = "unsettled"
"""Stands for the phrases that leave a diagnosis open; a word that no text holds."""


def without_safe_phrases(text: str) -> str:
    """A folded text in which the phrases that leave a diagnosis open are one word."""
    for pattern in _safe_phrases():
        text = pattern.sub(f" {SETTLED_NOT} ", text)
    return re.sub(r" +", " ", text)


def is_claim(text: str) -> bool:
    """Whether a folded text says what a spot is or is not, as far as its form tells."""
    text = _citations().sub("", without_safe_phrases(text))
    text = re.sub(r"^(?:\W|\d+[.)] )+", "", text)
    if _bare_answer().match(text) or _describes().match(text):
        return True
    calm = _names_calm().search(text) is not None
    if not calm and not _names_illness().search(text):
        return False
    told = _supposed().sub("", text)
    general = _general().match(text) is not None
    if _personal().search(told) or (not general and _pointing().search(told)):
        return True
    if calm:
        return not general
    if _attributed().search(text) or _possible().search(text):
        return False
    return not general or _verdict().search(text) is not None


def is_calm(text: str) -> bool:
    """Whether a folded text holds a calming word that is not left open."""
    return _names_calm().search(without_safe_phrases(text)) is not None


def _ill() -> str:
    return rf"(?:{v.names()}|{v.CANCER}|{v.GRAVE})"


@cache
def _citations() -> re.Pattern[str]:
    return re.compile(r" ?\[ ?\d+ ?\]")


@cache
def _safe_phrases() -> tuple[re.Pattern[str], ...]:
    not_ = r"(?:cannot|can't|(?:does|do|did|can|could|is|are|may)(?: not|n't))"
    what = rf"(?: (?:an?|the|skin|any))*(?: {_ill()})?(?: or(?: an?)? {_ill()})?"
    means = rf"(?:you (?:do )?have|it is|this is|the spot is)?{what}(?: {v.CALM})?"
    examined = r"without (?:\S+ ){0,3}?(?:examination|biopsy|microscope|looking)\S*,? "
    listed = rf"{_ill()}(?:(?:,|، ?| and| or| و| یا) (?:\S+ )?{_ill()})*"
    found = (
        rf"\b(?:{v.CALM} (?:result|answer) )?{not_}(?: \w+ly)? (?:be )?(?:rule|ruled|exclude"
        rf"|excluded|settle|settled)\b"
        rf"(?: (?:it|this|that))?(?: out)?(?:{what})\b",
        rf"\b(?:(?:an?|the) )?{_ill()} {not_} be (?:\w+ly )?(?:ruled out|excluded)",
        rf"\b(?:does|do|did)(?: not|n't) (?:\w+ly )?mean (?:that )?{means}(?= ?\W|$)",
        rf"\b(?:{examined})?(?:nobody|no one|no photo|no model)(?: can)? (?:tell|know|say"
        rf"|settle)s?",
        rf"\b(?:{not_}|never) (?:tell|know|say)\b(?: for (?:sure|certain))?",
        r"\b(?:never|not|n't) (?:\w+ly )?(?:certain|sure|a diagnosis|an all-?clear)\b",
        rf"(?:(?:an?|the) )?{listed} (?:is|are|remains?|stays?)(?: also| both| all"
        rf"| still)? possible\b",
        rf"{listed} (?:هنوز )?ممکن (?:است|هستند)",
        rf"{_ill()} را رد نمی ?کن\S*|{_ill()} رد نمی ?شود|نمی ?توان (?:\S+ ){{0,2}}را رد کرد",
        rf"به (?:این|ان )?\S* ?معن\S+ (?:ی )?(?:این |ان )?نیست که (?:\S+ ){{0,2}}?{_ill()}"
        rf" (?:دارید|است)",
        r"نمی ?توان(?:د|ند)? (?:\S+ )?(?:گفت|بگوید|دانست|بداند)|معلوم نیست|قطعی نیست|مطمین نیست",
    )
    return tuple(re.compile(pattern) for pattern in found)


@cache
def _bare_answer() -> re.Pattern[str]:
    """Yes and no: what they answer stands in the question."""
    return re.compile(
        r"(?:yes|yeah|yep|no|nope|nah|sure|right|correct|exactly|of course|certainly|absolutely"
        r"|indeed|maybe|probably|بله|بلی|اره|نه|خیر|نخیر|درست است|همینطور|همین طور|البته)"
        r" ?(?:[,.!;:،؛–—-]|$)"
    )


@cache
def _describes() -> re.Pattern[str]:
    """What the one photo or spot looks like, which no model of words has seen."""
    return re.compile(
        r"(?:so |and |here )?(?:the|your|this|that|its) (?:\w+ )?(?:photo|picture|image|spot"
        r"|lesion|mole"
        r"|borders?|colou?rs?|shape)(?: \w+)? (?:shows?|has|have|is|are|looks?|seems?|appears?"
        r"|was)\b"
        r"|این (?:لکه|ضایعه)(?!\w)"
        r"|(?:این )?(?:لکه|ضایعه|عکس|رنگ|لبه)(?: ای| این| شما| تان| اش|ش)* (?:\S+ ){1,5}(?:است"
        r"|دارد)\W*$"
    )


@cache
def _names_illness() -> re.Pattern[str]:
    return re.compile(
        rf"(?<![^\W\d_])(?:{_ill()}|moles?)(?![a-rt-z])|cancer|سرطان|ملانوم|melanom"
        r"|(?<![^\W\d_])خال(?! خال)"
    )


@cache
def _names_calm() -> re.Pattern[str]:
    healthy_skin = r"(?<!\w)(?:normal|healthy) (?:skin|tissue|cells?)|پوست (?:سالم|طبیعی)"
    return re.compile(rf"(?!{healthy_skin})(?<![^\W\d_])(?<!پوست ){v.CALM}")


@cache
def _personal() -> re.Pattern[str]:
    """The person, the writer, and the spot that is spoken of."""
    return re.compile(
        r"\b(?:you|u|ur|your|yours|yourself|you're|i|i'd|i'm|we|my|our|us|me|mine|he|she|his|her"
        r"|here|these|those)\b|\b(?:this|that|the)(?: \w+)? (?:spot|lesion|mole|mark|patch|growth"
        r"|bump|lump|case|thing)\b"
        r"|(?<!\w)این(?! (?:بیماری|مدل|نتیجه|عکس|سرطان|متن))(?!\w)|(?<!\w)(?:شما|تان|تون|تو|من|مال"
        r"|ما|اینجا|دارید|دارین|داری|دارم|ندارید|نداری|هستید|به نظر|بنظر|راستش)(?!\w)"
        rf"|{v.PERSIAN_SPOT}(?:ت|تان|تون)(?!\w)"
    )


@cache
def _pointing() -> re.Pattern[str]:
    """It, this and that, which mean the spot where nothing else was named."""
    return re.compile(
        r"\b(?:it|its|it's|that's|that (?:is|was|would|must|looks|seems)"
        r"|this(?! (?:result|model|list|photo|app|passage|disease|cancer)))\b"
    )


@cache
def _supposed() -> re.Pattern[str]:
    """A condition that names no more than itself: what follows it is read alone."""
    return re.compile(
        rf"^(?:if|when) you (?:do |really )?have (?:an? )?{_ill()}, "
        rf"|^اگر {_ill()} (?:دارید|داشته باشید|دارید)[،,] "
    )


@cache
def _attributed() -> re.Pattern[str]:
    """The model says how probable something is."""
    says = (
        r"(?:gives?|gave|lists?|names?|considers?|ranks?|puts?|assigns?|means? that|estimates?"
        r"|keeps?|compares?|learned|holds?|contains?|includes?|unsettled|is unsettled)"
    )
    chance = r"(?:probabilit\w+|likelihood|possible|chances?|%|percent|unsettled)"
    return re.compile(
        rf"^(?:\S+ ){{0,6}}?(?:the|this|cutis's|cutis|a|{v.CALM})(?: \w+)? ?"
        rf"(?:cutis|model|result|list"
        rf"|app)(?:'s)?(?: of possible diagnoses)?\b(?: \w+)? {says}\b(?:.*{chance}|.*\blist|$"
        rf"|[^\w])"
        r"|^(?:(?:\S+ ){0,6})(?:مدل|نتیجه|برنامه|فهرست)(?: \S+)*? ?"
        r"(?:احتمال(?!ا)|ممکن|درصد|٪|%|unsettled)"
    )


@cache
def _possible() -> re.Pattern[str]:
    """The probability of something."""
    return re.compile(
        rf"\b(?:probability|likelihood|chance) (?:of|for) (?:an? )?{_ill()}|احتمال {_ill()}"
    )


@cache
def _general() -> re.Pattern[str]:
    """Speaks of a diagnosis as such: it is the subject, and more is said of it than "is"."""
    some = (
        r"(?:an?|the|most|many|some|all|only|very|few|every|such|common|early|thin|deep\w*|flat"
        r"|untreated|large|small|new|cases of|people with|spots of|risk of|skin)"
    )
    fewer = r"(?:بعضی|بیشتر|همه|معمولا|اغلب|گاهی|برخی|بسیاری از|افراد مبتلا به)"
    whose = rf"(?:{v.names()}|{v.CANCER}|moles?|nev[iu]s?)"
    english = (
        rf"(?:(?:if|when|because|left alone,|found early,|often|usually|mostly) )?(?:{some} )*"
    )
    return re.compile(
        rf"{english}{whose}s?(?:,? or [\w ]+,)? (?!it\b|he\b|for\b|in\b|then\b|[^\w])\S+ \S+"
        r"|(?:please )?(?:see|show|have|ask) \S+ \S+"
        r"|(?:an? |the |some )?(?:doctors?|dermatologists?|surgeons?) \S+ \S+ \S+"
        rf"|(?:{fewer} )*(?:اگر )?(?:{v.names()}|{v.CANCER}|خال)\S*(?: ?(?:ها|های|هایی))?"
        r" (?!است|ه |نیست|هست|باشد|داری)\S+ \S+ \S+"
    )


@cache
def _verdict() -> re.Pattern[str]:
    """Words by which a general sentence answers for the one spot."""
    return re.compile(
        r"\b(?:diagnos\w+|answer|verdict|conclusion|finding|likely(?! to)|probabl[ey]|suspected"
        r"|confirmed|present|absent|detected|found here|seen|evident)\b"
        r"|تشخیص|جواب|پاسخ|محتمل|قطعی|احتمالا|دیده می|مشاهده"
    )
