"""When there is no answer: data that are no G(r) of a particle.

Each reason is one physical test of the data, and says what to do.  They are
tried from the plainest to the most particular; the first that holds is told.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from diffpy_cbldm.crystals.radii import neighbour_distance
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting import readings
from diffpy_cbldm.fitting.agreement import power_in_range
from diffpy_cbldm.fitting.attenuated import BULK, fit_crystal
from diffpy_cbldm.fitting.liquid import BEYOND, fit_wave
from diffpy_cbldm.fitting.low_pass import waves_up_to
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.formula import NO_METALS
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.solving.doubt_table import Answer, neighbours_off
from diffpy_cbldm.solving.doubts import DOUBTFUL_RW, UNLIKE
from diffpy_cbldm.solving.headers import nearest_rw

SHELLS = 1.6
"""A range that ends below so many bond lengths has no second shell: that of
fcc lies at 1.41, with the width of its peak."""

NOTHING, NOISE = 0.6, 0.9
"""A best Rw above these explains less than two thirds, or a fifth, of the
data."""

WAVE = 0.5
"""A damped wave with a lower Rw beyond the first shell is a liquid: clusters
and crystals leave 0.64 or more, hard spheres 0.21."""

BLURRED = 0.05
"""No atom of a solid metal has a Uiso so large, A^2."""

WAVE_RANGE = 3.0
"""It is looked for where the range has so many bond lengths at least."""

ENDLESS = math.sqrt(2)
"""The size of a crystal is seen where one without an end leaves more than
twice the squares."""

SIMILAR = 1.1
"""A crystal explains the data as well as the best structure where its Rw is
at most so many times as large."""

INSTEAD = 0.95
"""Another reading of the columns is believed where its Rw is at most so many
times that of G(r)."""

READ_AT = (14.0, 17.0, 20.0, 24.0, 29.0)
"""Qmax at which columns are read as G(r) before they are told to be F(Q)."""

FEW = 6.0
"""A particle that ends within so many bond lengths has few atoms."""

METAL = 0.85
"""Of a compound's data a metal is the answer where its crystal has an Rw at
most so many times that of the compound."""

WHITE = 0.5
"""Noise with more of its power outside of the range of Q is that of points."""

_HALVINGS = 4

_OTHERS = {
    "F(Q)": (
        "the columns fit better as Q and F(Q) (Rw {rw:.3f}) than as r and "
        "G(r) (Rw {least:.3f})",
        "transform F(Q) to G(r), and pass the .gr file",
    ),
    "g(r)": (
        "the second column goes about a level, as g(r) does, and fits better "
        "as that than as G(r)",
        "pass G(r) = 4 pi rho0 r (g(r) - 1)",
    ),
    "upside down": (
        "the data are G(r) upside down: with all signs changed they have the "
        "shells of the metal",
        "change the sign of the second column, and look for what changed it "
        "in the data reduction",
    ),
}
"""What other columns are, and what to do."""


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why there is no structure.

    Attributes
    ----------
    kind : str
        In a word, for programs.
    text, advice : str
        What the data are, and what to do.
    at_least : int or None
        The least number of atoms, where that is told.
    """

    kind: str
    text: str
    advice: str
    at_least: int | None = None


def reason(answer: Answer) -> Reason | None:
    """Why the data have no structure to tell, None where nothing says so.

    Parameters
    ----------
    answer : Answer
        The candidates and what they were fitted to.

    Returns
    -------
    Reason or None
    """
    for test in _TESTS:
        found = test(answer)
        if found:
            return found
    return None


def _short(answer: Answer) -> Reason | None:
    """Data that end before the second shell."""
    bond, target = answer.bond, answer.target
    if bond is None or target.rmax >= SHELLS * bond:
        return None
    return Reason(
        "short range",
        f"the fitted range ends at {target.rmax:g} A, before the second "
        f"shell of atoms",
        f"give G(r) to {10 * bond:.0f} A or more, and pass rmax (--rmax) "
        f"only to cut noise off",
    )


def _other_reading(answer: Answer) -> Reason | None:
    """F(Q), g(r) or -G(r) where G(r) is expected."""
    # Those of a corrected header are other data.
    given = answer.given or answer.target.pdf
    least = min(answer.rw, answer.crystal.rw)
    metal = _of_one_metal(answer)
    others = {"F(Q)": _rw_as_scattering(metal, least)}
    # Whatever is fitted to g(r) or -G(r) explains nearly nothing.
    if least > NOTHING:
        others["g(r)"] = _rw_of(readings.as_pair_function(given), answer)
        others["upside down"] = _rw_of(readings.upside_down(given), answer)
    kind, rw = min(others.items(), key=lambda one: one[1])
    if rw >= INSTEAD * least:
        return None
    # What the generators proposed may be far from the particle of a G(r).
    if kind == "F(Q)" and rw >= INSTEAD * _nearest(metal):
        return None
    text, advice = _OTHERS[kind]
    return Reason(kind, text.format(rw=rw, least=least), advice)


