"""Coordinates from a Laplacian, section 3.4.

Both methods minimise the mean squared error of L over all N^2 elements.
``trust-constr`` is the paper's, one cluster after another; ``fast`` is a
batched Newton method whose steps come from preconditioned conjugate gradients.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model.laplacian import (
    SIGMA2,
    distances,
    mask,
    n_atoms,
    pad,
    spectral_start,
    symmetrise,
    weights_of,
)

METHODS = ("fast", "trust-constr")

STARTS = ("mds", "spectral")

APART = 0.01
"""Bond lengths that atoms which fell together are moved by."""

# Elements of L worked on at a time: on a CPU they should stay in the cache,
# on a GPU in some 3 GB.
_CHUNK = 2**17

_CHUNK_GPU = 2**25


def recover(
    L: Tensor,
    lengths: Tensor | None = None,
    method: str = "fast",
    start: str = "mds",
    sigma2: float = SIGMA2,
    steps: int | None = None,
) -> Tensor:
    """Coordinates whose Laplacian is nearest to L (section 3.4).

    L is symmetrised first.  Rotation, reflection and place are arbitrary:
    the centre of the atoms is put at the origin.

    Parameters
    ----------
    L : (B, N, N) tensor
    lengths : (B,) tensor, optional
        Numbers of atoms; read off L (`n_atoms`) by default.
    method : {"fast", "trust-constr"}
        The batched solver, or the paper's choice of SciPy's.
    start : {"mds", "spectral"}
        Classical multidimensional scaling of -2 sigma^2 ln W, or the
        paper's eigenproblem L y = lambda D y, brought to the size of the
        cluster.
    sigma2 : float, A^2
        That of Eq. (1), 130 A^2.
    steps : int, optional
        At most so many steps; default 50 (fast) or 1000.

    Returns
    -------
    (B, N, 3) tensor, angstrom (the unit of sqrt(sigma2)); zero beyond
    lengths; float64 where L is, else float32

    Raises
    ------
    CbldmError
        L is not (B, N, N) and finite, or a method or start is unknown.
    """
    _check(L, method, start)
    L64 = symmetrise(L.detach().double())
    if lengths is None:
        lengths = n_atoms(L64)
    lengths = torch.as_tensor(lengths, device=L.device)
    b, n = L.shape[:2]
    # Three coordinates take four eigenvectors: fewer rows have too few.
    if n < 4:
        L64 = pad(L64, 4)
    chunk = (_CHUNK_GPU if L.is_cuda else _CHUNK) // max(1, n * n)
    chunk = max(1, chunk)
    parts = [L64.new_zeros(0, n, 3)]
    for i in range(0, b, chunk):
        part, size = L64[i : i + chunk], lengths[i : i + chunk]
        # Padding that no cluster of this part needs is cut off.
        m = max(int(size.max()), 4)
        part = part[:, :m, :m]
        x = initial(part, size, start, sigma2)
        if method == "fast":
            x = _fast(x, part, size, sigma2, steps or 50)
        else:
            x = _trust(x, part, size, sigma2, steps or 1000)
        parts.append(
            torch.nn.functional.pad(x[:, :n], (0, 0, 0, max(0, n - m)))
        )
    x = torch.cat(parts)
    return x if L.dtype == torch.float64 else x.float()


def residual(
    positions: Tensor,
    L: Tensor,
    lengths: Tensor | None = None,
    sigma2: float = SIGMA2,
) -> Tensor:
    """The mean squared error of the Laplacian, (B,).

    Over the N^2 elements of each cluster; shapes as in `recover`.
    """
    L = symmetrise(L.double())
    if lengths is None:
        lengths = n_atoms(L)
    target = _target(L, lengths)
    return (
        _errors(positions.double(), target, sigma2)[3]
        / lengths.clamp(min=1) ** 2
    )


def initial(
    L: Tensor, lengths: Tensor, start: str = "mds", sigma2: float = SIGMA2
) -> Tensor:
    """The start of `recover`, (B, N, 3), centred; shapes as there."""
    on = mask(lengths, L.shape[-1])
    pairs = on[:, :, None] & on[:, None]
    d2 = torch.where(pairs, distances(weights_of(L), sigma2), 0.0)
    if start == "mds":
        x = _mds(d2, on)
    else:
        x = _centre(spectral_start(L, lengths), on)
        # Of centred atoms, all squared distances add up to 2 N sum x^2.
        size = 2 * lengths * x.square().sum((1, 2)).clamp(min=1e-300)
        x = x * (d2.sum((1, 2)) / size).sqrt()[:, None, None]
    return x


def _centre(x: Tensor, on: Tensor) -> Tensor:
    mean = (x * on[..., None]).sum(1) / on.sum(1, keepdim=True).clamp(min=1)
    return (x - mean[:, None]) * on[..., None]


def _mds(d2: Tensor, on: Tensor) -> Tensor:
    """Classical scaling: the three leading eigenvectors of the Gram matrix.

    By subspace iteration: the gap is wide where the distances are those
    of points in space, and the start need not be exact.
    """
    n = on.sum(1)[:, None, None].clamp(min=1)
    pairs = (on[:, :, None] & on[:, None]).to(d2)
    mean = d2.sum(2, keepdim=True) / n
    gram = -0.5 * (d2 - mean - mean.mT + mean.sum(1, keepdim=True) / n)
    gram = gram * pairs
    # More vectors than the three that are kept: these then converge faster.
    # Any fixed vectors will do; these do not depend on the padding.
    row = torch.arange(1.0, len(gram[0]) + 1, dtype=gram.dtype)
    column = torch.arange(1.0, min(8, len(row)) + 1, dtype=gram.dtype)
    q = torch.cos(row[:, None] ** 2 * column * 0.6180339887)
    q = q.to(gram.device).expand(len(gram), -1, -1)
    for _ in range(6):
        q = torch.linalg.qr(gram @ q).Q
    values, vectors = torch.linalg.eigh(q.mT @ gram @ q)
    scale = values[:, -3:].clamp(min=0.0).sqrt()
    return _centre(q @ vectors[..., -3:] * scale[:, None], on)


def _target(L: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """W and D of a Laplacian, and the mask of its pairs i != j."""
    on = mask(lengths, L.shape[-1])
    pairs = (on[:, :, None] & on[:, None]).to(L)
    # An atom is no pair with itself: its W_ii = 1 would count as an error.
    pairs = pairs - torch.diag_embed(pairs.diagonal(dim1=1, dim2=2))
    return weights_of(L) * pairs, L.diagonal(dim1=1, dim2=2) * on, pairs


def _errors(x, target, sigma2):
    """W, its errors, those of D, and their sum of squares."""
    w0, d0, pairs = target
    norm = x.square().sum(-1)
    # By the Gram matrix, in one product: exact enough for centred atoms in
    # doubles.
    d2 = torch.baddbmm(norm[:, :, None] + norm[:, None], x, x.mT, alpha=-2.0)
    w = torch.exp(d2.clamp_(min=0.0).mul_(-0.5 / sigma2)) * pairs
    e, ed = w - w0, w.sum(-1) - d0
    return w, e, ed, e.square().sum((1, 2)) + ed.square().sum(-1)


def _coefficients(e, ed):
    """2 e_ij + ed_i + ed_j: what one W_ij does to half the squares' sum."""
    return (2.0 * e).add_(ed[:, :, None]).add_(ed[:, None])


