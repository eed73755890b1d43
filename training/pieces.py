"""Split a checkpoint into small files, and join them again.

    python -m training.pieces split runs/base/checkpoint.pt --megabytes 15
    python -m training.pieces join runs/base/checkpoint.pt

Files of limited size can be carried to wherever a GPU is free for a while.
``split`` writes ``checkpoint.pt.00``, ``.01``, ... and ``checkpoint.pt.json``
with their sizes and SHA-256; ``join`` checks both.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from diffpy_cbldm.files import write_atomic
from training import records


def split(path: Path, megabytes: float = 15.0) -> list[Path]:
    """Write the pieces of a file beside it.

    Parameters
    ----------
    path : Path
    megabytes : float
        Largest size of a piece, in units of 2^20 bytes.

    Returns
    -------
    list of Path, the pieces in order
    """
    size = max(1, int(megabytes * 2**20))
    pieces = []
    whole = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(size):
            whole.update(block)
            piece = path.with_name(f"{path.name}.{len(pieces):02d}")
            write_atomic(piece, block)
            pieces.append(piece)
    # A larger checkpoint before this one had more pieces.
    for old in path.parent.glob(path.name + ".[0-9][0-9]"):
        if old not in pieces:
            old.unlink()
    record = {
        "pieces": [p.name for p in pieces],
        "bytes": path.stat().st_size,
        "sha256": whole.hexdigest(),
    }
    index = path.with_name(path.name + ".json")
    records.keep(index, record)
    return pieces


def join(path: Path) -> Path:
    """Make a file again from its pieces.

    Raises
    ------
    SystemExit
        A piece is missing, or the whole is not what was split.
    """
    record = json.loads(path.with_name(path.name + ".json").read_text())
    parts = [path.with_name(name) for name in record["pieces"]]
    missing = [p.name for p in parts if not p.exists()]
    if missing:
        raise SystemExit(
            f"{path.parent} lacks {', '.join(missing)}; expected "
            f"{len(parts)} pieces: copy them all."
        )
    whole = b"".join(p.read_bytes() for p in parts)
    # A piece of another checkpoint has the right name and length, too.
    found = hashlib.sha256(whole).hexdigest()
    if found != record["sha256"]:
        raise SystemExit(
            f"the pieces of {path.name} have SHA-256 {found[:12]}; expected "
            f"{record['sha256'][:12]}: copy them again."
        )
    write_atomic(path, whole)
    return path


def main() -> None:
    """The command line; see the module's text."""
    parser = argparse.ArgumentParser(
        "python -m training.pieces", description=__doc__.splitlines()[0]
    )
    parser.add_argument("action", choices=("split", "join"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--megabytes", type=float, default=15.0)
    options = parser.parse_args()
    if options.action == "split":
        for piece in split(options.file, options.megabytes):
            print(piece)
    else:
        print(join(options.file))


if __name__ == "__main__":
    main()
