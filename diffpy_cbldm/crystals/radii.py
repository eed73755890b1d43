"""How far apart the atoms of a metal are.

Metallic radii for twelve neighbours, as pymatgen's ``Element.metallic_radius``
has them (after A. F. Wells, Structural Inorganic Chemistry, and Greenwood &
Earnshaw, Chemistry of the Elements).  Eu, Yb, Pb and Bi, which it lacks or
gives for another valence, are half of the shortest distance in the crystal
(``ase.data.reference_states``; Bi: 3.07 A).
"""

from __future__ import annotations

METALLIC_RADII = {
    **{"Li": 1.52, "Be": 1.12, "Na": 1.86, "Mg": 1.60, "Al": 1.43},
    **{"K": 2.27, "Ca": 1.97, "Sc": 1.62, "Ti": 1.47, "V": 1.34},
    **{"Cr": 1.28, "Mn": 1.27, "Fe": 1.26, "Co": 1.25, "Ni": 1.24},
    **{"Cu": 1.28, "Zn": 1.34, "Ga": 1.35, "Rb": 2.48, "Sr": 2.15},
    **{"Y": 1.80, "Zr": 1.60, "Nb": 1.46, "Mo": 1.39, "Tc": 1.36},
    **{"Ru": 1.34, "Rh": 1.34, "Pd": 1.37, "Ag": 1.44, "Cd": 1.51},
    **{"In": 1.67, "Sn": 1.58, "Cs": 2.65, "Ba": 2.22, "La": 1.87},
    **{"Ce": 1.818, "Pr": 1.824, "Nd": 1.814, "Pm": 1.834, "Sm": 1.804},
    **{"Eu": 1.996, "Gd": 1.804, "Tb": 1.773, "Dy": 1.781, "Ho": 1.762},
    **{"Er": 1.761, "Tm": 1.759, "Yb": 1.941, "Lu": 1.738, "Hf": 1.59},
    **{"Ta": 1.46, "W": 1.39, "Re": 1.37, "Os": 1.35, "Ir": 1.355},
    **{"Pt": 1.385, "Au": 1.44, "Hg": 1.51, "Tl": 1.70, "Pb": 1.750},
    **{"Bi": 1.535, "Th": 1.79, "Pa": 1.63, "U": 1.56, "Np": 1.55},
    **{"Pu": 1.59, "Am": 1.73, "Cm": 1.74},
}
"""Radius (A) of the atoms in a metal by its symbol."""


def neighbour_distance(element: str) -> float | None:
    """Distance of neighbours in a metal, angstrom; None if not known."""
    radius = METALLIC_RADII.get(element)
    return None if radius is None else 2 * radius
