"""What other programs ask an object for: a dict of monty, HTML of notebooks.

monty is what pymatgen keeps its own objects with: ``dumpfn`` and ``loadfn``
of `monty.serialization` write and read files (json, yaml, also compressed),
and databases hold the dicts.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from monty.json import MontyDecoder, MSONable

from diffpy_cbldm._version import __version__
from diffpy_cbldm.errors import CbldmError

_HTML = "diffpy_cbldm.output.notebook:html"
"""What makes the HTML.  Found by name when a notebook asks for it, since the
wing of what people see stands above the objects that it shows."""


class Stored(MSONable):
    """A dataclass as a dict and back, by the conventions of monty.

    Numbers come back as they were, to the last bit; NaN and infinity stay
    what they are, which Python's json and yaml and MongoDB can hold.
    """

    def as_dict(self) -> dict[str, Any]:
        """Return plain data: numbers, texts, lists and dicts.

        Beside the fields by name, ``@module``, ``@class`` and ``@version``
        say what monty makes of it.

        Raises
        ------
        CbldmError
            A field holds what cannot be written.
        """
        # A dataclass of another kind would be taken apart by monty itself,
        # which loses tuples and arrays.
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        return tagged(self, {f.name: getattr(self, f.name) for f in fields})

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Self:
        """Return the object that `as_dict` wrote.

        Parameters
        ----------
        d : dict
            Keys that begin with ``@`` or ``_``, such as those that a
            database adds, are not read.

        Raises
        ------
        CbldmError
            It is the dict of something else.
        """
        given = {
            name: restored(value)
            for name, value in d.items()
            if not name.startswith(("@", "_"))
        }
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        if unknown := sorted(given.keys() - known):
            raise CbldmError(
                f"the dict of a {cls.__name__} holds {', '.join(unknown)}; "
                f"expected {', '.join(sorted(known))}: read it with the "
                f"version of diffpy_cbldm that wrote it "
                f"({d.get('@version', 'not told')}; this is {__version__})."
            )
        try:
            return cls(**given)
        except TypeError as error:  # a field without a default is missing
            raise CbldmError(
                f"the dict makes no {cls.__name__} ({error}); expected what "
                f"its as_dict() returns: pass that."
            ) from None


class Displayed:
    """An object that notebooks show as a table with a picture."""

    def _repr_html_(self) -> str | None:
        """HTML for Jupyter, None where the extra "report" is missing."""
        return pkgutil.resolve_name(_HTML)(self)


def tagged(given: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with the keys by which monty finds the class."""
    return {
        "@module": type(given).__module__,
        "@class": type(given).__name__,
        "@version": __version__,
        **{name: plain(value) for name, value in fields.items()},
    }


def plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts, of what holds them.

    Raises
    ------
    CbldmError
        It holds something else.
    """
    # The floats of NumPy and of those who read yaml are kinds of Python's.
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "as_dict"):
        return value.as_dict()
    raise CbldmError(
        f"{type(value).__name__} cannot be written as plain data; expected "
        "numbers, texts, lists, dicts or objects with as_dict(): leave it "
        "out, as in dataclasses.replace(candidate, results=None)."
    )


def restored(value: Any) -> Any:
    """Undo what as_dict did: lists are tuples, and tagged dicts objects."""
    if isinstance(value, list):
        return tuple(restored(one) for one in value)
    if isinstance(value, dict):
        if "@module" in value:
            return MontyDecoder().process_decoded(value)
        return {name: restored(one) for name, one in value.items()}
    return plain(value) if isinstance(value, int | float) else value
