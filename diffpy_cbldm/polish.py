"""Edits that keep a structure a plausible crystal, and what they are worth.

Real particles are cut off-centre, faulted, strained; the best ideal cluster
is only near.  From it atoms are added, removed and moved on sites that
continue its own lattice, at a falling price for roughness, so that every step
of the way is the best structure of its roughness: the front from ideal to
rough.  Strain, relaxed surface shells and small displacements are fitted
along.  Where to stop is for an information criterion to say: each further
broken bond, and each parameter, must lower the misfit by more than chance
would.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree

from diffpy_cbldm import moves
from diffpy_cbldm.edits import Editor, PairBasis, SineGrid, more_sites
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.quickfit import QuickFit, quick_fit
from diffpy_cbldm.score import (
    BULK,
    ideal_roughness,
    nearest_neighbour_distance,
    roughness,
    shortest_bond,
)

KINDS = ("sites", "strain", "surface", "displacements")
"""What may be edited."""

ROUGHNESS = 1.25
"""Default limit of the roughness over that of the most compact cluster."""

SHORTEST = 0.9
"""Bonds shorter than this, in nearest-neighbour distances, are refused."""

GAMMA = 0.5
"""Weight of the number of possible edits in the criterion, 0 to 1."""

EVIDENCE = 10.0
"""Difference of the criterion from which a structure is left for another:
very strong evidence (Kass and Raftery, J. Am. Stat. Assoc. 1995, 90, 773)."""

TRUST = 0.15
"""No atom is displaced by more than this (A)."""

DAMPINGS = (-0.02, -0.01, 0.01, 0.02)
"""Changes of Qdamp (1/A) at which other sizes are looked for."""

FIRST_SHELL = 0.02
"""Relaxation of a shell, in both ways, from which fits of it begin."""

FIRST = 0.008
"""Size of the strains that are tried first."""

BLOCK = 2.5
"""Every third block of r, so wide (A), is left out to be predicted."""

LEVELS, ROUNDS = 12, 3
"""Prices of roughness that are tried at most, and searches at each."""

BONDS_AN_EDIT = 6
"""Bonds that an atom out of place breaks: an adatom on {111}."""

KICKS, TENURE = 12, 8
"""Steps uphill before a search ends, and for how long a site then rests."""

FINEST = 1e-7
"""Rw^2 below which two calculations of one curve differ."""


@dataclasses.dataclass(frozen=True, eq=False)
class Polished:
    """A structure on the way from ideal to rough.

    Attributes
    ----------
    positions : (n, 3) array, angstrom
        As fitted: with the fit's stretch and the moves.
    lattice : (n, 3) array, angstrom
        Before the moves.
    values : dict
        Strain and surface relaxation, see `diffpy_cbldm.moves`.
    fit : QuickFit
        Its parameters; the stretch is 1.
    rw : float
    roughness : float
        See `diffpy_cbldm.score.roughness`.
    ratio : float
        Roughness over that of the most compact cluster of the library.
    excess : float
        Effective number of parameters: broken bonds beyond those of the
        most compact cluster, 6 for one; below 0 for a smoother one.
    criterion : float
        Extended Bayesian information criterion (Chen and Chen, Biometrika
        2008, 95, 759); differences count, lower is better.
    displaced : float
        Effective number of parameters of the displacements, or 0.
    """

    positions: np.ndarray
    lattice: np.ndarray
    values: dict[str, float]
    fit: QuickFit
    rw: float
    roughness: float
    ratio: float
    excess: float
    criterion: float
    displaced: float = 0.0


class _Measured:
    """The fitted range of a PDF and what is fitted to it."""

    def __init__(
        self,
        pdf: PDFData,
        rmin: float,
        rmax: float,
        device: str = "cpu",
        part: str = "all",
    ):
        keep = (pdf.r >= rmin - 1e-6) & (pdf.r <= rmax + 1e-6)
        r, g = pdf.r[keep], pdf.g[keep]
        if len(r) < 100:
            raise CbldmError(
                f"only {len(r)} data points lie between {rmin:g} and "
                f"{rmax:g} A; expected 100 or more: change rmin or rmax."
            )
        # Three times as dense as G(r) needs to be known.
        thin = max(1, int(math.pi / pdf.qmax / 3 / (r[1] - r[0])))
        self.r, self.g = r[::thin], g[::thin]
        held = (self.r // BLOCK).astype(int) % 3 == 1
        self.w = np.ones_like(self.r)
        if part != "all":
            self.w = (held if part == "held" else ~held).astype(float)
        self.pdf, self.device = pdf, device
        self._grid: SineGrid | None = None
        width = (self.r[-1] - self.r[0]) * self.w.mean()
        self.points = max(10.0, width * (pdf.qmax - pdf.qmin) / math.pi)

    def fit(self, x: np.ndarray, start: QuickFit | None = None) -> QuickFit:
        """The five-parameter fit of some positions."""
        values = None
        if start is not None:
            names = ("uiso", "delta2", "qdamp")
            values = {name: getattr(start, name) for name in names}
        return quick_fit(
            [x],
            self.r,
            self.g,
            qmin=self.pdf.qmin,
            qmax=self.pdf.qmax,
            qdamp=self.pdf.qdamp,
            qbroad=self.pdf.qbroad,
            weights=self.w,
            rmin=self.r[0],
            rmax=self.r[-1],
            start=values,
            scan=(0.0,),
            steps=6,
        )[0]

    def rw_of(self, p: Polished) -> float:
        """Rw in this range with what was fitted in another one."""
        scale = 2 * p.fit.scale / len(p.positions)
        return self.basis(p.fit).rw_at(p.positions, scale)

    def basis(self, fit: QuickFit) -> PairBasis:
        """Vectors of pairs at the widths and the damping of a fit."""
        grid = self._grid
        if grid and not grid.serves(self.r, self.pdf.qmax, fit.uiso):
            grid = None
        found = PairBasis(
            self.r,
            self.g,
            self.w,
            qmin=self.pdf.qmin,
            qmax=self.pdf.qmax,
            qbroad=self.pdf.qbroad,
            fit=fit,
            device=self.device,
            grid=grid,
        )
        self._grid = found.grid
        return found


class _Crystal:
    """Sites of which some are filled, moves of them, and how they fit.

    Attributes
    ----------
    lattice : (S, 3) array, angstrom
        Sites before strain and relaxation.
    filled : (S,) bool array
    values : dict
        Moves by name, see `diffpy_cbldm.moves`.
    fit : QuickFit
    basis : PairBasis
        At the widths of the fit.
    """

    def __init__(
        self,
        positions: np.ndarray,
        kind: str,
        data: _Measured,
        values: dict[str, float] | None = None,
    ):
        self.data, self.kind = data, kind
        self.bulk = BULK.get(kind, 12)
        self.lattice = np.asarray(positions, float)
        self.filled = np.ones(len(positions), bool)
        self.values = dict(values or {})
        self.bond = nearest_neighbour_distance(self.lattice)
        self.fit = data.fit(self.atoms())
        self._stretch(self.fit.stretch)
        self.basis = data.basis(self.fit)
        self.grow()

    def _stretch(self, factor: float) -> None:
        self.lattice = self.lattice * factor
        self.bond *= factor

    def points(self) -> np.ndarray:
        """All sites where the moves bring them, (S, 3)."""
        if not self.values:
            return self.lattice
        return moves.moved(self.lattice, self.values, self._surface())

    def _surface(self) -> np.ndarray:
        """How sites go with the shells; an empty one as an outermost atom."""
        x = self.lattice - self.lattice[self.filled].mean(0)
        radius = np.linalg.norm(x, axis=1, keepdims=True).clip(1e-3)
        found = np.stack([self.bond * x / radius, 0 * x])
        found[:, self.filled] = moves.surface_moves(self.lattice[self.filled])
        return found

    def atoms(self) -> np.ndarray:
        """Positions as fitted, (n, 3)."""
        return self.points()[self.filled]

    def grow(self) -> None:
        """Take the sites of the next shell, too."""
        atoms = self.lattice[self.filled]
        self.bond = nearest_neighbour_distance(atoms)
        layers = self.kind in ("hcp", "stacked")
        new = more_sites(atoms, self.bond, layers)
        if len(new):
            new = new[cKDTree(self.lattice).query(new)[0] > 0.2 * self.bond]
        self.lattice = np.concatenate([self.lattice, new])
        self.filled = np.concatenate([self.filled, np.zeros(len(new), bool)])

    def edit(self, price: float | None, limit: float) -> None:
        """Edit the sites at a price of roughness, or at the criterion's."""

        def allowed(count: np.ndarray) -> np.ndarray:
            return limit * ideal_roughness(self.kind, count)

        for _ in range(ROUNDS):
            self.refit()
            editor = self.editor()
            edits = search(editor, price or self.price(), allowed)
            self.filled = editor.filled.cpu().numpy()
            if not edits:
                return
            self.grow()
        self.refit()

    def refit(self) -> None:
        """Scale, stretch, Uiso, delta2, Qdamp and the moves at their best."""
        if self.values:
            self._relax()
        self.fit = self.data.fit(self.atoms(), self.fit)
        self._stretch(self.fit.stretch)
        self.basis = self.data.basis(self.fit)

    def _relax(self, steps: int = 4) -> None:
        """Stretch and moves by Gauss-Newton steps on the basis."""
        names = list(self.values)
        atoms = self.lattice[self.filled]
        surface = moves.surface_moves(atoms)
        derivatives = moves.derivatives(atoms, [moves.ZOOM, *names])
        at = np.array([1.0, *self.values.values()])

        def misfit(at, changes=derivatives):
            values = dict(zip([moves.ZOOM, *names], at))
            x = moves.moved(atoms, values, surface)
            return self.basis.residual(x, changes)

        starts = [at]
        if not any(at[1:]):
            # G(r) of a symmetric cluster is even in the strain.
            tries = [at + FIRST * t for t in self._directions(names)]
            tries.sort(key=lambda t: misfit(t, ())[0])
            starts += tries[:4]
        for k, name in enumerate(names, 1):
            if name not in moves.STRAIN and not at[k]:
                # The shells have minima of their own, inwards and outwards.
                for way in (-FIRST_SHELL, FIRST_SHELL):
                    starts.append(at + way * (np.arange(len(at)) == k))
        ends = [_descend(misfit, start, steps) for start in starts]
        square, at = min(ends, key=lambda end: end[0])
        if all(abs(v) < moves.LIMITS[n] for n, v in zip(names, at[1:])):
            self._stretch(at[0])
            self.values = dict(zip(names, at[1:]))

    def _directions(self, names: Sequence[str]) -> np.ndarray:
        """Ways to strain, (t, 1 + moves), about 1 in size."""
        strain = [k for k, n in enumerate(names, 1) if n in moves.STRAIN]
        rng = np.random.default_rng(0)
        found = np.zeros((32 if strain else 0, 1 + len(names)))
        draws = rng.normal(size=(len(found), len(strain)))
        draws /= np.linalg.norm(draws, axis=1, keepdims=True)
        found[:, strain] = draws
        return found

    def try_moves(self, kinds: Sequence[str]) -> None:
        """Strain, and the surface, where they are worth their parameters."""
        for kind in kinds:
            before = self._state(), self.judged().criterion
            names = moves.move_names(self.lattice[self.filled], [kind])
            had = any(name in self.values for name in names)
            kept = {k: v for k, v in self.values.items() if k not in names}
            self.values = kept if had else kept | dict.fromkeys(names, 0.0)
            if not names:
                continue
            self.refit()
            if self.judged().criterion > before[1]:
                self._restore(before[0])

    def _state(self):
        return (
            self.lattice,
            self.bond,
            dict(self.values),
            self.fit,
            self.basis,
        )

    def _restore(self, state) -> None:
        self.lattice, self.bond, self.values, self.fit, self.basis = state

    def editor(self) -> Editor:
        basis = self.basis.eased(
            self.atoms(),
            self.misfit() / self.data.points,
            self.data.pdf.qdamp is None,
        )
        return Editor(self.points(), self.filled, basis, self.bond, self.bulk)

    def judged(self) -> Polished:
        """The present state with its figures."""
        atoms = self.atoms()
        rough = roughness(self.lattice[self.filled], self.kind)
        ideal = float(ideal_roughness(self.kind, np.array([len(atoms)]))[0])
        excess = (rough - ideal) * len(atoms) ** (2 / 3) / BONDS_AN_EDIT
        points = self.data.points
        return Polished(
            positions=atoms,
            lattice=self.lattice[self.filled],
            values=dict(self.values),
            fit=dataclasses.replace(self.fit, stretch=1.0),
            rw=self.fit.rw,
            roughness=rough,
            ratio=rough / ideal,
            excess=excess,
            criterion=points * math.log(self.misfit())
            + self.cost() * excess
            + math.log(points) * len(self.values),
        )

    def misfit(self) -> float:
        """Rw^2 without the noise that no structure could show."""
        return max(self.fit.rw**2 - self.basis.outside, 0.0) + FINEST

    def cost(self) -> float:
        """What the criterion charges for an edit among so many."""
        sites = 8 * int(self.filled.sum()) ** (2 / 3)  # of the surface
        return math.log(self.data.points) + 2 * GAMMA * math.log(sites)

    def price(self) -> float:
        """The price of roughness at which the criterion is stationary."""
        area = int(self.filled.sum()) ** (2 / 3)
        rate = self.cost() * area / BONDS_AN_EDIT / self.data.points
        return self.misfit() * rate


