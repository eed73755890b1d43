"""``python -m diffpy_cbldm.cmi`` prints the path of the cmi profile."""

import argparse
import sys
from collections.abc import Sequence

from diffpy_cbldm import cmi
from diffpy_cbldm.commands import common


def main(words: Sequence[str]) -> int:
    """Print the path of the profile, or copy the recipes."""
    parser = argparse.ArgumentParser(
        prog="python -m diffpy_cbldm.cmi",
        description="Print the path of the profile for cmi install.",
    )
    parser.add_argument(
        "--copy", metavar="DIR", help="Copy the recipes there instead."
    )
    folder = parser.parse_args(words).copy
    print(cmi.profile() if folder is None else cmi.copy_recipes(folder))
    return common.FINE


if __name__ == "__main__":
    sys.exit(common.guarded("diffpy_cbldm.cmi", main, None))
