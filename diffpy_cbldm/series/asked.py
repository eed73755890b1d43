"""What a series asks of `diffpy_cbldm.solve`, as workers and keys need it.

Workers may run on machines that do not see the files of this one: PDFs and
crystals go to them as they were read, and keys are made of what they hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from diffpy_cbldm.crystals.crystal import Crystal, crystal_of, each_crystal
from diffpy_cbldm.series.records import key_of


def read_crystals(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The same keywords, with crystals in place of the names of files.

    Parameters
    ----------
    asked : mapping
        Keywords of `diffpy_cbldm.solve`.

    Raises
    ------
    CbldmError
        A crystal cannot be read.
    """
    given = each_crystal(asked.get("crystals", ()))
    if not given:
        return dict(asked)
    return {**asked, "crystals": tuple(map(crystal_of, given))}


def for_keys(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The same keywords as JSON can hold them, for the keys of frames.

    Parameters
    ----------
    asked : mapping
        As of `read_crystals`.
    """
    about = dict(asked)
    # What is not asked for leaves the keys of older stores as they are.
    if asked.get("together"):
        # Fits take memory that the one who asks for the work does without.
        from diffpy_cbldm.fitting.together import with_weights

        about["together"] = [
            [key_of(pdf, {}), float(share)]
            for pdf, share in with_weights(asked["together"])
        ]
    if asked.get("crystals"):
        about["crystals"] = [_digest(one) for one in asked["crystals"]]
    return about


def _digest(crystal: Crystal) -> str:
    """What a crystal holds as hexadecimal digits, wherever it comes from."""
    digest = hashlib.sha256(repr((crystal.name, crystal.elements)).encode())
    for part in (crystal.cell, crystal.sites, crystal.shares):
        digest.update(np.float64(part).tobytes())
    return digest.hexdigest()[:32]
