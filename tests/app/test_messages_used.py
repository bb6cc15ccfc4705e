"""No text stands in the languages' files that no page or answer shows."""

import json
import re
from pathlib import Path

import cutis.app
from cutis.app.i18n import MESSAGES

APP = Path(cutis.app.__file__).parent
KEY = r"[a-z0-9_]+(?:\.[a-z0-9_]+)*"
# A key whose end is chosen as the program runs: f"error.{code}", "help.step." ~ n, term("sex", …)
STEM = re.compile(rf'f"({KEY}[._])\{{|"({KEY}\.)" ~|term\("({KEY})"')
FACTS = {"age", "sex", "site", "symptoms", "note"}  # of f"print.{name}"


def sources() -> str:
    files = [path for kind in ("py", "html", "js") for path in APP.rglob(f"*.{kind}")]
    assert len(files) > 25
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_every_text_is_used() -> None:
    written = sources()
    whole = set(re.findall(rf'["\']({KEY})["\']', written))
    stems = {next(filter(None, found)) for found in STEM.findall(written)} - {"print."}
    assert {"error.", "help.step.", "sex"} <= stems
    starts = tuple(stem if stem[-1] in "._" else f"{stem}." for stem in stems)
    keys = json.loads((MESSAGES / "en.json").read_text(encoding="utf-8"))
    unused = [
        key
        for key in keys
        if re.sub(r"\.(one|other)$", "", key) not in whole
        and not key.startswith(starts)
        and key.removeprefix("print.") not in FACTS
    ]
    assert unused == []
