"""The overview of a catalog as a page, with a contact sheet by diagnosis."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup
from tqdm import tqdm

from cutis import html, taxonomy
from cutis.data.catalog import Catalog
from cutis.data.flags import flagged
from cutis.data.overview import Absent, Overview
from cutis.data.remote import is_url
from cutis.errors import PhotoError
from cutis.preprocessing import thumbnail
from cutis.storage import write_file

SHOWN = 12
"""Photos of one diagnosis on the contact sheet."""

EXTREMES = 8
"""Photos shown of one quality flag."""

_MOST_TILES = 1200
_MOST_DISAGREEMENTS = 60
_SIDE = 120  # pixels


@dataclass(frozen=True)
class FlagGuide:
    """What a quality flag means and which score raises it."""

    advice: str
    score: str  # a column of the catalog without "quality_"
    below: bool  # scores below the limit raise the flag; otherwise those above
    limit: float

    @property
    def rule(self) -> str:
        """When the flag is raised, in words."""
        return f"{self.score} {'below' if self.below else 'above'} {self.limit:g}"


def write_page(overview: Overview, path: Path, guides: Mapping[str, FlagGuide]) -> None:
    """Writes one self-contained HTML file; `guides` explain the quality flags."""
    folder = overview.catalog.folder
    title = f"Catalog {folder.resolve().name}"
    body = [
        html.element("h1", title),
        html.paragraph(headline(overview)),
        html.notice(),
        *(html.banner(absent_sentence(one), kind="warn") for one in overview.absent),
        _sources(overview),
        html.section("Diagnoses", _by_source(overview.diagnoses, "diagnosis")),
        *(
            html.section(name.replace("_", " ").capitalize(), _by_source(table, name))
            for name, table in overview.counts.items()
        ),
        _missing(overview.missing),
        _links(overview),
        _disagreements(overview.disagreements),
        _quality(overview, guides),
        _contact_sheet(overview.catalog, overview.usable),
    ]
    write_file(path, html.page(title, *body))


def headline(overview: Overview) -> str:
    """The catalog in one sentence."""
    info = overview.catalog.info
    view = f", in the view {overview.view}" if overview.view else ""
    return (
        f"{info.counts.photos} photos of {len(info.sources)} sources, "
        f"{info.counts.unreadable} unreadable, {info.counts.undiagnosed} without a diagnosis; "
        f"{overview.photographs} photographs after merging by '{info.options.conflicts}', "
        f"{len(overview.usable)} of them usable{view}."
    )


def absent_sentence(absent: Absent) -> str:
    """Which photos of a source are gone."""
    return (
        f"{absent.missing} of {absent.photos} photos of the source '{absent.source}' are not on "
        f"disk any more; it lay at {absent.root}."
    )


def _sources(overview: Overview) -> Markup:
    rows = [
        (info.name, info.format, info.licence or "not known", *numbers)
        for info, numbers in zip(
            overview.catalog.info.sources, overview.sources.to_numpy().tolist(), strict=True
        )
    ]
    head = ["source", "format", "licence", *overview.sources.columns]
    note = "Usable: readable, with a diagnosis, and kept as the appearance of its photograph."
    return html.section("Sources", html.table(head, rows, caption=note, text_columns=3))


def _by_source(table: pd.DataFrame, name: str) -> Markup:
    rows = [
        (str(value), *row)
        for value, row in zip(table.index, table.to_numpy().tolist(), strict=True)
    ]
    return html.table([name, *table.columns], rows)


def _missing(missing: pd.DataFrame) -> Markup:
    rows = [
        (str(name), *(f"{100 * share:.0f} %" for share in shares))
        for name, shares in zip(missing.index, missing.to_numpy().tolist(), strict=True)
    ]
    table = html.table(["column", *missing.columns], rows)
    return html.section("What is not known", html.paragraph("Share of photos by source."), table)


def _links(overview: Overview) -> Markup:
    rows = [(kind.replace("_", " "), pairs) for kind, pairs in overview.links.items()]
    return html.section("Links", html.table(["kind", "pairs"], rows))


def _disagreements(counted: pd.DataFrame) -> Markup:
    if counted.empty:
        text = html.paragraph("All appearances of a photograph have the same diagnosis.")
        return html.section("Disagreements", text)
    rows = counted.head(_MOST_DISAGREEMENTS).to_numpy().tolist()
    rest = len(counted) - len(rows)
    note = f"{rest} rarer kinds are not shown." if rest else ""
    made = html.table([str(name) for name in counted.columns], rows, caption=note, text_columns=3)
    return html.section("Disagreements", made)


def _quality(overview: Overview, guides: Mapping[str, FlagGuide]) -> Markup:
    if overview.flags is None:
        text = html.paragraph("Not measured; 'cutis import' measures it while it reads the photos.")
        return html.section("Photo quality", text)
    note = (
        "Flags are hints, and some are wrong more often than right: look before you drop any "
        "(cutis split --drop FLAG). The photos shown have the most extreme scores."
    )
    parts = [html.paragraph(note), _by_source(overview.flags, "flag")]
    photos = overview.catalog.photos
    for flag, guide in guides.items():
        rows = photos[flagged(photos, [flag])]
        if rows.empty:
            continue
        column = f"quality_{guide.score}"
        rows = rows.sort_values([column, "image_id"], ascending=[guide.below, True])
        tiles = [
            _extreme(overview.catalog, place, image_id, f"{guide.score} {score:.4f}")
            for place, image_id, score in rows[["path", "image_id", column]]
            .head(EXTREMES)
            .itertuples(index=False)
        ]
        heading = f"{flag.replace('_', ' ').capitalize()} ({len(rows)})"
        meaning = html.paragraph(f"{guide.advice} Raised by {guide.rule}.")
        tiled = html.element("div", *tiles, class_="tiles")
        parts += [html.element("h3", heading), meaning, tiled]
    return html.section("Photo quality", *parts)


def _contact_sheet(catalog: Catalog, usable: pd.DataFrame) -> Markup:
    groups = usable.groupby("diagnosis")
    by_size = groups.size().sort_values(ascending=False, kind="stable").index
    shown = max(1, min(SHOWN, _MOST_TILES // max(1, len(by_size))))
    chosen = {name: _spread(groups.get_group(name), shown) for name in by_size}
    total = sum(len(rows) for rows in chosen.values())
    parts: list[Markup] = []
    with tqdm(total=total, desc="contact sheet", unit="photo", disable=None) as bar:
        for name, rows in chosen.items():
            tiles = []
            for row in rows.itertuples(index=False):
                tiles.append(_tile(catalog, str(row.path), str(row.image_id)))
                bar.update()
            heading = f"{_display(name)} ({len(groups.get_group(name))})"
            parts += [html.element("h3", heading), html.element("div", *tiles, class_="tiles")]
    return html.section("Contact sheet", *parts)


def _spread(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Rows at equal distances, so that sources show by their share."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return rows.sort_values("image_id").iloc[places]


def _tile(catalog: Catalog, stored: str, name: str) -> Markup:
    caption = html.element("div", html.element("code", name))
    return html.element("div", _picture(catalog, stored, name), caption, class_="tile")


def _extreme(catalog: Catalog, stored: str, name: str, remark: str) -> Markup:
    # Rulers and black corners lie at the edges, so these photos are shown whole.
    caption = html.element("div", html.element("code", name))
    picture = _picture(catalog, stored, name, square=False)
    return html.element("div", picture, caption, remark, class_="tile whole")


def _picture(catalog: Catalog, stored: str, name: str, *, square: bool = True) -> Markup:
    if is_url(stored):
        return html.element("div", "lies in a storage", class_="empty")
    try:
        path = catalog.locate(stored)
        return html.image(thumbnail(path, _SIDE, square=square), "image/jpeg", name)
    except PhotoError as error:
        return html.element("div", error.problem, class_="empty")


def _display(name: str) -> str:
    """The English name; classes of a view that are no diagnosis show their id in words."""
    node = taxonomy.diagnoses().get(name)
    return node.name["en"] if node else name.replace("_", " ").capitalize()
