"""The version of the package, for those who must not import it."""

__version__ = "0.1.0"
