"""How long each kernel of a job takes to compile, processor time.

    python -m tests.benchmarks.compiling

In the order in which a copy of the process takes them at a first start.  The
first one also pays for what numba makes once in a process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time


def main() -> None:
    """Compile into an empty cache, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", __spec__.name, "here"],
            check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": folder},
        )


def here() -> None:
    """Compile, and print a line for each kernel and one for all."""
    import gc

    # As in the copy of the process: no garbage is looked for.
    gc.disable()
    from diffpy_cbldm import compiled

    print("| kernel | s |\n| --- | --- |")
    total = 0.0
    names = compiled.IN_A_JOB + compiled.IN_EDITS
    for kernel, types in compiled.typed(names).values():
        begin = time.process_time()
        kernel.compile(types)
        used = time.process_time() - begin
        total += used
        print(f"| `{kernel.__name__}` | {used:.2f} |")
    print(f"| all {len(names)} | {total:.2f} |")


if __name__ == "__main__":
    here() if sys.argv[1:] == ["here"] else main()
