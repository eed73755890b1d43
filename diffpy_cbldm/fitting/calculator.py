"""The stand-in for diffpy.srreal's DebyePDFCalculator.

A fit asks for hundreds of curves of one geometry.  `PairCache` keeps what
depends on the geometry alone: its distances, and the bins they fill, out of
which `diffpy_cbldm.debye.pure` makes the curve.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from diffpy_cbldm.debye import form_factors, mixed, pure, quick_sums
from diffpy_cbldm.debye.arguments import checked_positions
from diffpy_cbldm.debye.conditions import Conditions, Grid, check_curve
from diffpy_cbldm.debye.pair_table import WidthTables
from diffpy_cbldm.debye.pairgrid import EXACT, TOUCHING
from diffpy_cbldm.debye.qgrid import R_END, whole_end
from diffpy_cbldm.debye.widths import end_ratio
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.distances import counted_distances
from diffpy_cbldm.fitting.kept_bins import KeptBins
from diffpy_cbldm.fitting.mixed_pairs import MixedPairs

MANY_KINDS = 6
"""Of more kinds of atoms the pairs are not kept by kinds."""

PRECISION = 1e-10
"""Deviation of the built-in calculator from the native one."""


class PairCache:
    """The pairs of one cluster of one element, kept between curves.

    Parameters
    ----------
    positions : (N, 3) array, angstrom

    Raises
    ------
    CbldmError
        Wrong shape, NaN, atoms at one place.
    """

    def __init__(self, positions: np.ndarray) -> None:
        x = np.asarray(positions, dtype=float)
        self._x, self._lengths = checked_positions(x[None], None)
        self._table: WidthTables | None = None
        # Those of large clusters are few: each stands for many pairs.
        counted = counted_distances(x)
        if counted is None:
            # pdist does not lose digits as the matrix form would.
            d = pdist(x)
            counted = d, np.ones(len(d))
        d, pairs = counted
        if len(d) and float(d.min()) < TOUCHING:
            raise CbldmError(
                f"two atoms are {float(d.min()):.2g} apart; expected at "
                f"least {TOUCHING:g}: remove the atom that stands twice "
                "at one place."
            )
        self._bins = KeptBins(d, pairs)
        if len(d):
            self._table = WidthTables(d, pairs)

    def pdf(
        self,
        conditions: Conditions,
        grid: Grid,
        *,
        stretch: float = 1.0,
        discretisation: str = "whole",
        precision: float = PRECISION,
    ) -> np.ndarray:
        """Return G(r) (M,), 1/A^2, as `pure.debye_pdf`.

        Parameters
        ----------
        conditions : Conditions
            u_iso (1, N) gives one value per atom and takes the direct sum.
        grid : Grid
        stretch : float, default 1
            Factor on the positions.
        discretisation : str, default "whole"
            The ``grid`` of `pure.debye_pdf`.
        precision : float, default 1e-10
            Largest deviation relative to the highest peak.

        Raises
        ------
        CbldmError
            Values outside their limits.
        """
        native = discretisation == "native"
        if native or discretisation == "whole":
            quick = self._of_table(
                conditions, grid, float(stretch), native, precision
            )
            if quick is not None:
                return quick
        return pure.evaluate(
            pure.stretched(self._x, stretch),
            self._lengths,
            conditions,
            grid,
            discretisation=discretisation,
            precision=precision,
            cached=self._bins.stretched(float(stretch)),
        )[0]

    def _of_table(
        self,
        conditions: Conditions,
        grid: Grid,
        stretch: float,
        native: bool,
        precision: float,
    ) -> np.ndarray | None:
        """As `pdf`, or None where the table of pairs does not serve.

        That is where pairs have no width or are left out, and where a value
        is not allowed.
        """
        u: Any = conditions.u_iso
        others: tuple[Any, Any] = conditions.qdamp, conditions.scale
        law: Any = conditions.delta1, conditions.delta2, conditions.qbroad
        if self._table is None or precision < EXACT:
            return None
        if any(
            not isinstance(x, (float, int)) or not math.isfinite(x)
            for x in (u, *law, *others, stretch)
        ):
            return None
        if u < 0 or others[0] < 0 or law[2] < 0 or stretch < 1e-6:
            return None
        check_curve(conditions, grid, precision)
        end = grid.rmax if native else whole_end(grid.rmax)
        ratio = end_ratio(grid.rmin, end, *law)
        far = self._table.longest * stretch
        series, reach = quick_sums.series_for(
            u, ratio, conditions, grid, native, far if far > R_END else 0.0
        )
        if far > reach:
            return None
        terms = self._table.sum(
            series.q,
            series.squared,
            series.weights / self._x.shape[1],
            u,
            law,
            stretch,
            precision,
        )
        if terms is None:
            return None
        return quick_sums.transformed(terms, series, grid, *others)


class DebyeCalculator:
    """Stand-in for diffpy.srreal's DebyePDFCalculator.

    Attributes, with the native defaults: ``qmin`` 0, ``qmax`` 25 (1/A),
    ``rmin`` 0, ``rmax`` 10, ``rstep`` 0.01 (A), ``scale`` 1, ``delta1``
    (A), ``delta2`` (A^2), ``qdamp``, ``qbroad`` (1/A) 0, ``precision``
    1e-10 of the highest peak.  Of its own: ``grid`` "whole" calculates all
    of the particle wherever the range ends, "native" leaves out the pairs
    that the native calculator leaves out; ``points``, (m,) in A between
    rmin and rmax, or None, takes the place of the steps of rstep.
    """

    def __init__(self) -> None:
        self.qmin, self.qmax = 0.0, 25.0
        self.rmin, self.rmax, self.rstep = 0.0, 10.0, 0.01
        self.scale = 1.0
        self.delta1 = self.delta2 = self.qbroad = self.qdamp = 0.0
        self.precision = PRECISION
        self.grid = "whole"
        self.points: np.ndarray | None = None
        self._radiation = "X"
        self._last: tuple[np.ndarray, np.ndarray] | None = None
        self._pairs: PairCache | None = None
        self._mixed: MixedPairs | None = None
        self.alike = False
        self._read: tuple[Any, list[str]] | None = None

    def forget(self) -> None:
        """Ask all atoms again: `alike`."""
        self._read = None

    def _atoms(self, structure: Any) -> tuple[list[str], list[float]]:
        """`_atoms` of a structure, or of its first atom where they are alike.

        To ask thousands of atoms takes longer than their curve.
        """
        if self._read is not None and self._read[0] is structure:
            elements = self._read[1]
            if self.alike and len(elements) == len(structure):
                return elements, _atoms(structure[:1])[1] * len(elements)
        elements, u = _atoms(structure)
        one = len({*elements}) == 1 == len({*u})
        self._read = (structure, elements) if one else None
        return elements, u

    @property
    def scatteringfactortable(self) -> str:
        """The radiation, "X" or "N"."""
        return self._radiation

    @scatteringfactortable.setter
    def scatteringfactortable(self, stype: str) -> None:
        self._radiation = form_factors.check_stype(stype)

    def setScatteringFactorTableByType(self, stype: str) -> None:
        """Set the radiation, "X" or "N"."""
        self.scatteringfactortable = stype

    def getRadiationType(self) -> str:
        """Return the radiation, "X" or "N"."""
        return self._radiation

    def _unstretched(self, structure: Any) -> tuple[np.ndarray, float]:
        """Positions (n, 3) in A, and the stretch that is still to come.

        As long as all edges of the lattice move together, as under
        zoomscale, the positions stay those of the first call.
        """
        xyz, base = _xyz(structure), structure.lattice.base
        if self._last is not None:
            first, before = self._last
            stretch = math.sqrt(float(np.vdot(base, base))) / math.sqrt(
                float(np.vdot(before, before))
            )
            off = np.abs(base - stretch * before).max()
            if off <= 1e-14 * np.abs(base).max() and np.array_equal(
                xyz, first
            ):
                return first @ before, stretch
        self._last = xyz, np.array(base)
        self._pairs = self._mixed = None
        return xyz @ base, 1.0

    def __call__(self, structure: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return r (m,) in A and G (m,) in 1/A^2 of a diffpy Structure.

        The atoms are taken as a finite cluster, of any elements and with a
        Uiso each.  CbldmError where atoms are anisotropic or partly
        occupied.
        """
        elements, u = self._atoms(structure)
        positions, stretch = self._unstretched(structure)
        conditions = Conditions(
            u_iso=float(u[0]),
            delta1=self.delta1,
            delta2=self.delta2,
            # An optimiser without bounds may change their signs, which no
            # curve shows.
            qbroad=abs(self.qbroad),
            qmin=self.qmin,
            qmax=self.qmax,
            qdamp=abs(self.qdamp),
            scale=self.scale,
        )
        grid = Grid(self.rmin, self.rmax, self.rstep, self.points)
        kinds, widths = _kinds(elements, u)
        if len(widths) == 1:
            if self._pairs is None:
                self._pairs = PairCache(positions)
            g = self._pairs.pdf(
                conditions,
                grid,
                stretch=stretch,
                discretisation=self.grid,
                precision=self.precision,
            )
            return quick_sums.points(grid).copy(), g
        mixed_curve = None
        if widths:
            mixed_curve = self._mixed_pairs(positions, elements, kinds).pdf(
                conditions,
                widths,
                grid,
                stretch=stretch,
                stype=self._radiation,
                discretisation=self.grid,
                precision=self.precision,
            )
        if mixed_curve is None:
            mixed_curve = mixed.evaluate(
                positions * stretch,
                elements,
                dataclasses.replace(conditions, u_iso=np.array(u)),
                grid,
                discretisation=self.grid,
                stype=self._radiation,
                precision=self.precision,
            )
        return quick_sums.points(grid).copy(), mixed_curve

    def _mixed_pairs(
        self, positions: np.ndarray, elements: list[str], kinds: list[int]
    ) -> MixedPairs:
        """The kept pairs of several kinds, before the stretch."""
        kept = self._mixed
        if kept is None or (kept.elements, kept.kinds) != (elements, kinds):
            self._mixed = kept = MixedPairs(positions, elements, kinds)
        return kept


