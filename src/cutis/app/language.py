"""In which language somebody is answered."""

from starlette.requests import Request

from cutis.app.i18n import languages, preferred

COOKIE = "cutis_lang"
PARAMETER = "lang"


def language_of(request: Request) -> str:
    """The language that the address names, else the cookie, else what the browser prefers."""
    for wanted in (request.query_params.get(PARAMETER), request.cookies.get(COOKIE)):
        if wanted in languages():
            return wanted
    return preferred(request.headers.get("accept-language", ""))
