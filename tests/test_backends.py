"""Which Debye calculator a recipe has; the native one only if asked for."""

import importlib.machinery
import sys
import types

import numpy as np
import pytest
from ase.cluster import Icosahedron

import diffpy_cbldm as cb
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.fitting.calculator import DebyeCalculator
from diffpy_cbldm.fitting.generator import DebyeGenerator, choose_backend

CLUSTER = cb.Cluster.from_ase(Icosahedron("Pt", 3, latticeconstant=3.92))
VALUES = [0.7, 1.012, 0.0076, 2.5, 0.05]
"""Scale, zoomscale, Uiso, delta2 and Qdamp."""


def modules():
    """Modules with the calls that SrFit makes to diffpy.srreal.

    Their calculator has the Q grid of the native one, and the sums of our
    own: they show who is called, the real one what it calculates.
    """

    class DebyePDFCalculator(DebyeCalculator):
        def __init__(self):
            super().__init__()
            self.grid = "native"

    package = types.ModuleType("diffpy.srreal")
    package.__path__ = []
    calculator = types.ModuleType("diffpy.srreal.pdfcalculator")
    calculator.DebyePDFCalculator = DebyePDFCalculator
    adapter = types.ModuleType("diffpy.srreal.structureadapter")
    adapter.nometa = adapter.nosymmetry = lambda structure: structure
    for module in (package, calculator, adapter):
        module.__spec__ = importlib.machinery.ModuleSpec(
            module.__name__, loader=None
        )
        yield module.__name__, module


@pytest.fixture
def native(monkeypatch):
    """diffpy.srreal; where it does not load, modules with its calls."""
    try:
        import diffpy.srreal.pdfcalculator  # noqa: F401
    except ImportError:
        for name, module in modules():
            monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def none(monkeypatch):
    """An environment in which diffpy.srreal cannot be imported."""
    for name in ("diffpy.srreal", "diffpy.srreal.pdfcalculator"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture(scope="module")
def pdf():
    known = {"qmin": 0.9, "rmax": 20.0, "delta2": 2.5}
    (pdf,) = cb.simulate([CLUSTER.scaled(1.012)], **known)
    return pdf


def test_srreal_only_where_it_is_asked_for(native, pdf):
    assert choose_backend("auto") == choose_backend("torch") == "torch"
    assert choose_backend("srreal") == "srreal"
    for backend, own in (("auto", True), ("srreal", False)):
        recipe = cb.make_recipe(CLUSTER, pdf, backend=backend)
        assert isinstance(recipe.cluster.G1, DebyeGenerator) == own
    one = cb.refine(CLUSTER, pdf, heldout=False)
    assert one.backend == "torch"


def test_srreal_agrees_on_its_own_q_grid(native, pdf):
    """The built-in calculator has another Q grid if nothing is said."""
    curves = []
    for backend in ("srreal", "torch"):
        recipe = cb.make_recipe(CLUSTER, pdf, backend=backend)
        if backend == "torch":
            recipe.cluster.G1.setDiscretisation("native")
        recipe.residual(VALUES)
        curves.append(np.array(recipe.cluster.profile.ycalc))
    assert np.ptp(curves[0]) > 1
    assert np.allclose(*curves, atol=1e-9)


def test_a_refinement_over_srreal(native, pdf):
    one = cb.refine(CLUSTER, pdf, backend="srreal", heldout=False)
    other = cb.refine(CLUSTER, pdf, backend="auto", heldout=False)
    assert (one.backend, other.backend) == ("srreal", "torch")
    assert "backend: srreal" in one.flags
    zoom = one.parameters["zoomscale"][0]
    assert zoom == pytest.approx(1.012, abs=2e-4)
    assert zoom == pytest.approx(other.parameters["zoomscale"][0], abs=2e-4)


def test_srreal_is_asked_for_in_vain(none, pdf):
    with pytest.raises(CbldmError, match="conda install"):
        cb.refine(CLUSTER, pdf, backend="srreal")
    assert choose_backend("auto") == "torch"
