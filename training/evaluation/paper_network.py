"""Where the error of the paper's own network comes from, part by part.

    python -m training.evaluation.paper_network --structures 14

For PDFs of geometries that were trained on and of held-out ones, a latent is
taken from the encoder (which is told the structure), from the conditional
prior, or by Algorithm 4 with the skip and without, with Eq. (8) in its derived
form and as printed.  It is decoded to a Laplacian, and this recovered by our
solver or by the paper's.  Nothing is fitted: the structure has the bond length
that the first peak shows.  No search goes on as in `cbldm_generator`.

The same is then told of Laplacians that are wrong by a known amount: how exact
a decoder must be.  Of the site decoder, by its side, of sites that are wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffpy_cbldm.cluster import Cluster
from diffpy_cbldm.fitting.target import Target
from diffpy_cbldm.model.cbldm import CbLDM, settled
from diffpy_cbldm.model.diffusion import algorithm_4
from diffpy_cbldm.model.laplacian import (
    DEGREE_SCALE,
    by_rows,
    from_weights,
    laplacian_of,
    laplacian_tensor,
    likely_atoms,
    weights,
    weights_of,
)
from diffpy_cbldm.model.noise import SeededNoise
from diffpy_cbldm.model.recovery import recover
from diffpy_cbldm.model.weights import load_weights
from diffpy_cbldm.settings import MAX_ATOMS, MIN_ATOMS, Sampling
from training.evaluation.cases import Case, Conditions, cases, measured
from training.evaluation.compare import rwp
from training.evaluation.systems import NETWORK, RESULTS, paper_weights
from training.records import commit, keep, machine

NEAR = 1.1
"""Pairs nearer than so many bond lengths are neighbours."""

SKIP, WHOLE = Sampling(t1=200, t2=900), Sampling(t1=0, t2=0)
"""Algorithm 4 with the conditional prior, and ordinary diffusion."""

SOLVERS = {"ours": ("fast", "mds"), "paper": ("trust-constr", "spectral")}
"""Method and start of `recover`."""

PAPER_STEPS = 200
"""Of the paper's solver: more take minutes for each structure."""

SLOW = ("encoder", "skip, derived")
"""Latents whose Laplacians it gets."""

ERRORS = (0.003, 0.01, 0.03, 0.1)
"""Root mean squares of what is added to an exact W."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """A case as the network sees it.

    Attributes
    ----------
    case : Case
    number : int
        Of the case; also the seed of its noise.
    curve : (M,) tensor
        G on the grid of the model, in bond lengths.
    bond : float
        Bond length that the first peak shows, angstrom.
    xyz : (1, 256, 3) tensor
        The truth in its own bond lengths, in the order of the rows.
    """

    case: Case
    number: int
    curve: Tensor
    bond: float
    xyz: Tensor

    @property
    def n(self) -> int:
        """The right number of atoms."""
        return len(self.case.positions)

    @property
    def lengths(self) -> Tensor:
        """The same as a batch of one."""
        return torch.tensor([self.n])


def seen(model: CbLDM, case: Case, number: int) -> Seen:
    """Measure a case, and read its PDF."""
    target = Target.of(measured(case, Conditions(), number))
    points = np.interp(
        model.grid() * target.bond, *target.curve, left=0.0, right=0.0
    )
    curve = torch.as_tensor(points, dtype=torch.float32)
    xyz = torch.zeros(1, MAX_ATOMS, 3)
    own = case.positions / target.bond
    xyz[0, : len(own)] = torch.as_tensor(own - own.mean(0))
    if model.settings.atom_order == "rows":
        xyz = by_rows(xyz, torch.tensor([len(own)]))
    return Seen(case, number, curve, target.bond, xyz)


Way = Callable[[CbLDM, Seen], Tensor]


def from_encoder(model: CbLDM, one: Seen) -> Tensor:
    """The encoder's mean: what compression alone costs."""
    s2 = model.settings.sigma2
    x = laplacian_tensor(one.xyz, one.lengths, s2)
    c_0 = model.c_0(one.curve[None])
    return model.structure.encoder(x, c_0, torch.zeros(1, 3))[0]


