"""The honest baseline: a crystal that ends at a sphere, without any atoms.

G(r) of a large particle is that of its crystal, each pair counted as often as
both ends lie in the particle.  For a sphere of diameter D that is

    gamma(d) = 1 - 3/2 (d/D) + 1/2 (d/D)^3,   d < D

(Guinier & Fournet, Small-Angle Scattering of X-rays, 1955; the spdiameter of
PDFgui).  Five parameters and the scale, whatever the size: a structure of
ours that explains the data worse than this one has not explained them.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from diffpy_cbldm.crystals.lattices import sphere, stacking_sites
from diffpy_cbldm.fitting.quickfit import BOUNDS, START
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.fitting.waves import FADE, Points, Waves
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.protocols import Stored

LATTICES = ("fcc", "bcc", "hcp", "sc")
"""Those that are tried."""

_CELL = {
    "fcc": (2**0.5, 2**0.5),
    "bcc": (2 / 3**0.5, 0.75 * 3**0.5),
    "hcp": (1.0, 2**0.5),
    "sc": (1.0, 1.0),
}
"""Lattice parameter a in bond lengths, and atoms in a bond length cubed."""

DIAMETERS = np.geomspace(8.0, 300.0, 25)
"""Diameters of the particle that are tried first, A."""

BULK = 1e5
"""Diameter (A) of a sphere that ends nowhere within any data."""

_STRETCHES = np.linspace(-0.03, 0.03, 7)

_STEPS = 12

WIDTHS, FIRST_WIDTH = (0.0, 0.4), 0.15
"""Bounds of the width of ln D, and where its fit begins."""

_NODES, _PARTS = np.polynomial.hermite_e.hermegauss(9)
_PARTS /= _PARTS.sum()
"""Normal deviates at which a distribution is summed, and their shares."""

FAR = 1.5
"""Lattices whose first comparison gives so many times the least Rw, and
`FAR_MORE` more, are not fitted."""

FAR_MORE = 0.05


@dataclasses.dataclass(frozen=True)
class AttenuatedCrystal(Stored):
    """What a spherical piece of a crystal can do for a measured G(r).

    Attributes
    ----------
    lattice : str
        "fcc", "bcc", "hcp" (with the ideal ratio of its axes) or "sc"; of
        compounds the name of the crystal.
    a : float, angstrom
        The lattice parameter.
    diameter : float, angstrom
        Of the sphere, at most 300: a larger one is a bulk crystal.
    uiso, delta2 : float, A^2
    qdamp : float, 1/A
    scale : float
    rw : float
        On all data points of the fitting range.
    tried : dict of str to float
        Rw of each lattice; that of a first comparison where it is far off.
    density : float, optional
        Atoms in a cubic angstrom, of other crystals than the four.
    uiso_by_element : dict of str to float, A^2
        Of several elements; `uiso` is their mean over the atoms.
    """

    lattice: str
    a: float
    diameter: float
    uiso: float
    delta2: float
    qdamp: float
    scale: float
    rw: float
    tried: dict[str, float]
    density: float | None = None
    uiso_by_element: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def n_atoms(self) -> int:
        """Atoms in a sphere of this diameter."""
        if self.density is not None:
            return round(math.pi / 6 * self.density * self.diameter**3)
        side, density = _CELL[self.lattice]
        bond = self.a / side
        return round(math.pi / 6 * density * (self.diameter / bond) ** 3)

    def __str__(self) -> str:
        return f"{self.lattice}, a {self.a:.3f} A, D {self.diameter:.1f} A"


@functools.lru_cache(maxsize=16)
def lattice_shells(
    lattice: str, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Distances from an atom of a crystal, and how many atoms have each.

    Parameters
    ----------
    lattice : str
        One of `LATTICES`.
    radius : float
        The longest distance, in bond lengths.

    Returns
    -------
    distance, count : (S,) arrays, bond lengths and atoms
        Rising; equal distances are one shell.
    """
    if lattice == "hcp":
        points = sphere("stack", radius)
        layer, site = stacking_sites(points)
        points = points[site == layer % 2]
    else:
        points = sphere(lattice, radius)
    square = (points**2).sum(1)
    # Squares of distances on these lattices are multiples of 1/3.
    key, count = np.unique(np.rint(3 * square).astype(int), return_counts=True)
    return np.sqrt(key[1:] / 3), count[1:].astype(float)


def attenuation(d: np.ndarray, diameter: float) -> np.ndarray:
    """The share of pairs at a distance that a sphere holds, gamma(d)."""
    x = np.minimum(d / diameter, 1.0)
    return 1 - 1.5 * x + 0.5 * x**3


