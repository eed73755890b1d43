"""The learned systems: regressors of the Laplacian, and a conditional VAE.

The paper compares with an MLP, a CNN, a ResNet and a Transformer without
printing their layers; these are plain ones of about equal size.  Each ends in
the same head.  The conditional VAE follows the idea of DeepStruc (Digital
Discovery 2023, 2, 69): a graph network encodes the structure to a few
numbers, a prior network tells them from the PDF, and a decoder emits
coordinates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.model.laplacian import from_weights, mask, weights
from diffpy_cbldm.model.layers import (
    ConvBlock,
    dense,
    gaussian_kl,
    gaussian_sample,
)
from diffpy_cbldm.model.recovery import recover
from diffpy_cbldm.settings import MAX_ATOMS, MIN_ATOMS, Model
from training.baselines.pool import POINTS, Rows

SIGMA2 = Model.sigma2
"""sigma^2 of the kernel of Eq. (1), in bond lengths squared."""

FEATURES = 192
"""Width of what each network makes of a PDF."""

RANK = 16
"""Columns of F in K = F F^T."""

DEGREE = 64.0
"""Unit of the diagonal of L in the loss, as for CbLDM."""

WIDTH = 0.2
"""Width of the normal density of coordinates in the loss, bond lengths."""

LATENT = 8
"""Dimensions of the VAE's latent."""

BONDED = 1.25
"""Atoms closer than this, in bond lengths, are neighbours in the graph."""


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(POINTS, 384),
        nn.SiLU(),
        nn.Linear(384, 384),
        nn.SiLU(),
        nn.Linear(384, FEATURES),
    )


def _cnn() -> nn.Module:
    layers: list[nn.Module] = [nn.Unflatten(1, (1, POINTS))]
    last = 1
    for width, kernel in ((24, 9), (32, 7), (48, 5), (64, 5)):
        layers += [
            nn.Conv1d(last, width, kernel, stride=2, padding=kernel // 2),
            nn.SiLU(),
        ]
        last = width
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(FEATURES))


def _resnet() -> nn.Module:
    layers: list[nn.Module] = [nn.Unflatten(1, (1, POINTS))]
    layers.append(nn.Conv1d(1, 48, 9, stride=4, padding=4))
    for _ in range(3):
        layers += [
            ConvBlock(48, 1),
            ConvBlock(48, 1),
            nn.Conv1d(48, 48, 4, stride=2, padding=1),
        ]
    return nn.Sequential(
        *layers, nn.SiLU(), nn.Flatten(), nn.LazyLinear(FEATURES)
    )