def from_prior(model: CbLDM, one: Seen) -> Tensor:
    """The mean of the conditional prior: no diffusion."""
    return model.structure.prior(model.c_0(one.curve[None]))[0]


def from_diffusion(how: Sampling, printed: bool = False) -> Way:
    """One latent by Algorithm 4."""

    def draw(model: CbLDM, one: Seen) -> Tensor:
        c_0 = model.c_0(one.curve[None])
        mean, logvar = model.structure.prior(c_0)
        side = model.settings.latent_size
        noise = SeededNoise(0, range(1), mean.new_zeros(1, side, side))
        prior = mean + torch.exp(0.5 * logvar) * noise()
        z = algorithm_4(
            lambda x, t: model.predict_noise(x, t, c_0, (mean, logvar)),
            model.schedule,
            prior / model.latent_scale,
            noise,
            how,
            printed,
        )
        return z * model.latent_scale

    return draw


WAYS: dict[str, Way] = {
    "encoder": from_encoder,
    "prior": from_prior,
    "skip, derived": from_diffusion(SKIP),
    "skip, printed": from_diffusion(SKIP, printed=True),
    "no skip": from_diffusion(WHOLE),
}
"""Where a latent comes from."""


def recovered(L: Tensor, sigma2: float, solver: str) -> np.ndarray:
    """Coordinates of one Laplacian in bond lengths, (n, 3)."""
    n = likely_atoms(L).clamp(min=MIN_ATOMS)
    method, start = SOLVERS[solver]
    steps = None if solver == "ours" else PAPER_STEPS
    xyz = recover(L, n, method, start, sigma2, steps)
    return settled(xyz[0, : int(n)].double().numpy())


def scored(one: Seen, xyz: np.ndarray) -> float:
    """Rwp of a structure in bond lengths; nothing is fitted."""
    how = Conditions()
    pdf = measured(one.case, how, one.number)
    return rwp(Cluster("Pt", xyz * one.bond), one.case, pdf, how)


def misses(x: Tensor, one: Seen, sigma2: float) -> dict[str, float]:
    """Where a decoded Laplacian is wrong; x is (1, 4, 128, 128).

    Returns
    -------
    dict
        Sums of squares as in the loss: ``diagonal``, ``near`` (neighbours),
        ``far`` (other pairs) and ``outside`` (rows of no atom); root mean
        squares ``rms_near`` and ``rms_far`` of W; ``apart``, the same of the
        distances of neighbours, bond lengths.
    """
    truth = laplacian_tensor(one.xyz, one.lengths, sigma2)
    # The diagonal counts in the loss as it is there: over `DEGREE_SCALE`.
    square = laplacian_of(x - truth)[0].square()
    n = one.n
    d = torch.cdist(one.xyz[0, :n], one.xyz[0, :n])
    eye = torch.eye(n, dtype=torch.bool)
    near = (d < NEAR) & ~eye
    inside = square[:n, :n]
    diagonal = inside[eye].sum() / DEGREE_SCALE**2
    outside = square.clone()
    outside[:n, :n] = 0.0
    on_diagonal = torch.diagonal(outside).sum()
    w = weights_of(laplacian_of(x))[0, :n, :n].clamp(1e-4, 1.0)
    read = (-2 * sigma2 * torch.log(w)).clamp(min=0).sqrt()
    return {
        "diagonal": float(diagonal),
        "near": float(inside[near].sum()),
        "far": float(inside[~near & ~eye].sum()),
        "outside": float(outside.sum() - on_diagonal * (1 - DEGREE_SCALE**-2)),
        "rms_near": float(inside[near].mean().sqrt()),
        "rms_far": float(inside[~near & ~eye].mean().sqrt()),
        "apart": float((read - d)[near].square().mean().sqrt()),
    }


def neighbours(xyz: np.ndarray, one: Seen) -> float | None:
    """Root mean square error of the distances of neighbours.

    None where N is wrong: there is no pair that it could belong to.
    """
    if len(xyz) != one.n:
        return None
    truth = one.xyz[0, : one.n].double()
    d = torch.cdist(truth, truth)
    near = (d < NEAR) & (d > 0)
    found = torch.as_tensor(xyz)
    error = (torch.cdist(found, found) - d)[near]
    return float(error.square().mean().sqrt())


