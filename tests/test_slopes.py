"""Slopes of a recipe's misfit where atoms move: those of its own curve."""

import numpy as np
import pytest

import diffpy_cbldm as cb
from diffpy_cbldm.fitting.recipe import make_recipe, variable_names
from diffpy_cbldm.fitting.refinement import fitted_values
from diffpy_cbldm.fitting.slopes import slopes_of
from diffpy_cbldm.renames import modern

MACKAY = np.array(
    [
        [0.0, 0.0, 0.0],
        *(
            np.roll([0.0, one, two * 1.618034], k) / 1.902113
            for k in range(3)
            for one in (-1, 1)
            for two in (-1, 1)
        ),
    ]
)
"""An icosahedron about an atom, in distances from the centre."""

OUTER = np.concatenate([MACKAY, 2 * MACKAY[1:]])


@pytest.fixture(scope="module")
def measured():
    cluster = cb.Cluster("Au", 2.85 * OUTER)
    return cb.simulate(cluster, qmin=0.8, qmax=25.0, qdamp=0.04)[0]


def _recipe(measured, moves, **others):
    start = {"zoomscale": 1.01, "Au_Uiso": 0.011, "Au_Delta2": 1.5}
    cluster = cb.Cluster("Au", 2.85 * OUTER)
    return make_recipe(cluster, measured, start=start, moves=moves, **others)


@pytest.mark.parametrize("moves", [("orbits",), ("strain", "surface")])
def test_the_slopes_are_those_of_the_curve(measured, moves):
    recipe = _recipe(measured, moves)
    names = variable_names(recipe)
    for k, name in enumerate(names[4:]):
        getattr(recipe, name).value = 0.01 * (-1) ** k
    values = np.array(recipe.values)
    slopes = slopes_of(recipe)(values)
    steps = 1e-4 * np.maximum(np.abs(values), 0.01)
    for k, step in enumerate(steps):
        ends = []
        for way in (step, -step):
            moved = values.copy()
            moved[k] += way
            ends.append(recipe.residual(moved))
        slope = (ends[0] - ends[1]) / (2 * step)
        off = np.linalg.norm(slopes[:, k] - slope)
        assert off < 3e-3 * np.linalg.norm(slope), names[k]


def test_a_move_that_is_held_stays_where_it_is(measured):
    recipe = _recipe(measured, ("strain",))
    held, *moves = variable_names(recipe)[4:]
    assert moves
    getattr(recipe, held).value = 0.03
    free = slopes_of(recipe)(np.array(recipe.values))
    modern(recipe).fix(held)
    names = variable_names(recipe)
    assert held not in names
    fixed = slopes_of(recipe)(np.array(recipe.values))
    np.testing.assert_allclose(fixed, np.delete(free, 4, axis=1), rtol=1e-9)


def test_other_recipes_have_none(measured):
    assert slopes_of(_recipe(measured, ())) is None
    assert slopes_of(_recipe(measured, ("orbits",), together=measured)) is None
    alloy = cb.Cluster(["Au"] * 24 + ["Ag"], 2.85 * OUTER)
    assert slopes_of(make_recipe(alloy, measured, moves=("strain",))) is None
    recipe = _recipe(measured, ("orbits",))
    modern(recipe).add_variable(recipe.cluster.G1.delta1, 0.0)
    assert slopes_of(recipe) is None


def test_what_was_added_to_a_recipe_is_no_part_of_the_slopes(measured):
    def strained():
        recipe = _recipe(measured, ("strain",))
        assert slopes_of(recipe) is not None
        return recipe, modern(recipe)

    recipe, renamed = strained()
    # The misfit has one number more.
    renamed.add_soft_bounds("strain_xx", ub=0.01, sig=0.001)
    assert slopes_of(recipe) is None
    recipe, renamed = strained()
    renamed.add_constraint(recipe.strain_yy, "strain_xx")
    assert slopes_of(recipe) is None
    recipe, renamed = strained()
    recipe.cluster.G1.delta1.value = 0.5
    assert slopes_of(recipe) is None
    recipe, renamed = strained()
    recipe._weights[0] = 2.0
    assert slopes_of(recipe) is None


def test_a_recipe_with_a_restraint_is_refined(measured):
    """By differences: the misfit has more numbers than the data."""
    recipe = _recipe(measured, ("strain",), rmax=12.0)
    modern(recipe).add_soft_bounds("strain_xx", lb=0.02, ub=0.02, sig=1e-4)
    recipe.residual(fitted_values(recipe))
    assert recipe.strain_xx.value == pytest.approx(0.02, abs=2e-3)
