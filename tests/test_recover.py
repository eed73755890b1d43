"""Coordinates from Laplacians: exact cases, noise, the paper's method."""

import pytest
import torch

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model import laplacian as lap
from diffpy_cbldm.model import recovery as rec


def fcc(n, centre=(0.3, 0.2, 0.1), bond=2.775):
    """The n sites of an fcc lattice nearest to a point, angstrom."""
    k = torch.arange(-7, 8, dtype=torch.float64)
    x = torch.cartesian_prod(k, k, k)
    x = x[x.sum(1) % 2 == 0] * bond / 2**0.5
    distance = (x - torch.tensor(centre, dtype=x.dtype)).norm(dim=1)
    return x[distance.argsort(stable=True)[:n]]


def aligned(a, b):
    """The largest distance of atoms after superposition (same order)."""
    a, b = a - a.mean(0), b - b.mean(0)
    u, _, vt = torch.linalg.svd(b.T @ a)
    return (a @ (u @ vt).T - b).norm(dim=1)


def noisy(x, amount, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = len(x)
    e = torch.randn(batch, n, n, generator=generator, dtype=x.dtype)
    w = lap.weights(x[None]) + amount * (e + e.mT) / 2**0.5
    w = w - torch.diag_embed(w.diagonal(dim1=1, dim2=2))
    return lap.from_weights(w)


@pytest.mark.parametrize("start", rec.STARTS)
@pytest.mark.parametrize("n", [5, 6, 13, 38, 55, 146, 256])
def test_exact_laplacian_gives_the_cluster_back(n, start):
    x = fcc(n)
    y = rec.recover(lap.laplacian(x[None]), start=start)
    assert y.dtype == torch.float64
    assert aligned(y[0], x).max() < 1e-4


def test_single_precision_will_do():
    x = fcc(100)
    y = rec.recover(lap.pad(lap.laplacian(x[None])).float())
    assert y.dtype == torch.float32 and y.shape == (1, 256, 3)
    assert aligned(y[0, :100].double(), x).max() < 1e-4


def test_flat_and_long_clusters():
    rod = torch.zeros(12, 3, dtype=torch.float64)
    rod[:, 0] = 2.7 * torch.arange(12)
    plate = 2.7 * torch.cartesian_prod(*[torch.arange(5.0)] * 2).double()
    plate = torch.nn.functional.pad(plate, (0, 1))
    for x in (rod, plate):
        y = rec.recover(lap.laplacian(x[None]))
        assert aligned(y[0], x).max() < 1e-4


def test_a_batch_of_many_is_many_batches_of_one():
    sizes = [13, 55, 30]
    L = torch.cat([lap.pad(noisy(fcc(n), 0.005, seed=n), 64) for n in sizes])
    before = L.clone()
    y = rec.recover(L)
    assert torch.equal(L, before)
    for i, n in enumerate(sizes):
        alone = rec.recover(L[i : i + 1])
        # Equal axes of inertia leave the rotation open.
        assert aligned(alone[0], y[i]).max() < 1e-5
        assert y[i, n:].abs().max() == 0
        assert y[i, :n].mean(0).abs().max() < 1e-9


def test_empty_and_tiny_clusters_in_a_batch():
    L = torch.stack(
        [lap.pad(lap.laplacian(fcc(n)[None]), 9)[0] for n in (9, 2)]
    )
    L = torch.cat([L, torch.zeros(1, 9, 9, dtype=L.dtype)])
    y = rec.recover(L, torch.tensor([9, 2, 0]))
    assert aligned(y[0], fcc(9)).max() < 1e-4
    assert float((y[1, 0] - y[1, 1]).norm()) == pytest.approx(2.775)
    assert y[2].abs().max() == 0
    pair = rec.recover(lap.laplacian(fcc(2)[None]))
    assert pair.shape == (1, 2, 3)
    assert float((pair[0, 0] - pair[0, 1]).norm()) == pytest.approx(2.775)
    assert rec.recover(L[:0]).shape == (0, 9, 3)


@pytest.mark.parametrize("n, expected", [(19, 0.04), (146, 0.01)])
def test_cost_of_noise(n, expected):
    x = fcc(n)
    y = rec.recover(noisy(x, 0.002, batch=4))
    rmsd = torch.stack([aligned(one, x) for one in y]).square().mean().sqrt()
    assert rmsd < 1.6 * expected


@pytest.mark.parametrize("n", [19, 55])
@pytest.mark.parametrize("amount", [0.002, 0.02])
def test_residual_is_not_above_that_of_trust_constr(n, amount):
    L = noisy(fcc(n), amount)
    fast = rec.residual(rec.recover(L), L)
    slow = rec.recover(L, method="trust-constr", start="spectral")
    slow = rec.residual(slow, L)
    assert float(fast) <= float(slow) * (1 + 1e-5)


def test_starts_agree():
    L = noisy(fcc(60), 0.01, batch=3)
    f = [rec.residual(rec.recover(L, start=s), L) for s in rec.STARTS]
    assert torch.allclose(f[0], f[1], rtol=1e-5)


def test_units_of_the_bond_length():
    x, sigma2 = fcc(40, bond=1.0), lap.SIGMA2 / 2.775**2
    L = lap.laplacian(x[None], sigma2=sigma2)
    assert aligned(rec.recover(L, sigma2=sigma2)[0], x).max() < 1e-4


def test_derivatives_against_autograd():
    x = fcc(6)[None] + 0.1
    target = rec._target(noisy(fcc(6), 0.05), torch.tensor([6]))

    def half(flat):
        return 0.5 * rec._errors(flat.view(1, 6, 3), target, 130.0)[3].sum()

    w, e, ed, _ = rec._errors(x, target, 130.0)
    c = rec._coefficients(e, ed)
    gradient = rec._gradient(x, w, c, 130.0)
    flat = x.flatten()
    expected = torch.autograd.functional.jacobian(half, flat)
    assert torch.allclose(gradient.flatten(), expected, atol=1e-12)
    hessian = torch.autograd.functional.hessian(half, flat)
    v = fcc(6, centre=(1.0, 2.0, 3.0))[None]
    product = rec._hessian_product(x, w, c, v, 130.0)
    assert torch.allclose(product.flatten(), hessian @ v.flatten())


def test_user_mistakes():
    L = lap.laplacian(fcc(8)[None])
    with pytest.raises(CbldmError, match="fast, trust-constr"):
        rec.recover(L, method="slow")
    with pytest.raises(CbldmError, match="mds, spectral"):
        rec.recover(L, start="random")
    with pytest.raises(CbldmError, match="batch, N, N"):
        rec.recover(L[0])
    with pytest.raises(CbldmError, match="NaN"):
        rec.recover(L * float("nan"))
