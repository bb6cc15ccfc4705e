"""The page pieces that every report shares. Pages are one file: no script, no link to follow.

All text is escaped unless it is Markup, which only these functions make.
"""

import base64
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from cutis.records import NOTICE

_CSS = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5a6672; --line: #d9dfe5; --page: #f6f7f9;
  --card: #ffffff; --accent: #0b5f8a; --stripe: #f4f7f9; --info: #e8f1f6; --warn: #fff4dc;
  --warn-line: #d99a00; --danger: #fdeceb; --danger-line: #b3261e; --danger-ink: #8c1d18; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --soft: #a3aeb9; --line: #36414c;
  --page: #12171d; --card: #1a2129; --accent: #6cb8e0; --stripe: #1f2730; --info: #17303e;
  --warn: #392d10; --warn-line: #d99a00; --danger: #3d1a18; --danger-line: #f2716a;
  --danger-ink: #ffb4ae; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Vazirmatn, "Noto Sans", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 .25rem; }
h2 { font-size: 1.2rem; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
ul { margin: .5rem 0; padding-inline-start: 1.25rem; max-width: 46rem; }
li { margin: .3rem 0; }
a { color: var(--accent); }
code { font: .86em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
pre { font: .8rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  background: var(--stripe); border: 1px solid var(--line); border-radius: 6px; padding: .75rem;
  overflow-x: auto; margin: 0; }
.soft { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 1.25rem; margin: 1rem 0; }
.banner { border-inline-start: 5px solid var(--accent); background: var(--info); border-radius: 6px;
  padding: .75rem 1rem; margin: 1rem 0; }
.banner p { max-width: none; margin: 0; }
.banner.warn { background: var(--warn); border-color: var(--warn-line); }
.banner.danger { background: var(--danger); border-color: var(--danger-line);
  color: var(--danger-ink); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
caption { text-align: start; color: var(--soft); padding-bottom: .4rem; }
th, td { padding: .38rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top;
  text-align: start; }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
tbody th { font-weight: 500; min-width: 7rem; }
.number { text-align: end; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead .number { white-space: normal; }
tbody tr:nth-child(even) { background: var(--stripe); }
.interval { color: var(--soft); font-size: .88em; }
.tag { display: inline-block; font-size: .72rem; line-height: 1.35; padding: 0 .4em;
  border: 1px solid var(--warn-line); border-radius: 4px; white-space: nowrap; }
figure { margin: .75rem 0; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
figcaption { color: var(--soft); font-size: .88rem; margin-top: .35rem; max-width: 46rem; }
.row { display: grid; gap: 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
.tiles { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); }
.tile { font-size: .78rem; line-height: 1.35; overflow-wrap: anywhere; break-inside: avoid; }
.tile img, .tile .empty { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 6px;
  background: var(--stripe); display: grid; place-items: center; color: var(--soft); }
.tile.whole img { object-fit: contain; }
@media (max-width: 40rem) { main { padding: .75rem .6rem 2rem; } section { padding: .9rem .8rem; }
  th, td { padding: .34rem .45rem; } table { font-size: .84rem; } }
@page { margin: 14mm; }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --page: #fff;
    --card: #fff; --stripe: #f6f6f6; --info: #fff; --warn: #fff; --danger: #fff;
    --danger-ink: #8c1d18; }
  body { font-size: 9.5pt; } main { max-width: none; padding: 0; }
  section { border: 0; border-radius: 0; padding: 0; margin: 6mm 0; }
  .banner { border: 1px solid; border-inline-start-width: 5px; }
  h2, h3 { break-after: avoid; } figure, tr, .banner { break-inside: avoid; }
  .scroll { overflow: visible; } table { font-size: 8pt; } th, td { padding: 1mm 1.5mm; }
  .tiles { grid-template-columns: repeat(6, 1fr); } .row { grid-template-columns: 1fr 1fr; }
  pre { white-space: pre-wrap; }
  figure img { max-height: 170mm; } thead { display: table-header-group; } }
"""

Content = str | int | float | Markup


def page(title: str, *body: Markup, language: str = "en", direction: str = "ltr") -> str:
    """A whole HTML page; `direction` is "rtl" for Persian."""
    return str(
        Markup(
            '<!doctype html>\n<html lang="{}" dir="{}">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n{}\n</main>\n"
            "</body>\n</html>\n"
        ).format(language, direction, title, Markup(_CSS), joined(body))
    )


def joined(parts: Iterable[Content], between: str = "\n") -> Markup:
    """Pieces one after another, text among them escaped."""
    return escape(between).join(escape(part) for part in parts)


def element(tag: str, *content: Content, **attributes: str) -> Markup:
    """One element; write `class_` for class."""
    named = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value)
        for name, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(tag), named, joined(content, ""))


def section(title: str, *content: Content) -> Markup:
    """A titled part of the page."""
    return element("section", element("h2", title), joined(content))


def paragraph(*content: Content) -> Markup:
    """A paragraph of text."""
    return element("p", *content)


def bullets(items: Iterable[Content]) -> Markup:
    """A list of points."""
    return element("ul", *(element("li", item) for item in items))


def table(
    head: Sequence[Content],
    rows: Iterable[Sequence[Content]],
    *,
    caption: Content = "",
    text_columns: int = 1,
) -> Markup:
    """A table that scrolls by itself where the screen is narrow.

    The first cell of a row names it. The first `text_columns` columns are text, the others numbers,
    set flush so that their digits stand below each other.
    """

    def cell(tag: str, column: int, content: Content, **attributes: str) -> Markup:
        if column >= text_columns:
            attributes["class_"] = "number"
        return element(tag, content, **attributes)

    header = element("tr", *(cell("th", n, name, scope="col") for n, name in enumerate(head)))
    body = [
        element(
            "tr",
            *(
                cell("th", n, value, scope="row") if n == 0 else cell("td", n, value)
                for n, value in enumerate(row)
            ),
        )
        for row in rows
    ]
    made = element(
        "table",
        element("caption", caption) if caption else Markup(""),
        element("thead", header),
        element("tbody", *body),
    )
    return element("div", made, class_="scroll")


def image(data: bytes, media_type: str, description: str) -> Markup:
    """A picture inside the page, e.g. of media type image/png or image/svg+xml."""
    encoded = base64.b64encode(data).decode()
    return Markup('<img src="data:{};base64,{}" alt="{}">').format(media_type, encoded, description)


def figure(data: bytes, media_type: str, description: str, caption: Content = "") -> Markup:
    """A picture with what it shows in words, and a caption."""
    below = element("figcaption", caption) if caption else Markup("")
    return element("figure", image(data, media_type, description), below)


def banner(*content: Content, kind: str = "info") -> Markup:
    """A framed message; `kind` is info, warn or danger."""
    return element("div", paragraph(*content), class_=f"banner {kind}", role="note")


def notice() -> Markup:
    """What Cutis is and is not; it stands on every page."""
    return banner(NOTICE)


def unsafe_banner(why: str) -> Markup:
    """The mark of everything that was made with a split that leaks."""
    return banner(element("strong", "UNSAFE. "), why, kind="danger")


def tag(text: str) -> Markup:
    """A small mark beside a figure."""
    return element("span", text, class_="tag")
