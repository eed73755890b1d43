"""Ideal, random and cut clusters, in bond lengths, and what they measure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "alike": ["duplicates", "rmsd", "same_structure"],
        "bonds": ["nearest_neighbour_distance", "roughness", "shortest_bond"],
        "cuts": ["random_cut"],
        "table": ["Table", "load_table"],
    },
)
