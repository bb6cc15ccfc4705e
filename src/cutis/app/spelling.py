"""One spelling of what people type on Latin, Persian and Arabic keyboards."""

import unicodedata

_LETTERS = str.maketrans(
    {"ي": "ی", "ى": "ی", "ك": "ک"}
)  # as Arabic and Persian keyboards type them


def one_spelling(text: str) -> str:
    """Text in NFKC, lower case, one kind of digits and of Persian letters."""
    folded = unicodedata.normalize("NFKC", text).lower().translate(_LETTERS)
    return "".join(str(unicodedata.decimal(sign, sign)) for sign in folded)
