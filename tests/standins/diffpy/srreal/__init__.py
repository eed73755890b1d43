"""The calls of diffpy.srreal that diffpy.apps needs, see README.md."""