class _Transformer(nn.Module):
    """Attention over pieces of the PDF."""

    def __init__(self, piece: int = 12, width: int = 96, depth: int = 4):
        super().__init__()
        self.piece = piece
        count = POINTS // piece
        self.embed = nn.Linear(piece, width)
        self.place = nn.Parameter(0.02 * torch.randn(count, width))
        layer = nn.TransformerEncoderLayer(
            width,
            4,
            2 * width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.body = nn.TransformerEncoder(
            layer, depth, enable_nested_tensor=False
        )
        self.narrow = nn.Linear(width, 16)
        self.out = nn.Linear(16 * count, FEATURES)

    def forward(self, g: Tensor) -> Tensor:
        """(B, POINTS) -> (B, FEATURES)."""
        x = self.embed(g.reshape(len(g), -1, self.piece)) + self.place
        return self.out(self.narrow(self.body(x)).flatten(1))


TRUNKS = {
    "mlp": _mlp,
    "cnn": _cnn,
    "resnet": _resnet,
    "transformer": _Transformer,
}
"""What reads the PDF in each regressor."""


class Regressor(nn.Module):
    """G(r) to the Laplacian, in one step.

    W with ones on the diagonal of atoms is a Gaussian kernel matrix K, and so
    positive and smooth: the head emits F with K = F F^T, (256, `RANK`).  A
    head for all 65,536 elements would be thirty times as large.

    Parameters
    ----------
    system : str
        Key of `TRUNKS`.
    """

    def __init__(self, system: str):
        super().__init__()
        self.trunk = TRUNKS[system]()
        self.head = nn.Sequential(
            nn.LayerNorm(FEATURES),
            nn.SiLU(),
            nn.Linear(FEATURES, MAX_ATOMS * RANK),
        )
        self(torch.zeros(2, POINTS))  # lazy layers learn their shapes

    def forward(self, g: Tensor) -> Tensor:
        """(B, POINTS) -> F, (B, 256, `RANK`)."""
        return self.head(self.trunk(g)).reshape(-1, MAX_ATOMS, RANK)

    def loss(
        self, rows: Rows, generator: torch.Generator | None = None
    ) -> Tensor:
        """Squared error of K and of the degrees, per atom.

        The square of F F^T - K is expanded, so that no matrix of the
        network's is made.
        """
        f, lengths = self(rows.g), rows.lengths
        parts = []
        for some in alike(lengths):
            n, own = int(lengths[some].max()), f[some]
            k = kernel(rows.positions[some, :n], lengths[some])
            square = (own.mT @ own).square().sum((1, 2))
            square = square + k.square().sum((1, 2))
            miss = square - 2 * ((k @ own[:, :n]) * own[:, :n]).sum((1, 2))
            degrees = (own @ own.sum(1)[:, :, None])[..., 0]
            missing = nn.functional.pad(k.sum(-1), (0, MAX_ATOMS - n))
            apart = ((degrees - missing) / DEGREE).square().sum(1)
            # Degrees count apart: an error common to a row of K is small in
            # each element, but not in the degree.
            parts.append((miss + apart) / lengths[some])
        return torch.cat(parts).mean()

    @torch.no_grad()
    def structures(
        self, g: Tensor, count: int = 1, seed: int = 0
    ) -> list[np.ndarray]:
        """The structure of a PDF, by the recovery of CbLDM.

        Parameters
        ----------
        g : (1, POINTS) tensor
            From `curves`.
        count, seed : int
            Of no effect: the answer is one.

        Returns
        -------
        list of one (n, 3) array, bond lengths
        """
        f = self(g)
        k = f @ f.mT
        # The diagonal of K is 1 for an atom and 0 for none.
        k = filled_first(k, k.diagonal(dim1=1, dim2=2) > 0.5)
        w = k - torch.diag_embed(k.diagonal(dim1=1, dim2=2))
        return [recovered(from_weights(w))]


def alike(lengths: Tensor) -> tuple[Tensor, ...]:
    """Clusters of like size together: most are far smaller than 256."""
    return torch.argsort(lengths).split(8)


def filled_first(matrix: Tensor, on: Tensor) -> Tensor:
    """The part of a (1, N, N) matrix that rows with an atom make.

    In training they are the first ones; here they need not be.
    """
    order = torch.argsort((~on[0]).int(), stable=True)
    n = int(on.sum().clamp(MIN_ATOMS, MAX_ATOMS))
    return matrix[:, order][:, :, order][:, :n, :n]


def recovered(L: Tensor) -> np.ndarray:
    """Coordinates of one Laplacian, all of whose rows are atoms."""
    xyz = recover(L, torch.tensor([L.shape[1]]), sigma2=SIGMA2)
    return xyz[0].double().numpy()


def kernel(positions: Tensor, lengths: Tensor) -> Tensor:
    """W of Eq. (1) with ones on the diagonal of atoms, (B, N, N)."""
    on = mask(lengths, positions.shape[1])
    w = weights(positions, lengths, sigma2=SIGMA2)
    return w + torch.diag_embed(on.to(w))


class Cvae(nn.Module):
    """A conditional VAE of coordinates, of the kind of DeepStruc.

    The posterior reads the graph of the cluster (coordinates of the atoms,
    edges between neighbours) by message passing and the PDF; the prior reads
    the PDF alone.  The decoder gets the latent and, unlike the published one,
    the PDF's features: with eight numbers alone it could not tell thousands of
    shapes apart.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        self.trunk = _cnn()
        self.embed = nn.Linear(3, width)
        self.rounds = nn.ModuleList(
            nn.Sequential(
                nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width)
            )
            for _ in range(3)
        )
        self.posterior = dense(width + 1 + FEATURES, 128, 1)
        self.coded = nn.Linear(128, 2 * LATENT)
        self.prior = nn.Sequential(
            dense(FEATURES, 128, 1), nn.Linear(128, 2 * LATENT)
        )
        self.decoder = nn.Sequential(
            dense(LATENT + FEATURES, 384, 2), nn.Linear(384, 4 * MAX_ATOMS)
        )
        self.trunk(torch.zeros(2, POINTS))  # lazy layers learn their shapes

    def encode(
        self, positions: Tensor, lengths: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latent from graph and PDF."""
        n = int(lengths.max())
        x, on = positions[:, :n], mask(lengths, n)
        near = torch.cdist(x, x) < BONDED
        edges = (near & on[:, :, None] & on[:, None]).to(x)
        # Means over neighbours: sums would grow with the coordination.
        edges = edges / edges.sum(-1, keepdim=True).clamp_min(1)
        h = self.embed(x)
        for step in self.rounds:
            h = h + step(torch.cat([h, edges @ h], -1))
        part = on.to(h)[..., None] / lengths[:, None, None]
        pooled = (h * part).sum(1)
        known = torch.cat([pooled, lengths[:, None].log(), c], 1)
        return _widths(self.coded(self.posterior(known)))

    def decode(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (B, 256, 3) and logits of the atoms (B, 256)."""
        out = self.decoder(torch.cat([z, c], 1))
        out = out.reshape(-1, MAX_ATOMS, 4)
        return out[..., :3], out[..., 3]

    def loss(
        self, rows: Rows, generator: torch.Generator | None = None
    ) -> Tensor:
        """The negative evidence bound, nats per atom."""
        c, lengths = self.trunk(rows.g), rows.lengths
        coded = self.encode(rows.positions, lengths, c)
        z = gaussian_sample(*coded, generator)
        apart = coordinates_error(*self.decode(z, c), rows)
        kl = gaussian_kl(*coded, *_widths(self.prior(c)))
        return ((apart + kl) / lengths).mean()

    @torch.no_grad()
    def structures(
        self, g: Tensor, count: int = 64, seed: int = 0
    ) -> list[np.ndarray]:
        """Draw structures for a PDF; the prior's mean comes first.

        Parameters
        ----------
        g : (1, POINTS) tensor
            From `curves`.
        count : int
        seed : int

        Returns
        -------
        list of (n, 3) arrays, bond lengths
        """
        noise = torch.Generator().manual_seed(seed)
        c = self.trunk(g).expand(count, -1)
        mean, logvar = _widths(self.prior(c))
        eps = torch.randn(mean.shape, generator=noise)
        # The first answer is the likeliest, and the same for every seed.
        eps[0] = 0.0
        return atoms(*self.decode(mean + eps * torch.exp(0.5 * logvar), c))


def coordinates_error(found: Tensor, logits: Tensor, rows: Rows) -> Tensor:
    """What emitted coordinates and atoms miss, nats a structure, (B,)."""
    on = mask(rows.lengths, MAX_ATOMS).to(found)
    apart = ((found - rows.positions) / WIDTH).square().sum(-1) * on
    entropy = nn.functional.binary_cross_entropy_with_logits(
        logits, on, reduction="none"
    )
    return 0.5 * apart.sum(1) + entropy.sum(1)


def atoms(xyz: Tensor, logits: Tensor) -> list[np.ndarray]:
    """The atoms that are more likely than not, about their centre."""
    found = []
    for row, on in zip(xyz.double().numpy(), (logits > 0).numpy()):
        row = row[on] if on.sum() >= MIN_ATOMS else row[:MIN_ATOMS]
        found.append(row - row.mean(0))
    return found


def _widths(flat: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance, the latter between -10 and 2."""
    mean, logvar = flat.chunk(2, 1)
    return mean, 6.0 * torch.tanh(logvar / 6.0) - 4.0


def network(system: str) -> Regressor | Cvae:
    """The untrained network of a system."""
    return Cvae() if system == "deepstruc" else Regressor(system)
