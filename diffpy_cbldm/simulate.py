"""PDFs of given clusters, as a measurement would give them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.settings import Simulation, validate

PRECISION = 1e-6
"""Deviation from the native calculator, relative to the highest peak."""


def simulate(
    clusters: Iterable[Cluster],
    *,
    qmin: float = Simulation.qmin,
    qmax: float = Simulation.qmax,
    qdamp: float = Simulation.qdamp,
    biso: float = Simulation.biso,
    delta2: float = Simulation.delta2,
    rmax: float = Simulation.rmax,
    rstep: float = Simulation.rstep,
) -> list[PDFData]:
    """Simulate the X-ray PDFs of clusters of one element each.

    Parameters
    ----------
    clusters : iterable of Cluster
        Candidates serve as well.
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

    Returns
    -------
    list of PDFData
        As diffpy.srreal's DebyePDFCalculator computes them, in the order
        of the clusters.

    Raises
    ------
    CbldmError
        A cluster of several elements, or a setting outside its limits.
    """
    import torch

    from diffpy_cbldm import debye

    settings = Simulation(
        qmin=qmin,
        qmax=qmax,
        qdamp=qdamp,
        biso=biso,
        delta2=delta2,
        rmax=rmax,
        rstep=rstep,
    )
    validate(settings)
    clusters = [clusters] if isinstance(clusters, Cluster) else list(clusters)
    for k, cluster in enumerate(clusters):
        if len(set(cluster.elements)) > 1:
            raise CbldmError(
                f"cluster {k} is {cluster.composition}; expected one "
                "element: simulate such a cluster with diffpy.srreal."
            )
    lengths = torch.tensor([len(c) for c in clusters], dtype=torch.int64)
    longest = max((len(c) for c in clusters), default=0)
    positions = torch.zeros(len(clusters), longest, 3, dtype=torch.float64)
    for row, cluster in zip(positions, clusters, strict=True):
        row[: len(cluster)] = torch.tensor(cluster.positions)
    with torch.no_grad():
        curves = debye.debye_pdf(
            positions,
            lengths,
            u_iso=biso / (8 * math.pi**2),
            qmin=qmin,
            qmax=qmax,
            qdamp=qdamp,
            delta2=delta2,
            rmax=rmax,
            rstep=rstep,
            precision=PRECISION,
        ).numpy()
    r = debye.r_grid(0.0, rmax, rstep).numpy()
    return [
        PDFData(
            r=r,
            g=g,
            composition=cluster.composition,
            qmin=qmin,
            qmax=qmax,
            qdamp=qdamp,
            qbroad=0.0,
            stype="X",
            source=f"simulated {cluster.composition}",
        )
        for cluster, g in zip(clusters, curves, strict=True)
    ]
