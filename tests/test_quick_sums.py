"""Curves by compiled loops agree with those by tensors, and with the sum."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import pure, quick_sums
from diffpy_cbldm.debye.conditions import Conditions, Grid
from diffpy_cbldm.debye.pair_table import PairTable, sine
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.calculator import PairCache

Q = {"qmin": 0.7, "qmax": 22.0}


def cluster(n: int, seed: int = 0) -> torch.Tensor:
    """(n, 3) sites of a simple cubic crystal with noise, A."""
    edge = round(n ** (1 / 3) + 0.5)
    x = torch.cartesian_prod(*3 * [torch.arange(edge, dtype=torch.float64)])
    noise = torch.randn(
        len(x), 3, generator=torch.Generator().manual_seed(seed)
    )
    return (2.8 * x + 0.05 * noise)[:n]


def far_off(g: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest deviation over the highest peak of each curve."""
    gap = (g - exact).abs().amax(1) / exact.abs().amax(1)
    return float(gap.max())


@pytest.mark.parametrize("grid", ["whole", "native"])
@pytest.mark.parametrize("precision", [1e-4, 1e-6, 1e-10])
def test_a_batch_agrees_with_the_sum_over_pairs(grid, precision):
    x = torch.full((3, 40, 3), torch.nan, dtype=torch.float64)
    lengths = torch.tensor([17, 40, 1])
    for row, n in zip(x, lengths.tolist(), strict=True):
        row[:n] = cluster(n, n)
    # Longer than the grid of 30 A reaches: that cluster has a finer one.
    x[0, 3, 0] += 39.0
    each = {
        "u_iso": torch.tensor([0.004, 0.006, 0.005]),
        "qdamp": torch.tensor([0.0, 0.03, 0.05]),
        "scale": torch.tensor([0.4, 1.0, -2.0]),
    }
    settings = {"rmin": 1.0, "rmax": 33.3, "grid": grid, **each, **Q}
    with torch.no_grad():
        g = pure.debye_pdf(x, lengths, precision=precision, **settings)
        exact = pure.debye_pdf(x, lengths, precision=1e-13, **settings)
    assert g.dtype == torch.float64
    assert far_off(g[:2], exact[:2]) < precision
    assert not g[2].any()


def test_it_is_the_curve_of_which_gradients_are_taken():
    x = cluster(30)[None]
    plain = pure.debye_pdf(x, u_iso=0.005, **Q)
    y = x.clone().requires_grad_()
    g = pure.debye_pdf(y, u_iso=0.005, **Q)
    assert g.requires_grad and not plain.requires_grad
    assert far_off(plain, g.detach()) < 1e-6
    with torch.no_grad():
        assert torch.equal(pure.debye_pdf(y, u_iso=0.005, **Q), plain)
    assert pure.debye_pdf(x.float(), u_iso=0.005).dtype == torch.float32


def test_what_it_leaves_to_tensors():
    x, lengths = cluster(8)[None], torch.tensor([8])

    def served(precision: float = 1e-6, **more: object) -> bool:
        conditions = Conditions(**{"u_iso": 0.005, **Q, **more})
        return (
            quick_sums.curves(x, lengths, conditions, Grid(), False, precision)
            is not None
        )

    assert served()
    assert not served(delta2=2.0)
    assert not served(qbroad=torch.tensor([0.01]))
    assert not served(u_iso=torch.full((1, 8), 0.005))
    assert not served(u_iso=torch.tensor(0.005, requires_grad=True))
    assert not served(precision=1e-12)
    x = torch.zeros(1, 2, 3, dtype=torch.float64)
    lengths = torch.tensor([2])
    assert not served()
    with pytest.raises(CbldmError, match="apart"):
        pure.debye_pdf(x, u_iso=0.005)
    with pytest.raises(CbldmError, match="u_iso"):
        pure.debye_pdf(cluster(3)[None], u_iso=-1.0)


@pytest.mark.parametrize("n", [2, 13, 60])
def test_a_table_of_pairs_serves_a_fit(n):
    x, rng = cluster(n), np.random.default_rng(n)
    cache = PairCache(x)
    for k in range(8):
        stretch, qmax = rng.uniform(0.9, 1.1), (18.0, 25.0)[k % 2]
        settings = {
            "u_iso": rng.uniform(1e-4, 0.03),
            "delta2": rng.uniform(-1, 5),
            "scale": 0.7,
            "qdamp": 0.03 * (k % 2),
            "qmin": 0.7,
            "qmax": qmax,
        }
        at = np.sort(rng.uniform(1.5, 29.9, 400))
        grid = Grid(1.5, 30.0, at=at)
        g = cache.pdf(Conditions(**settings), grid, stretch=stretch)
        again = cache._of_table(
            Conditions(**settings), grid, stretch, False, 1e-10
        )
        assert again is not None
        assert again == pytest.approx(g, abs=1e-9 * np.abs(g).max())
        exact = pure.evaluate(
            x[None] * stretch,
            torch.tensor([n]),
            Conditions(**settings),
            grid,
            precision=1e-13,
        )
        assert far_off(torch.tensor(g)[None], exact) < 1e-10


def test_pairs_without_a_width_are_left_to_the_sum():
    x = cluster(20)
    d = torch.pdist(x)
    table = PairTable(d.numpy(), np.ones(len(d)))
    q = np.arange(200) * 0.1
    ask = q, q * q, np.ones(200), 0.005
    assert table.sum(*ask, 2.0, 1.0, 1e-10) is not None
    assert table.sum(*ask, float(d.min()) ** 2 + 0.1, 1.0, 1e-10) is None
    # Half a period of the sum is shorter than the longest distance.
    coarse = np.arange(200) * (np.pi / float(d.max()))
    ask = coarse, coarse**2, np.ones(200), 0.005
    assert table.sum(*ask, 2.0, 1.0, 1e-10) is None


def test_the_sine_transform_is_the_sum():
    x = np.random.default_rng(0).normal(size=(2, 25))
    j = np.arange(25)
    exact = x @ np.sin(np.pi / 24 * np.outer(j, j[:19]))
    assert sine(x, 19) == pytest.approx(exact, abs=1e-12)
