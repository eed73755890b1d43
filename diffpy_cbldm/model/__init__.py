"""The networks and the diffusion of CbLDM: Algorithms 1 to 4."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cbldm": ["CbLDM"],
        "recovery": ["recover"],
        "weights": ["load_sampler", "load_weights", "save_weights"],
    },
)
