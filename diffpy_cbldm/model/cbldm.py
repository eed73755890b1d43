"""CbLDM: the parts assembled, sampled, saved and loaded."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffpy_cbldm.cuts import deformed
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.families import TEMPLATE_OF, Table, load_table
from diffpy_cbldm.hulls import SLOPE, Facets, facets, hulls, moved_facets
from diffpy_cbldm.model.condition import ConditionVAE, pdf_tensor
from diffpy_cbldm.model.denoiser import UNet
from diffpy_cbldm.model.diffusion import Schedule, algorithm_4, renew
from diffpy_cbldm.model.structure import (
    SHAPE_UNIT,
    StructureVAE,
    laplacian_of,
    likely_numbers,
    overlapping,
    ranked_sites,
)
from diffpy_cbldm.settings import (
    KINDS,
    MAX_ATOMS,
    MIN_ATOMS,
    PRESETS,
    Model,
    Sampling,
)
from diffpy_cbldm.symmetry import Symmetry

CHUNK = 32
"""Candidates run in blocks of this size, the last one filled up, so that a
candidate's numbers do not depend on how many are asked for."""


TRAINING_ONLY = ("structure.encoder", "condition.decoder")
"""Parts that no candidate asks for; weights may come without them."""


def _none() -> np.ndarray:
    return np.zeros(0, int)


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A decoded structure in bond lengths.

    Attributes
    ----------
    structure_type : str
        One of `diffpy_cbldm.settings.KINDS`; empty where a Laplacian was
        decoded.
    positions : (n, 3) array
    sites : (n,) array of int
        The filled sites of the type's template; empty where a Laplacian was
        decoded.
    logits : (S,) array
        Of the occupancies of all sites of the template.
    shape : (3,) array
        Strain and relaxation, see `diffpy_cbldm.cuts.deformed`.
    """

    structure_type: str
    positions: np.ndarray
    sites: np.ndarray = dataclasses.field(default_factory=_none)
    logits: np.ndarray = dataclasses.field(default_factory=_none)
    shape: np.ndarray = dataclasses.field(default_factory=_none)


class CbLDM(nn.Module):
    """Condition VAE, structure VAE with conditional prior, and denoiser.

    Parameters
    ----------
    settings : Model
        Shapes and widths.
    table : Table, optional
        The template sites; the packaged ones by default.
    """

    latent_scale: Tensor

    def __init__(self, settings: Model, table: Table | None = None):
        super().__init__()
        self.settings = settings
        self.table = table or load_table()
        self.condition = ConditionVAE(settings)
        size = self.condition.size
        self.structure = StructureVAE(settings, self.table, size)
        self.denoiser = UNet(settings, size)
        self.symmetry = Symmetry(self.table)
        self._known_sites: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.schedule = Schedule.cosine(settings.steps)
        # Brings z_x to unit variance for the diffusion; set in training.
        self.register_buffer("latent_scale", torch.ones(()))

    def c_0(self, g: Tensor) -> Tensor:
        """E_c's mean of PDFs on the model's grid, (B, M) -> (B, c, n)."""
        return self.condition.encode(pdf_tensor(g, self.settings))[0]

    def grid(self) -> np.ndarray:
        """The r grid in bond lengths, (M,) array from 0."""
        points = self.settings.pdf_channels * self.settings.pdf_length
        return np.arange(points) * self.settings.pdf_step

    def predict_noise(
        self,
        x: Tensor,
        t: Tensor,
        c_0: Tensor,
        prior: tuple[Tensor, Tensor],
    ) -> Tensor:
        """eps_theta in the scaled latent space.

        Were z_x exactly normal under the conditional prior N(m, v), the
        expected noise in x_t would be b (x_t - a m) / (a^2 v + b^2), with a,
        b = sqrt(abar_t), sqrt(1 - abar_t).  The U-Net adds to that, in units
        of what it leaves uncertain; at first it adds nothing, and sampling
        gives back the prior.  The paper's network predicts the noise
        outright.
        """
        if self.settings.network == "laplacian":
            hints = x.new_zeros(len(x), 2, *x.shape[2:])
            return self.denoiser(x, t, c_0, hints)
        mean, logvar = prior
        m = mean / self.latent_scale
        v = torch.exp(logvar) / self.latent_scale**2
        abar = self.schedule.abar.to(x.device)[t].to(x.dtype)
        abar = abar.reshape(-1, 1, 1, 1)
        a, b = abar.sqrt(), (1 - abar).sqrt()
        power = a**2 * v + b**2
        unit = (x - a * m) / power.sqrt()
        left = (a**2 * v / power).sqrt()
        hints = torch.cat([m, logvar], 1)
        return b * unit / power.sqrt() + left * self.denoiser(
            unit, t, c_0, hints
        )

    @torch.no_grad()
    def sample(
        self,
        g: Tensor,
        count: int,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Draw latents for one PDF by Algorithm 4.

        Parameters
        ----------
        g : (M,) tensor
            G on `grid`, any scale.
        count : int
            How many.
        seed : int
            Candidate i has its own stream of noise, from (seed, i).
        sampling : Sampling, optional
            Sampler, number of calls, T1 and T2.

        Returns
        -------
        (count, 1, 16, 16) tensor
        """
        how = sampling or Sampling()
        denoise, (mean, logvar) = self._conditioned(g)
        spread = torch.exp(0.5 * logvar)

        def part(noise: _Noise, _: Tensor) -> Tensor:
            return algorithm_4(
                denoise,
                self.schedule,
                (mean + spread * noise()) / self.latent_scale,
                noise,
                how.t1,
                how.t2,
                how.calls,
                how.sampler,
            )

        return self._in_chunks(part, mean.new_zeros(count, 1), seed)

    @torch.no_grad()
    def renew(
        self,
        g: Tensor,
        z: Tensor,
        step: int,
        seed: int = 0,
        sampling: Sampling | None = None,
    ) -> Tensor:
        """Draw latents near given ones, from the same distribution.

        Parameters
        ----------
        g : (M,) tensor
            G on `grid`, any scale.
        z : (count, 1, 16, 16) tensor
            From `sample`.
        step : int
            How far they are noised before they are denoised again, up to
            T - 1; 0 leaves them nearly where they are.
        seed, sampling
            As in `sample`.
        """
        how = sampling or Sampling()

        denoise, _ = self._conditioned(g)

        def part(noise: _Noise, block: Tensor) -> Tensor:
            return renew(
                denoise,
                self.schedule,
                block / self.latent_scale,
                noise,
                step,
                how.calls,
                how.sampler,
            )

        return self._in_chunks(part, z, seed)

    def _conditioned(
        self, g: Tensor
    ) -> tuple[Callable[[Tensor, Tensor], Tensor], tuple[Tensor, Tensor]]:
        """eps_theta and the prior's mean and log-variance under one PDF."""
        c_0 = self.c_0(g[None]).expand(CHUNK, -1, -1)
        prior = self.structure.prior(c_0)
        return lambda x, t: self.predict_noise(x, t, c_0, prior), prior

    def _in_chunks(
        self,
        part: Callable[[_Noise, Tensor], Tensor],
        rows: Tensor,
        seed: int,
    ) -> Tensor:
        """Work on `CHUNK` rows at a time, each with noise of its own."""
        like = rows.new_zeros(1, self.settings.latent_size)
        like = like.expand(self.settings.latent_size, -1)[None]
        found = []
        for start in range(0, len(rows), CHUNK):
            noise = _Noise(seed, range(start, start + CHUNK), like)
            block = rows[start : start + CHUNK]
            spare = block[-1:].expand(CHUNK - len(block), *rows.shape[1:])
            z = part(noise, torch.cat([block, spare]))
            found.append(z[: len(block)] * self.latent_scale)
        return torch.cat(found)

    @torch.no_grad()
    def decode(self, z: Tensor) -> list[Proposal]:
        """The likeliest structure of each latent, (n, 1, 16, 16) -> n."""
        return [row[0] for row in self.decode_sizes(z, 1)]

    @torch.no_grad()
    def decode_sizes(self, z: Tensor, sizes: int) -> list[list[Proposal]]:
        """Structures of several numbers of atoms for each latent.

        They are nested: the likeliest sites are filled in turn.  With more
        than one, the same again after averaging the occupancies over the
        symmetry that the structure nearly has, orbit by orbit.

        Parameters
        ----------
        z : (n, 1, 16, 16) tensor
        sizes : int
            How many for each latent and symmetry, at most; fewer where
            fewer sites are in doubt.

        Returns
        -------
        n lists of Proposal, the likeliest number of atoms first.

        Raises
        ------
        CbldmError
            The model has the paper's decoder: see `decode_laplacians`.
        """
        if self.settings.network == "laplacian":
            raise CbldmError(
                "this model decodes Laplacians, not sites; expected one of "
                "network 'sites': use diffpy_cbldm.recover.structures."
            )
        found = []
        for kind, logits, shape, _ in self._decoded(z):
            variants = [(logits, False)]
            if sizes > 1:
                averages = self.symmetry.averaged(TEMPLATE_OF[kind], logits)
                variants += [(average, True) for average in averages]
            found.append(self._filled(kind, variants, shape, sizes))
        return found

    @torch.no_grad()
    def decode_hulls(self, z: Tensor, sizes: int) -> list[list[Proposal]]:
        """Structures bounded by the planes that each latent tells.

        Parameters
        ----------
        z : (n, 1, 16, 16) tensor
        sizes : int
            How many for each latent and set of facets, at most.

        Returns
        -------
        n lists of Proposal, see `diffpy_cbldm.hulls`.
        """
        found = []
        for kind, logits, shape, extents in self._decoded(z):
            planes = hulls(self.symmetry, kind, logits, extents)
            variants = [(depths, True) for depths in planes]
            found.append(self._filled(kind, variants, shape, sizes))
        return found

    def moved(
        self, parent: Proposal, move: np.ndarray, sizes: int
    ) -> list[Proposal]:
        """Fill the sites again after the surface has moved a little.

        Parameters
        ----------
        parent : Proposal
            Of `decode_sizes` or `decode_hulls`.
        move : (13,) array
            How far the surface moves outwards in direction u, in bond
            lengths: m_0 + m_1..3 . u + sum_ij M_ij u_i u_j, with M = m_4..9
            as (xx, yy, zz, yz, xz, xy).  The last three are added to strain
            and relaxation, where the parent has any.
        sizes : int
            Numbers of atoms, at most.
        """
        sites = self.table.sites[TEMPLATE_OF[parent.structure_type]]
        u = sites - sites[parent.sites].mean(0)
        u = u / np.linalg.norm(u, axis=1).clip(1e-3)[:, None]
        x, y, z = u.T
        parts = [np.ones_like(x), x, y, z]
        parts += [x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y]
        logits = parent.logits + SLOPE * (move[:10] @ np.array(parts))
        shape = np.where(parent.shape, parent.shape + move[10:], 0.0)
        return self._filled(
            parent.structure_type, [(logits, False)], shape, sizes
        )

    def reshaped(self, parent: Proposal, shape: np.ndarray) -> Proposal:
        """The same sites with other strain and relaxation, (3,)."""
        sites = self.table.sites[TEMPLATE_OF[parent.structure_type]]
        xyz = deformed(sites[parent.sites].astype(float), shape)
        return dataclasses.replace(parent, positions=xyz, shape=shape)

    def facets(self, parent: Proposal) -> Facets | None:
        """The facets of a structure, see `diffpy_cbldm.hulls.facets`."""
        return facets(self.table, parent.structure_type, parent.sites)

    def moved_facets(
        self,
        parent: Proposal,
        bounds: Facets,
        count: int,
        rng: np.random.Generator,
    ) -> list[Proposal]:
        """Polyhedra like a structure, with facets moved by whole layers.

        Parameters
        ----------
        parent : Proposal
            Gives the type, strain and relaxation.
        bounds : Facets
            Of the parent, see `facets`.
        count : int
            How many, at most.
        rng : numpy Generator
            Draws which, where there are more.
        """
        kind = parent.structure_type
        found = []
        for depths in moved_facets(self.table, kind, bounds, count, rng):
            members = np.flatnonzero(depths > 0)
            if MIN_ATOMS <= len(members) <= MAX_ATOMS:
                found.append(
                    self._on_sites(kind, members, depths, parent.shape)
                )
        return found

    def _decoded(
        self, z: Tensor
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """Kind, logits of the sites of its template, strain and relaxation,
        and extents, of each latent."""
        sites = self.structure.sites
        for start in range(0, len(z), CHUNK):
            block = z[start : start + CHUNK]
            spare = block[-1:].expand(CHUNK - len(block), *z.shape[1:])
            rows = self.structure.decoder(torch.cat([block, spare]))
            kinds, logits, shapes, extents = (
                x.double().cpu().numpy() for x in rows
            )
            for i in range(len(block)):
                kind = KINDS[int(kinds[i].argmax())]
                template = TEMPLATE_OF[kind]
                yield (
                    kind,
                    logits[i, sites.slices[template]],
                    shapes[i],
                    extents[i, sites.extents[template]],
                )

    @torch.no_grad()
    def decode_laplacians(self, z: Tensor) -> Tensor:
        """L by the paper's decoder, (n, 1, 16, 16) -> (n, 256, 256)."""
        return laplacian_of(self.structure.decoder(z))

    def _sites(self, template: str) -> tuple[np.ndarray, np.ndarray]:
        """Sites of a template, and the pairs of them that overlap."""
        if template not in self._known_sites:
            sites = self.table.sites[template].astype(float)
            self._known_sites[template] = sites, overlapping(sites)
        return self._known_sites[template]

    def _filled(
        self,
        kind: str,
        variants: list[tuple[np.ndarray, bool]],
        shape: np.ndarray,
        sizes: int,
    ) -> list[Proposal]:
        """Fill sites by their logits, each variant to several numbers.

        Where its flag says so, sites of the same logit stay together.
        """
        _, close = self._sites(TEMPLATE_OF[kind])
        found, known = [], set()
        for logits, whole in variants:
            index, values = ranked_sites(logits, close)
            for n in likely_numbers(values, sizes, whole):
                chosen = np.sort(index[:n])
                if chosen.tobytes() not in known:
                    known.add(chosen.tobytes())
                    found.append(self._on_sites(kind, chosen, logits, shape))
        return found

    def _on_sites(
        self,
        kind: str,
        members: np.ndarray,
        logits: np.ndarray,
        shape: np.ndarray,
    ) -> Proposal:
        """The structure on some sites; changes too small to tell are left."""
        dead = 2 * SHAPE_UNIT * np.array([0.2, 0.2, 1.0])
        changes = np.where(np.abs(shape) < dead, 0.0, shape)
        sites, _ = self._sites(TEMPLATE_OF[kind])
        xyz = deformed(sites[members], changes)
        return Proposal(kind, xyz, members, logits, changes)


class _Noise:
    """Standard normal noise, one generator a candidate."""

    def __init__(self, seed: int, indices: Sequence[int], like: Tensor):
        self.like = like
        self.generators = [
            torch.Generator().manual_seed(_mix(seed, i)) for i in indices
        ]

    def __call__(self) -> Tensor:
        rows = [
            torch.randn(self.like.shape, generator=g) for g in self.generators
        ]
        return torch.stack(rows).to(self.like)


def _mix(seed: int, index: int) -> int:
    """One 63-bit seed from two numbers."""
    state = np.random.SeedSequence([seed, index]).generate_state(2)
    return int(state[0]) << 31 ^ int(state[1])


def save_weights(
    model: CbLDM, path: str | os.PathLike[str], record: dict[str, Any]
) -> None:
    """Write ``path`` (safetensors, half precision) and its JSON record.

    Parameters
    ----------
    model : CbLDM
        The trained model.
    path : path
        Ends in ``.safetensors``; the record goes beside it as ``.json``.
    record : dict
        Seed, command, hardware, validation figures; the model's settings
        and the hash of its site table are added.
    """
    record = {
        "schema": "cbldm-weights/1",
        "model": dataclasses.asdict(model.settings),
        "table": model.table.digest,
        **record,
    }
    write_tensors(model.state_dict(), path)
    write_record(record, path)


def write_tensors(
    tensors: dict[str, Tensor], path: str | os.PathLike[str]
) -> None:
    """Write ``path`` (safetensors, half precision), by rename."""
    from safetensors.torch import save_file

    path = Path(path)
    halves = {
        k: v.detach().cpu().half().contiguous() if v.is_floating_point() else v
        for k, v in tensors.items()
    }
    part = path.with_suffix(".part")
    save_file(halves, part)
    os.chmod(part, 0o644)  # safetensors lets the owner alone read
    os.replace(part, path)


def write_record(record: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the JSON record of the weights in ``path`` beside them."""
    path = Path(path)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(part, path.with_suffix(".json"))


def read_weights(
    name: str = "small",
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and record by preset name (packaged) or path.

    Parameters
    ----------
    name : str
        A preset whose weights ship with the package, or the path of a
        ``.safetensors`` file with its ``.json`` beside it.

    Returns
    -------
    tensors : dict of str to float32 tensor
    record : dict

    Raises
    ------
    CbldmError
        There are no such weights, or they belong to another site table.
    """
    from safetensors.torch import load_file

    path = Path(name)
    if path.suffix != ".safetensors":
        folder = resources.files("diffpy_cbldm").joinpath("weights")
        path = Path(str(folder)) / f"{name}.safetensors"
    if not path.is_file():
        raise CbldmError(
            f"there are no weights {name!r}; expected a preset with packaged "
            f"weights (of {', '.join(PRESETS)}) or a .safetensors file."
        )
    record = json.loads(path.with_suffix(".json").read_text())
    digest = load_table().digest
    if record["table"] != digest:
        raise CbldmError(
            f"the weights {name!r} were trained on another table of sites "
            f"({record['table'][:12]}); expected {digest[:12]}: train them "
            "again."
        )
    return {k: v.float() for k, v in load_file(path).items()}, record


def load_weights(
    name: str = "small", device: str | torch.device = "cpu"
) -> CbLDM:
    """A trained model, ready to sample.

    Parameters
    ----------
    name : str
        As in `read_weights`.
    device : str
        Where the model shall live.

    Returns
    -------
    CbLDM
        Without its `TRAINING_ONLY` parts where the weights lack them.

    Raises
    ------
    CbldmError
        As for `read_weights`, or other weights are missing.
    """
    tensors, record = read_weights(name)
    model = CbLDM(Model(**record["model"]))
    found = model.load_state_dict(tensors, strict=False)
    parts = {part: f"{part}." for part in TRAINING_ONLY}
    lost = [
        key
        for key in found.missing_keys
        if not key.startswith(tuple(parts.values()))
    ]
    if lost or found.unexpected_keys:
        raise CbldmError(
            f"the weights {name!r} do not fit their record: expected "
            f"{', '.join(lost) or 'nothing'} in addition, and found "
            f"{', '.join(found.unexpected_keys) or 'nothing'} that has no "
            "place: take both files from one training run."
        )
    for part, start in parts.items():
        if any(key.startswith(start) for key in found.missing_keys):
            owner, _, attribute = part.rpartition(".")
            setattr(model.get_submodule(owner), attribute, None)
    return model.to(device).eval()
