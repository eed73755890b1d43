"""What diffpy.cmi needs to install and copy, in the layout it expects.

``requirements/profiles/cbldm.yml`` is a profile for ``cmi install``, and
``docs/examples/cbldm/recipes`` holds the recipes.
"""

from __future__ import annotations

import os
import pathlib

from diffpy_cbldm.errors import CbldmError

ROOT = pathlib.Path(__file__).resolve().parent


def profile() -> pathlib.Path:
    """The profile for ``cmi install``, as the absolute path it asks for."""
    return ROOT / "requirements" / "profiles" / "cbldm.yml"


def copy_recipes(folder: str | os.PathLike[str] = ".") -> pathlib.Path:
    """Copy the recipes as ``cmi copy`` does with its own examples.

    Parameters
    ----------
    folder : path
        Where ``cbldm/recipes`` is put; files that exist are left alone.

    Returns
    -------
    Path
        The folder of the recipes.

    Raises
    ------
    CbldmError
        The folder cannot be written.
    """
    from diffpy.cmi.packsmanager import PacksManager

    try:
        PacksManager(root_path=ROOT).copy_examples(["cbldm"], folder)
    except OSError as error:
        raise CbldmError(
            f"{folder}: the recipes cannot be copied ({error}); expected a "
            "folder that can be written: choose another."
        ) from None
    return pathlib.Path(folder) / "cbldm" / "recipes"
