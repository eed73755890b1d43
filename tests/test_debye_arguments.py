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


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_short_tensors_are_summed_as_double(kind):
    x = torch.tensor(X[None]).to(kind)
    exact = debye_pdf(x.double(), **PLAIN)
    followed = x.clone().requires_grad_()
    g = debye_pdf(followed, **PLAIN)
    assert g.dtype == torch.float64
    torch.testing.assert_close(g.detach(), exact, rtol=0, atol=1e-6)
    g.square().sum().backward()
    assert followed.grad.dtype == kind and followed.grad.any()
    assert torch.equal(debye_pdf(x, **PLAIN), exact)
    # Conditions, too, of arrays and of tensors.
    u = torch.tensor([0.005]).to(kind)
    other = PLAIN | {"u_iso": float(u)}
    for positions in (X[None], torch.tensor(X[None])):
        g = debye_pdf(positions, **PLAIN | {"u_iso": u})
        np.testing.assert_array_equal(g, debye_pdf(positions, **other))


def test_views_of_tensors_that_numpy_lacks():
    z = torch.complex(torch.zeros(1, 3, 3), torch.tensor(-X[None]).float())
    negated = z.conj().imag
    assert negated.is_neg()
    exact = debye_pdf(negated.resolve_neg(), **PLAIN)
    assert torch.equal(debye_pdf(negated, **PLAIN), exact)


def test_a_derivative_beside_the_value_is_not_lost():
    forward = torch.autograd.forward_ad
    x = torch.tensor(X[None])
    with forward.dual_level():
        dual = forward.make_dual(x, torch.ones_like(x))
        with pytest.raises(NotImplementedError, match="jvp"):
            debye_pdf(dual, **PLAIN)


def test_no_clusters_have_a_gradient_as_well():
    x = torch.zeros((0, 3, 3), requires_grad=True)
    debye_pdf(x, **PLAIN).sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize(
    "lengths",
    [[2.5], np.array([2.5]), torch.tensor([True]), ["a"], [None]],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_part_of_an_atom_is_an_error(lengths, kind):
    with pytest.raises(CbldmError, match="whole numbers of atoms"):
        debye_pdf(kind(X[None]), lengths, **PLAIN)
    whole = debye_pdf(kind(X[None]), [2.0], **PLAIN)
    np.testing.assert_array_equal(
        whole, debye_pdf(kind(X[None]), [2], **PLAIN)
    )


@pytest.mark.parametrize("name", ["u_iso", "delta1", "qbroad", "qdamp"])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_lists_are_conditions_and_words_are_not(name, kind):
    x = kind(X[None])
    g = debye_pdf(x, **{**PLAIN, name: [0.01]})
    np.testing.assert_array_equal(g, debye_pdf(x, **{**PLAIN, name: 0.01}))
    for wrong in ("x", 1j, torch.tensor([]), np.zeros(2)):
        with pytest.raises(CbldmError, match=name):
            debye_pdf(x, **{**PLAIN, name: wrong})


@pytest.mark.parametrize("kind", [torch.int64, torch.complex64])
def test_the_error_tells_the_tensor_that_was_given(kind):
    with pytest.raises(CbldmError, match=f"Tensor of {kind}"):
        debye_pdf(torch.tensor(X[None]).to(kind), **PLAIN)


@pytest.mark.parametrize(
    "name", ["qdamp", "qbroad", "delta1", "delta2", "scale", "qmin", "rmax"]
)
def test_conditions_of_a_mixed_cluster_are_one_number(name):
    exact = mixed_pdf(X, ELEMENTS, **{**PLAIN, name: 1.0})
    for one in (np.array(1.0), torch.tensor(1.0)):
        if name not in ("qmin", "rmax"):
            g = mixed_pdf(X, ELEMENTS, **{**PLAIN, name: one})
            np.testing.assert_array_equal(g, exact)
    followed = torch.tensor(1.0, requires_grad=True)
    for wrong in ("x", None, [1.0, 2.0], 1j, followed):
        with pytest.raises(CbldmError, match=f"{name} is"):
            mixed_pdf(X, ELEMENTS, **{**PLAIN, name: wrong})


def test_words_are_no_widths_of_a_mixed_cluster():
    for x in (X, torch.tensor(X)):
        for wrong in ("x", None, 1j):
            with pytest.raises(CbldmError, match="u_iso is"):
                mixed_pdf(x, ELEMENTS, u_iso=wrong)