def _of_one_metal(answer: Answer) -> Answer:
    """The same, where an alloy is taken for the metal most like it.

    The crystal of an alloy that fits F(Q) is not that of the sample.
    """
    target = answer.target
    formula = target.pdf.compound
    amounts = formula.amounts if formula else {}
    bonds = {e: neighbour_distance(e) or 0.0 for e in amounts}
    if answer.sphere is None or not all(bonds.values()):
        return answer
    if not bonds or NO_METALS.intersection(bonds):
        return answer
    mean = sum(bonds[e] * n for e, n in amounts.items())
    mean /= sum(amounts.values())
    # The bonds of alloys lie a little above their mean.
    name = min(bonds, key=lambda e: abs(bonds[e] - 1.01 * mean))
    pdf, given = (
        dataclasses.replace(some, composition=name)
        for some in (target.pdf, answer.given or target.pdf)
    )
    cut = Target.of(pdf, target.rmin, target.rmax, target.qdamp_range)
    return dataclasses.replace(answer, target=cut, given=given, sphere=None)


def _rw_as_scattering(answer: Answer, least: float) -> float:
    """Rw of a crystal where the columns are Q and F(Q), or infinite."""
    # Of a compound no crystal fits F(Q): where one fits, time is saved.
    if answer.sphere is not None and least <= DOUBTFUL_RW:
        return math.inf
    other = readings.as_scattering(answer.given or answer.target.pdf)
    return _rw_of(other, answer, few=True)


def _rw_of(other: PDFData | None, answer: Answer, few: bool = False) -> float:
    """Rw of a crystal in other columns, infinite without the metal's bond.

    A sphere is a poor fit to few atoms: where there may be few, the nearest
    ideal clusters are fitted as well.
    """
    if other is None:
        return math.inf
    target = answer.target
    try:
        cut = Target.of(other, target.rmin, qdamp_range=target.qdamp_range)
        if answer.sphere is not None:
            return answer.sphere(cut, None).rw
        bond, expected = cut.bond, neighbour_distance(target.element)
        if expected is None or abs(bond / expected - 1) > UNLIKE:
            return math.inf
        crystal = fit_crystal(cut)
        few = few and crystal.diameter < FEW * bond
        return min(crystal.rw, nearest_rw(cut)) if few else crystal.rw
    except CbldmError:  # no peaks, or too few points
        return math.inf


def _nearest(answer: Answer) -> float:
    """Rw of what is nearest of one element, as G(r), at any Qmax.

    G(r) of an fcc metal with an edge of 4 A, read as F(Q), is that metal
    again.  What makes it fit badly as G(r), a wrong Qmax or noise of single
    points, is lost in the transform of F(Q): here it is left out alike.
    """
    target = answer.target
    if answer.sphere is not None or answer.bond is None:
        return math.inf
    least = nearest_rw(target)
    for qmax in READ_AT:
        low = waves_up_to(target, qmax)
        least = min(least, fit_crystal(low).rw, nearest_rw(low))
    return least


def _compound(answer: Answer) -> Reason | None:
    """First neighbours that are not those of the element."""
    if neighbours_off(answer) <= UNLIKE or answer.bond is None:
        return None
    element = answer.target.element
    expected = neighbour_distance(element)
    return Reason(
        "not this metal",
        f"the first neighbours are {answer.bond:.2f} A apart, those of "
        f"metallic {element} {expected:.2f} A: it is no {element} metal, but "
        f"a compound such as an oxide, or another metal",
        "correct the composition (--composition): of a compound, such as "
        "CeO2, particles are cut from crystals; these candidates are of one "
        "element with this distance",
    )


def _metal(answer: Answer) -> Reason | None:
    """A metal that is told to be a compound of it."""
    formula = answer.target.pdf.compound
    if answer.sphere is None or formula is None or answer.bond is None:
        return None
    metals = [e for e in formula.amounts if e not in NO_METALS]
    if len(metals) == len(formula.amounts):
        return None  # an alloy is one
    for element in metals:
        expected = neighbour_distance(element)
        if expected is None or abs(answer.bond / expected - 1) > UNLIKE:
            continue
        found = fit_crystal(answer.target)
        least = min(answer.rw, answer.crystal.rw)
        if found.rw < min(DOUBTFUL_RW, METAL * least):
            return Reason(
                "a metal",
                f"the PDF is that of metallic {element} ({found}, Rw "
                f"{found.rw:.3f}), not of {answer.target.pdf.composition} "
                f"(Rw {least:.3f})",
                f"give the composition of the metal (--composition {element})",
            )
    return None


