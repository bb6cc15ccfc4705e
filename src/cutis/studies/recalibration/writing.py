"""The recalibrated bundle: the same networks, the new record, and a card that says so."""

from collections.abc import Iterable
from pathlib import Path

from cutis.runtime.bundle import (
    CARD_FILE,
    FITTED_FILE,
    INFO_FILE,
    BundleInfo,
    Recalibration,
    photo_code,
    read_file,
    write_info,
)
from cutis.storage import sha256_file
from cutis.studies.abstention_page import figure_text
from cutis.studies.recalibration.page import promise, recalibration_page, scores_rows
from cutis.studies.recalibration.record import NetworkStudy, RecalibrationStudy

RECORD_FILE = "recalibration.json"
PAGE_FILE = "recalibration.html"

_BEFORE = "\n## Limits\n"
_OUTPUT = "probabilities are their softmax "


def write_recalibrated(
    bundle: Path,
    info: BundleInfo,
    record: RecalibrationStudy,
    hashes: Iterable[str],
    folder: Path,
) -> None:
    """Writes the whole bundle into an empty folder.

    The networks and their parity are copied as they are: logits do not change. Raises InputError
    where a file of the bundle was changed.

    Args:
        hashes: of the photos, by which they are known again.
    """
    for name in info.files:
        (folder / name).write_bytes(read_file(bundle, info, name))
    (folder / RECORD_FILE).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / PAGE_FILE).write_text(recalibration_page(record), encoding="utf-8")
    codes = sorted(photo_code(hash, record.catalog_sha256) for hash in hashes)
    (folder / FITTED_FILE).write_text("\n".join(codes) + "\n", encoding="utf-8")
    if CARD_FILE in info.files:
        card = (folder / CARD_FILE).read_text(encoding="utf-8")
        (folder / CARD_FILE).write_text(card_with(card, record), encoding="utf-8")
    policies = {
        **info.policies,
        **{
            study.network: info.policies[study.network].model_copy(
                update={"set_thresholds": study.thresholds}
            )
            for study in record.networks
        },
    }
    files = sorted(file for file in folder.iterdir() if file.name != INFO_FILE)
    changed = info.model_copy(
        update={
            "policies": policies,
            "recalibrations": {study.network: _entry(study, record) for study in record.networks},
            "files": {file.name: sha256_file(file) for file in files},
        }
    )
    write_info(folder, changed)


def card_with(card: str, record: RecalibrationStudy) -> str:
    """A bundle's card with a section on the recalibration, before its limits."""
    card = card.replace(_OUTPUT, f"{_OUTPUT}as exported, ")
    section = _section(record)
    if _BEFORE in card:
        return card.replace(_BEFORE, f"\n{section}\n{_BEFORE}", 1)
    return f"{card.rstrip()}\n\n{section}\n"


def _section(record: RecalibrationStudy) -> str:
    counts = record.counts
    lines = [
        "## Recalibration",
        "",
        f"Fitted to {counts.cases} cases ({counts.photos} photos) of one clinic: catalog SHA-256 "
        f"{record.catalog_sha256}. The figures and the comparison of the networks elsewhere in "
        "this card are of the model as exported; its logits have not changed. " + promise(record),
    ]
    for study in record.networks:
        lines += [
            "",
            f"Network `{study.network}`: {study.way}; probabilities are the softmax of logits / "
            f"{study.temperature:.4g}"
            + (" + offsets, which stand in bundle.json." if any(study.offsets) else "."),
            "",
            "| score | before | after | change |",
            "| --- | --- | --- | --- |",
            *("| " + " | ".join(row) + " |" for row in scores_rows(study)),
        ]
        if study.kept is not None:
            lines += ["", f"Not unlike the training photos: {figure_text(study.kept)} % of cases."]
    lines += ["", *(f"Network `{name}` stays as exported: {why}." for name, why in
                    record.as_exported.items())]  # fmt: skip
    return "\n".join(lines).rstrip()


def _entry(study: NetworkStudy, record: RecalibrationStudy) -> Recalibration:
    return Recalibration(
        temperature=study.temperature,
        offsets=study.offsets,
        photos=record.counts.photos,
        cases=record.counts.cases,
        catalog_sha256=record.catalog_sha256,
        sets_checked=study.sets_checked,
    )
