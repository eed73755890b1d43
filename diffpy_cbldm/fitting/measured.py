"""G(r) of a powder, as it would be measured: what a `World` adds to a cluster.

The reduced structure function is a mean over the atoms of the powder,

    F(Q) = sum_p sum_{i != j} f_i f_j sin(Q d) / d exp(-w Q^2) / (N <f>^2)
    w = (U_i + U_j) / 2 (1 - delta2 / d^2 + (Qbroad d)^2)

with p its particles and N their atoms.  What a measurement adds is added to
F(Q), and the transform to G(r) is that of the data reduction:

    G(r) = 2/pi sum_Q F(Q) sin(Q r) dQ,  Q from Qmin to Qmax

The signal is damped by the resolution, exp(-(Qdamp r)^2 / 2), noise is not.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.crystals.bonds import diameter, nearest_neighbour_distance
from diffpy_cbldm.crystals.pair_kernels import binned_pairs
from diffpy_cbldm.crystals.powder import (
    Member,
    covered,
    sizes_of_shape,
    sphere_of,
    weathered,
)
from diffpy_cbldm.debye.form_factors import factors
from diffpy_cbldm.debye.widths import width_ratio
from diffpy_cbldm.debye.world import World
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.settings import Simulation

STEP = 0.005
"""Bins of the distances, A: at 30 1/A the mean of sin(Q d) is off by 0.3 %."""

LIGAND_UISO = 0.02
"""Mean square displacement of ligands, A^2: they are held by one bond."""

SMOOTH = 1.2
"""A background has no waves in F(Q) of a distance beyond this, A."""


@dataclasses.dataclass(frozen=True)
class Powder:
    """The particles behind a simulated measurement.

    Attributes
    ----------
    members : tuple of Member
        Each stands for as many particles.
    element : str
    bond : float, angstrom
        Of the particle before its atoms are shifted.
    """

    members: tuple[Member, ...]
    element: str
    bond: float

    @property
    def number_mean(self) -> float:
        """<N> of the metal atoms."""
        return float(np.mean([m.atoms for m in self.members]))

    @property
    def weight_mean(self) -> float:
        """<N^2> / <N>, what one particle that fits tells."""
        atoms = np.array([m.atoms for m in self.members], float)
        return float((atoms**2).sum() / atoms.sum())


def powder_of(cluster: Cluster, world: World) -> Powder:
    """The particles of a powder around a cluster.

    Parameters
    ----------
    cluster : Cluster
        Of one element; a Candidate's `structure_type` names icosahedra and
        decahedra, whose sizes have series of their own.
    world : World

    Raises
    ------
    CbldmError
        Several elements, or a spread of sizes of what stands on no lattice.
    """
    kinds = sorted(set(cluster.elements))
    if len(kinds) > 1:
        raise CbldmError(
            f"the cluster has the elements {', '.join(kinds)}; expected one "
            "where a world is given, which adds ligands itself: pass the "
            "metal atoms alone, or no world."
        )
    rng = np.random.default_rng([world.seed, 1])
    kind = getattr(cluster, "structure_type", "")
    clusters = [np.asarray(cluster.positions, float)]
    if world.size_spread:
        clusters = sizes_of_shape(clusters[0], kind, world.size_spread, rng)
    members = []
    for positions in clusters:
        member = weathered(positions, rng, world.missing, world.shifted)
        if world.ligand and world.coverage:
            member = covered(member, rng, world.coverage, world.ligand_length)
        members.append(member)
    bond = nearest_neighbour_distance(cluster.positions)
    return Powder(tuple(members), kinds[0], bond)


def measured_curve(
    cluster: Cluster, settings: Simulation, world: World, r: np.ndarray
) -> np.ndarray:
    """G(r) of a powder as it would be measured, (n,), 1/A^2.

    Parameters
    ----------
    cluster : Cluster
    settings : Simulation
    world : World
    r : (n,) array, angstrom
        From 0 on, even.
    """
    powder = powder_of(cluster, world)
    # Fine enough that nothing of the curve comes back from its period.
    longest = max(diameter(m.positions) for m in powder.members)
    reach = max(float(r[-1]), longest, world.second_diameter) + 15.0
    dq = math.pi / reach
    first = math.ceil(settings.qmin / dq)
    q = np.arange(max(first, 1), math.ceil(settings.qmax / dq)) * dq
    # Distances come out longer where the true Q is larger than the one told.
    true_q = q * (1 + world.wavelength_error)
    signal = _scattering(powder, true_q, settings, world)
    rng = np.random.default_rng([world.seed, 2])
    error = world.background * _background(q, signal, rng)
    if world.rpoly:
        error = error - polynomial(q, signal + error, world.rpoly)
    transform = 2 / math.pi * dq * np.sin(r[:, None] * q)
    g = transform @ signal * np.exp(-0.5 * (settings.qdamp * r) ** 2)
    g = g + transform @ error
    if world.noise:
        noise = transform @ _counting(q, powder.element, settings.stype, rng)
        g = g + world.noise * noise * float(np.std(g) / np.std(noise))
    return g


def _scattering(
    powder: Powder, q: np.ndarray, settings: Simulation, world: World
) -> np.ndarray:
    """F(Q) of the powder and its second phase, (K,)."""
    inner = settings.biso / (8 * math.pi**2)
    outer = inner
    if world.surface_biso is not None:
        outer = world.surface_biso / (8 * math.pi**2)
    widths = (inner, outer, LIGAND_UISO)
    elements = (powder.element, powder.element, world.ligand or "C")
    law = {"delta2": settings.delta2, "qbroad": world.qbroad}
    about = (elements, widths, settings.stype, law)
    main = structure_function(powder.members, q, *about)
    if not (world.second and world.second_share):
        return main
    # Of atoms that were shifted the nearest neighbour is nearer.
    x = sphere_of(world.second, powder.bond, world.second_diameter)
    other = structure_function([Member(x, np.zeros(len(x), int))], q, *about)
    share = world.second_share
    return (1 - share) * main + share * other


def structure_function(
    members: Sequence[Member],
    q: np.ndarray,
    elements: Sequence[str],
    widths: Sequence[float],
    stype: str,
    law: dict[str, float],
) -> np.ndarray:
    """F(Q) of particles, a mean over their atoms, (K,), 1/A.

    Parameters
    ----------
    members : sequence of Member
    q : (K,) array, 1/A
    elements, widths : of each kind of atom
        Symbols, and Uiso in A^2.
    stype : {"X", "N"}
    law : dict
        delta2 (A^2) and qbroad (1/A).
    """
    f = factors(sorted(set(elements)), q, stype)
    kinds = np.concatenate([m.kind for m in members])
    counts = np.bincount(kinds, minlength=len(elements))
    total = len(kinds)
    mean = counts @ np.stack([f[e] for e in elements]) / total
    longest = max(diameter(m.positions) for m in members)
    bins = int(longest / STEP) + 3
    out = np.zeros(len(q))
    for a in range(len(elements)):
        for b in range(a + 1):
            pairs = np.sum([_pairs(m, a, b, bins) for m in members], 0)
            at = np.flatnonzero(pairs)
            if not len(at):
                continue
            d = at * STEP
            w = (widths[a] + widths[b]) / 2 * width_ratio(d, **law).clip(0)
            waves = np.sin(q[:, None] * d) * np.exp(-(q[:, None] ** 2) * w)
            out += f[elements[a]] * f[elements[b]] * (waves @ (pairs[at] / d))
    return 2 * out / (total * mean**2)


def _pairs(member: Member, a: int, b: int, bins: int) -> np.ndarray:
    """Pairs i < j of atoms of two kinds in bins of `STEP`, (bins,)."""
    x = np.ascontiguousarray(member.positions, float)

    def inside(*kinds: int) -> np.ndarray:
        some = np.ascontiguousarray(x[np.isin(member.kind, kinds)])
        return binned_pairs(some, STEP, bins)

    if a == b:
        return inside(a)
    # Pairs of two kinds are those of both less those within each.
    return inside(a, b) - inside(a) - inside(b)


def _background(
    q: np.ndarray, signal: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A smooth curve with the root mean square of F(Q), (K,)."""
    places = np.linspace(0.1, SMOOTH, 6)
    waves = np.sin(q[:, None] * places) @ rng.normal(size=len(places))
    return waves * float(np.std(signal) / np.std(waves))