def _xyz(structure: Any) -> np.ndarray:
    """The coordinates of a diffpy Structure in its lattice, (n, 3)."""
    # Its own property takes ten times as long.
    return np.concatenate([atom.xyz for atom in structure]).reshape(-1, 3)


def _atoms(structure: Any) -> tuple[list[str], list[float]]:
    """Elements, and Uiso (n,) in A^2 not below 0, of a diffpy Structure."""
    if [a for a in structure if a.anisotropy or a.occupancy != 1]:
        raise CbldmError(
            "the structure has anisotropic or partly occupied atoms; "
            "expected isotropic, full ones: set anisotropy to False "
            "and occupancy to 1."
        )
    elements = [atom.element for atom in structure]
    if not elements:
        raise CbldmError(
            "the structure has no atoms; expected a cluster: pass one to "
            "setStructure."
        )
    widths = [atom.Uisoequiv for atom in structure]
    if not min(widths) >= 0:
        # An optimiser without bounds may try U < 0; DiffPy's peaks then have
        # no width.
        widths = [max(width, 0.0) for width in widths]
    return elements, widths


def _kinds(
    elements: list[str], u: list[float]
) -> tuple[list[int], list[float]]:
    """The kind of each atom, by element and Uiso, and the Uiso of each.

    Numbered as they appear, so that a fit that moves Uiso keeps them.  No
    Uiso where the kinds are many.
    """
    if elements.count(elements[0]) == len(elements) == u.count(u[0]):
        return [0] * len(u), [float(u[0])]
    number: dict[tuple[str, float], int] = {}
    kinds = [
        number.setdefault(kind, len(number))
        for kind in zip(elements, u, strict=True)
    ]
    if len(number) > MANY_KINDS or not math.isfinite(sum(u)):
        return kinds, []
    return kinds, [width for _, width in number]
