"""`cutis app feedback`: settled cases out of an archive, for training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from cutis.cli.app_backup import ArchiveFolder, opened_archive
from cutis.cli.tables import print_table

if TYPE_CHECKING:
    from cutis.app.feedback.handover import Handover


def app_feedback(
    archive: ArchiveFolder,
    out: Annotated[
        Path, Option(metavar="FOLDER", help="The feedback to write; replaces an earlier one.")
    ],
) -> "Handover":
    """Hand settled cases with consent over to `cutis import`; the app may go on running."""
    from cutis.app.feedback.handover import write_folder

    with opened_archive(archive, exists=True) as opened:
        return write_folder(opened, out)


def show(handed: "Handover") -> int:
    """Prints what was handed over and what was not."""
    left = handed.left_out
    print_table(["diagnosis", "cases"], handed.diagnoses.items())
    print(
        f"{handed.cases} cases with {handed.photos} photos, {handed.corrected} of them corrected; "
        f"left out: {left.unanswered} unanswered, {left.unsettled} in disagreement, {left.refused} "
        f"without consent, {left.damaged} damaged"
    )
    print("the folder holds photos of patients, so keep it safe; cutis import takes it")
    return 0
