"""Chemical formulas, and the symbols of the elements."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
from collections.abc import Iterator

from diffpy_cbldm.errors import CbldmError

ELEMENTS = tuple("""
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu
Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs
Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl
Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh
Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
""".split())
"""The symbols of the 118 elements, in the order of the atomic number."""


HYDROGEN = {"D": 2, "T": 3}
"""Isotopes of hydrogen that have symbols of their own, by mass number."""

NO_METALS = frozenset(
    "H D T He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Te I Xe At Rn".split()
)
"""Elements that are not taken for the metal of a particle."""

DOMINANT = 0.9
"""A metal with this share of the X-ray scattering stands for the sample."""

ORGANIC = frozenset("C H D T".split())
"""Elements of ligands and solvents."""

OF_COMPOUNDS = 0.5
"""Atoms of other kinds that a compound has for each of its metals: M2O."""

ON_GOLD = frozenset("S Se P N Cl Br I".split())
"""What binds to gold clusters, however small, and makes no particles of
compounds with gold."""

_ABBREVIATIONS = {
    "Ph": "C6H5",
    "Bn": "C7H7",
    "Me": "CH3",
    "Et": "C2H5",
    "iPr": "C3H7",
    "nPr": "C3H7",
    "Bu": "C4H9",
    "iBu": "C4H9",
    "nBu": "C4H9",
    "tBu": "C4H9",
    "Cy": "C6H11",
    "Hex": "C6H13",
    "Oct": "C8H17",
    "Dod": "C12H25",
    "OAc": "C2H3O2",
    "acac": "C5H7O2",
    "pMBA": "C7H5O2S",
    "MBA": "C7H5O2S",
    "PET": "C8H9S",
    "SG": "C10H16N3O6S",
    "GSH": "C10H17N3O6S",
    "PVP": "C6H9NO",
    "PVA": "C2H4O",
    "PEG": "C2H4O",
    "PEO": "C2H4O",
    "PAA": "C3H4O2",
    "PMMA": "C5H8O2",
    "CTAB": "C19H42NBr",
    "CTAC": "C19H42NCl",
    "TOAB": "C32H68NBr",
    "SDS": "C12H25SO4Na",
    "TOPO": "C24H51PO",
    "TOP": "C24H51P",
    "OAm": "C18H37N",
    "CNT": "C",
    "CNTs": "C",
    "GO": "C",
    "rGO": "C",
    "carbon": "C",
    "silica": "SiO2",
    "alumina": "Al2O3",
    "titania": "TiO2",
    "ceria": "CeO2",
    "zirconia": "ZrO2",
    "NP": "",
    "NPs": "",
    "NC": "",
    "NCs": "",
}
"""Groups, ligands, polymers (a unit) and supports that formulas abbreviate."""

_GROUPS = "|".join(sorted(_ABBREVIATIONS, key=len, reverse=True))

_TOKEN = re.compile(
    rf"""(?P<isotope>[(\[]\d+-?(?P<heavy>[A-Z][a-z]?)[)\]])
    | (?P<open>[(\[{{])
    | (?P<close>[)\]}}])
    | (?<![A-Z])(?P<capitals>[A-Za-z]?[A-Z]{{2,}}s?)(?![a-z])
    | (?P<group>{_GROUPS})(?![a-z])
    | (?P<symbol>[A-Z][a-z]*)
    | (?P<word>[^\W\d_A-Z][^\W\d_]*)
    | (?P<number>\d*\.?\d+)""",
    re.X,
)
"""What a formula is made of; abbreviations come before symbols."""

_SUBSCRIPTS = str.maketrans(
    "\u2080\u2081\u2082\u2083\u2084\u2085\u2086" "\u2087\u2088\u2089",
    "0123456789",
)


@dataclasses.dataclass(frozen=True)
class Formula:
    """What a chemical formula says.

    Attributes
    ----------
    amounts : dict
        Atoms by symbol, in the order in which they appear.
    unknown : tuple of str
        Parts that are neither an element nor a known abbreviation.
    materials : int
        Parts that a separator parts, such as metal and support in Pt/C.
    """

    amounts: dict[str, float]
    unknown: tuple[str, ...]
    materials: int = 1

    def __str__(self) -> str:
        return "".join(
            symbol if amount == 1 else f"{symbol}{amount:g}"
            for symbol, amount in self.amounts.items()
        )

    @property
    def compound(self) -> bool:
        """Whether it is that of a compound or an alloy of several elements.

        A metal with organic ligands or on a support is none, and neither is
        one with fewer than `OF_COMPOUNDS` other atoms for each of its own,
        which stand at its surface; of gold none with those of `ON_GOLD`.
        """
        if len(self.amounts) < 2 or self.materials > 1:
            return False
        if ORGANIC.intersection(self.amounts):
            return False
        kinds = set(self.amounts)
        if "Au" in kinds and kinds <= ON_GOLD | {"Au"}:
            return False
        others = sum(n for e, n in self.amounts.items() if e in NO_METALS)
        metals = sum(self.amounts.values()) - others
        return not others or others >= OF_COMPOUNDS * metals

    @property
    def dominant(self) -> tuple[str, float] | None:
        """The metal with `DOMINANT` of the X-ray scattering, and its share.

        The scattering of an element goes as n Z^2, n atoms of the atomic
        number Z.  None where no metal has that much.
        """
        power = {
            symbol: amount * atomic_number(symbol) ** 2
            for symbol, amount in self.amounts.items()
        }
        symbol = max(power, key=power.__getitem__, default="")
        if not symbol or symbol in NO_METALS or not power[symbol]:
            return None
        share = power[symbol] / sum(power.values())
        return (symbol, share) if share >= DOMINANT else None


def atomic_number(symbol: str) -> int:
    """The atomic number of an element or of D and T."""
    return 1 if symbol in HYDROGEN else ELEMENTS.index(symbol) + 1


@functools.lru_cache(maxsize=256)
def read_formula(text: str) -> Formula:
    """Read a formula as people write it, abbreviations included.

    Parameters
    ----------
    text : str
        Such as ``Au144(SC2H4Ph)60``, ``Pt @ SiO2``, ``Pt/C`` or ``D2O``.
        Parts without a number count once.

    Returns
    -------
    Formula
    """
    text = text.translate(_SUBSCRIPTS)
    # Percentages and charges are no numbers of atoms.
    text = re.sub(r"\d+(?:[.,]\d+)?\s*(?:(?:wt|at|mol)\.?)?\s*%", " ", text)
    text = re.sub(r"(?<=[A-Za-z])\d*\+(?=\s|$|[)\]])", "", text)
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    text = re.sub(r"\b([a-z])-(?=[A-Z])", r"\1", text)  # p-MBA, i-Pr
    amounts: dict[str, float] = collections.defaultdict(float)
    unknown: list[str] = []
    materials = 0
    # Parts such as metal and support; each may have a number in front.
    for part in re.split(r"[/@:;,+*|\u00b7\u2022](?![^(\[]*[)\]])", text):
        times = re.match(r"\s*(\d*\.?\d+)(?=\s*[A-Z(\[])", part)
        if times:
            part = part[times.end() :]
        held = _summed(part, unknown)
        materials += bool(held)
        for symbol, amount in held.items():
            amounts[symbol] += amount * (float(times[1]) if times else 1.0)
    return Formula(dict(amounts), tuple(unknown), max(materials, 1))


def _summed(part: str, unknown: list[str]) -> dict[str, float]:
    """Atoms of a part without separators; what is unknown is appended."""
    levels = [collections.defaultdict[str, float](float)]
    last: dict[str, float] = {}

    def close() -> None:
        for symbol, amount in last.items():
            levels[-1][symbol] += amount

    for token in _tokens(part):
        kind, text = token
        if kind == "number":
            last = {s: n * float(text) for s, n in last.items()}
            continue
        close()
        last = {}
        if kind == "open":
            levels.append(collections.defaultdict(float))
        elif kind == "close":
            if len(levels) > 1:
                last = dict(levels.pop())
        elif text in _ABBREVIATIONS:
            last = dict(_summed(_ABBREVIATIONS[text], unknown))
        elif text in ELEMENTS or text in HYDROGEN:
            last = {text: 1.0}
        else:
            unknown.append(text)
    close()
    while len(levels) > 1:
        last = dict(levels.pop())
        close()
    return dict(levels[0])


def _tokens(part: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each token; capitals are taken apart if no name."""
    for match in _TOKEN.finditer(part):
        kind, text = str(match.lastgroup), match[0]
        if kind == "heavy" or match["isotope"]:
            yield "symbol", match["heavy"]
        elif kind != "capitals" or text in _ABBREVIATIONS:
            yield kind, text
        else:
            # "CO", "KOH" or "SPh" cut short: element by element
            for piece in re.findall(rf"{_GROUPS}|[A-Z][a-z]*|[a-z]+", text):
                yield "symbol", piece


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
    formula = read_formula(composition)
    if not formula.amounts and not formula.unknown:
        raise CbldmError(
            f"composition is {composition!r}; expected a formula: pass "
            'composition="Pt" (--composition Pt).'
        )
    for symbol in formula.unknown:
        guess = symbol.capitalize()
        hint = f"; did you mean {guess}?" if guess in ELEMENTS else ""
        raise CbldmError(
            f"unknown element {symbol!r} in composition "
            f"{composition!r}{hint}: pass a formula such as "
            'composition="Pt" (--composition Pt).'
        )
    return tuple(formula.amounts)


