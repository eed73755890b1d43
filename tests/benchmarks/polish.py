"""What polishing makes of clusters that no library holds.

    python -m tests.benchmarks.polish

Builds its own clusters: off-centre spheres, ellipsoids and polyhedra,
truncated ideal shapes, random stacking, surface vacancies, strain, contracted
surfaces; PDFs with noise, several Q ranges, and unknown widths and damping.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import cKDTree

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.families import load_table
from diffpy_cbldm.lattices import BASES, LAYER
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.simulate import simulate

KINDS = (
    *("sphere fcc", "sphere bcc", "sphere hcp"),
    *("ellipsoid fcc", "ellipsoid bcc", "ellipsoid hcp"),
    *("polyhedron fcc", "polyhedron bcc", "polyhedron hcp"),
    *("truncated", "stacking", "vacancies", "strain", "contraction"),
)


@dataclasses.dataclass(frozen=True)
class Truth:
    """A cluster to be found."""

    kind: str
    structure_type: str
    positions: np.ndarray  # angstrom


def lattice(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Points of a crystal within 5.5 bond lengths of a random point."""
    if kind in ("fcc", "bcc"):
        k = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3), -1).reshape(-1, 3)
        points = k @ BASES[kind]
    else:
        turn = rng.random(25) < 0.4
        steps = np.where(np.arange(25) % 2, 1, -1)
        if kind == "stacking":
            steps = np.where(np.cumsum(turn) % 2, 1, -1)
        k = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3), -1).reshape(-1, 3)
        shift = (np.cumsum(steps) % 3)[k[:, 2] + 12] / 3
        flat = k[:, :2] + shift[:, None]
        height = k[:, 2:] * LAYER
        points = np.hstack([flat @ BASES["layer"][:, :2], height])
    cell = points[np.argsort((points**2).sum(1))[1:4]]
    points = points - rng.random(3) @ cell
    return points[(points**2).sum(1) < 5.5**2]


def cut(
    points: np.ndarray, shape: str, count: int, rng: np.random.Generator
) -> np.ndarray:
    """The `count` points or so that lie deepest in a random shape."""
    if shape == "polyhedron":
        normals = rng.normal(size=(14, 3))
        normals /= np.linalg.norm(normals, axis=1)[:, None]
        depth = (points @ normals.T / rng.uniform(0.85, 1.2, 14)).max(1)
    else:
        axes = np.ones(3)
        if shape == "ellipsoid":
            axes = np.exp(rng.uniform(-0.25, 0.25, 3))
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        depth = np.linalg.norm(points @ turn / axes, axis=1)
    return points[np.argsort(depth)[:count]]


def neighbours(points: np.ndarray) -> np.ndarray:
    """Bonds of each atom, (n,)."""
    tree = cKDTree(points)
    return np.array([len(p) - 1 for p in tree.query_ball_point(points, 1.2)])


def truth(kind: str, rng: np.random.Generator) -> Truth:
    """A random cluster of a kind, 50 to 240 atoms, bonds of 2.6 to 2.9 A."""
    shape, _, crystal = kind.partition(" ")
    count = int(rng.integers(50, 241))
    if shape == "truncated":
        table = load_table()
        ideal = [
            i
            for i, g in enumerate(table.geometries)
            if g.structure_type in ("fcc", "oct", "dec", "ico", "bcc")
            and g.n_atoms > 80
        ]
        k = int(rng.choice(ideal))
        crystal = table.geometries[k].structure_type
        points = table.positions(k)
        normal = rng.normal(size=3)
        depth = points @ normal / np.linalg.norm(normal)
        points = points[np.argsort(depth)]
        points = points[: round(len(points) * rng.uniform(0.75, 0.95))]
    else:
        kinds = ("fcc", "bcc", "hcp")
        if shape == "stacking":
            crystal = "stacked"
        crystal = crystal or str(rng.choice(kinds))
        form = shape
        if shape not in ("sphere", "ellipsoid", "polyhedron"):
            form = str(rng.choice(["sphere", "ellipsoid", "polyhedron"]))
        name = "stacking" if crystal == "stacked" else crystal
        points = cut(lattice(name, rng), form, count, rng)
    bulk = neighbours(points).max()
    if shape == "vacancies":
        surface = np.flatnonzero(neighbours(points) < bulk)
        gone = rng.choice(
            surface, round(len(surface) * rng.uniform(0.03, 0.1)), False
        )
        points = np.delete(points, gone, axis=0)
    # No atom hangs on by one or two bonds.
    while (loose := neighbours(points) < bulk / 4).any():
        points = points[~loose]
    points = points - points.mean(0)
    if shape == "strain":
        strain = rng.normal(size=(3, 3))
        strain = strain + strain.T
        strain -= np.trace(strain) / 3 * np.eye(3)
        points = points @ (np.eye(3) + 0.01 * strain / np.abs(strain).max())
    if shape == "contraction":
        lack = neighbours(points) < bulk
        far = np.linalg.norm(points, axis=1, keepdims=True).clip(0.1)
        inward = rng.uniform(0.01, 0.03) * points.shape[0] ** 0  # of a bond
        points = points - inward * lack[:, None] * points / far
    return Truth(kind, crystal, points * rng.uniform(2.6, 2.9))


def measured(case: Truth, rng: np.random.Generator) -> PDFData:
    """Its PDF; noise in the measured Q range, 0 to 2 % of the signal."""
    qmin, qmax = rng.uniform(0.5, 1.2), rng.uniform(20, 28)
    (pdf,) = simulate(
        [Cluster("Pt", case.positions)],
        qmin=qmin,
        qmax=qmax,
        qdamp=rng.uniform(0.01, 0.06),
        biso=rng.uniform(0.2, 0.8),
        delta2=rng.uniform(0.0, 3.0),
    )
    knots = np.arange(0, pdf.r[-1] + 1, np.pi / qmax)
    noise = np.sinc((pdf.r[:, None] - knots) * qmax / np.pi) @ (
        rng.standard_normal(len(knots))
    )
    g = pdf.g + rng.uniform(0, 0.02) * pdf.g.std() * noise
    return PDFData(r=pdf.r, g=g, composition="Pt", qmin=qmin, qmax=qmax)


def cases(count: int, seed: int = 5) -> list[tuple[Truth, PDFData]]:
    """`count` clusters, all kinds in turn, and their PDFs."""
    found = []
    for k in range(count):
        rng = np.random.default_rng([seed, k])
        case = truth(KINDS[k % len(KINDS)], rng)
        found.append((case, measured(case, rng)))
    return found