def polynomial(q: np.ndarray, f: np.ndarray, rpoly: float) -> np.ndarray:
    """What the correction of PDFgetX3 takes away from F(Q), (K,).

    Q P(Q) fitted by least squares, with P of a degree that is no whole
    number: the curves of the two nearest degrees are averaged (Juhas, Davis,
    Farrow & Billinge, J. Appl. Cryst. 2013, 46, 560).

    Parameters
    ----------
    q, f : (K,) arrays, 1/A
    rpoly : float, angstrom
        The degree is rpoly Qmax / pi.
    """
    degree = rpoly * q[-1] / math.pi
    low = math.floor(degree)
    # Chebyshev polynomials keep the equations well conditioned.
    x = 2 * q / q[-1] - 1
    curves = []
    for n in (low, low + 1):
        terms = np.polynomial.chebyshev.chebvander(x, n) * q[:, None]
        curves.append(terms @ np.linalg.lstsq(terms, f, rcond=None)[0])
    part = degree - low
    return (1 - part) * curves[0] + part * curves[1]


def _counting(
    q: np.ndarray, element: str, stype: str, rng: np.random.Generator
) -> np.ndarray:
    """Noise of counts in F(Q), but for its size: it grows as Q / f(Q)."""
    # I is counted with sqrt(I), and F is Q I / f^2 with I about f^2.
    f = factors([element], q, stype)[element]
    return rng.normal(size=len(q)) * q / f
