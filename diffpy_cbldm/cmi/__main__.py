"""``python -m diffpy_cbldm.cmi`` prints the path of the cmi profile."""

import argparse
import sys

from diffpy_cbldm import cmi
from diffpy_cbldm.commands import common


def main() -> int:
    """Print the path of the profile, or copy the recipes."""
    parser = argparse.ArgumentParser(
        prog="python -m diffpy_cbldm.cmi",
        description="Print the path of the profile for cmi install.",
    )
    parser.add_argument(
        "--copy", metavar="DIR", help="Copy the recipes there instead."
    )
    folder = parser.parse_args().copy
    print(cmi.profile() if folder is None else cmi.copy_recipes(folder))
    return common.FINE


if __name__ == "__main__":
    sys.exit(common.guarded("diffpy_cbldm.cmi", main, debug=False))
