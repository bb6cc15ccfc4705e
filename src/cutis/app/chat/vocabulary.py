"""The words that the rules of the chat go by, in folded spelling, as parts of regular expressions.

Lists like these are never complete; docs/chat.md says what that means.
"""

import re
from functools import cache

from cutis.app.chat.folding import fold
from cutis.taxonomy import diagnoses

NUMBER = (
    r"(?:\d+(?:[.,/]\d+)?|half|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|fifty"
    r"|hundred|thousand|نیم|نصف|دو|سه|چهار|پنج|شش|هفت|هشت|ده|دوازده|بیست|پنجاه|صد|هزار|ربع)"
)
"""Digits and the commonest number words; "one" and «یک» are articles too and stand in COUNT."""
NUMBER_WORDS = {
    word: str(number)
    for number, words in {
        0: "zero nil صفر", 2: "two دو", 3: "three سه", 4: "four چهار", 5: "five پنج",
        6: "six شش", 7: "seven هفت", 8: "eight هشت", 9: "nine", 10: "ten ده",
        12: "twelve دوازده", 20: "twenty بیست", 50: "fifty پنجاه", 100: "hundred صد",
        1000: "thousand هزار", 0.5: "half نیم نصف نیمی", 0.25: "quarter ربع",
    }.items()
    for word in words.split()
}  # fmt: skip
"""The same as digits, for comparing."""
COUNT = rf"(?:{NUMBER}|an?|one|some|چند|یک)"

UNIT = (
    r"(?:m\.?g\.?|mcg|µg|μg|milligrams?|micrograms?|m\.?l\.?|millilit(?:er|re)s?|i\.?u\.?|grams?"
    r"|میلی ?گرم|میکرو ?گرم|میلی ?لیتر|سی ?سی|واحد بین المللی)"
)
"""Of amounts of a drug; lengths such as mm are none of them."""
SMALL_UNIT = r"(?:g|gr|cc|گرم|واحد|units?)"
"""Likewise, but only after a number."""
PORTION = (
    r"(?:tablets?|pills?|capsules?|drops?|puffs?|teaspoons?|tablespoons?|spoonfuls?|sachets?"
    r"|ampoules?|injections?|doses?|vials?|sprays|قرص|کپسول|قطره|قاشق|امپول|پاف|ساشه|حب|دوز|تزریق)"
)
FORM = r"(?:creams?|ointments?|gels?|lotions?|solutions?|shampoos?|foams?|pastes?|sprays?|drugs?"
FORM += r"|medicines?|dos\w+|appl(?:y|ied)|کرم|پماد|ژل|لوسیون|محلول|شامپو|اسپری|دارو|قرص|مصرف)"

ACT = (
    r"(?:take|taken|use|used|put|rub|swallow|drink|inject|start|بخور\S*|بمال\S*|بزن\S*"
    r"|استفاده|بگیرید|تزریق|میل کنید)"
)
"""To do something with a medicine."""

