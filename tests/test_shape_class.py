"""What shape a particle has, told from its atoms."""

import numpy as np
import pytest

from diffpy_cbldm.crystals.shape_class import aspect, shape_class

GRID = np.stack(
    np.meshgrid(*[np.arange(-12, 13) * 0.95] * 3, indexing="ij"), -1
).reshape(-1, 3)
ROUND = np.linalg.norm(GRID[:, :2], axis=1)
OUT = np.linalg.norm(GRID, axis=1)
HIGH = np.abs(GRID[:, 2])


@pytest.mark.parametrize(
    "name, inside",
    [
        ("sphere", OUT < 8),
        ("sphere", OUT < 3.1),
        ("faceted", np.abs(GRID).max(1) < 6),
        ("faceted", np.abs(GRID).sum(1) < 9),
        (
            "faceted",
            (np.abs(GRID).max(1) < 6) & (np.abs(GRID).sum(1) < 10),
        ),
        ("rod", (ROUND < 5) & (HIGH < 9)),
        ("plate", (ROUND < 7) & (HIGH < 3.8)),
    ],
)
def test_the_class_of_plain_shapes(name, inside):
    x = GRID[inside]
    assert shape_class(x) == name
    # Turned, moved, scaled and with vacancies it is the same.
    rng = np.random.default_rng(1)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if len(x) > 200:
        x = x[rng.random(len(x)) > 0.03]
    assert shape_class(2.5 * x @ turn + 7) == name


def test_the_moments_are_those_of_solid_bodies():
    """Of a cylinder of radius R and height h: sqrt(h^2/12) over R/2."""
    long, flat = aspect(GRID[(ROUND < 5) & (HIGH < 9)])
    height = 2 * 9.5 * 0.95
    assert long == pytest.approx(height / 12**0.5 / 2.5, rel=0.05)
    assert flat == pytest.approx(1.0, abs=0.01)
    # Atoms in a line and in a plane.
    assert shape_class(np.arange(5)[:, None] * [[1.0, 2.0, 0.0]]) == "rod"
    assert shape_class(GRID[(HIGH == 0) & (ROUND < 5)]) == "plate"
    assert shape_class(np.zeros((1, 3))) == "sphere"
