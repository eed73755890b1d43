"""``python -m diffpy_cbldm`` is ``cbldm``."""

import sys

from diffpy_cbldm.commands.cbldm import main

sys.exit(main())
