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
    r"|قطعا|حتما|مطمینا|یقینا|مسلما|بدون شک|بی شک|بی تردید|بدون تردید|صد ?در ?صد|مطمین باشید)"
)

# Too common in other senses to stand for a diagnosis.
_NO_NAMES = {"mole", "moles", "bite", "cyst", "خال", "lichen", "thrush", "کوفت", "std", "bullous"}
_SHORTEST_NAME = 3


@cache
def names() -> str:
    """All names of all diagnoses in all languages, the longest first."""
    found = {"melanoma", "melanomas", "ملانوما", "ملانوم", "bcc", "scc"}
    for one in diagnoses().values():
        found.update(fold(name) for name in one.name.values())
        found.update(fold(name) for synonyms in one.synonyms.values() for name in synonyms)
    kept = sorted((n for n in found - _NO_NAMES if len(n) >= _SHORTEST_NAME), key=len, reverse=True)
    return rf"(?:{'|'.join(map(re.escape, kept))})"
