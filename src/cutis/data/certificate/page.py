"""A certificate as a page: the verdict, what was found, and the offending pairs side by side."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from markupsafe import Markup
from tqdm import tqdm

from cutis import html
from cutis.data.certificate.examine import Audit
from cutis.data.certificate.records import AuditCertificate, Pair
from cutis.data.certificate.relations import STRENGTH
from cutis.data.split_records import Check
from cutis.errors import PhotoError
from cutis.preprocessing import thumbnail

MOST_SHOWN = 60
"""Pairs across parts that the page shows; of the other lists, a third as many."""

_SIDE = 180
_COLUMNS = "grid-template-columns: repeat(auto-fill, minmax(17.5rem, 1fr))"
_HALVES = "grid-template-columns: 1fr 1fr"
_SIGNS = {True: "holds", False: "FAILED", None: "not known"}
_SEEN = {True: "nothing found", False: "worth a look", None: "not known"}
_TITLES = {
    "identical_bytes": "the same file",
    "identical_pixels": "the same pixels",
    "same_photograph": "the same photograph, changed",
    "same_isic_number": "the same ISIC number",
    "same_lesion": "the same lesion",
    "same_patient": "the same patient",
}


def certificate_page(audit: Audit) -> str:
    """The page, one self-contained file; photos appear as small pictures inside it."""
    made = audit.certificate
    shown = {
        "Across parts": (made.pairs, made.found["pairs"], MOST_SHOWN),
        "One photograph, two labels": (made.conflicts, made.found["conflicts"], MOST_SHOWN // 3),
        "Copies within train": (made.copies, made.found["copies"], MOST_SHOWN // 3),
    }
    chosen = {title: spread(pairs, most) for title, (pairs, _, most) in shown.items()}
    pictures = _thumbnails([pair for pairs in chosen.values() for pair in pairs], audit.places)
    galleries = [
        _gallery(title, chosen[title], found, pictures)
        for title, (_, found, _) in shown.items()
        if found
    ]
    return html.page(
        f"Certificate: {made.subject}",
        html.element("h1", f"Certificate: {made.subject}"),
        html.banner(made.verdict, kind="info" if made.passed else "danger"),
        html.section("Checks", _check_table(made.checks, _SIGNS)),
        html.section("The data besides", _check_table(made.remarks, _SEEN)),
        html.section("What the siblings are worth", _siblings(made)),
        html.section("Photos by part and label", _counts(made)),
        *galleries,
        html.section("What was audited", _inputs(made)),
        html.notice(),
    )


def spread(pairs: Sequence[Pair], most: int) -> list[Pair]:
    """At most so many pairs: equally many of each kind, from its surest to its least sure one."""
    kinds = {kind: [pair for pair in pairs if pair.kind == kind] for kind in STRENGTH}
    there = {kind: found for kind, found in kinds.items() if found}
    chosen: list[Pair] = []
    left = most
    for rank, (_, found) in enumerate(sorted(there.items(), key=lambda item: len(item[1]))):
        count = min(len(found), left // (len(there) - rank))
        step = (len(found) - 1) / max(count - 1, 1)
        chosen += [found[round(place * step)] for place in range(count)]
        left -= count
    return sorted(chosen, key=lambda pair: (STRENGTH.index(pair.kind), -(pair.score or 0)))


def _check_table(checks: Sequence[Check], signs: dict[bool | None, str]) -> Markup:
    rows = [(c.name, signs[c.passed], c.detail, c.found) for c in checks]
    return html.table(["check", "result", "in words", "found"], rows, text_columns=3)


def _siblings(made: AuditCertificate) -> Markup:
    if made.sibling_rate is None or made.sibling_rate_by_image is None:
        return html.paragraph("There is no part to test.")
    part = "the folds" if len(made.tested) > 1 else f"the {' '.join(made.tested)} part"
    rows: list[tuple[str, str]] = [
        (f"photos of {part} with a sibling in another part", f"{made.sibling_rate:.1%}"),
        ("the same in a random split by image", f"{made.sibling_rate_by_image:.1%}"),
    ]
    oracle = made.oracle
    if oracle is not None:
        rows += [
            ("accuracy of the sibling oracle", f"{oracle.accuracy:.1%}"),
            (
                f"accuracy of always answering {oracle.commonest_label}",
                f"{oracle.accuracy_of_commonest:.1%}",
            ),
            ("labelled photos tested", str(oracle.photos)),
            ("of them with a sibling in training", str(oracle.with_sibling)),
        ]
        if oracle.accuracy_with_sibling is not None:
            rows.append(("the oracle's accuracy on these", f"{oracle.accuracy_with_sibling:.1%}"))
    text = html.paragraph(
        "A sibling is another photo of the same lesion or photograph. The sibling oracle has "
        "learnt nothing: it answers with the label of the nearest training sibling, and with the "
        "commonest label where there is none."
    )
    return html.joined([text, html.table(["figure", "value"], rows)])


def _counts(made: AuditCertificate) -> Markup:
    labels = sorted({label for held in made.counts.values() for label in held})
    sizes = {part: sum(held.values()) for part, held in made.counts.items()}
    rows = [
        [label, *(_share(held.get(label, 0), sizes[part]) for part, held in made.counts.items())]
        for label in labels
    ]
    rows.append(["all", *(str(size) for size in sizes.values())])
    return html.table(["label", *made.counts], rows, caption="share of the part's photos")


def _share(photos: int, size: int) -> str:
    return f"{photos} ({photos / size:.1%})"


def _inputs(made: AuditCertificate) -> Markup:
    rows = [
        ("kind", made.kind),
        ("SHA-256 of ids, parts, labels and files", made.content_sha256),
        *(("SHA-256 of the catalog", made.catalog_sha256),) * (made.catalog_sha256 is not None),
        *(("SHA-256 of the split", made.split_sha256),) * (made.split_sha256 is not None),
        ("Cutis", made.cutis_version),
    ]
    cells = [(name, html.element("code", value or "")) for name, value in rows]
    return html.joined(
        [html.table(["input", "value"], cells, text_columns=2), html.bullets(made.notes)]
    )


def _gallery(
    title: str, chosen: Sequence[Pair], found: int, pictures: dict[str, bytes | None]
) -> Markup:
    pieces: list[Markup] = [html.paragraph(f"{len(chosen)} of {found} pairs are shown.")]
    for kind, pairs in groupby(chosen, key=lambda pair: pair.kind):
        pieces.append(html.element("h3", _TITLES[kind].capitalize()))
        couples = [_couple(pair, pictures) for pair in pairs]
        pieces.append(html.element("div", *couples, class_="row", style=_COLUMNS))
    return html.section(title, *pieces)


def _couple(pair: Pair, pictures: dict[str, bytes | None]) -> Markup:
    sides = [
        _tile(pair.image_id_a, pair.part_a, pair.label_a, pictures),
        _tile(pair.image_id_b, pair.part_b, pair.label_b, pictures),
    ]
    return html.element(
        "figure",
        html.element("div", *sides, class_="tiles", style=_HALVES),
        html.element("figcaption", pair.reason),
    )


def _tile(name: str, part: str, label: str | None, pictures: dict[str, bytes | None]) -> Markup:
    data = pictures[name]
    picture = (
        html.element("div", "no picture", class_="empty")
        if data is None
        else html.image(data, "image/jpeg", name)
    )
    text = [html.element("strong", part), f": {label or 'no label'}", Markup("<br>")]
    return html.element("div", picture, *text, name.rsplit("/", 1)[-1], class_="tile")


def _thumbnails(pairs: Sequence[Pair], places: dict[str, str | None]) -> dict[str, bytes | None]:
    names = sorted({name for pair in pairs for name in (pair.image_id_a, pair.image_id_b)})
    bar = tqdm(names, desc="drawing", unit="photo", disable=None)
    return {name: _thumbnail(places[name]) for name in bar}


def _thumbnail(place: str | None) -> bytes | None:
    """A small JPEG with the photo's aspect; None where it cannot be read."""
    try:
        return None if place is None else thumbnail(Path(place), _SIDE, square=False)
    except PhotoError:
        return None
