"""PDFs of given clusters, as a measurement would give them."""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.cluster import Cluster, as_cluster, is_structure
from diffpy_cbldm.debye.world import World, as_world
from diffpy_cbldm.options import validate
from diffpy_cbldm.pdfdata import SIMULATED, PDFData
from diffpy_cbldm.settings import Simulation

if TYPE_CHECKING:
    import numpy as np

_CURVE = "diffpy_cbldm.fitting.measured:measured_curve"
"""What makes the curve of a powder.  Found by name when it is asked for: it
cuts crystals, whose wing stands beside this one."""

PRECISION = 1e-6
"""Deviation from the plain sum, relative to the highest peak."""


def simulate(
    clusters: Iterable[Cluster | Any],
    *,
    qmin: float = Simulation.qmin,
    qmax: float = Simulation.qmax,
    qdamp: float = Simulation.qdamp,
    biso: float = Simulation.biso,
    delta2: float = Simulation.delta2,
    rmax: float = Simulation.rmax,
    rstep: float = Simulation.rstep,
    stype: str = Simulation.stype,
    world: World | dict[str, Any] | str | None = None,
) -> list[PDFData]:
    """Simulate the PDFs of clusters of one or several elements.

    Parameters
    ----------
    clusters : iterable of Cluster
        Candidates and structures of ASE, diffpy and pymatgen serve as well;
        so does one instead of several.
    qmin, qmax : float, 1/A
        Range of the Fourier transform.  Default 0.7 and 25.
    qdamp : float, 1/A
        Damping by the Q resolution.  Default 0.04.
    biso : float, A^2
        B = 8 pi^2 Uiso.  Default 0.3.
    delta2 : float, A^2
        Sharpening by correlated motion.  Default 0.
    rmax, rstep : float, A
        The grid 0, rstep, ... below rmax.  Default 30 and 0.01.
    stype : {"X", "N"}
        X-rays (default) or neutrons; it matters for several elements.
    world : World, dict of its fields, or path of a JSON file, optional
        What a powder and a measurement add to the particle: see
        `diffpy_cbldm.debye.world.World`.  Default: nothing.

    Returns
    -------
    list of PDFData
        In the order of the clusters: of the whole particles wherever
        `rmax` lies, with the discretisation that diffpy.srreal's
        DebyePDFCalculator has at an rmax of 30 A.

    Raises
    ------
    CbldmError
        A setting outside its limits, an element without scattering factor.
    """
    from diffpy_cbldm.debye import qgrid

    settings = Simulation(
        qmin=qmin,
        qmax=qmax,
        qdamp=qdamp,
        biso=biso,
        delta2=delta2,
        rmax=rmax,
        rstep=rstep,
        stype=stype,
    )
    validate(settings)
    given = [clusters] if is_structure(clusters) else clusters
    clusters = [as_cluster(cluster) for cluster in given]
    added = World() if world is None else as_world(world)
    r = qgrid.r_points(0.0, rmax, rstep)
    return [
        PDFData(
            r=r,
            g=g,
            composition=cluster.composition,
            qmin=qmin,
            qmax=qmax,
            qdamp=qdamp,
            qbroad=added.qbroad,
            stype=stype,
            source=", ".join(
                filter(None, (SIMULATED + cluster.composition, str(added)))
            ),
        )
        for cluster, g in zip(
            clusters, _measured(clusters, settings, added, r), strict=True
        )
    ]


def _measured(
    clusters: Sequence[Cluster],
    settings: Simulation,
    world: World,
    r: np.ndarray,
) -> list[np.ndarray]:
    """G(r) of each cluster in its world; of the plain ones in one batch."""
    # A seed alone adds nothing.
    if not world.added.keys() - {"seed"}:
        return _curves(clusters, settings)
    curve = pkgutil.resolve_name(_CURVE)
    return [curve(cluster, settings, world, r) for cluster in clusters]


def _curves(
    clusters: Sequence[Cluster], settings: Simulation
) -> list[np.ndarray]:
    """G(r) of each cluster: of one element in one batch, others alone."""
    import numpy as np

    from diffpy_cbldm.debye.batches import padded
    from diffpy_cbldm.debye.mixed import mixed_pdf
    from diffpy_cbldm.debye.pure import debye_pdf

    shared: dict[str, Any] = dict(
        u_iso=settings.biso / (8 * math.pi**2),
        qmin=settings.qmin,
        qmax=settings.qmax,
        qdamp=settings.qdamp,
        delta2=settings.delta2,
        rmax=settings.rmax,
        rstep=settings.rstep,
        precision=PRECISION,
    )
    pure = [k for k, c in enumerate(clusters) if len(set(c.elements)) == 1]
    positions, lengths = padded(
        [clusters[k].positions for k in pure], np.float64
    )
    batch = debye_pdf(positions, lengths, **shared)
    curves = dict(zip(pure, batch, strict=True))
    for k, cluster in enumerate(clusters):
        if k not in curves:
            curves[k] = mixed_pdf(
                np.asarray(cluster.positions, float),
                cluster.elements,
                stype=settings.stype,
                **shared,
            )
    return [curves[k] for k in range(len(clusters))]
