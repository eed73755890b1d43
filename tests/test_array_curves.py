"""Curves of NumPy arrays: those of tensors, without PyTorch."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import debye_pdf, mixed_pdf, r_grid
from diffpy_cbldm.debye.qgrid import r_points

Q = {"qmin": 0.8, "qmax": 22.0}


def clusters(dtype=float):
    """Three clusters of shaken sites, padded, and their sizes."""
    rng = np.random.default_rng(0)
    k = np.arange(3.0)
    sites = np.stack(np.meshgrid(k, k, k), -1).reshape(-1, 3)
    x = 2.7 * sites + rng.uniform(0, 0.3, (3, 27, 3))
    return x.astype(dtype), np.array([27, 8, 20])


def deviation(g, exact):
    return np.abs(g - exact).max() / np.abs(exact).max()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"delta2": 2.0},
        {"delta2": 12.0},
        {"delta1": 0.4, "qbroad": 0.02, "qdamp": 0.03},
        {"delta2": np.array([0.0, 1.0, 9.0])},
        {"stretch": np.array([1.0, 0.98, 1.02]), "rmax": 45.0},
        {"grid": "native", "rmax": 8.0, "delta2": 1.0},
        {"grid": "integral", "delta2": 1.0},
        {"precision": 1e-13, "delta2": 12.0},
        {"u_iso": np.linspace(0.003, 0.01, 81).reshape(3, 27)},
    ],
)
def test_arrays_give_the_curves_of_tensors(settings):
    x, sizes = clusters()
    settings = {"u_iso": 0.005, **Q, **settings}
    g = debye_pdf(x, sizes, **settings)
    assert isinstance(g, np.ndarray) and g.dtype == float
    given = {
        name: torch.tensor(value) if isinstance(value, np.ndarray) else value
        for name, value in settings.items()
    }
    y = torch.tensor(x, requires_grad=True)
    exact = debye_pdf(y, torch.tensor(sizes), **given)
    assert exact.requires_grad
    assert deviation(g, exact.detach().numpy()) < 1e-12


@pytest.mark.parametrize("settings", [{}, {"delta2": 2.0}])
def test_single_precision_stays(settings):
    x, sizes = clusters(np.float32)
    settings = {"u_iso": 0.005, "precision": 1e-4, **Q, **settings}
    g = debye_pdf(x, sizes, **settings)
    assert g.dtype == np.float32
    exact = debye_pdf(x.astype(float), sizes, **settings | {"precision": 1e-9})
    assert deviation(g, exact) < 1e-4


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stype": "N", "delta2": 12.0},
        {"u_iso": np.append(0.4, np.linspace(0.003, 0.01, 26)), "delta1": 2.0},
        {"rmax": 60.0, "qdamp": 0.02},
    ],
)
def test_arrays_of_several_elements(settings):
    x, elements = clusters()[0][0], ["Pt"] * 10 + ["Ti"] * 17
    settings = {"u_iso": 0.005, **Q, **settings}
    g = mixed_pdf(x, elements, **settings)
    assert isinstance(g, np.ndarray)
    u = torch.as_tensor(settings.pop("u_iso"), dtype=torch.float64)
    exact = mixed_pdf(torch.tensor(x), elements, u_iso=u, **settings)
    assert deviation(g, exact.numpy()) < 1e-12


def test_the_points_of_a_curve():
    r = r_points(1.5, 30.0, 0.01)
    assert len(r) == 2850 and r[0] == pytest.approx(1.5)
    assert torch.equal(r_grid(1.5, 30.0, 0.01), torch.tensor(r))


def test_simulating_and_fitting_need_no_torch():
    """In a process of its own."""
    script = """
        import sys
        import numpy as np
        import diffpy_cbldm as cb
        from diffpy_cbldm.debye.conditions import Conditions, Grid
        from diffpy_cbldm.fitting.calculator import PairCache
        from diffpy_cbldm.fitting.quickfit import quick_fit
        k = np.arange(-2, 3)
        x = np.stack(np.meshgrid(k, k, k), -1).reshape(-1, 3)
        x = 1.96 * x[x.sum(1) % 2 == 0]
        one, two = cb.Cluster("Pt", x), cb.Cluster(["Pt"] + ["Ti"] * 62, x)
        pure, mixed = cb.simulate([one, two], delta2=2.0)
        assert quick_fit([x], pure)[0].rw < 0.01
        for cluster, pdf in ((one, pure), (two, mixed)):
            refined = cb.refine(cluster, pdf, backend="torch", heldout=False)
            assert refined.rw < 1e-3
        # Nearest pairs without a width are left to the bins.
        PairCache(x).pdf(Conditions(0.005, delta2=12.0), Grid())
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)
