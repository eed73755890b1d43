"""What the Debye functions take beside tensors and plain numbers."""

import numpy as np
import pytest
import torch

from diffpy_cbldm.debye import debye_pdf, mixed_pdf, r_grid
from diffpy_cbldm.errors import CbldmError

X = np.array([[0.0, 0.0, 0.0], [2.8, 0.0, 0.0], [0.0, 2.9, 0.0]])
ELEMENTS = ["Pt", "Pt", "Ni"]
PLAIN = {"u_iso": 0.005, "rmax": 8.0}


@pytest.mark.parametrize("positions", [X[None], torch.tensor(X[None])])
@pytest.mark.parametrize(
    "name, value, kind",
    [
        ("u_iso", 0.004, np.float64),
        ("u_iso", 1, np.int64),
        ("delta2", 2.0, np.float32),
        ("scale", 3, np.uint8),
        ("qmax", 20.0, np.float32),
    ],
)
def test_numbers_of_numpy_are_numbers(positions, name, value, kind):
    g = debye_pdf(positions, **{**PLAIN, name: kind(value)})
    assert type(g) is type(positions)
    exact = debye_pdf(positions, **{**PLAIN, name: value})
    np.testing.assert_allclose(g, exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f8"])
@pytest.mark.parametrize("others", [{}, {"delta2": 1.0}, {"qbroad": 0.01}])
def test_the_order_of_bytes_does_not_matter(dtype, others):
    g = debye_pdf(X[None].astype(dtype), **PLAIN, **others)
    assert g.dtype.isnative and g.dtype == np.dtype(dtype).newbyteorder("=")
    exact = debye_pdf(X[None], **PLAIN, **others)
    np.testing.assert_allclose(g, exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.longdouble, np.float16])
@pytest.mark.parametrize("grid", ["whole", "native", "integral"])
def test_unusual_precisions_are_summed_as_double(dtype, grid):
    x = np.stack([X, 1.05 * X]).astype(dtype)
    g = debye_pdf(x, **PLAIN, grid=grid, delta2=1.0)
    assert g.dtype == np.float64
    exact = debye_pdf(x.astype(float), **PLAIN, grid=grid, delta2=1.0)
    np.testing.assert_array_equal(g, exact)
    some = mixed_pdf(x[0], ELEMENTS, **PLAIN)
    same = mixed_pdf(x[0].astype(float), ELEMENTS, **PLAIN)
    np.testing.assert_array_equal(some, same)


@pytest.mark.parametrize(
    "range_of_r", [(3, 1, 0.01), (-1, 3, 0.01), (0, 3, 0), (0, np.nan, 0.01)]
)
def test_a_grid_without_points_is_an_error(range_of_r):
    with pytest.raises(CbldmError, match="rmin < rmax"):
        r_grid(*range_of_r)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_whole_numbers_are_positions_of_several_elements(kind):
    x = np.array([[0, 0, 0], [3, 0, 0], [0, 3, 0]])
    g = mixed_pdf(kind(x), ELEMENTS, **PLAIN)
    exact = mixed_pdf(x.astype(float), ELEMENTS, **PLAIN)
    np.testing.assert_allclose(g, exact, rtol=0, atol=1e-9)


def test_lists_are_refused_by_both():
    with pytest.raises(CbldmError, match="positions is list"):
        debye_pdf([X.tolist()], **PLAIN)
    with pytest.raises(CbldmError, match="positions is list"):
        mixed_pdf(X.tolist(), ELEMENTS, **PLAIN)


def test_gradients_of_a_condition_need_tensors():
    u = torch.tensor(0.005, requires_grad=True)
    for call in (
        lambda: debye_pdf(X[None], u_iso=u),
        lambda: mixed_pdf(X, ELEMENTS, u_iso=u),
    ):
        with pytest.raises(CbldmError, match="torch.as_tensor"):
            call()
        with torch.no_grad():
            assert isinstance(call(), np.ndarray)