_ENGLISH_DRUGS = """hydrocortisone betamethasone clobetasol mometasone triamcinolone prednis\\w+
dexamethasone cortisone ibuprofen paracetamol acetaminophen aspirin naproxen diclofenac codeine
tramadol morphine amoxi\\w+ cephalexin cefalexin doxycycline minocycline tetracycline azithromycin
clindamycin erythromycin metronidazole mupirocin fusidic clotrimazole miconazole ketoconazole
terbinafine fluconazole itraconazole griseofulvin nystatin aciclovir acyclovir valaciclovir
valacyclovir methotrexate ciclosporin cyclosporine azathioprine isotretinoin tretinoin adapalene
benzoyl salicylic azelaic imiquimod fluorouracil tacrolimus pimecrolimus cetirizine loratadine
fexofenadine diphenhydramine chlorphen\\w+ permethrin ivermectin lindane hydroquinone minoxidil
dapsone acitretin calcipotriol vismodegib adalimumab omalizumab dupilumab botulinum antibiotics?
steroids? cortico\\w+ antihistamines? \\w+cillin \\w+mycin \\w+conazole \\w+solone \\w+asone
\\w{3,}mab"""
_PERSIAN_DRUGS = """هیدروکورتیزون بتامتازون کلوبتازول مومتازون تریامسینولون پردنیزولون دگزامتازون
کورتیزون کورتون ایبوپروفن بروفن استامینوفن پاراسیتامول اسپیرین اسپرین ناپروکسن دیکلوفناک کدیین
ترامادول مورفین اموکسی\\S* سفالکسین داکسی\\S* مینوسایکلین تتراسایکلین ازیترو\\S* کلیندامایسین
اریترومایسین مترونیدازول موپیروسین فوسیدیک کلوتریمازول میکونازول کتوکونازول تربینافین فلوکونازول
ایتراکونازول گریزوفولوین نیستاتین اسیکلوویر والاسیکلوویر متوترکسات سیکلوسپورین
ایزوترتینویین رواکوتان راکوتان ترتینویین اداپالن بنزوییل سالیسیلیک ازلاییک ایمیکیمود فلورواوراسیل
تاکرولیموس پیمکرولیموس سیتریزین ستیریزین لوراتادین فکسوفنادین دیفن\\S* پرمترین ایورمکتین لیندان
هیدروکینون ماینوکسیدیل مینوکسیدیل داپسون انتی.?بیوتیک انتی.?هیستامین کورتیکو\\S*"""
DRUG = rf"(?:{'|'.join(f'{_ENGLISH_DRUGS} {_PERSIAN_DRUGS}'.split())})"

CARE = (
    r"(?:doctors?|dermatologists?|physicians?|gp|clinic|hospital|appointment|examin\w+|check-?ups?"
    r"|checked|medical|پزشک|دکتر|متخصص|درمانگاه|بیمارستان|معاینه|مراجعه|نوبت)"
)
SPOT = (
    r"(?:spot|lesion|mole|mark|patch|growth|bump|lump|photo|picture|skin|condition|diagnosis"
    r"|disease|case|result|naevus|nevus|thing)"
)
PERSIAN_SPOT = r"(?:لکه|خال|ضایعه|عکس|تصویر|پوست|بیماری|مشکل|تشخیص|نتیجه|زخم|توده|برجستگی)"
CALM = (
    r"(?:benign|harmless|innocent|innocuous|not dangerous|not serious|safe|fine|nothing|normal"
    r"|healthy|خوش ?خیم|بی خطر|بی ضرر|خطرناک نیست|سالم|طبیعی|چیزی نیست|جدی نیست)"
)
GRAVE = r"(?:malignant|cancerous|precancerous|بدخیم|سرطانی|پیش ?سرطانی)"
CANCER = r"(?:(?:skin )?cancers?|tumou?rs?|malignanc(?:y|ies)|carcinomas?|سرطان|تومور|کارسینوم)"
CERTAIN = (
    r"(?:certainly|definitely|surely|undoubtedly|absolutely|clearly|obviously|no doubt"
    r"|without (?:a |any )?doubt|for sure|for certain|100 ?%|i am (?:sure|certain)"
    r"|قطعا|حتما(?! (?:\S+ )?(?:پزشک|دکتر|متخصص|درمانگاه|باید|زودتر))"
    r"|مطمینا|یقینا|مسلما|بدون شک|بی شک|بی تردید|بدون تردید|صد ?در ?صد|مطمین باشید)"
)