def front(
    positions: np.ndarray,
    structure_type: str,
    pdf: PDFData,
    *,
    kinds: Sequence[str] = KINDS,
    limit: float = ROUGHNESS,
    rmin: float = 1.5,
    rmax: float = 30.0,
    device: str = "cpu",
    beyond: int = 1,
) -> list[Polished]:
    """Edit a cluster towards a PDF, from ideal to rough.

    Parameters
    ----------
    positions : (n, 3) array, angstrom
        Where it starts.
    structure_type : str
        One of `settings.KINDS`; decides the bonds of the bulk.
    pdf : PDFData
    kinds : sequence of str
        Some of `KINDS`.
    limit : float
        Edits may not make the roughness larger than this times that of the
        most compact cluster of the library.
    rmin, rmax : float, angstrom
        The fitted range.
    device : str
        Where the vectors of pairs lie.
    beyond : int
        Further levels after the criterion asks for no more: the rough side
        of the front.

    Returns
    -------
    list of Polished
        The start, and what each price of roughness gave.  The least
        `criterion` marks what the data support.

    Raises
    ------
    CbldmError
        An unknown kind.
    """
    data = _Measured(pdf, rmin, rmax, device)
    return _front(positions, structure_type, data, kinds, limit, beyond)


def _front(
    positions: np.ndarray,
    structure_type: str,
    data: _Measured,
    kinds: Sequence[str],
    limit: float,
    beyond: int,
) -> list[Polished]:
    """`front` on data that were prepared."""
    kinds = check_kinds(kinds)
    crystal = _Crystal(positions, structure_type, data)
    found = [crystal.judged()]
    price = crystal.price()
    for _ in range(LEVELS):
        if "sites" in kinds:
            crystal.edit(price, limit)
            for factor in 3.0 ** np.arange(1, 6):
                if crystal.judged().ratio <= limit:
                    break  # a start may be too rough
                crystal.edit(factor * price, limit)
        crystal.try_moves([k for k in kinds if k in moves.KINDS])
        found.append(crystal.judged())
        wanted = crystal.price()
        if wanted < 0.7 * price:
            price = max(wanted, 0.1 * price)
        elif beyond > 0 and "sites" in kinds:
            beyond, price = beyond - 1, 0.3 * price
        else:
            break
    if "displacements" in kinds:
        found += _displaced(best(found), structure_type, data)
    return [found[0]] + [p for p in found[1:] if _sound(p, limit)]


