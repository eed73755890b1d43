"""The weighted graph Laplacian of a cluster, Eq. (1), and its layouts.

W_ij = p_i p_j exp(-d_ij^2 / (2 sigma^2)) for i != j and 0 on the diagonal,
D_ii = sum_j W_ij, L = D - W.  (With W_ii = 1 in both W and D, as Eq. (1) can
be read too, L is the same.)  Batches are padded with rows of zeros; no atom
has such a row, so `n_atoms` can be read off L.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.settings import MAX_ATOMS

SIGMA2 = 130.0
"""sigma^2 of Eq. (1) in A^2: the authors' kernel is exp(-d^2 / 260)."""

BLOCK = 128
"""Side of the four blocks that a Laplacian is cut into."""

DEGREE_SCALE = 64
"""The degrees are divided by this for a network: then all entries are of the
order of one."""

MIN_DEGREE = 0.5
"""A row of L belongs to an atom where its diagonal exceeds this."""


def mask(lengths: Tensor, size: int) -> Tensor:
    """Which rows hold an atom: (B,) numbers of atoms -> (B, size) bool."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def weights(
    positions: Tensor,
    lengths: Tensor | None = None,
    occupancy: Tensor | None = None,
    sigma2: float = SIGMA2,
) -> Tensor:
    """The adjacency matrix W of Eq. (1), with a zero diagonal.

    Differentiable in positions and occupancy.

    Parameters
    ----------
    positions : (B, N, 3) tensor, angstrom (or the unit of sqrt(sigma2))
    lengths : (B,) tensor, optional
        Numbers of atoms; rows beyond are padding.  Default N.
    occupancy : (B, N) tensor, optional
        p in [0, 1]; default 1.
    sigma2 : float, A^2
        130 A^2; in units of the bond length b it is 130 / b^2.

    Returns
    -------
    (B, N, N) tensor
    """
    n = positions.shape[1]
    # The differences, not the Gram matrix: exact for float32 and far
    # from the origin.  One axis at a time: no (B, N, N, 3) tensor.
    d2 = positions.new_zeros(())
    for x in positions.unbind(-1):
        d2 = d2 + (x[:, :, None] - x[:, None]).square()
    w = torch.exp(d2 * (-0.5 / sigma2))
    # Padding is atoms with an occupancy of 0.
    p = w.new_ones(w.shape[:2]) if occupancy is None else occupancy
    if lengths is not None:
        p = p * mask(lengths, n).to(p)
    w = w * p[:, :, None] * p[:, None]
    # W_ii would cancel in L, and would be an error of 1 in what is read off.
    return w * (1.0 - torch.eye(n, dtype=w.dtype, device=w.device))


def from_weights(w: Tensor) -> Tensor:
    """L = D - W of Eq. (1), (B, N, N); the diagonal of W cancels."""
    return torch.diag_embed(w.sum(-1)) - w


def laplacian(
    positions: Tensor,
    lengths: Tensor | None = None,
    occupancy: Tensor | None = None,
    sigma2: float = SIGMA2,
) -> Tensor:
    """The Laplacian L = D - W of Eq. (1), (B, N, N).

    Parameters as in `weights`.  Rows beyond `lengths` are zero.
    """
    return from_weights(weights(positions, lengths, occupancy, sigma2))


def symmetrise(L: Tensor) -> Tensor:
    """(L + L^T) / 2, the first step of section 3.4."""
    return 0.5 * (L + L.mT)


def weights_of(L: Tensor) -> Tensor:
    """W of a Laplacian: minus its symmetrised off-diagonal part."""
    w = -symmetrise(L)
    return w - torch.diag_embed(w.diagonal(dim1=1, dim2=2))


def distances(w: Tensor, sigma2: float = SIGMA2, floor: float = 1e-4):
    """Squared distances d^2 = -2 sigma^2 ln W, Eq. (1) turned round.

    Parameters
    ----------
    w : (B, N, N) tensor
        The diagonal is not read.
    sigma2 : float, A^2
    floor : float
        W is clamped to [floor, 1] first; 1e-4 is 49 A.

    Returns
    -------
    (B, N, N) tensor, A^2, zero on the diagonal
    """
    # Decoded W may be 0 or above 1: no cluster has such distances.
    d2 = -2.0 * sigma2 * torch.log(w.clamp(floor, 1.0))
    return d2 - torch.diag_embed(d2.diagonal(dim1=1, dim2=2))


def n_atoms(L: Tensor, threshold: float = MIN_DEGREE) -> Tensor:
    """The number of filled rows, (B,) int64.

    Parameters
    ----------
    L : (B, N, N) tensor
    threshold : float
        A row is filled where its diagonal is above; any atom of five or
        more in a cluster has at least about 3, padding has 0.
    """
    return (L.diagonal(dim1=1, dim2=2) > threshold).sum(-1)


def likely_atoms(L: Tensor, share: float = 0.35) -> Tensor:
    """The number of filled rows of a Laplacian that is not exact, (B,) int64.

    The first n rows hold atoms where their own block of W is full: n has the
    largest sum over W_ij, i, j < n, divided by (n (n - 1))^share.  In
    `n_atoms` a single entry decides on each row, which is as wrong as all
    that a network emits; here thousands do.

    Parameters
    ----------
    L : (B, N, N) tensor
        Its filled rows stand first.
    share : float
        A row is an atom's where its degree is above this share of the mean:
        the atoms at the ends of the longest clusters have 0.42 of it.
    """
    w = weights_of(L)
    # What the row and the column of each new atom add to its block.
    block = w.cumsum(1).cumsum(2).diagonal(dim1=1, dim2=2)[:, 1:]
    n = torch.arange(2, L.shape[-1] + 1, device=L.device)
    return 2 + (block / (n * (n - 1)).to(block) ** share).argmax(1)


def pad(L: Tensor, size: int = MAX_ATOMS) -> Tensor:
    """Pad with rows and columns of zeros: (B, N, N) -> (B, size, size).

    Raises
    ------
    CbldmError
        N is larger than size.
    """
    n = L.shape[-1]
    if n > size:
        raise CbldmError(
            f"a Laplacian of {n} atoms does not fit {size} rows; expected at "
            f"most {size} atoms: use a smaller cluster."
        )
    return torch.nn.functional.pad(L, (0, size - n, 0, size - n))


def to_blocks(L: Tensor) -> Tensor:
    """(B, 256, 256) -> (B, 4, 128, 128): the structure tensor.

    Channel 2 a + b holds rows 128 a .. and columns 128 b ...
    """
    _check(L, (2 * BLOCK, 2 * BLOCK), "a padded Laplacian", "pad it first")
    # (a, row, b, column) -> (a, b, row, column).
    x = L.reshape(-1, 2, BLOCK, 2, BLOCK).transpose(2, 3)
    return x.reshape(-1, 4, BLOCK, BLOCK)


def from_blocks(x: Tensor) -> Tensor:
    """(B, 4, 128, 128) -> (B, 256, 256): `to_blocks` turned round."""
    _check(x, (4, BLOCK, BLOCK), "blocks", "use to_blocks")
    x = x.reshape(-1, 2, 2, BLOCK, BLOCK).transpose(2, 3)
    return x.reshape(-1, 2 * BLOCK, 2 * BLOCK)


def laplacian_tensor(
    positions: Tensor, lengths: Tensor, sigma2: float
) -> Tensor:
    """What the encoder of the structure reads.

    Parameters
    ----------
    positions : (B, 256, 3) tensor
        In bond lengths, zero-padded.
    lengths : (B,) tensor
        Number of atoms.
    sigma2 : float
        sigma^2 of the kernel, bond lengths squared.

    Returns
    -------
    (B, 4, 128, 128) tensor
        L in four blocks; its diagonal, the degree, divided by
        `DEGREE_SCALE`.
    """
    full = positions.new_zeros(len(positions), MAX_ATOMS, MAX_ATOMS)
    # Clusters of like size together: most are far smaller than the padding.
    for rows in torch.argsort(lengths).split(8):
        n = int(lengths[rows].max())
        full[rows, :n, :n] = laplacian(
            positions[rows, :n], lengths[rows], sigma2=sigma2
        )
    full.diagonal(dim1=1, dim2=2).div_(DEGREE_SCALE)
    return to_blocks(full)


def by_rows(positions: Tensor, lengths: Tensor) -> Tensor:
    """The atoms of each cluster in rows, one after the other and back.

    The rows of a Laplacian may stand in any order.  In this one neighbouring
    rows are neighbouring atoms: layers along the longest axis, rows of atoms
    within them, each run through from where the last one ended.  W is smooth
    then, and patches of it have few degrees of freedom, where the order from
    the centre outwards leaves all entries unlike.

    Parameters
    ----------
    positions : (B, N, 3) tensor
        In bond lengths, zero-padded.
    lengths : (B,) tensor
        Numbers of atoms.

    Returns
    -------
    (B, N, 3) tensor
        The axis of the largest spread decides first, the others in turn.
    """
    out = positions.clone()
    for row, n in zip(out, lengths.tolist()):
        # Rounded: what is equal but for rounding must not decide.
        xyz = row[:n].double().cpu().numpy().round(3)
        axes = np.argsort(-xyz.var(0).round(2), kind="stable")
        row[:n] = row[torch.as_tensor(_rows(*xyz.T[axes])).to(row.device)]
    return out


def _rows(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The path through layers of x and their rows of y, as places."""
    layer = _runs(np.zeros(len(x), int), x)
    # Every second layer is gone through backwards, and every second row.
    side = 1 - 2 * (layer % 2)
    row = _runs(layer, side * y)
    return np.lexsort([y, (1 - 2 * (row % 2)) * z, row])


