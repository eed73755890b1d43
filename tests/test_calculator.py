"""Kept pairs and stretch scans against one curve at a time."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import pure
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.calculator import PairCache


def clusters(batch, n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(n)
    x = torch.rand(batch, n, 3, generator=generator, dtype=torch.float64)
    lattice = torch.cartesian_prod(*[torch.arange(5.0) - 2] * 3)
    near = lattice[lattice.norm(dim=1).argsort(stable=True)[:n]]
    return (2.7 * near + 0.4 * x).to(dtype)


def deviation(g, exact):
    return float((g - exact).abs().amax() / exact.abs().amax())


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"u_iso": 0.008, "scale": 0.5, "qdamp": 0.04},
        {"delta2": 2.5},
        {"delta2": 12.0},
        {"delta1": 0.4, "qbroad": 0.02, "stretch": 1.03},
        {"stretch": 0.97, "qmax": 20.0, "rmax": 20.0},
        {"rmax": 8.0},
    ],
)
def test_kept_pairs_give_the_same_curve(change):
    x = clusters(1, 40)
    cache = PairCache(x[0].numpy(), ["Pt"] * 40)
    settings = {"u_iso": 0.005, "qmin": 0.8} | change
    exact = pure.debye_pdf(x, precision=1e-13, **settings)[0]
    for _ in range(2):
        g = cache.pdf(**settings)
        assert isinstance(g, np.ndarray)
        assert deviation(torch.tensor(g), exact) < 1e-10
        cache.pdf(u_iso=0.02, stretch=1.01)


def test_one_width_per_atom():
    x = clusters(1, 8)
    u = torch.linspace(0.003, 0.01, 8, dtype=torch.float64)
    exact = pure.debye_pdf(x, u_iso=u[None])[0]
    assert deviation(torch.tensor(PairCache(x[0]).pdf(u_iso=u)), exact) < 1e-12


def test_cache_errors():
    x = clusters(1, 8)[0]
    with pytest.raises(CbldmError, match="one"):
        PairCache(x, ["Pt"] * 7 + ["Au"])
    with pytest.raises(CbldmError, match="stands twice"):
        PairCache(torch.cat([x, x[:1]]))
    with pytest.raises(CbldmError, match="NaN"):
        PairCache(x * torch.nan)
    with pytest.raises(CbldmError, match="u_iso is -1"):
        PairCache(x).pdf(u_iso=-1.0)