def other_sizes(
    polished: Polished,
    structure_type: str,
    pdf: PDFData,
    *,
    kinds: Sequence[str] = KINDS,
    limit: float = ROUGHNESS,
    rmin: float = 1.5,
    rmax: float = 30.0,
    device: str = "cpu",
) -> list[Polished]:
    """Look for larger and smaller particles that fit as well.

    A larger particle under more damping has nearly the same PDF.  No single
    edit leads along this valley: Qdamp is held at other values, the sites
    are edited for it, and then all is fitted again.

    Parameters
    ----------
    polished : Polished
        Usually the best of `front`.
    structure_type, pdf, kinds, limit, rmin, rmax, device
        As for `front`.

    Returns
    -------
    list of Polished
        None where the header gives Qdamp, or where sites are not edited.
    """
    found: list[Polished] = []
    if pdf.qdamp is not None or "sites" not in check_kinds(kinds):
        return found
    data = _Measured(pdf, rmin, rmax, device)
    for change in DAMPINGS:
        start = best([polished, *found], lower=False)
        held = start.fit.qdamp + change
        if held < 0:
            continue
        data.pdf = dataclasses.replace(pdf, qdamp=held)
        crystal = _Crystal(start.lattice, structure_type, data, start.values)
        crystal.edit(None, limit)
        data.pdf = pdf
        crystal.edit(None, limit)
        found.append(crystal.judged())
    return [p for p in found if _sound(p, limit)]


