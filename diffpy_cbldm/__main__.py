"""``python -m diffpy_cbldm`` is ``cbldm``."""

import sys

from diffpy_cbldm.cli import main

sys.exit(main())
