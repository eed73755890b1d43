"""PDFs that hold no metal particle, by the laws of what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

import diffpy_cbldm as cb
from diffpy_cbldm.crystals.powder import sphere_of
from diffpy_cbldm.debye.world import World
from diffpy_cbldm.fitting.attenuated import lattice_shells

KINDS = ("liquid", "bulk", "noise", "compound", "F(Q)", "g(r)")


def hard_spheres(q: np.ndarray, packing: float, size: float) -> np.ndarray:
    """S(Q) of the Percus-Yevick liquid, (K,).

    Wertheim, Phys. Rev. Lett. 1963, 10, 321.

    Parameters
    ----------
    q : (K,) array, 1/A
    packing : float
        Share of space in the spheres; liquid metals have 0.45.
    size : float, angstrom
        Their diameter.
    """
    x, n = q * size, packing
    a = (1 + 2 * n) ** 2 / (1 - n) ** 4
    b = -6 * n * (1 + n / 2) ** 2 / (1 - n) ** 4
    sin, cos = np.sin(x), np.cos(x)
    direct = a * (sin - x * cos) / x**3
    direct += b * (2 * x * sin - (x**2 - 2) * cos - 2) / x**4
    cubic = (4 * x**3 - 24 * x) * sin - (x**4 - 12 * x**2 + 24) * cos + 24
    direct += n * a / 2 * cubic / x**6
    return 1 / (1 + 24 * n * direct)


def liquid(
    r: np.ndarray, packing: float, size: float, qmin: float, qmax: float
) -> np.ndarray:
    """G(r) of a liquid of hard spheres that move by 0.25 A, (n,)."""
    q = np.arange(0.02, qmax, 0.02)
    f = q * (hard_spheres(q, packing, size) - 1) * np.exp(-0.03 * q**2)
    return transformed(r, q, np.where(q < qmin, 0, f))


def transformed(r: np.ndarray, q: np.ndarray, f: np.ndarray) -> np.ndarray:
    """G(r) of an F(Q) on an even grid, (n,)."""
    return 2 / np.pi * (q[1] - q[0]) * np.sin(np.outer(r, q)) @ f


def scattering(
    pdf: cb.PDFData, step: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """Q and F(Q) of a G(r), up to its Qmax."""
    q = np.arange(step, pdf.qmax, step)
    f = np.gradient(pdf.r) * pdf.g @ np.sin(np.outer(pdf.r, q))
    return q, np.where(q < pdf.qmin, 0, f)


def endless(
    r: np.ndarray, bond: float, width: float, qdamp: float
) -> np.ndarray:
    """G(r) of fcc without an end, (n,): shells over the mean density.

    Parameters
    ----------
    r : (n,) array, angstrom
    bond, width : float, angstrom
        Nearest distance, and standard deviation of all.
    qdamp : float, 1/A
    """
    d, count = lattice_shells("fcc", float(np.ceil(r[-1] / bond + 1)))
    d = d * bond
    g = np.zeros(len(r))
    for at, n in zip(d, count):
        g += n / at * np.exp(-0.5 * ((r - at) / width) ** 2)
    g /= width * (2 * np.pi) ** 0.5
    g -= 4 * np.pi * 2**0.5 / bond**3 * r
    return g * np.exp(-0.5 * (qdamp * r) ** 2)


def compound(
    rng: np.random.Generator, element: str, bond: float
) -> cb.Cluster:
    """Rock salt or zincblende of the element with O or S, cut to a sphere."""
    partner, near = (("O", 0.78), ("S", 0.86))[int(rng.integers(2))]
    diameter = float(rng.uniform(12, 28))
    cell = sphere_of("fcc", bond * near * 2**0.5, diameter)
    step = (
        bond
        * near
        * (np.array([1, 0, 0]) if rng.random() < 0.5 else np.ones(3) / 3**0.5)
    )
    # The metal sublattice is as wide as the distance of unlike atoms asks.
    if step[1]:
        cell = cell * (2 / 3**0.5)
    x = np.concatenate([cell, cell + step])
    names = [element] * len(cell) + [partner] * len(cell)
    return cb.Cluster(names, x)


def draw(
    rng: np.random.Generator,
    element: str,
    bond: float,
    conditions: Mapping[str, float],
) -> tuple[str, cb.PDFData]:
    """A random one, named, under some conditions of measurement.

    Parameters
    ----------
    rng : np.random.Generator
    element : str
    bond : float, angstrom
    conditions : dict
        As `cb.simulate` takes them.
    """
    kind = str(rng.choice(KINDS))
    q = {name: conditions[name] for name in ("qmin", "qmax")}
    r = np.arange(0, conditions["rmax"], conditions["rstep"])
    noise = World(noise=float(rng.uniform(0.005, 0.05)), seed=1)
    given = {"composition": element, "stype": "X"}
    if kind == "liquid":
        g = liquid(r, float(rng.uniform(0.4, 0.5)), 0.97 * bond, **q)
    elif kind == "bulk":
        width = float(rng.uniform(0.08, 0.15))
        g = endless(r, bond, width, conditions["qdamp"])
    elif kind == "noise":
        waves = np.arange(0.02, q["qmax"], 0.02)
        g = transformed(r, waves, rng.normal(size=len(waves)))
    elif kind == "compound":
        cluster = compound(rng, element, bond)
        (pdf,) = cb.simulate(cluster, **conditions)
        return kind, dataclasses.replace(pdf, **given, qdamp=None)
    else:
        x = sphere_of("fcc", bond, float(rng.uniform(14, 35)))
        (pdf,) = cb.simulate(cb.Cluster(element, x), world=noise, **conditions)
        pdf = dataclasses.replace(pdf, **given, qdamp=None)
        if kind == "F(Q)":
            columns = scattering(pdf)
            return kind, cb.PDFData(*columns, **given, **q)
        density = 2**0.5 / bond**3
        far = pdf.r > 0.5
        level = 1 + pdf.g[far] / (4 * np.pi * density * pdf.r[far])
        return kind, cb.PDFData(pdf.r[far], level, **given, **q)
    return kind, cb.PDFData(r, g, **given, **q)