def atom_symbol(label: str) -> str | None:
    """The element that a label of an atom names, None where it names none.

    Parameters
    ----------
    label : str
        As in structure files: ``Pt``, ``PT``, ``pt12``, ``Pt4+``, ``Pt_a``.

    Returns
    -------
    str or None
        The symbol without number and charge.  Isotopes stay what they are:
        ``D``, ``T``, and ``13-C`` for ``13-C`` and ``13C``.
    """
    match = re.fullmatch(
        r"(?:(\d+)-?)?([A-Za-z]{1,2})(?:[\d+_*'(.-].*)?", label.strip()
    )
    if match is None:
        return None
    mass, symbol = match[1], match[2].capitalize()
    if symbol in HYDROGEN:
        return None if mass else symbol
    if symbol not in ELEMENTS:
        return None
    if mass is None:
        return symbol
    number = atomic_number(symbol)
    if not number <= int(mass) <= 3 * number:
        return None
    # One isotope, one name.
    heavy = {str(a): s for s, a in HYDROGEN.items()}
    if symbol == "H":
        return heavy.get(mass, "H")
    return f"{mass}-{symbol}"


def element_and_mass(symbol: str) -> tuple[str, int]:
    """The element of a symbol of `atom_symbol`, and the mass number or 0."""
    mass, dash, element = symbol.rpartition("-")
    if dash:
        return element, int(mass)
    return ("H", HYDROGEN[symbol]) if symbol in HYDROGEN else (symbol, 0)
