"""The model in the box: the bundle that comes with the package."""

from importlib.resources import files
from pathlib import Path

from cutis.errors import InputError

_BOX = "box"


def box_bundle() -> Path:
    """The folder of the bundle that was installed with Cutis.

    Raises InputError where the installation lacks it.
    """
    folder = Path(str(files("cutis"))) / _BOX
    if not folder.is_dir():
        raise InputError(
            "this installation of Cutis holds no model",
            where=folder,
            fix="install Cutis again, or name a bundle: --model BUNDLE",
        )
    return folder
