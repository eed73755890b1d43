"""Chemical formulas, and the symbols of the elements."""

from __future__ import annotations

import re

from diffpy_cbldm.errors import CbldmError

ELEMENTS = tuple("""
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu
Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs
Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl
Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh
Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
""".split())
"""The symbols of the 118 elements, in the order of the atomic number."""


def parse_composition(composition: str) -> tuple[str, ...]:
    """Return the distinct elements of a chemical formula.

    Parameters
    ----------
    composition : str
        A formula such as ``Pt``, ``Au144``, ``Pt1.0``, ``Cd Se`` or
        ``Ba0.7K0.3(Zn0.85Mn0.15)2As2``.

    Returns
    -------
    tuple of str
        The symbols, each once, in the order in which they appear.

    Raises
    ------
    CbldmError
        Where a symbol is not an element, or there is none.
    """
    # Numbers, brackets and signs only say how much there is of each.
    letters = re.sub(r"[\d.,\s()\[\]{}+*:_-]+", " ", composition)
    symbols = re.findall(r"[A-Z][a-z]*|[^\sA-Z]+", letters)
    if not symbols:
        raise CbldmError(
            f"composition is {composition!r}; expected a formula: pass "
            'composition="Pt" (--composition Pt).'
        )
    for symbol in symbols:
        if symbol not in ELEMENTS:
            guess = symbol.capitalize()
            hint = f"; did you mean {guess}?" if guess in ELEMENTS else ""
            raise CbldmError(
                f"unknown element {symbol!r} in composition "
                f"{composition!r}{hint}: pass a formula such as "
                'composition="Pt" (--composition Pt).'
            )
    return tuple(dict.fromkeys(symbols))
