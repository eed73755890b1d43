"""One trunk with several outputs: what a network is asked to emit.

All read the PDF as the regressor `mlp` does, and differ in what they emit:
the Laplacian by convolutions as published or by a dense layer, squared
distances, coordinates, or the occupancies of template sites.
`training.evaluation.ablate` trains them alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.crystals.filling import (
    likely_numbers,
    overlapping,
    ranked_sites,
)
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table
from diffpy_cbldm.model.laplacian import (
    MIN_DEGREE,
    from_weights,
    laplacian_of,
    laplacian_tensor,
    mask,
)
from diffpy_cbldm.model.paper_networks import PaperDecoder
from diffpy_cbldm.model.structure import Sites, reconstruction
from diffpy_cbldm.settings import CRYSTAL_TYPES, MAX_ATOMS, Model
from training.baselines.networks import (
    FEATURES,
    RANK,
    SIGMA2,
    TRUNKS,
    alike,
    atoms,
    coordinates_error,
    filled_first,
    network,
    recovered,
)
from training.baselines.pool import Rows

CONVOLVED = Model(network="laplacian", decoder_width=4, decoder_blocks=1)
"""Shape of the published decoder here; the paper gives no widths."""

BATCHES = {"convolutions": 16}
"""PDFs of a step where they are fewer: convolutions up to 128 x 128 take so
long on a CPU that otherwise it would hardly take any."""


class _Output(nn.Module):
    """The trunk of `mlp` and a linear layer."""

    def __init__(self, size: int):
        super().__init__()
        self.trunk = TRUNKS["mlp"]()
        self.head = nn.Sequential(
            nn.LayerNorm(FEATURES), nn.SiLU(), nn.Linear(FEATURES, size)
        )

    def forward(self, g: Tensor) -> Tensor:
        """(B, POINTS) -> (B, size)."""
        return self.head(self.trunk(g))


class Convolved(_Output):
    """The Laplacian, by the published decoder from a (1, 16, 16) code."""

    def __init__(self) -> None:
        super().__init__(CONVOLVED.latent_size**2)
        self.decoder = PaperDecoder(CONVOLVED)

    def emit(self, g: Tensor) -> Tensor:
        """(B, POINTS) -> (B, 4, 128, 128), as from `laplacian_tensor`."""
        side = CONVOLVED.latent_size
        return self.decoder(self(g).reshape(-1, 1, side, side))

    def loss(
        self, rows: Rows, generator: torch.Generator | None = None
    ) -> Tensor:
        """Squared error of L, per atom; the degrees over 64."""
        truth = laplacian_tensor(rows.positions, rows.lengths, SIGMA2)
        miss = (self.emit(rows.g) - truth).square().sum((1, 2, 3))
        return (miss / rows.lengths).mean()

    @torch.no_grad()
    def structures(
        self, g: Tensor, count: int = 1, seed: int = 0
    ) -> list[np.ndarray]:
        """The structure of a PDF, by the recovery of CbLDM."""
        L = laplacian_of(self.emit(g))
        on = L.diagonal(dim1=1, dim2=2) > MIN_DEGREE
        return [recovered(filled_first(L, on))]


class Distances(_Output):
    """Squared distances M = F S F^T of low rank, half the signs in S minus.

    Those of points in space have rank five.  The unit is 2 sigma^2, in which
    M = -ln W: what is far apart counts as it is, not through the kernel.
    """

    signs: Tensor

    def __init__(self) -> None:
        super().__init__((RANK + 1) * MAX_ATOMS)
        signs = torch.tensor([1.0, -1.0]).repeat(RANK // 2)
        self.register_buffer("signs", signs, persistent=False)

    def emit(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """F, (B, 256, `RANK`), and logits of the atoms, (B, 256)."""
        out = self(g).reshape(-1, MAX_ATOMS, RANK + 1)
        return out[..., :RANK], out[..., RANK]

    def loss(
        self, rows: Rows, generator: torch.Generator | None = None
    ) -> Tensor:
        """Squared error of M and cross-entropy of the atoms, per atom."""
        f, logits = self.emit(rows.g)
        on = mask(rows.lengths, MAX_ATOMS).to(f)
        entropy = nn.functional.binary_cross_entropy_with_logits(
            logits, on, reduction="none"
        ).sum(1)
        parts = []
        for some in alike(rows.lengths):
            n = int(rows.lengths[some].max())
            own, xyz = f[some, :n], rows.positions[some, :n]
            pairs = on[some, :n, None] * on[some, None, :n]
            truth = torch.cdist(xyz, xyz).square() / (2 * SIGMA2)
            miss = ((own * self.signs) @ own.mT - truth).square() * pairs
            total = miss.sum((1, 2)) + entropy[some]
            parts.append(total / rows.lengths[some])
        return torch.cat(parts).mean()

    @torch.no_grad()
    def structures(
        self, g: Tensor, count: int = 1, seed: int = 0
    ) -> list[np.ndarray]:
        """The structure of a PDF: through W, by the recovery of CbLDM."""
        f, logits = self.emit(g)
        m = filled_first((f * self.signs) @ f.mT, logits > 0)
        w = torch.exp(-m.clamp_min(0.0))
        w = w - torch.diag_embed(w.diagonal(dim1=1, dim2=2))
        return [recovered(from_weights(w))]


class Coordinates(_Output):
    """Coordinates and which of them are atoms, as the compared VAE emits."""

    def __init__(self) -> None:
        super().__init__(4 * MAX_ATOMS)

    def emit(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (B, 256, 3) and logits of the atoms (B, 256)."""
        out = self(g).reshape(-1, MAX_ATOMS, 4)
        return out[..., :3], out[..., 3]

    def loss(
        self, rows: Rows, generator: torch.Generator | None = None
    ) -> Tensor:
        """Nats per atom."""
        apart = coordinates_error(*self.emit(rows.g), rows)
        return (apart / rows.lengths).mean()

    @torch.no_grad()
    def structures(
        self, g: Tensor, count: int = 1, seed: int = 0
    ) -> list[np.ndarray]:
        """The structure of a PDF as it is emitted."""
        return atoms(*self.emit(g))


