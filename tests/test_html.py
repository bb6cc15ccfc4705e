"""The pieces of pages."""

from html.parser import HTMLParser

from cutis import html
from cutis.records import NOTICE

NASTY = '<b onclick="x">&'


class _Outline(HTMLParser):
    """Tags with their attributes, and the check that each is closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _outline(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Outline()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser.seen


def _pieces() -> list[html.Markup]:
    return [
        html.paragraph(NASTY),
        html.bullets([NASTY, 3]),
        html.section(NASTY, NASTY),
        html.banner(NASTY, kind="warn"),
        html.unsafe_banner(NASTY),
        html.tag(NASTY),
        html.table([NASTY, "n"], [[NASTY, 1], [html.tag("x"), 2.5]], caption=NASTY),
        html.figure(b"\x89PNG", "image/png", NASTY, NASTY),
        html.joined([NASTY, 1], NASTY),
        html.element("span", NASTY, title=NASTY),
    ]


def test_every_piece_escapes_what_it_is_given() -> None:
    pieces = _pieces()
    assert len(pieces) == 10
    for piece in pieces:
        assert "<b" not in piece
        assert "&lt;b onclick=&#34;x&#34;&gt;&amp;" in piece


def test_a_page_is_well_formed_and_says_its_language() -> None:
    seen = _outline(html.page(NASTY, *_pieces(), language="fa", direction="rtl"))
    assert ("html", {"lang": "fa", "dir": "rtl"}) in seen
    assert sum(tag == "section" for tag, _ in seen) == 1
    assert not [tag for tag, _ in seen if tag in ("script", "link", "b")]


def test_numbers_stand_flush_and_text_does_not() -> None:
    seen = _outline(html.table(["a", "b", "c"], [["x", "y", 1]], text_columns=2))
    cells = [(tag, attributes.get("class")) for tag, attributes in seen if tag in ("th", "td")]
    assert cells == [
        ("th", None), ("th", None), ("th", "number"), ("th", None), ("td", None), ("td", "number"),
    ]  # fmt: skip


def test_pictures_are_inside_the_page_and_described() -> None:
    seen = dict(_outline(html.figure(b"abc", "image/png", "a lesion")))
    assert seen["img"] == {"src": "data:image/png;base64,YWJj", "alt": "a lesion"}


def test_the_notice_is_the_projects() -> None:
    assert NOTICE in html.notice()


def test_the_page_prints_and_has_a_dark_side() -> None:
    page = html.page("t")
    assert "@media print" in page
    assert "prefers-color-scheme: dark" in page