def best(found: Sequence[Polished], lower: bool = True) -> Polished:
    """The one that the criterion prefers to the first by more than chance.

    Parameters
    ----------
    found : sequence of Polished
        The first stays unless another one's criterion is lower by
        `EVIDENCE`.
    lower : bool
        Whether Rw must be lower as well: that it would be smoother is no
        reason to edit a structure that fits.
    """
    start = found[0]
    least = min(
        (p for p in found if not lower or p is start or p.rw < start.rw),
        key=lambda p: p.criterion,
    )
    return least if least.criterion < start.criterion - EVIDENCE else start


def pareto(found: Sequence[Polished]) -> list[Polished]:
    """Those that none beats in both Rw and roughness, the smoothest first."""
    kept: list[Polished] = []
    for p in sorted(found, key=lambda p: (round(p.roughness, 6), p.rw)):
        if not kept or p.rw < kept[-1].rw - 1e-6:
            kept.append(p)
    return kept


def predicted(
    positions: np.ndarray,
    structure_type: str,
    pdf: PDFData,
    *,
    kinds: Sequence[str] = KINDS,
    limit: float = ROUGHNESS,
    rmin: float = 1.5,
    rmax: float = 30.0,
) -> tuple[float, float]:
    """How well a polished structure predicts r that it has not seen.

    Every third block of r (`BLOCK`) is left out, the structure is polished
    on the rest, and with nothing fitted any more compared with what was left
    out.

    Parameters
    ----------
    positions, structure_type, pdf, kinds, limit, rmin, rmax
        As for `front`.

    Returns
    -------
    before, after : float
        Rw on the blocks left out, of the start and of what the criterion
        prefers; both were fitted to the other blocks.
    """
    seen = _Measured(pdf, rmin, rmax, part="seen")
    found = _front(positions, structure_type, seen, kinds, limit, 0)
    held = _Measured(pdf, rmin, rmax, part="held")
    # What was left out is the judge: a smoother structure may fit worse here.
    return held.rw_of(found[0]), held.rw_of(best(found, lower=False))


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds in the order of `KINDS`, each once.

    CbldmError where one is unknown.
    """
    wrong = [kind for kind in kinds if kind not in KINDS]
    if isinstance(kinds, str) or wrong:
        raise CbldmError(
            f"kinds of edits are {kinds!r}; expected a list with some of "
            f"{', '.join(KINDS)}, such as ('sites',)."
        )
    return tuple(kind for kind in KINDS if kind in kinds)


def _sound(p: Polished, limit: float) -> bool:
    """Whether it is smooth enough, and no bond too short."""
    bond = nearest_neighbour_distance(p.positions)
    short = shortest_bond(p.positions) < SHORTEST * bond
    return not short and p.ratio <= limit + 1e-9


def _displaced(
    start: Polished, structure_type: str, data: _Measured
) -> list[Polished]:
    """Small moves of all atoms, as far as they are worth it.

    Bonds are springs; how stiff is chosen by the criterion, with the
    effective number of parameters of the linear problem (its trace).
    """
    crystal = _Crystal(start.lattice, structure_type, data, start.values)
    basis, x = crystal.basis, crystal.atoms()
    springs = _springs(x, crystal.bond)
    move = np.zeros(x.size)
    fewest = data.points * math.log(crystal.misfit())
    chosen: tuple[float, float, np.ndarray] = (fewest, 0.0, move)
    unit = 0.0
    for stiffness in 10.0 ** np.arange(0.0, -5.1, -1.0):
        for _ in range(2):
            left, slopes = basis.atom_slopes(x + move.reshape(-1, 3))
            normal = slopes @ slopes.T
            unit = unit or float(np.trace(normal) / np.trace(springs))
            stiff = stiffness * unit * springs
            pull = slopes @ left - stiff @ move
            move = move + np.linalg.solve(normal + stiff, pull)
            length = np.linalg.norm(move.reshape(-1, 3), axis=1)
            short = np.minimum(1.0, TRUST / length.clip(1e-12))
            move = (move.reshape(-1, 3) * short[:, None]).ravel()
        freedom = float(np.trace(np.linalg.solve(normal + stiff, normal)))
        square = basis.residual(x + move.reshape(-1, 3), ())[0]
        misfit = max(square - basis.outside, 0.0) + FINEST
        value = data.points * math.log(misfit)
        value += math.log(data.points) * freedom
        if value < chosen[0]:
            chosen = value, freedom, move
        elif value > chosen[0] + 50:
            break
    _, freedom, move = chosen
    if not freedom:
        return []
    moved = _Crystal(x + move.reshape(-1, 3), structure_type, data)
    charge = math.log(data.points) * (freedom + len(start.values))
    return [
        dataclasses.replace(
            moved.judged(),
            roughness=start.roughness,
            ratio=start.ratio,
            excess=start.excess,
            displaced=freedom,
            criterion=data.points * math.log(moved.misfit())
            + moved.cost() * start.excess
            + charge,
        )
    ]


def _springs(x: np.ndarray, bond: float) -> np.ndarray:
    """Stiffness of the bonds against displacements, (3n, 3n).

    A weak spring holds each atom besides: the surface may not slide off.
    """
    i, j = cKDTree(x).query_pairs(1.2 * bond, output_type="ndarray").T
    along = x[i] - x[j]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    rows = np.zeros((len(i), len(x), 3))
    pair = np.arange(len(i))
    rows[pair, i], rows[pair, j] = along, -along
    flat = rows.reshape(len(i), -1)
    return flat.T @ flat + 0.05 * np.eye(flat.shape[1])


def _descend(
    misfit: Callable[[np.ndarray], tuple[float, np.ndarray, np.ndarray]],
    at: np.ndarray,
    steps: int,
) -> tuple[float, np.ndarray]:
    """Damped Gauss-Newton steps; the least Rw^2 and where it is."""
    square, residual, jacobian = misfit(at)
    damping = 1e-3
    for _ in range(steps):
        normal = jacobian @ jacobian.T
        normal = normal + damping * np.diag(np.diag(normal) + 1e-12)
        step = np.linalg.solve(normal, jacobian @ residual)
        new = at + step.clip(-0.02, 0.02)
        found = misfit(new)
        if found[0] >= square:
            damping *= 10
            continue
        at, damping = new, damping * 0.3
        square, residual, jacobian = found
    return square, at


def search(
    editor: Editor,
    price: float,
    limit: Callable[[np.ndarray], np.ndarray],
    kicks: int = KICKS,
) -> int:
    """Lower Rw^2 + price * roughness by one edit at a time, with tabu.

    When no edit lowers it the least bad one is made and its sites rest for a
    while, so that shallow minima are left; the best state is restored.

    Parameters
    ----------
    editor : Editor
        Left at the best state found.
    price : float
    limit : callable
        The greatest roughness allowed, of (n,) numbers of atoms.  Edits
        beyond it must not roughen.
    kicks : int
        How many steps uphill end the search.

    Returns
    -------
    int
        Sites in which the result differs from the start.
    """
    start = editor.filled.clone()
    resting = torch.zeros(len(editor.points), dtype=torch.long)
    now = editor.shape()
    value = best = now.rw**2 + price * now.roughness
    kept, worse, step = start, 0, 0
    while worse < kicks:
        step += 1
        tabu = resting >= step
        edits, value = _next(editor, price, limit, tabu, value, best)
        if not edits:
            break
        for site in edits:
            editor.flip(site)
            resting[site] = step + TENURE
        if value < best - 1e-10:
            best, kept, worse = value, editor.filled.clone(), 0
        else:
            worse += 1
    for site in (kept != editor.filled).nonzero()[:, 0].tolist():
        editor.flip(site)
    return int((kept != start).sum())


def _next(editor, price, limit, tabu, value, best):
    """The sites to flip for the best step, and the value after it."""
    square, rough = editor.singles()
    current = editor.missing / editor.atoms ** (2 / 3)

    def priced(square, rough, count, hold):
        total = square + price * rough
        total[(rough > limit(count)) & (rough > current + 1e-9)] = torch.inf
        total[hold & (total > best - 1e-10)] = torch.inf
        return total

    limits = torch.as_tensor(
        limit(np.array([editor.atoms - 1, editor.atoms, editor.atoms + 1]))
    )
    total = square + price * rough
    bound = torch.where(editor.filled, limits[0], limits[2])
    total[(rough > bound) & (rough > current + 1e-9)] = torch.inf
    total[tabu & (total > best - 1e-10)] = torch.inf
    site = int(total.argmin())
    single = float(total[site])
    if single < value - 1e-10:
        return [site], single
    away, there, square, rough = editor.swaps()
    if len(away) and len(there):
        total = square + price * rough
        total[(rough > limits[1]) & (rough > current + 1e-9)] = torch.inf
        hold = tabu[away][:, None] | tabu[there]
        total[hold & (total > best - 1e-10)] = torch.inf
        least = int(total.argmin())
        a, b = divmod(least, len(there))
        swap = float(total[a, b])
        if swap < single:
            return [int(away[a]), int(there[b])], swap
    if single == math.inf:
        return [], value
    return [site], single
