"""The compared systems as generators, with the registry's signature.

``baseline_generator("resnet")`` is a callable ``generator(pdf, *, count,
seed, device, rmin, rmax) -> list[Candidate]``.  A package that ships it can
register it, and ``cbldm --generators resnet`` finds it::

    [project.entry-points."diffpy_cbldm.generators"]
    resnet = "my_package:resnet"
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.cluster import Candidate
from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.model.recovery import moved_apart
from diffpy_cbldm.pdfdata import PDFData
from diffpy_cbldm.search.generators import Generator
from diffpy_cbldm.search.matching import histograms, screen
from diffpy_cbldm.settings import R_MAX, Model
from training.baselines import LEARNED, WEIGHTS, mining
from training.baselines.networks import network
from training.baselines.pool import curves


def baseline_generator(
    system: str, weights: Path | str = WEIGHTS
) -> Generator:
    """One of the compared systems as a generator.

    Parameters
    ----------
    system : str
        One of `LEARNED`.
    weights : path
        Folder of its weights.

    Returns
    -------
    callable
        A regressor answers with one candidate, the others with `count`: the
        VAE's samples from the best fit on, the classifier's clusters from
        the likeliest on.  All are stretched by up to 5 % to meet the PDF, as
        the candidates of all generators are.

    Raises
    ------
    CbldmError
        There is no such system, or its weights are not there.
    """
    if system not in LEARNED:
        raise CbldmError(
            f"there is no system {system!r}; expected one of "
            f"{', '.join(LEARNED)}."
        )
    model = _loaded(system, Path(weights))
    if system == "mining":
        return functools.partial(_mined, model)
    return functools.partial(_drawn, model)


def record(system: str, weights: Path | str = WEIGHTS) -> dict[str, Any]:
    """The record of a system's weights."""
    return json.loads((Path(weights) / f"{system}.json").read_text())


@functools.cache
def _loaded(system: str, weights: Path) -> Any:
    """The trained network or classifier."""
    name = f"{system}.safetensors"
    if system == "mining":
        name = mining.FILE
    path = weights / name
    if not path.is_file():
        raise CbldmError(
            f"{path} is not there: train it with python -m "
            f"training.baselines.train --system {system}."
        )
    # Sites and classes are numbers: with another table they mean others.
    if record(system, weights)["table"] != load_table().digest:
        raise CbldmError(
            f"{path} was trained on another table of sites: train it again."
        )
    if system == "mining":
        return mining.load(path)
    from safetensors.torch import load_file

    model = network(system)
    tensors = load_file(path)
    model.load_state_dict({k: v.float() for k, v in tensors.items()})
    return model.eval()


def _drawn(
    model: Any,
    pdf: PDFData,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float = R_MAX,
) -> list[Candidate]:
    """Candidates of a network, the best fit first."""
    return [
        Candidate(elements=(pdf.element,) * len(xyz), positions=xyz)
        for xyz in emitted(model, Target.of(pdf, rmin, rmax), count, seed)
    ]


def emitted(
    model: Any, target: PDFData | Target, count: int = 1, seed: int = 0
) -> list[np.ndarray]:
    """What a network emits, stretched, the best fit first; (n, 3), angstrom.

    Nothing is refused: atoms may fall together, and are then moved
    apart (`moved_apart`), as no calculator takes two atoms at one place.
    """
    target = Target.of(target)
    g = _read(target)
    found = [moved_apart(x, seed) for x in model.structures(g, count, seed)]
    # The first peak tells the bond length to a few per cent only.
    rw, bonds = _stretched(found, target)
    order = np.argsort(rw, kind="stable")
    return [found[i] * bonds[i] for i in order]


def _mined(
    booster: Any,
    pdf: PDFData,
    *,
    count: int = 64,
    seed: int = 0,
    device: str = "auto",
    rmin: float = 1.5,
    rmax: float = R_MAX,
) -> list[Candidate]:
    """Candidates of the classifier, the likeliest first."""
    target = Target.of(pdf, rmin, rmax)
    table = load_table()
    found = mining.likeliest(booster, _read(target), count)
    positions = [table.positions(i) for i in found]
    _, bonds = _stretched(positions, target)
    return [
        Candidate(
            elements=(pdf.element,) * len(xyz),
            positions=xyz * b,
            structure_type=table.geometries[i].structure_type,
        )
        for i, xyz, b in zip(found, positions, bonds)
    ]


def _read(target: Target) -> Tensor:
    """The PDF in bond lengths as the systems read it."""
    points = Model.pdf_channels * Model.pdf_length
    x = np.arange(points) * Model.pdf_step * target.bond
    # The networks were trained with zeros where there are no data.
    y = np.interp(x, *target.curve, left=0.0, right=0.0)
    return curves(torch.as_tensor(y, dtype=torch.float32)[None])


def _stretched(
    found: list[np.ndarray], target: Target
) -> tuple[np.ndarray, np.ndarray]:
    """Rw and bond length of structures at the stretch that fits best."""
    lengths = np.array([len(p) for p in found])
    return screen(histograms(found), lengths, target, target.bond)