def _runs(group: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Number runs of values, a quarter bond apart at least, in groups."""
    order = np.lexsort([value, group])
    new = np.diff(value[order], prepend=value[order[:1]]) > 0.25
    new |= np.diff(group[order], prepend=group[order[:1]]) > 0
    numbers = np.empty(len(value), int)
    numbers[order] = np.cumsum(new)
    return numbers


def halves(x: Tensor) -> Tensor:
    """What a symmetric Laplacian says once, (B, 4, 128, 128) -> (B, 2, ...).

    The block of the first rows from its diagonal down with that of the last
    rows above it, and the block between them.
    """
    return torch.stack([x[:, 0].tril() + x[:, 3].triu(1), x[:, 1]], 1)


def from_halves(w: Tensor) -> Tensor:
    """The Laplacian, Eq. (1), of half of its W, as `halves` has it.

    Parameters
    ----------
    w : (B, 2, 128, 128) tensor
        The diagonal of the first is not read.

    Returns
    -------
    (B, 4, 128, 128) tensor, as `laplacian_tensor`: symmetric, and its rows
    add up to zero where the degrees are not divided
    """
    first, last = w[:, 0].tril(-1), w[:, 0].triu(1)
    first, last, between = first + first.mT, last + last.mT, w[:, 1]
    degrees = first.sum(-1) + between.sum(-1), last.sum(-1) + between.sum(-2)
    own = (torch.diag_embed(d / DEGREE_SCALE) for d in degrees)
    blocks = [next(own) - first, -between, -between.mT, next(own) - last]
    return torch.stack(blocks, 1)


def laplacian_of(x: Tensor) -> Tensor:
    """`laplacian_tensor` turned round: (B, 4, 128, 128) -> (B, 256, 256)."""
    full = from_blocks(x)
    degree = torch.diagonal(full, dim1=1, dim2=2)
    return full + torch.diag_embed((DEGREE_SCALE - 1) * degree)


def _check(x: Tensor, shape: tuple[int, ...], what: str, fix: str) -> None:
    if tuple(x.shape[1:]) != shape:
        raise CbldmError(
            f"{what} of shape {tuple(x.shape)}; expected "
            f"(batch, {', '.join(map(str, shape))}): {fix}."
        )


def spectral_start(L: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Coordinates from L y = lambda D y (section 2.3, Eq. (2), and 3.4).

    The eigenvectors of the three smallest non-zero eigenvalues of the
    symmetrised L, with y^T D y = 1: they have the shape of the cluster,
    not its size.

    Parameters
    ----------
    L : (B, N, N) tensor
    lengths : (B,) tensor, optional
        Numbers of atoms (4 or more); default N.

    Returns
    -------
    (B, N, 3) tensor, without unit; zero beyond lengths
    """
    n = L.shape[-1]
    w = weights_of(L)
    if lengths is None:
        lengths = torch.full((len(L),), n, device=L.device)
    on = mask(lengths, n)
    w = torch.where(on[:, :, None] & on[:, None], w, 0.0)
    d = w.sum(-1)
    root = d.clamp(min=1e-6).rsqrt() * on
    # D^-1/2 L D^-1/2 has its eigenvalues in [0, 2]; padding goes to 4.
    sym = -root[:, :, None] * w * root[:, None]
    sym = sym + torch.diag_embed(torch.where(on, 1.0, 4.0).to(sym))
    # The first one, of eigenvalue 0, is the same for every atom.
    y = torch.linalg.eigh(sym).eigenvectors[..., 1:4]
    return y * root[..., None]