def _gradient(x, w, c, sigma2):
    """Half the first derivatives, (B, N, 3); c from `_coefficients`.

    From dW_ij = -W_ij (x_i - x_j) . (dx_i - dx_j) / sigma^2.
    """
    c = c * w
    return (c @ x - c.sum(-1, keepdim=True) * x) / sigma2


def _hessian_product(x, w, c, v, sigma2):
    """H v, H half the second derivatives; c from `_coefficients`."""
    # dW along v by the same formula as in `_gradient`, then its own pull.
    a = (x * v).sum(-1)
    xv = x @ v.mT
    dw = (xv + xv.mT).sub_(a[:, :, None]).sub_(a[:, None])
    dw = dw.mul_(w).div_(sigma2)
    pull = _coefficients(dw, dw.sum(-1)).mul_(w)
    pull.addcmul_(c, dw)
    cw = c * w
    out = pull @ x - pull.sum(-1, keepdim=True) * x
    return (out + cw @ v - cw.sum(-1, keepdim=True) * v) / sigma2


class _Preconditioner:
    """Inverse of the main part of J^T J, by the formula of Woodbury.

    The rows of J that belong to W are nearly diagonal together; those of D
    have few, very large singular values, which the N x N matrix holds.
    """

    def __init__(self, x, w, sigma2):
        x, w = x.float(), w.float()
        w2, x2 = w * w, x * x
        sums = w2.sum(-1, keepdim=True)
        # sum_j W_ij^2 (x_i - x_j)^2 without a (B, N, N, 3) tensor, and its
        # mean over the axes: then a turned cluster takes turned steps.
        pair = x2 * sums - 2 * x * (w2 @ x) + w2 @ x2
        pair = 2.0 / sigma2**2 * pair.sum(-1, keepdim=True) / 3.0
        top = pair.amax((1, 2), keepdim=True)
        # Padding has no curvature, and must not divide by zero.
        inverse = 1.0 / (pair + 1e-3 * top + 1e-30)
        self.inverse = inverse.expand_as(x)
        rows = w[..., None] * (x[:, :, None] - x[:, None]) / sigma2
        # An atom that moves changes its own degree by all its pairs.
        total = rows.sum(2)
        index = torch.arange(x.shape[1], device=x.device)
        rows[:, index, index] = -total
        rows = rows.flatten(2)
        small = (rows * self.inverse.flatten(1)[:, None]) @ rows.mT
        small.diagonal(dim1=1, dim2=2).add_(1.0)
        self.factor = torch.linalg.cholesky(small)
        # The rows again, as products with W: three times less to read.
        self.x, self.w = x, w / sigma2
        self.wx, self.sums = self.w @ x, self.w.sum(-1, keepdim=True)

    def __call__(self, r):
        z = r.float() * self.inverse
        y = torch.cholesky_solve(self._changes(z), self.factor)
        return (z - self._pulls(y) * self.inverse).double()

    def _changes(self, z):
        """Rows times z: how D changes where atoms move by -z, (B, N, 1)."""
        a = (self.x * z).sum(-1, keepdim=True)
        wz = self.w @ torch.cat([z, a], -1)
        inner = (self.x * wz[..., :3] + self.wx * z).sum(-1, keepdim=True)
        return self.sums * a + wz[..., 3:] - inner

    def _pulls(self, y):
        """The transpose of `_changes`, (B, N, 1) -> (B, N, 3)."""
        wy = self.w @ torch.cat([y * self.x, y], -1)
        return y * (self.sums * self.x - self.wx) + (
            self.x * wy[..., 3:] - wy[..., :3]
        )

    def keep(self, some):
        """Go on with some of the clusters."""
        for name in ("inverse", "factor", "x", "w", "wx", "sums"):
            setattr(self, name, getattr(self, name)[some])


