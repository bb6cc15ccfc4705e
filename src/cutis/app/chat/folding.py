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
_KNOWN_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzءابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی")
_INSIDE = re.compile(r"(?<=[^\W\d_])(?:[^\w\s]|_)+(?=[^\W\d_])")
_INSIDE_BUT_APOSTROPHES = re.compile(r"(?<=[^\W\d_])(?:[^\w\s']|_)+(?=[^\W\d_])")
_QUOTES = re.compile(r"[\"“”„«»‹›()]")
_MARKS = re.compile(r"[<>*_`~#|\\]")  # of HTML and Markdown, which would part "5 *mg*"
_TAGS = re.compile(r"<[^<>]*>")


def fold(text: str) -> str:
    """Text in one spelling: small letters, Persian ones for Arabic ones, digits 0 to 9.

    Half-spaces become spaces; accents, vowel marks and signs that nobody sees go.
    """
    joined = unicodedata.normalize("NFKC", text).casefold().translate(_LETTERS)
    plain = unicodedata.normalize("NFD", joined)
    signs = (_plain_sign(sign) for sign in plain)
    return re.sub(r"[^\S\n]+", " ", "".join(signs)).strip()


def readings(text: str) -> tuple[str, ...]:
    """The folded ways in which somebody may read a text, the plainest first, without marks.

    A sign between two letters may part them or not: "mel-anoma", "skin-cancer". What looks like a
    tag may be one, and then its text is not read, or none.
    """
    plain = fold(_MARKS.sub("", text))
    spaced = _QUOTES.sub(" ", _INSIDE_BUT_APOSTROPHES.sub(" ", plain))
    unparted = fold(_INSIDE.sub("", _MARKS.sub("", text.replace("\u200c", "-"))))
    untagged = fold(_MARKS.sub("", _TAGS.sub("", text)))
    return tuple(dict.fromkeys((re.sub(r" +", " ", spaced), plain, unparted, untagged)))


def has_foreign_letters(text: str) -> bool:
    """Whether letters look like others: those of further scripts, or both scripts in one word."""
    folded = fold(text)
    if any(sign.isalpha() and sign not in _KNOWN_LETTERS for sign in folded):
        return True
    return re.search(r"[a-z][\u0600-\u06ff]|[\u0600-\u06ff][a-z]", folded) is not None


def script_share(text: str, language: str) -> float | None:
    """The share of a language's letters among all letters; None without letters."""
    own, letters = script_counts(text, language)
    return own / letters if letters else None


def script_counts(text: str, language: str) -> tuple[int, int]:
    """How many letters are of the language's script, and how many there are."""
    letters = [sign for sign in text if sign.isalpha()]
    script = _SCRIPTS.get(language, _LATIN)
    return sum(unicodedata.name(sign, "").startswith(script) for sign in letters), len(letters)


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