TIME = (
    r"(?:days?|weeks?|months?|years?|hours?|minutes?|mornings?|nights?|evenings?|noon|daily|weekly"
    r"|monthly|nightly|hourly|today|tonight|tomorrow|bedtime|breakfast|lunch|dinner|meals?|shower"
    r"|once|twice|روز\S*|هفته|ماه|سال|ساعت|صبح|شب\S*|ظهر|عصر|غذا|ناهار|شام|صبحانه|فردا|امروز|بار)"
)
"""Times of day, spans and meals."""
NEGATION = (
    r"\b(?:no|not|never|none|nothing|nobody|neither|nor|without|cannot|\w+n't|needless|unneeded"
    r"|unnecessary|hardly|scarcely|rarely|seldom|unlikely|stop\w*|skip\w*|avoid\w*|forget|ignore\w*"
    r"|free|lack\w*|absen\w+|exclud\w+|ruled?|zero|nil|dont|doesnt|isnt|wont|cant|neednt|far from"
    r"|little|low|only|just|merely|same|wait\w*|hurry)\b"
    r"|(?<!\w)(?:ن(?:می|دار|یست|یس|با(?!ت)|کن|شو|خواه|گیر(?!ند)|رو(?!ز)|ده|زن|خور)\S*|نه|هیچ\S*"
    r"|بدون|بی|غیر|نا|عدم|فاقد|منتفی|رد|لازم نی\S*|تنها|فقط|همین|صبر|عجله)(?!\w)"
)
"""What turns a sentence round."""
SHOWN = r"(?:result|page|photos?|heat map|probabilit\w+|passage|نتیجه|صفحه|عکس|نقشه|احتمال(?!ا))"
"""What a sentence may point to."""
NEUTRAL = """
doctor dermatologist physician see show visit ask go model result photo picture cutis app passage
text
probability possible possibility diagnosis list give given hold contain include alone say tell mean
explain according also often
usually sometimes may might must need very more most many some few one like such because
although while both each other here into than then too up down over under between during page spot
skin lesion mole case person people pick look soon sooner however therefore
پزشک دکتر متخصص مراجعه نشان دهید دهد بروید مدل نتیجه عکس احتمال ممکن تشخیص فهرست می‌گوید می‌دهد یعنی
همچنین معمولا گاهی بیشتر بعضی برخی شاید باید چون زیرا نیز مانند دیگر پس نوعی حتما داند لکه پوست
ضایعه خال
صفحه پرونده توضیح بپرسید متن شوند گردد کنند داده شکل
"""
"""Words that say nothing about a disease by themselves."""

# Too common in other senses to stand for a diagnosis.
_NOT_ILL = {"other", "normal", "سایر", "سالم", "نامشخص"}
_NO_NAMES = _NOT_ILL | {"mole", "moles", "bite", "cyst", "خال", "lichen", "thrush", "کوفت", "std"}
_NO_NAMES |= {"bullous"}
_SHORTEST_NAME = 3


@cache
def names() -> str:
    """All names of all diagnoses in all languages, the longest first."""
    found = {"melanoma", "melanomas", "ملانوما", "ملانوم", "bcc", "scc", "keratosis"}
    for one in diagnoses().values():
        found.update(fold(name) for name in one.name.values())
        found.update(fold(name) for synonyms in one.synonyms.values() for name in synonyms)
    kept = sorted((n for n in found - _NO_NAMES if len(n) >= _SHORTEST_NAME), key=len, reverse=True)
    return rf"(?:{'|'.join(map(re.escape, kept))})"


@cache
def diagnoses_by_name() -> dict[str, frozenset[str]]:
    """Each folded name, with the identifiers of all diagnoses that have it."""
    found: dict[str, set[str]] = {
        "melanomas": {"melanoma"},
        "bcc": {"basal_cell_carcinoma"},
        "scc": {"squamous_cell_carcinoma"},
        "خال": {"melanocytic_nevus"},
    }
    keratoses = {key for key in diagnoses() if "keratosis" in key}
    found["keratosis"] = found["keratoses"] = keratoses
    for key, one in diagnoses().items():
        synonyms = (name for names_ in one.synonyms.values() for name in names_)
        for name in (*one.name.values(), *synonyms):
            if len(fold(name)) >= _SHORTEST_NAME and fold(name) not in _NOT_ILL:
                found.setdefault(fold(name), set()).add(key)
                found.setdefault(fold(name.replace("-", " ")), set()).add(key)
    return {name: frozenset(keys) for name, keys in found.items()}


def finds(pattern: str, text: str) -> bool:
    """Whether a text holds what a pattern describes."""
    return _compiled(pattern).search(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