def _conjugate_gradients(product, precondition, gradient, tolerance, most=40):
    """H step = -gradient by conjugate gradients, short of convergence.

    A cluster stops where its residual has fallen by `tolerance`, or where
    the curvature is negative; it then no longer moves, whatever its batch
    does.
    """
    step, rest = torch.zeros_like(gradient), -gradient
    z = precondition(rest)
    v, rho = z, (rest * z).sum((1, 2))
    stop, go = tolerance**2 * rho, rho > 0
    for k in range(most):
        hv = product(v)
        curve, size = (v * hv).sum((1, 2)), (v * v).sum((1, 2))
        go = go & (curve > 1e-14 * size) & (rho > stop)
        alpha = torch.where(go, rho / curve, 0.0)
        # Where the curvature is negative at once, downhill is the best guess.
        if k == 0:
            alpha = torch.where(go, alpha, 1.0)
        step = step + alpha[:, None, None] * v
        rest = rest - alpha[:, None, None] * hv
        z = precondition(rest)
        last, rho = rho, (rest * z).sum((1, 2))
        if not (go & (rho > stop)).any():
            break
        # Clusters that have stopped may have a rho of 0.
        v = z + (rho / (last + 1e-300))[:, None, None] * v
    return step


def _newton_step(x, w, e, ed, preconditioner, damping, sigma2):
    """The change of x by Newton's method, damped towards steepest descent."""
    c = _coefficients(e, ed)
    gradient = _gradient(x, w, c, sigma2)
    # As Levenberg and Marquardt: in units of each atom's own curvature.
    extra = damping[:, None, None] / preconditioner.inverse
    # Steps need few digits; the gradient that they lead to zero, all.
    single = tuple(a.float() for a in (x, w, c))

    def product(v):
        v = v.float()
        return (_hessian_product(*single, v, sigma2) + extra * v).double()

    return _conjugate_gradients(product, preconditioner, gradient, 0.05)


