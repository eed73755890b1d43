"""Measurements of the training stream: PDFs under random conditions.

Everything is in units of the bond length, where one geometry serves all
metals: with bond b, the Q range, Uiso and Qdamp of a measurement become
Q b, U / b^2 and Qdamp b.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.debye.conditions import Conditions
from diffpy_cbldm.debye.histogram import pdf_from_histogram
from diffpy_cbldm.model.curves import tell_qdamp
from diffpy_cbldm.settings import Model
from training.settings import World


@dataclasses.dataclass(frozen=True)
class Bins:
    """Of the histograms of pairs, and the points of the PDFs made of them.

    Attributes
    ----------
    step : float, bond lengths
    count, order : int
        As in `diffpy_cbldm.debye.histogram.pair_histogram`.
    points : int
        Of the PDFs, in steps of `step`.
    """

    step: float
    count: int
    order: int
    points: int


SMALL_BINS = Bins(step=0.01, count=2048, order=4, points=1400)
"""For clusters of at most 256 atoms."""

LARGE_BINS = Bins(step=0.015, count=2700, order=2, points=2450)
"""For particles of up to 10,000 atoms: pairs up to 40 bonds, data up to 36."""


class Measuring:
    """Simulates the PDFs of a batch, each under conditions of its own.

    Parameters
    ----------
    settings : Model
        Gives the grid.
    world : World
        Ranges of what varies.
    bins : Bins
    device : torch.device
    """

    def __init__(
        self, settings: Model, world: World, bins: Bins, device: torch.device
    ):
        self.settings, self.world, self.bins = settings, world, bins
        self.device = device

    def simulate(
        self, hist: Tensor, lengths: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """PDFs of histograms of pairs, under random conditions.

        Returns
        -------
        clean, g : (B, M) tensors
            Without and with noise; both zero beyond the end of the data.
        """
        size, world = len(hist), self.world

        def draw(limits: tuple[float, float]) -> Tensor:
            values = rng.uniform(*limits, size).astype(np.float32)
            return torch.as_tensor(values).to(self.device)

        # The world is in angstrom; over the bond length one geometry serves
        # all metals.
        bond = draw(world.bond)
        u = draw(world.biso) / (8 * math.pi**2) / bond**2
        # Half of the PDFs have correlated motion (delta2), as some fits need.
        sharp = draw(world.sharpening) * (draw((0, 1)) < 0.5)
        qmin, qmax = draw(world.qmin) * bond, draw(world.qmax) * bond
        qdamp = draw(world.qdamp) * bond
        g = self._sharpened(hist, lengths, u, sharp, qmin, qmax, qdamp)
        points = self.settings.pdf_channels * self.settings.pdf_length
        # Whoever reads a PDF must find its bond length in the first peak, and
        # errs: the model has to bear that.
        error = rng.normal(0, world.peak_error, size).astype(np.float32)
        ends = draw(world.rmax).clamp(max=world.reach) / bond
        x = torch.arange(points, device=self.device) * self.settings.pdf_step
        clean = _read(
            self.bins.step,
            g,
            x[None] * (1 + torch.as_tensor(error)[:, None].to(x)),
        )
        inside = x[None] < ends[:, None]
        # What lies beyond the end of the data is unknown: zero, as for a user.
        clean = clean * inside
        # Relative to the curve, whose height depends on the size.
        rms = clean.square().mean(1, keepdim=True).sqrt()
        level = draw(world.noise)[:, None] * rms
        noisy = clean + level * self._smooth_noise(size, points, rng) * inside
        if self.settings.tells_qdamp:
            # Of half of the measurements Qdamp is known.
            told = torch.where(draw((0, 1)) < 0.5, qdamp, torch.nan)
            clean, noisy = (tell_qdamp(g, told) for g in (clean, noisy))
        return clean, noisy

    def _sharpened(
        self,
        hist: Tensor,
        lengths: Tensor,
        u: Tensor,
        sharp: Tensor,
        qmin: Tensor,
        qmax: Tensor,
        qdamp: Tensor,
    ) -> Tensor:
        """PDFs with U (1 - sharp / d^2), in four shells of d."""
        # 1 - sharp / d^2 is taken at the middle of a shell: neighbours at 1,
        # sqrt(2), sqrt(3) bonds, and the rest.
        edges = [round(d / self.bins.step) for d in (0, 1.2, 1.6, 1.85)]
        edges.append(self.bins.count)
        squares = [1.0, 2.0, 3.0, 4.5]
        parts, widths = [], []
        for low, high, square in zip(edges, edges[1:], squares):
            part = torch.zeros_like(hist)
            part[:, low:high] = hist[:, low:high]
            parts.append(part)
            widths.append(u * (1 - sharp / square))
        n = len(parts)
        g = pdf_from_histogram(
            torch.cat(parts),
            lengths.repeat(n),
            Conditions(
                u_iso=torch.cat(widths),
                qmin=qmin.repeat(n),
                qmax=qmax.repeat(n),
                qdamp=qdamp.repeat(n),
            ),
            step=self.bins.step,
            order=self.bins.order,
            points=self.bins.points,
        )
        return g.reshape(n, len(hist), -1).sum(0)

    def _smooth_noise(
        self, size: int, points: int, rng: np.random.Generator
    ) -> Tensor:
        """Noise of unit variance with the resolution of the data."""
        # A termination at Qmax leaves neighbouring points of G alike: noise of
        # every point would be unlike that of measurements.
        apart = max(1, round(0.05 / self.settings.pdf_step))
        count = points // apart + 2
        coarse = rng.standard_normal((size, 1, count), np.float32)
        fine = torch.nn.functional.interpolate(
            torch.as_tensor(coarse).to(self.device),
            scale_factor=apart,
            mode="linear",
        )
        return fine[:, 0, :points] * 1.2


def _read(step: float, g: Tensor, x: Tensor) -> Tensor:
    """Linear interpolation of curves on a grid at other places."""
    place = x / step
    left = place.floor().long().clamp(max=g.shape[1] - 2)
    part = place - left
    return g.gather(1, left) * (1 - part) + g.gather(1, left + 1) * part
