"""Results (``NAME.res``) as a file format of ASE, which finds it by itself.

The best structure comes last, as the last step of a relaxation does: it is
what ``ase.io.read("NAME.res")`` returns.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

from ase.utils.plugins import ExternalIOFormat

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.output.results import SCHEMA, WITHOUT_REFINEMENT

if TYPE_CHECKING:
    from ase import Atoms


FORMAT = ExternalIOFormat(
    desc="Result of cbldm",
    code="+F",
    module="diffpy_cbldm.output.asefile",
    magic=b'{\n "schema": "cbldm-result/',
)
"""What the entry point ``ase.ioformats`` of the package names."""

INFO = ("rank", "generator", "structure_type", "rw_raw", "rw", "rw_heldout")
"""Keys of a candidate that become ``Atoms.info``, with the parameters."""


def read_cbldm(file: TextIO, index: Any) -> list[Atoms]:
    """Return the structures that `index` picks, called by `ase.io.read`.

    Parameters
    ----------
    file : text file
        A result that was written by ``-t res``.
    index : int or slice
        Among the refined structures (the first eight candidates where none
        was refined), by falling rank.

    Returns
    -------
    list of ase.Atoms
        Their ``info`` has rank, generator, structure type, Rw and
        parameters.

    Raises
    ------
    CbldmError
        The file is something else.
    """
    try:
        content = json.load(file)
        if content["schema"] != SCHEMA:
            raise ValueError
        structures = _structures(content["candidates"])
    # Also where a part of it is missing, or something else.
    except (
        ArithmeticError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ):
        raise CbldmError(
            f"not a result of cbldm; expected JSON with the schema {SCHEMA}: "
            f"name a file written by -t res."
        ) from None
    # ASE expects a list also where one structure is asked for.
    if isinstance(index, slice):
        return structures[index]
    return [structures[index]]


def _structures(candidates: list[dict[str, Any]]) -> list[Atoms]:
    """The refined structures, or some where none was; the best comes last."""
    from ase import Atoms

    chosen = [c for c in candidates if c["rw"] is not None]
    structures = []
    # ASE takes the last structure by default, so the best one is the last.
    for c in reversed(chosen or candidates[:WITHOUT_REFINEMENT]):
        atoms = Atoms(c["elements"], c["positions"], pbc=False)
        for name in INFO:
            atoms.info[name] = c[name]
        for name, pair in c["parameters"].items():
            atoms.info[name] = pair["value"]
        structures.append(atoms)
    return structures