def _fast(x, L, lengths, sigma2, steps):
    """Batched Newton method with damping; x, (B, N, 3), at the end."""
    on = mask(lengths, L.shape[-1])
    out, index = x.clone(), torch.arange(len(x), device=x.device)
    target = _target(L, lengths)
    damping = x.new_zeros(len(x))
    w, e, ed, f = _errors(x, target, sigma2)
    # 1e-20 is the rounding of a sum of N^2 squares of doubles.
    if (f <= 1e-20 * lengths**2).all():
        return out
    # Made once, at the start: it need not be exact, and costs N^3.
    preconditioner = _Preconditioner(x, w, sigma2)
    for _ in range(steps):
        step = _newton_step(x, w, e, ed, preconditioner, damping, sigma2)
        new = _centre(x + step, on)
        w1, e1, ed1, f1 = _errors(new, target, sigma2)
        better = f1 < f
        small = (f - f1).abs() <= 1e-6 * f + 1e-20 * lengths**2
        done = small | (~better & (damping > 1e6))
        # Most often all are better: nothing need be copied then.
        if better.all():
            x, w, e, ed, f = new, w1, e1, ed1, f1
        else:
            matrix, row = better[:, None, None], better[:, None]
            x, w = torch.where(matrix, new, x), torch.where(matrix, w1, w)
            e, ed = torch.where(matrix, e1, e), torch.where(row, ed1, ed)
            f = torch.where(better, f1, f)
        damping = torch.where(
            better, damping * 0.1, damping.clamp(min=1e-2) * 10.0
        )
        out[index] = x
        if done.all():
            break
        # What is done costs no more time.
        if done.any():
            go = ~done
            index, x, w, e, ed, f, on, lengths, damping = (
                a[go] for a in (index, x, w, e, ed, f, on, lengths, damping)
            )
            target = tuple(a[go] for a in target)
            preconditioner.keep(go)
    return out


def _trust(x, L, lengths, sigma2, steps):
    """The paper's: SciPy's trust-constr, one cluster after another."""
    from scipy.optimize import minimize

    out = torch.zeros_like(x)
    for i, n in enumerate(lengths.tolist()):
        target = _target(L[i : i + 1, :n, :n], lengths[i : i + 1])

        # Bound as defaults: a closure would see the next cluster's.
        def value(flat, n=n, target=target):
            y = torch.from_numpy(flat.reshape(1, n, 3)).to(L.device)
            w, e, ed, f = _errors(y, target, sigma2)
            g = _gradient(y, w, _coefficients(e, ed), sigma2)
            return float(f) / n**2, 2.0 / n**2 * g.cpu().numpy().ravel()

        best = minimize(
            value,
            x[i, :n].cpu().numpy().ravel(),
            jac=True,
            method="trust-constr",
            options={"maxiter": steps, "gtol": 1e-9, "xtol": 1e-9},
        ).x
        out[i, :n] = torch.from_numpy(np.asarray(best).reshape(n, 3))
    return _centre(out, mask(lengths, L.shape[-1]))


def moved_apart(xyz: np.ndarray, seed: int = 0) -> np.ndarray:
    """Atoms that fell together, moved by about `APART`.

    No calculator takes two atoms at one place, where a Laplacian that
    belongs to no cluster may lead to.

    Parameters
    ----------
    xyz : (n, 3) array, bond lengths
    seed : int
        Of the directions.
    """
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    xyz = np.array(xyz, dtype=float)
    while True:
        near = cKDTree(xyz).query_pairs(APART / 2, output_type="ndarray")
        if not len(near):
            return xyz
        # One of each pair stays where it was.
        moved = np.unique(near[:, 1])
        xyz[moved] += rng.normal(0, APART, (len(moved), 3))


def gathered(xyz: np.ndarray, far: float) -> np.ndarray:
    """Atoms beyond `far` from the median atom, brought to that distance.

    A Laplacian that belongs to no cluster sends atoms as far as they can go,
    where W is zero.
    """
    away = xyz - np.median(xyz, axis=0)
    r = np.linalg.norm(away, axis=1, keepdims=True)
    return away * np.minimum(1.0, far / np.maximum(r, 1e-9))


def _check(L: Tensor, method: str, start: str) -> None:
    for name, value, choices in (
        ("method", method, METHODS),
        ("start", start, STARTS),
    ):
        if value not in choices:
            raise CbldmError(
                f"{name} is {value!r}; expected one of {', '.join(choices)}."
            )
    if L.ndim != 3 or L.shape[1] != L.shape[2]:
        raise CbldmError(
            f"a Laplacian of shape {tuple(L.shape)}; expected (batch, N, N): "
            "use from_blocks, or L[None] for a single one."
        )
    if not torch.isfinite(L).all():
        raise CbldmError(
            "the Laplacian holds NaN or infinite values; expected finite "
            "ones: check the model or the positions it came from."
        )
