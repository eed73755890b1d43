"""Laws and layouts of the Laplacian, Eq. (1) and section 3.4."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.crystals.table import load_table
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.model import laplacian as lap


def cloud(n, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 6 * torch.rand(
        batch, n, 3, generator=generator, dtype=torch.float64
    )


def test_weights_against_a_double_loop():
    x = cloud(7, 1)
    w, L = lap.weights(x)[0], lap.laplacian(x)[0]
    for i in range(7):
        for j in range(7):
            d2 = float(((x[0, i] - x[0, j]) ** 2).sum())
            expected = 0.0 if i == j else np.exp(-d2 / 260.0)
            assert float(w[i, j]) == pytest.approx(expected, abs=1e-14)
            if i != j:
                assert float(L[i, j]) == pytest.approx(-expected, abs=1e-14)
    assert torch.allclose(L.sum(-1), torch.zeros(7, dtype=L.dtype))
    assert torch.allclose(L.diagonal(), w.sum(-1))


def test_motion_leaves_it_and_order_permutes_it():
    x = cloud(9)
    turn = torch.linalg.qr(cloud(3, 1, seed=5)[0])[0]
    L = lap.laplacian(x)
    assert torch.allclose(lap.laplacian(x @ turn + 4.0), L, atol=1e-12)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(lap.laplacian(x[:, order]), L[:, order][:, :, order])


def test_units_of_the_bond_length():
    x, bond = cloud(8), 2.775
    w = lap.weights(x / bond, sigma2=lap.SIGMA2 / bond**2)
    assert torch.allclose(w, lap.weights(x))


def test_lengths_mask_the_padding():
    x = cloud(9)
    L = lap.laplacian(x, torch.tensor([9, 6]))
    assert torch.allclose(L[1, :6, :6], lap.laplacian(x[1:, :6])[0])
    assert L[1, 6:].abs().max() == 0 and L[1, :, 6:].abs().max() == 0
    assert lap.n_atoms(L).tolist() == [9, 6]


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_atoms_are_counted_by_whole_blocks(noise):
    """Of clusters of all types and sizes, rows of noise behind the atoms."""
    table, sigma2 = load_table(), lap.SIGMA2 / 2.8**2
    draw = torch.Generator().manual_seed(0)
    for index in range(5, len(table), 97):
        xyz = torch.as_tensor(table.positions(index))[None].float()
        n = xyz.shape[1]
        xyz = lap.by_rows(xyz, torch.tensor([n]))
        L = lap.pad(lap.laplacian(xyz, sigma2=sigma2))
        L = L + noise * torch.randn(L.shape, generator=draw)
        off = abs(int(lap.likely_atoms(L)) - n)
        assert off <= (0.02 * n if noise else 0)
        # Row by row, noise passes for atoms.
        if noise and n < 200:
            diagonal = 64 * noise * torch.randn(L.shape[1], generator=draw)
            assert int(lap.n_atoms(L + diagonal.diag())) > 1.1 * n


def test_soft_occupancies_are_differentiable_and_exact_at_one():
    x = cloud(6)
    p = torch.ones(2, 6, dtype=x.dtype)
    assert torch.equal(lap.weights(x, occupancy=p), lap.weights(x))
    p[:, 3] = 0.0
    kept = [0, 1, 2, 4, 5]
    w = lap.weights(x, occupancy=p)
    assert torch.equal(w[:, kept][:, :, kept], lap.weights(x[:, kept]))
    x.requires_grad_()
    p = (0.5 * p + 0.2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, p: lap.laplacian(x, occupancy=p), (x, p)
    )


def test_distances_come_back():
    x = cloud(8)
    d2 = (x[:, :, None] - x[:, None]).square().sum(-1)
    assert torch.allclose(lap.distances(lap.weights(x)), d2, atol=1e-10)
    far = lap.distances(torch.zeros(1, 2, 2))
    assert torch.isfinite(far).all() and far[0, 0, 0] == 0


def test_rows_are_a_path_whatever_the_order_of_the_atoms():
    """A box of 6 x 4 x 3 atoms, its long axis second, in a padded batch."""
    axes = [torch.arange(float(n)) for n in (4, 6, 3)]
    box = torch.cartesian_prod(*axes)
    noise = torch.Generator().manual_seed(0)
    batch = torch.zeros(3, 80, 3)
    for row in batch:
        row[:72] = box[torch.randperm(72, generator=noise)]
    batch[2, 20:72] = 0.0
    lengths = torch.tensor([72, 72, 20])
    before = batch.clone()
    ordered = lap.by_rows(batch, lengths)
    assert torch.equal(batch, before)
    assert torch.equal(ordered[0], ordered[1])
    assert (ordered[0, :72, 1].diff() >= 0).all()
    # The same atoms, one for one, and the padding behind them.
    assert torch.equal(ordered[:2].sum(1), batch[:2].sum(1))
    assert (ordered[2, 20:] == 0).all()
    # Each atom touches the next one: from row to row, from layer to layer.
    steps = ordered[0, :72].diff(dim=0).norm(dim=1)
    assert torch.equal(steps, torch.ones(71))


def test_rows_of_all_types_hardly_jump():
    table = load_table()
    for index in range(3, len(table), 61):
        xyz = torch.as_tensor(table.positions(index))[None].float()
        n = torch.tensor([xyz.shape[1]])
        path = lap.by_rows(xyz, n)
        assert torch.equal(path.sort(1).values, xyz.sort(1).values)
        steps = path[0].diff(dim=0).norm(dim=1)
        # Against the order from the centre outwards.
        assert (
            steps.mean() < 1.6
            or steps.mean() < xyz[0].diff(dim=0).norm(dim=1).mean()
        )


def test_half_of_a_laplacian_says_all_of_it():
    x = torch.zeros(3, 256, 3)
    lengths = torch.tensor([200, 90, 5])
    noise = torch.Generator().manual_seed(0)
    for row, n in zip(x, lengths):
        row[:n] = 3 * torch.randn(int(n), 3, generator=noise)
    whole = lap.laplacian_tensor(x, lengths, 16.0)
    half = lap.halves(whole)
    assert half.shape == (3, 2, 128, 128)
    assert torch.allclose(lap.from_halves(-half), whole, atol=1e-5)
    # Whatever is put in, a Laplacian comes out.
    some = torch.randn(half.shape, generator=noise)
    L = lap.laplacian_of(lap.from_halves(some))
    assert torch.allclose(L, L.mT, atol=1e-5)
    assert L.sum(-1).abs().max() < 1e-3


def test_blocks_round_trip():
    L = lap.pad(lap.laplacian(cloud(130)))
    blocks = lap.to_blocks(L)
    assert blocks.shape == (2, 4, 128, 128)
    assert torch.equal(blocks[:, 0], L[:, :128, :128])
    assert torch.equal(blocks[:, 1], L[:, :128, 128:])
    assert torch.equal(blocks[:, 2], L[:, 128:, :128])
    assert torch.equal(lap.from_blocks(blocks), L)
    assert lap.n_atoms(L).tolist() == [130, 130]


def test_wrong_shapes_are_named():
    with pytest.raises(CbldmError, match="pad it first"):
        lap.to_blocks(torch.zeros(1, 100, 100))
    with pytest.raises(CbldmError, match="to_blocks"):
        lap.from_blocks(torch.zeros(1, 256, 256))
    with pytest.raises(CbldmError, match="300 atoms"):
        lap.pad(torch.zeros(1, 300, 300))


def test_spectral_start_solves_the_eigenproblem():
    x = cloud(12)
    lengths = torch.tensor([12, 8])
    L = lap.laplacian(x, lengths)
    y = lap.spectral_start(L, lengths)
    assert y.shape == (2, 12, 3) and y[1, 8:].abs().max() == 0
    for i, n in enumerate(lengths):
        small = L[i, :n, :n]
        d = small.diagonal()
        reference = np.linalg.eigvals((small / d[:, None]).numpy())
        reference = np.sort(reference.real)[1:4]
        for k in range(3):
            v = y[i, :n, k]
            assert torch.allclose(small @ v, reference[k] * d * v, atol=1e-10)


def test_spectral_start_reads_the_symmetric_part():
    L = lap.laplacian(cloud(10))
    skew = cloud(10, seed=3) @ cloud(10, seed=4).mT
    y = lap.spectral_start(L + 0.1 * (skew - skew.mT))
    z = lap.spectral_start(L)
    # Each eigenvector has a free sign.
    assert torch.allclose(y.abs(), z.abs(), atol=1e-9)
