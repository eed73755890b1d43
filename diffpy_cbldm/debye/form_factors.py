"""How strongly an atom scatters: X-ray form factors and neutron lengths.

Both come from the package periodictable: the form factors of Waasmaier and
Kirfel, Acta Cryst. A 51, 416 (1995), and the bound coherent scattering
lengths that NIST keeps.  With them the curves of diffpy.srreal for CdSe and
PtNi come out the same, for both radiations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from diffpy_cbldm.errors import CbldmError

STYPES = ("X", "N")
"""X-rays and neutrons."""

_SYMBOL = re.compile(r"(?:(\d+)-)?([A-Za-z]{1,2})(?:(\d*)([+-]))?")


def check_stype(stype: str) -> str:
    """Return the radiation, "X" or "N"; CbldmError for anything else."""
    if stype not in STYPES:
        raise CbldmError(
            f"scattering type is {stype!r}; expected 'X' (X-ray) or 'N' "
            "(neutron): pass one of them."
        )
    return stype


def _parts(symbol: str) -> tuple[str, int, str]:
    """Element, mass number (0: natural) and charge ("" or "2+") of an atom."""
    match = _SYMBOL.fullmatch(symbol.strip())
    if match is None:
        raise CbldmError(
            f"{symbol!r} is not an atom; expected a symbol such as 'Cd', "
            "'Cd2+' or '2-H': correct the element."
        )
    mass, element, count, sign = match.groups()
    element = element.title()
    # Heavy hydrogen has names of its own, but scatters X-rays as H.
    if element in ("D", "T"):
        mass, element = {"D": "2", "T": "3"}[element], "H"
    charge = f"{count or 1}{sign}" if sign and count != "0" else ""
    return element, int(mass or 0), charge


def form_factor(symbol: str, q: np.ndarray) -> np.ndarray:
    """X-ray form factor f0(Q) of an atom or ion, in electrons.

    Parameters
    ----------
    symbol : str
        As in diffpy: "Cd", "Cd2+", "Cl-"; "D" and isotopes are taken as
        their element.
    q : (n,) array, 1/A

    Returns
    -------
    (n,) array.  No anomalous dispersion, as in diffpy.srreal.

    Raises
    ------
    CbldmError
        An atom or ion outside the table, or Q beyond its end, 75 1/A.
    """
    from periodictable import cromermann

    element, _, charge = _parts(symbol)
    try:
        out = cromermann.fxrayatq(element + charge, np.asarray(q))
    except KeyError:
        way = f"; {element!r}, the neutral atom, is" if charge else ""
        raise CbldmError(
            f"{symbol!r} is not in the table of X-ray form factors{way}: "
            "rename the atoms."
        ) from None
    if np.isnan(out).any():
        raise CbldmError(
            f"Q runs to {np.max(q):g} 1/A; the table of form factors ends at "
            "75 1/A: lower Qmax."
        )
    return np.asarray(out, dtype=float)


def scattering_length(symbol: str) -> float:
    """Bound coherent neutron scattering length of an atom, in fm.

    Parameters
    ----------
    symbol : str
        As in diffpy: an element, "D", or an isotope as "13-C"; a charge is
        left out of account.

    Raises
    ------
    CbldmError
        An atom without an entry in the table.
    """
    import periodictable

    element, mass, _ = _parts(symbol)
    try:
        atom = periodictable.elements.symbol(element)
        length = (atom[mass] if mass else atom).neutron.b_c
    except (KeyError, ValueError):
        length = None
    if length is None:
        raise CbldmError(
            f"{symbol!r} is not in the table of neutron scattering lengths: "
            "correct the element or use X-rays."
        )
    return float(length)


def factors(
    symbols: Iterable[str], q: np.ndarray, stype: str
) -> dict[str, np.ndarray]:
    """Scattering factors by symbol, each (n,), for "X" or "N".

    Electrons for X-rays, fm for neutrons; ``q`` (n,) in 1/A.
    """
    check_stype(stype)
    q = np.asarray(q, dtype=float)
    if stype == "X":
        return {symbol: form_factor(symbol, q) for symbol in set(symbols)}
    return {
        symbol: np.full(len(q), scattering_length(symbol))
        for symbol in set(symbols)
    }