def fit_crystal(
    target: PDFData | Target,
    lattices: tuple[str, ...] = LATTICES,
    diameter: float | None = None,
) -> AttenuatedCrystal:
    """Fit a measured G(r) by a spherical piece of a crystal.

    Scale, lattice parameter, diameter, Uiso, delta2 and, where it is not
    given, Qdamp, within the bounds of the quick fit.

    Parameters
    ----------
    target : Target, or PDFData with the default range
        The data of a particle of one element.
    lattices : tuple of str
        Those of `LATTICES` that are tried.
    diameter : float, angstrom, optional
        Held there; `BULK` is a crystal without an end.

    Returns
    -------
    AttenuatedCrystal, that of the lattice with the lowest Rw.
    """
    target = Target.of(target)
    some = {name: _Fit(target, name, diameter) for name in lattices}
    tried = {name: fit.first[0] for name, fit in some.items()}
    limit = FAR * min(tried.values()) + FAR_MORE
    fits = [fit.best() for fit in some.values() if fit.first[0] <= limit]
    tried |= {fit.lattice: fit.rw for fit in fits}
    best = min(fits, key=lambda fit: fit.rw)
    return dataclasses.replace(best, tried=tried)


def crystal_misfit(
    target: Target, crystal: AttenuatedCrystal, diameter: float
) -> tuple[np.ndarray, np.ndarray]:
    """What a crystal of another diameter leaves of the data.

    Parameters
    ----------
    target : Target
    crystal : AttenuatedCrystal
        Its lattice is taken, and its other parameters to begin with.
    diameter : float, angstrom
        Held; lattice parameter, Uiso, delta2, Qdamp and scale are fitted.

    Returns
    -------
    r : (n,) array, angstrom
    misfit : (n,) array
        Over the norm of the data.
    """
    return _Fit(target, crystal.lattice).held(crystal, diameter)


def weight_mean(target: Target, crystal: AttenuatedCrystal) -> float:
    """The weight mean of N where diameters have a lognormal width.

    Of atoms, ln D is normal (`diffpy_cbldm.fitting.distribution`); all
    parameters and the width are fitted.

    Parameters
    ----------
    target : Target
    crystal : AttenuatedCrystal
        Its lattice is taken, and its parameters to begin with.
    """
    return _Fit(target, crystal.lattice).weight_mean(crystal)


def crystal_curve(target: Target, crystal: AttenuatedCrystal) -> np.ndarray:
    """G(r) of a fitted crystal at the points of a target, (n,), 1/A^2."""
    fit = _Fit(target, crystal.lattice)
    z = crystal.a / _CELL[crystal.lattice][0] / target.bond
    size, qdamp = math.log(crystal.diameter), crystal.qdamp
    p = np.array([z, size, crystal.uiso, crystal.delta2, qdamp])
    points = Points(target, fit.waves.q)
    g = points.curve(fit._scattering(p), qdamp)
    return crystal.scale * g / points.root


def trial_crystals(
    target: Target, diameters: np.ndarray, uiso: float, qdamp: float
) -> tuple[list[AttenuatedCrystal], np.ndarray]:
    """Crystals of all lattices at some diameters and stretches.

    Parameters
    ----------
    target : Target
    diameters : (D,) array, angstrom
    uiso : float, A^2
    qdamp : float, 1/A

    Returns
    -------
    crystals : list of AttenuatedCrystal
        With a scale of 1, and no Rw.
    curves : (n, C) array, 1/A^2
        G(r) of each.
    """
    crystals, curves = [], []
    delta2 = START["delta2"]
    for lattice in LATTICES:
        fit = _Fit(target, lattice)
        points = Points(target, fit.waves.q)
        for z in 1 + _STRETCHES:
            f = fit.waves.at(z, uiso, delta2) @ fit._pairs(z, diameters)
            curves.append(points.curve(f, qdamp) / points.root[:, None])
            a = _CELL[lattice][0] * target.bond * z
            crystals += [
                AttenuatedCrystal(
                    lattice=lattice,
                    a=a,
                    diameter=float(size),
                    uiso=uiso,
                    delta2=delta2,
                    qdamp=qdamp,
                    scale=1.0,
                    rw=math.nan,
                    tried={},
                )
                for size in diameters
            ]
    return crystals, np.concatenate(curves, 1)