class Occupancies(_Output):
    """A type and the occupancies of all template sites, as CbLDM decodes."""

    def __init__(self) -> None:
        sites = Sites(load_table())
        super().__init__(len(CRYSTAL_TYPES) + sites.count)
        self.sites = sites
        # Few sites of all templates are filled: it starts near that share.
        nn.init.constant_(self.head[-1].bias[len(CRYSTAL_TYPES) :], -2.0)

    def loss(
        self, rows: Rows, generator: torch.Generator | None = None
    ) -> Tensor:
        """Cross-entropies over the mean number of atoms."""
        out = self(rows.g)
        # The last column takes the padding.
        filled = out.new_zeros(len(out), self.sites.count + 1)
        filled.scatter_(1, rows.sites % (self.sites.count + 1), 1.0)
        parts = reconstruction(
            self.sites,
            out[:, : len(CRYSTAL_TYPES)],
            out[:, len(CRYSTAL_TYPES) :],
            {"type": rows.kinds, "filled": filled[:, :-1]},
        )
        total = parts["sites"] + parts["type"]
        return total / rows.lengths.float().mean()

    @torch.no_grad()
    def structures(
        self, g: Tensor, count: int = 1, seed: int = 0
    ) -> list[np.ndarray]:
        """The likeliest sites of the likeliest type."""
        out = self(g)[0]
        kind = CRYSTAL_TYPES[int(out[: len(CRYSTAL_TYPES)].argmax())]
        part = self.sites.slices[TEMPLATE_OF[kind]]
        xyz = self.sites.xyz[part].double().numpy()
        logits = out[len(CRYSTAL_TYPES) :][part].double().numpy()
        index, ranked = ranked_sites(logits, overlapping(xyz))
        found = xyz[index[: likely_numbers(ranked, 1)[0]]]
        return [found - found.mean(0)]


OUTPUTS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": Convolved,
    "laplacian": functools.partial(network, "mlp"),
    "distances": Distances,
    "coordinates": Coordinates,
    "sites": Occupancies,
    "sites-no-cuts": Occupancies,
}
"""What is trained; the last from a pool of ideal clusters alone."""