@torch.no_grad()
def rows_of(
    model: CbLDM, split: str, count: int, slow: int
) -> list[dict[str, Any]]:
    """One row for each PDF and origin of the latent.

    Parameters
    ----------
    model : CbLDM
    split : str
        ``training`` or ``geometry``.
    count : int
        PDFs, a type after the other.
    slow : int
        PDFs whose Laplacians the paper's solver gets as well.
    """
    rows = []
    s2 = model.settings.sigma2
    for i, case in enumerate(tqdm(cases(split, count), desc=split)):
        one = seen(model, case, i)
        for way, draw in WAYS.items():
            x = model.structure.decoder(draw(model, one))
            L = laplacian_of(x)
            xyz = recovered(L, s2, "ours")
            row = {
                "split": split,
                "index": i,
                "truth": case.kind,
                "n": one.n,
                "way": way,
                "atoms": len(xyz),
                **misses(x, one, s2),
                "neighbours": neighbours(xyz, one),
                "rwp": scored(one, xyz),
            }
            if i < slow and way in SLOW:
                start = time.process_time()
                row["rwp_paper"] = scored(one, recovered(L, s2, "paper"))
                row["seconds_paper"] = round(time.process_time() - start, 1)
            rows.append(row)
    return rows


@torch.no_grad()
def needed(model: CbLDM, count: int) -> list[dict[str, Any]]:
    """Rwp where an exact Laplacian, or exact sites, are made wrong.

    Returns
    -------
    list of dict
        ``what`` ("each entry": noise of its own for each W_ij; "all
        alike": the same number taken off all; "sites": this share of the
        atoms left out, the outermost), ``size`` and ``rwp``.
    """
    rows = []
    s2 = model.settings.sigma2
    for i, case in enumerate(cases("training", count)):
        one = seen(model, case, i)
        exact = weights(one.xyz[:, : one.n], sigma2=s2)
        off = 1 - torch.eye(one.n)
        noise = torch.Generator().manual_seed(i)
        own = torch.randn(exact.shape, generator=noise)
        own = (own + own.mT) / 2**0.5
        for what, error in (
            ("each entry", own),
            ("all alike", -torch.ones_like(own)),
        ):
            for size in ERRORS:
                w = (exact + size * error * off).clamp(0.0, 1.0)
                xyz = recovered(from_weights(w), s2, "ours")
                rows.append(
                    {"what": what, "size": size, "rwp": scored(one, xyz)}
                )
        for share in (0.0, 0.03, 0.1):
            xyz = fewer(one, share)
            rows.append(
                {"what": "sites", "size": share, "rwp": scored(one, xyz)}
            )
    return rows


def fewer(one: Seen, share: float) -> np.ndarray:
    """The truth without the outermost of its atoms: what sites get wrong."""
    xyz = one.xyz[0, : one.n].double().numpy()
    kept = one.n - round(share * one.n)
    return xyz[np.argsort((xyz**2).sum(1), kind="stable")[:kept]]


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.evaluation.paper_network",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument(
        "--weights", type=Path, help="those of cbldm-paper by default"
    )
    parser.add_argument("--structures", type=int, default=14)
    parser.add_argument(
        "--slow", type=int, default=4, help="PDFs for the paper's solver"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    now = commit()
    path = options.weights or paper_weights()
    model = load_weights(str(path))
    rows = [
        row
        for split in ("training", "geometry")
        for row in rows_of(model, split, options.structures, options.slow)
    ]
    state = {
        "schema": "cbldm-paper-network/1",
        "machine": machine(),
        "settings": {
            "weights": hashlib.sha256(path.read_bytes()).hexdigest()[:12],
            "structures": options.structures,
            "slow": options.slow,
            "slow_steps": PAPER_STEPS,
        },
        "commits": [now],
        "rows": rows,
        "needed": needed(model, options.structures),
    }
    options.out.mkdir(parents=True, exist_ok=True)
    keep(options.out / NETWORK, state)


if __name__ == "__main__":
    main()