def _noise(answer: Answer) -> Reason | None:
    """Data of which nothing is explained."""
    if min(answer.rw, answer.crystal.rw) <= NOISE:
        return None
    target = answer.target
    power = power_in_range(target.r, target.g, target.qmin, target.qmax)
    outside = 1 - power / float(target.g @ target.g)
    # Noise of single points lies mostly outside of the range of Q.
    where = (
        f"{outside:.0%} of them lies outside of the stated Q range"
        if outside > WHITE
        else "they have no shells of atoms"
    )
    return Reason(
        "noise",
        f"the data are noise or no G(r): {where}, and nothing that was "
        f"tried explains them (best Rw {answer.rw:.2f})",
        "check the columns, qmin and qmax, and the data reduction",
    )


def _nothing_fits(answer: Answer) -> Reason | None:
    """Data with shells that no metal particle has."""
    if min(answer.rw, answer.crystal.rw) <= NOTHING:
        return None
    if answer.sphere is not None:
        return Reason(
            "nothing fits",
            f"no crystal that was tried explains the data (best Rw "
            f"{answer.rw:.2f})",
            "check the composition and the Q range, and pass the crystal of "
            "the sample (--crystal FILE.cif)",
        )
    return Reason(
        "nothing fits",
        f"no particle or crystal of one element that was tried explains the "
        f"data (best Rw {answer.rw:.2f})",
        "check the composition and the Q range; for a compound, pass its "
        "composition, or its crystal (--crystal)",
    )


def _liquid(answer: Answer) -> Reason | None:
    """One damped wave in place of shells."""
    bond, target = answer.bond, answer.target
    if bond is None or target.rmax < WAVE_RANGE * bond:
        return None
    wave, decay = fit_wave(target)
    if wave >= WAVE:
        return None
    # A structure whose shells are blurred away is a wave as well.  Edits take
    # the blur upon them, by atoms that stand where no crystal has any.
    blurred = answer.uiso > BLURRED
    if wave >= _rw_beyond(answer, BEYOND * bond) and not blurred:
        return None
    return Reason(
        "liquid or glass",
        f"beyond the first shell the data are one wave that falls to 1/e "
        f"over {decay:.1f} A (Rw {wave:.2f}), as of a liquid or a glass",
        "use a method for disordered matter, such as reverse Monte Carlo",
    )


def _rw_beyond(answer: Answer, start: float) -> float:
    """Rw of the best structure from some r on, by its refined curve."""
    from diffpy_cbldm.fitting.uncertainties import fitted_curve

    curve = fitted_curve(answer.best.results)
    if curve is None:
        return 0.0  # not known: the structure has the benefit of the doubt
    far = curve.x > start
    left = (curve.y - curve.ycalc)[far]
    size = float(np.linalg.norm(curve.y[far])) or 1.0
    return float(np.linalg.norm(left)) / size


def _bulk(answer: Answer) -> Reason | None:
    """A crystal whose end the data do not show."""
    crystal, target = answer.crystal, answer.target
    if crystal.rw > min(DOUBTFUL_RW, SIMILAR * answer.rw):
        return None
    # Of particles smaller than the range the end is seen.
    if crystal.diameter < target.rmax or not _fits(answer, BULK):
        return None
    low, high = math.log(0.5 * target.rmax), math.log(crystal.diameter)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if _fits(answer, math.exp(middle)):
            high = middle
        else:
            low = middle
    size = math.exp(high)
    atoms = dataclasses.replace(crystal, diameter=size).n_atoms
    return Reason(
        "bulk crystal",
        f"the data are those of a bulk crystal ({crystal.lattice}, a "
        f"{crystal.a:.3f} A, Rw {crystal.rw:.3f}), or of particles of at "
        f"least {rounded(atoms):,} atoms, {size:.0f} A across",
        "refine the crystal with PDFgui or diffpy.cmi; to see the end of "
        "large particles, pass qdamp and measure to larger r",
        at_least=rounded(atoms),
    )


def _fits(answer: Answer, diameter: float) -> bool:
    """Whether a sphere of this diameter explains the data as well."""
    crystal = answer.crystal
    if answer.sphere is not None:
        held = answer.sphere(answer.target, diameter)
    else:
        held = fit_crystal(answer.target, (crystal.lattice,), diameter)
    return held.rw < ENDLESS * crystal.rw


def rounded(atoms: int) -> int:
    """Down to one digit: a limit is no measurement."""
    unit = 10 ** max(len(str(atoms)) - 1, 0)
    return max(atoms // unit * unit, 1)


_TESTS: tuple[Callable[[Answer], Reason | None], ...] = (
    _short,
    _other_reading,
    _noise,
    _compound,
    _metal,
    _nothing_fits,
    _liquid,
    _bulk,
)
