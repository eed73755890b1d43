"""Measured data that come with diffpy.cmi and can be tried at once."""

from __future__ import annotations

import dataclasses
import pathlib

from diffpy_cbldm.errors import CbldmError


@dataclasses.dataclass(frozen=True)
class Example:
    """A measured PDF inside the installed diffpy.cmi package.

    Attributes
    ----------
    name : str
        The name for ``cbldm --example NAME``.
    file : str
        Path below the examples of diffpy.cmi, without their packs.
    about : str
        What it is, and what the model can and cannot say about it.
    calibrant : str
        The PDF of a standard on the same instrument, as `file`; may be
        empty.
    """

    name: str
    file: str
    about: str
    calibrant: str = ""

    def path(self, file: str = "") -> pathlib.Path:
        """The file on this machine.

        Parameters
        ----------
        file : str
            `file` where empty, or another one such as `calibrant`.

        Raises
        ------
        CbldmError
            diffpy.cmi is not installed or does not carry the file.
        """
        import importlib.util

        # Found without running the package.
        spec = importlib.util.find_spec("diffpy.cmi")
        folders = spec.submodule_search_locations if spec else None
        file = file or self.file
        for folder in folders or ():
            root = pathlib.Path(folder) / "docs" / "examples"
            for path in sorted(root.glob(f"**/{file}")):
                return path
        raise CbldmError(
            f"the example {self.name} needs {file} of diffpy.cmi, which "
            f"was not found: pip install diffpy.cmi"
        )


EXAMPLES = (
    Example(
        "Pt-nanoparticles",
        "ch03NiModelling/data/Pt-nanoparticles.gr",
        calibrant="ch03NiModelling/data/Ni.gr",
        about="Platinum nanoparticles, measured with X-rays.  A nickel "
        "standard from the same instrument tells Qdamp and Qbroad, where "
        "diffpy.pdffit2 is installed: the size follows from that.",
    ),
)


def find(name: str) -> Example:
    """The example of this name.

    Raises
    ------
    CbldmError
        There is none.
    """
    for example in EXAMPLES:
        if example.name == name:
            return example
    known = ", ".join(e.name for e in EXAMPLES)
    raise CbldmError(f"example {name!r} is not known; expected {known}.")
