"""The commands ``cbldm`` and ``cbldm-simulate``."""