class _Fit:
    """One lattice against one measured curve.

    Its parameters are the stretch of the bond, log D, Uiso, delta2, Qdamp.
    """

    def __init__(
        self, target: Target, lattice: str, diameter: float | None = None
    ):
        self.target, self.lattice = target, lattice
        self.sizes = DIAMETERS if diameter is None else np.array([diameter])
        end = (target.rmax + FADE) / (target.bond * (1 + _STRETCHES[0]))
        d, self.count = lattice_shells(lattice, math.ceil(end))
        self.waves = Waves(target, d * target.bond)
        self.points = Points(target.thinned(2.0), self.waves.q)

    def _scattering(self, p: np.ndarray) -> np.ndarray:
        """F(Q) of the parameters, (K,)."""
        z, log_size, uiso, delta2, _ = p
        pairs = self._pairs(z, np.exp([log_size]))[:, 0]
        return self.waves.at(z, uiso, delta2) @ pairs

    def _pairs(self, z: float, diameters: np.ndarray) -> np.ndarray:
        """Pairs an atom at each distance, for each diameter, (S, D)."""
        d = z * self.waves.distances
        held = [attenuation(d, diameter) for diameter in diameters]
        return self.count[:, None] * np.stack(held, 1)

    def best(self) -> AttenuatedCrystal:
        """The fit from the best of some sizes and stretches."""
        from scipy.optimize import least_squares

        low, high = self._bounds()
        fit = least_squares(
            lambda p: self.points.misfit(self._scattering(p), p[4]),
            self.first[1].clip(low + 1e-9, high - 1e-9),
            bounds=(low, high),
            x_scale=[0.003, 0.05, 0.003, 1.0, 0.02],
            max_nfev=_STEPS,
            xtol=1e-4,
            ftol=1e-4,
        )
        z, log_size, uiso, delta2, qdamp = fit.x
        f = self._scattering(fit.x)
        points = Points(self.target, self.waves.q)
        return AttenuatedCrystal(
            lattice=self.lattice,
            a=_CELL[self.lattice][0] * self.target.bond * z,
            diameter=float(np.exp(log_size)),
            uiso=float(uiso),
            delta2=float(delta2),
            qdamp=float(qdamp),
            scale=points.scaled(f, qdamp)[1],
            rw=float(np.linalg.norm(points.misfit(f, qdamp))),
            tried={},
        )

    def held(
        self, crystal: AttenuatedCrystal, diameter: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `crystal_misfit`."""
        from scipy.optimize import least_squares

        size = math.log(diameter)
        low, high = (np.delete(limit, 1) for limit in self._bounds())
        side = _CELL[self.lattice][0] * self.target.bond
        widths = crystal.uiso, crystal.delta2, crystal.qdamp
        start = np.array([crystal.a / side, *widths])

        def misfit(p: np.ndarray) -> np.ndarray:
            whole = np.insert(p, 1, size)
            return self.points.misfit(self._scattering(whole), p[3])

        fit = least_squares(
            misfit,
            start.clip(low + 1e-9, high - 1e-9),
            bounds=(low, high),
            x_scale=[0.003, 0.003, 1.0, 0.02],
            max_nfev=_STEPS // 3,
            xtol=1e-3,
            ftol=1e-3,
        )
        return self.points.r, fit.fun

    def weight_mean(self, crystal: AttenuatedCrystal) -> float:
        """See the function."""
        from scipy.optimize import least_squares

        limits = zip(self._bounds(), WIDTHS)
        low, high = (np.append(limit, width) for limit, width in limits)
        side, density = _CELL[self.lattice]
        start = [
            crystal.a / side / self.target.bond,
            math.log(crystal.diameter),
            *(crystal.uiso, crystal.delta2, crystal.qdamp, FIRST_WIDTH),
        ]

        def misfit(p: np.ndarray) -> np.ndarray:
            z, size, uiso, delta2, qdamp, width = p
            pairs = self._pairs(z, np.exp(size + width * _NODES)) @ _PARTS
            f = self.waves.at(z, uiso, delta2) @ pairs
            return self.points.misfit(f, qdamp)

        fit = least_squares(
            misfit,
            np.clip(start, low + 1e-9, high - 1e-9),
            bounds=(low, high),
            x_scale=[0.003, 0.05, 0.003, 1.0, 0.02, 0.05],
            max_nfev=_STEPS,
            xtol=1e-4,
            ftol=1e-4,
        )
        z, size, *_, width = fit.x
        reach = size - math.log(self.target.bond * z)
        # Of atoms, ln N is normal as well, of three times the width.
        spread = 4.5 * width**2
        return math.pi / 6 * density * math.exp(3 * reach + spread)

    @functools.cached_property
    def first(self) -> tuple[float, np.ndarray]:
        """Rw and parameters of the best of the sizes and some stretches."""
        qdamp = self.target.first_qdamp
        widths = START["uiso"], START["delta2"]
        tries = []
        for z in 1 + _STRETCHES:
            f = self.waves.at(z, *widths) @ self._pairs(z, self.sizes)
            curves = self.points.curve(f, qdamp)
            cross = (self.points.data @ curves).clip(min=0)
            share = cross**2 / (curves**2).sum(0)
            k = int(np.argmax(share))
            tries.append((share[k], z, math.log(self.sizes[k])))
        share, z, log_size = max(tries)
        left = max(1 - float(share) / self.points.norm**2, 0.0)
        return math.sqrt(left), np.array([z, log_size, *widths, qdamp])

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        shortest = self.target.bond * (1 + _STRETCHES[0])
        # One that is held needs some room between its bounds.
        sizes = np.log(self.sizes[[0, -1]]) + np.array([-1e-7, 1e-7])
        limits = [BOUNDS["uiso"], BOUNDS["delta2"], self.target.qdamp_range]
        low, high = np.array([(0.95, 1.05), sizes, *limits]).T
        # The nearest peak must keep a width.
        high[3] = min(high[3], 0.95 * shortest**2)
        if self.target.qdamp is not None:
            low[4], high[4] = self.target.qdamp + np.array([-1e-7, 1e-7])
        return low, high
