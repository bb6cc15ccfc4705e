"""What is never said: each rule on sentences that it alone catches."""

import re
from collections import Counter

import pytest

from cutis.app.chat import rules
from cutis.app.chat.rules import SENTENCE_RULES, broken_rule
from cutis.app.i18n import languages, translator
from cutis.taxonomy import DiagnosisText, diagnoses

FORBIDDEN = {
    "unit": [
        "Use some milligrams of it.",
        "Put 2 g on the skin.",
        "It takes five mg.",
        "The amount is [5] mg.",
        "**5** *mg* is right.",
        "５ｍｇ",
        "m\u200bg matter: 5 m\u200bg.",
        "5 <b>ml</b> will do",
        "پنج میلی‌گرم کافی است.",
        "۵ ميلي گرم",
        "۱۰ سی‌سی",
    ],
    "portion": [
        "Take two tablets.",
        "A few drops, or 3 drops, on the spot.",
        "Swallow one white pill.",
        "دو قرص بخورید.",
        "۳ قطره روی پوست بریزید.",
        "یک قاشق بخورید.",
        "Two tablets would do.",
        "سه قرص کافی است.",
    ],
    "times": [
        "Use it twice a day.",
        "Use it 3 times daily.",
        "Put it on every 8 hours.",
        "Once daily is enough.",
        "Take it b.i.d.",
        "روزی دو بار بمالید.",
        "سه بار در روز بزنید.",
        "هر ۸ ساعت تکرار کنید.",
    ],
    "schedule": [
        "Apply the cream morning and evening.",
        "Use a thin layer of hydrocortisone.",
        "Put it on each night.",
        "Take it with breakfast.",
        "Start with a low amount.",
        "Apply 2x/day.",
        "صبح و شب پماد را بمالید.",
        "هر شب لایه‌ای نازک بمالید.",
        "روزانه بخورید.",
    ],
    "percent": [
        "Use a 1 % cream.",
        "The 2.5 percent one works.",
        "پماد ۱٪ بمالید.",
        "کرم یک درصدی نه، ۲ درصد.",
    ],
    "drug amount": [
        "Use ibuprofen for 7 of them.",
        "Hydrocortisone, four each.",
        "ایبوپروفن ۴۰۰",
        "با آموکسی‌سیلین پانصد و ۵ تا.",
    ],
    "dose": [
        "The dose is 400.",
        "A dosage of about 20 will do.",
        "دوز آن ۴۰۰ است.",
    ],
    "instruction": ["Try some ointment.", "پماد بمالید."],
    "pace": ["Take it weekly.", "1-0-1 with water.", "هفته‌ای یک‌بار بزنید.", "نازک بمالید."],
    "you have": [
        "You have melanoma.",
        "You most likely have a basal cell carcinoma.",
        "Your child has scabies.",
        "You do not have skin cancer.",
        "If you look at it, you have melanoma.",
        "I diagnose melanoma.",
        "شما ملانوما دارید.",
        "تشخیص من ملانوم است.",
        "ملانوم دارید.",
        "شما به ملانوم مبتلا هستید.",
        "شما سرطان پوست ندارید.",
    ],
    "spot is": [
        "This is melanoma.",
        "It is benign.",
        "Your spot is harmless.",
        "The lesion is a melanoma.",
        "It's a wart.",
        "Your mole looks like a melanoma.",
        "This appears to be benign.",
        "The picture suggests melanoma.",
        "It's probably just a mole.",
        "این لکه ملانوم است.",
        "ضایعه خوش‌خیم است.",
        "ضایعهٔ شما خوش‌خیم است.",
        "این زگیل است.",
    ],
    "certain": [
        "Certainly benign.",
        "For sure a melanoma.",
        "I am sure: it will be melanoma without doubt.",
        "قطعاً خوش‌خیم.",
        "بدون شک ملانوم.",
    ],
    "no doctor": [
        "You need not see a doctor.",
        "You don't need to go to a dermatologist.",
        "There is no need for an appointment.",
        "A doctor is usually not needed.",
        "No doctor is needed.",
        "Skip the doctor.",
        "Seeing a doctor is optional.",
        "نیازی به پزشک نیست.",
        "لازم نیست به دکتر مراجعه کنید.",
    ],
    "no worry": [
        "Do not worry.",
        "It is nothing serious.",
        "You can rest assured.",
        "You are perfectly fine.",
        "It is safe to ignore.",
        "Everything is fine.",
        "It can be left alone.",
        "مشکلی نیست.",
        "نگران نباشید.",
        "جای نگرانی نیست.",
        "خیالتان راحت باشد.",
    ],
    "no cancer": [
        "There is no cancer.",
        "Such moles are not cancerous.",
        "Melanoma is ruled out.",
        "سرطان نیست.",
        "ملانوم منتفی است.",
    ],
}

ALLOWED = [
    "Melanoma is a cancer of the cells that make pigment [2].",
    "The model gives melanoma a probability of 35 % [1].",
    "احتمال ملانوم ۳۵٪ است [۱].",
    "See a doctor within two weeks [3].",
    "If you have melanoma, a doctor removes the whole spot [2].",
    "This does not mean that you have cancer [1].",
    "It can grow over 3 months to more than 6 mm [2].",
    "Hold the phone about a hand's width away [4].",
    "Antibiotics may help; a doctor chooses them [2].",
    "اگر ملانوم داشته باشید، پزشک همهٔ ضایعه را برمی‌دارد [۲].",
    "ظرف دو هفته به متخصص پوست مراجعه کنید [۳].",
    "ملانوم سرطان سلول‌های رنگدانه است [۲].",
]

CASES = [(rule, sentence) for rule, sentences in FORBIDDEN.items() for sentence in sentences]


@pytest.mark.parametrize(("rule", "sentence"), CASES)
def test_a_sentence_is_refused(rule: str, sentence: str) -> None:
    assert broken_rule(sentence) is not None


@pytest.mark.parametrize("rule", SENTENCE_RULES)
def test_each_rule_is_needed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule, sentences of its own would be shown, in both scripts."""
    rest = {name: forbids for name, forbids in SENTENCE_RULES.items() if name != rule}
    monkeypatch.setattr(rules, "SENTENCE_RULES", rest)
    passed = [sentence for sentence in FORBIDDEN[rule] if broken_rule(sentence) is None]
    persian = [sentence for sentence in passed if re.search("[؀-ۿ]", sentence)]
    assert persian
    assert len(passed) > len(persian)


@pytest.mark.parametrize("sentence", ALLOWED)
def test_what_may_be_said(sentence: str) -> None:
    assert broken_rule(sentence) is None


@pytest.mark.parametrize("language", languages())
def test_cutis_may_say_what_its_own_texts_say(language: str) -> None:
    """The share of our own sentences that the rules would keep from a model that quotes them."""
    words = translator(language)
    texts = [text for group in ("help", "verdict", "urgency", "urgent") for text in
             words.texts(group).values() if "{" not in text]  # fmt: skip
    for diagnosis in diagnoses().values():
        if diagnosis.text:
            written = diagnosis.text[language]
            texts += [getattr(written, part) for part in DiagnosisText.__dataclass_fields__]
    sentences = [f"{one} [2]" for text in texts for one in re.split(r"(?<=[.!?؟]) ", text)]
    broken = Counter(broken_rule(sentence) for sentence in sentences)
    assert len(sentences) > 500
    assert 1 - broken[None] / len(sentences) < 0.03, broken
