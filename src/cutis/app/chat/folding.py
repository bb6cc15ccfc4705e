"""One spelling of what people and models write in several, for search and for the rules."""

import re
import unicodedata

_LETTERS = str.maketrans(
    {
        "ي": "ی",  # of Arabic keyboards
        "ى": "ی",
        "ئ": "ی",
        "ك": "ک",
        "ة": "ه",
        "ۀ": "ه",
        "أ": "ا",
        "إ": "ا",
        "آ": "ا",
        "ؤ": "و",
        "ـ": "",  # stretches a word
        "\u200c": " ",  # the half-space; people write none, or a whole one
        "’": "'",
        "٫": ".",
        "٬": ",",
    }
)
_LATIN = "LATIN "
_SCRIPTS = {"en": _LATIN, "fa": "ARABIC "}  # as the letters' names begin


def fold(text: str) -> str:
    """Text in one spelling: small letters, Persian ones for Arabic ones, digits 0 to 9.

    Half-spaces become spaces; accents, vowel marks and signs that nobody sees go.
    """
    joined = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
    plain = unicodedata.normalize("NFD", joined)
    signs = (_plain_sign(sign) for sign in plain)
    return re.sub(r"[^\S\n]+", " ", "".join(signs)).strip()


def script_share(text: str, language: str) -> float | None:
    """The share of a language's letters among all letters; None without letters."""
    letters = [sign for sign in text if sign.isalpha()]
    if not letters:
        return None
    script = _SCRIPTS.get(language, _LATIN)
    return sum(unicodedata.name(sign, "").startswith(script) for sign in letters) / len(letters)


def language_of_text(text: str, otherwise: str) -> str:
    """The language that a text is written in, by its script; `otherwise` without letters."""
    shares = {language: script_share(text, language) or 0.0 for language in _SCRIPTS}
    best = max(shares, key=lambda language: shares[language])
    return best if shares[best] > 0 else otherwise


def _plain_sign(sign: str) -> str:
    kind = unicodedata.category(sign)
    if kind == "Nd":
        return str(unicodedata.digit(sign))
    return "" if kind in ("Mn", "Me", "Cf") else sign
