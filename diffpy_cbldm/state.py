"""What is known of a candidate beyond its figures, and the flags that say so.

The fields are what the package works with.  The flags are texts for users and
for result files; they are written and read here alone.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class State:
    """What a user must know of a structure.

    Parameters
    ----------
    notes : tuple of str
        Free texts, as a generator gives them.
    also_proposed_by : tuple of str
        Further generators of the same structure.
    edits : tuple of str
        Kinds of edits by which polishing fitted the atoms.
    edited_from : (str, int), optional
        Structure type and number of atoms before the edits.
    backend : str, optional
        Calculator of the last refinement.
    at_bounds : tuple of (str, float)
        Parameters that ended at a bound, with the bound.
    refined_moves : tuple of str
        Moves, "strain", "surface" or "orbits", that were refined.
    not_determined : tuple of str
        Variables of moves that the PDF leaves open within their bounds.
    uneven_misfit : (float, float), angstrom, optional
        Where in r half of a misfit lies that is no noise.
    refused_edits : (float, float), optional
        Rw on r left out, before and after edits that were therefore refused.
    rw_of_each : tuple of float
        Rw of each PDF where several were refined together.
    """

    notes: tuple[str, ...] = ()
    also_proposed_by: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    edited_from: tuple[str, int] | None = None
    backend: str | None = None
    at_bounds: tuple[tuple[str, float], ...] = ()
    refined_moves: tuple[str, ...] = ()
    not_determined: tuple[str, ...] = ()
    uneven_misfit: tuple[float, float] | None = None
    refused_edits: tuple[float, float] | None = None
    rw_of_each: tuple[float, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """The state as texts: notes, origin, edits, then the refinement."""
        return (
            *self.notes,
            *(f"also proposed by {name}" for name in self.also_proposed_by),
            *_polished(self.edits, self.edited_from),
            *([f"backend: {self.backend}"] if self.backend else []),
            *(f"at bound: {name} {at:g}" for name, at in self.at_bounds),
            *(f"{move} refined" for move in self.refined_moves),
            *(f"not determined: {name}" for name in self.not_determined),
            *_uneven(self.uneven_misfit),
            *_refused(self.refused_edits),
            *_of_each(self.rw_of_each),
        )


def _polished(
    edits: Sequence[str], start: tuple[str, int] | None
) -> list[str]:
    if not edits:
        return []
    origin = (
        "" if start is None else f"; from {start[0]} with {start[1]} atoms"
    )
    return [f"polished: {', '.join(edits)}{origin}"]


def _uneven(span: tuple[float, float] | None) -> list[str]:
    if span is None:
        return []
    return [f"uneven misfit: half of it from {span[0]:.1f} to {span[1]:.1f} A"]


def _refused(rw: tuple[float, float] | None) -> list[str]:
    if rw is None:
        return []
    before, after = rw
    return [
        f"polishing refused: Rw on r left out {before:.4f}, {after:.4f} after "
        f"edits"
    ]


def _of_each(rws: Sequence[float]) -> list[str]:
    if not rws:
        return []
    return [f"Rw of each PDF: {', '.join(f'{rw:.4f}' for rw in rws)}"]


def _edits_read(kinds: str, kind: str | None, n_atoms: str | None) -> Any:
    start = None if n_atoms is None else (kind, int(n_atoms))
    return {"edits": tuple(kinds.split(", ")), "edited_from": start}


_FORMS: dict[str, Callable[..., dict[str, Any]]] = {
    r"also proposed by (.+)": lambda name: {"also_proposed_by": (name,)},
    r"polished: ([^;]+)(?:; from (.*) with (\d+) atoms)?": _edits_read,
    r"backend: (.+)": lambda name: {"backend": name},
    r"at bound: (\S+) (\S+)": lambda name, at: {
        "at_bounds": ((name, float(at)),)
    },
    r"(strain|surface|orbits|across) refined": lambda move: {
        "refined_moves": (move,)
    },
    r"not determined: (.+)": lambda name: {"not_determined": (name,)},
    r"uneven misfit: half of it from (\S+) to (\S+) A": lambda low, high: {
        "uneven_misfit": (float(low), float(high))
    },
    r"polishing refused: Rw on r left out (\S+), (\S+) after edits": (
        lambda before, after: {"refused_edits": (float(before), float(after))}
    ),
    r"Rw of each PDF: (.+)": lambda rws: {
        "rw_of_each": tuple(float(rw) for rw in rws.split(", "))
    },
}
"""The texts of `State.flags`, and the fields that each of them renders."""

_LISTS = (
    *("notes", "also_proposed_by"),
    *("at_bounds", "refined_moves", "not_determined"),
)
"""Fields of which each member has a flag of its own."""


def read_flags(flags: Iterable[str]) -> dict[str, Any]:
    """Return the fields of `State` that render some texts.

    Parameters
    ----------
    flags : iterable of str
        As `State.flags` renders them, for instance from a result file; what
        is not in that form is a note.

    Returns
    -------
    dict
        All fields by name.
    """
    read: dict[str, Any] = {
        field.name: field.default for field in dataclasses.fields(State)
    }
    for flag in flags:
        for name, value in _read_one(flag).items():
            read[name] = read[name] + value if name in _LISTS else value
    return read


def _read_one(flag: str) -> dict[str, Any]:
    for form, fields_of in _FORMS.items():
        if match := re.fullmatch(form, flag):
            try:
                fields = fields_of(*match.groups())
            except ValueError:  # not a number where one belongs
                break
            # What would not come out as it went in is kept word for word.
            if State(**fields).flags == (flag,):
                return fields
    return {"notes": (flag,)}
