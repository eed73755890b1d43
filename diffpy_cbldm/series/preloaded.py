"""What local workers have from the start: they are forked off this.

The process that has imported this module and does nothing else gives each
worker all that takes long to load, in memory that they share.
"""

import gc

import distributed  # noqa: F401

import diffpy_cbldm.solving.solver  # noqa: F401
from diffpy_cbldm.compiled import IN_A_JOB, IN_EDITS
from diffpy_cbldm.compiling import compile_now

# Otherwise each worker loads the compiler, 60 MB, and asks it for the same.
compile_now(IN_A_JOB + IN_EDITS)

# What is collected later is not looked for here: looking would copy it.
gc.collect()
gc.freeze()
