"""How well one structure fits a measured G(r)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "agreement": ["rw"],
        "calculator": ["DebyeCalculator"],
        "generator": ["DebyeGenerator"],
        "quickfit": ["QuickFit", "quick_fit"],
        "recipe": ["make_recipe"],
        "refinement": ["refine"],
        "target": ["bond_estimate"],
    },
)
