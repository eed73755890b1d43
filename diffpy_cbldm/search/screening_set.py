"""Many random plausible clusters, kept as pair histograms, for one PDF.

    python -m diffpy_cbldm.search.screening_set --count 100000

The *set* is a list of random cuts, each drawn from a seed of its own, so
that a cluster is drawn again from its number alone.  What is kept of it is
its pair histogram in bond lengths, from which curves at any Q range, width,
damping and stretch follow by matrix products.  The first `SHIPPED` clusters
come with the package; the command above makes more of them and keeps them in
the user's cache folder.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from tqdm import tqdm

from diffpy_cbldm.crystals.cuts import CUT_WEIGHTS, kept_back, random_cut
from diffpy_cbldm.crystals.table import TEMPLATE_OF, load_table
from diffpy_cbldm.debye.histogram import cluster_histograms
from diffpy_cbldm.errors import CbldmError, CbldmWarning
from diffpy_cbldm.files import appearing, packaged
from diffpy_cbldm.memory import PROPOSALS, quickly_made
from diffpy_cbldm.settings import MIN_ATOMS
from diffpy_cbldm.threads import one_thread

SEED = 20_260
"""Seed of the set; cluster k is drawn with the seed (SEED, k)."""

SHIPPED, FULL = 10_000, 100_000
"""Clusters that come with the package, and that the command makes."""

BUILD_PART = 1000
"""Clusters of a part: a build that was stopped goes on with the next."""

SET_STEP, SET_BINS, SET_ORDER = 0.04, 300, 6
"""The histograms' bins, in bond lengths, and the order of their splines."""

VERSION = 1
"""Of the files in the cache folder."""

COMMAND = "python -m diffpy_cbldm.search.screening_set"

_SHIPPED = "screening.npz"


# ------------------------------------------------------------------ the set


def member(number: int) -> tuple[str, np.ndarray]:
    """Draw a cluster of the set.

    No geometry of the table is among them, and no cut that is kept for tests.

    Parameters
    ----------
    number : int
        Its place in the set, from 0.

    Returns
    -------
    kind : str
        One of `diffpy_cbldm.crystals.cuts.CUT_KINDS`.
    sites : (n,) array of uint16
        The filled sites of the kind's template; 13 to 256 or, where surface
        atoms are missing, a few less.
    """
    return _drawn(SEED, number)


@functools.lru_cache(maxsize=4096)
def _drawn(seed: int, number: int) -> tuple[str, np.ndarray]:
    """A cluster of the set of a seed; the best of it are asked for again."""
    table = load_table()
    rng = np.random.default_rng([seed, number])
    names = list(CUT_WEIGHTS)
    kind = names[rng.choice(len(names), p=[*CUT_WEIGHTS.values()])]
    template = TEMPLATE_OF[kind]
    while True:
        sites = random_cut(table, kind, rng)
        if (
            len(sites) >= MIN_ATOMS
            and not table.holds(template, sites)
            and not kept_back(template, sites)
        ):
            return kind, sites


def histograms(numbers: Sequence[int]) -> np.ndarray:
    """Pair histograms of clusters of the set.

    Returns
    -------
    (C, SET_BINS) array of float16
        Sums of 1/d over the pairs, in bond lengths, for each atom.
    """
    table = load_table()
    drawn = [member(k) for k in numbers]
    order = np.argsort([len(sites) for _, sites in drawn], kind="stable")
    out = np.zeros((len(drawn), SET_BINS), np.float16)
    for start in range(0, len(order), 250):
        rows = order[start : start + 250]
        clusters = [
            table.sites[TEMPLATE_OF[kind]][sites]
            for kind, sites in (drawn[k] for k in rows)
        ]
        hist = cluster_histograms(
            clusters, step=SET_STEP, bins=SET_BINS, order=SET_ORDER
        )
        hist /= np.array([len(x) for x in clusters], np.float32)[:, None]
        out[rows] = hist
    return out


@quickly_made(PROPOSALS)
@functools.cache
def shipped_set() -> np.ndarray:
    """(SHIPPED, SET_BINS) array of float16: the set's beginning, packaged.

    Raises
    ------
    CbldmError
        The file is damaged.
    """
    path = resources.files("diffpy_cbldm.search").joinpath(_SHIPPED)
    with packaged(_SHIPPED), path.open("rb") as stream:
        with np.load(stream, allow_pickle=False) as data:
            return data["hist"]


def load_set() -> np.ndarray:
    """Read the largest set that is there.

    Returns
    -------
    (C, SET_BINS) array of float16, from the cache folder, or the shipped one.

    Raises
    ------
    CbldmError
        No set belongs to the clusters that are drawn here.
    """
    for count, path in kept_sets():
        if count < SHIPPED:
            warnings.warn(
                f"{path} holds {count} clusters and is left out, as "
                f"{SHIPPED} come with the package; make more with {COMMAND} "
                f"--count {FULL}.",
                CbldmWarning,
                stacklevel=2,
            )
            continue
        hist = _read(path, count)
        if hist is not None:
            return hist
        warnings.warn(
            f"{path} does not hold the first {count} clusters and is left "
            f"out; make it again with {COMMAND} --count {count}.",
            CbldmWarning,
            stacklevel=2,
        )
    hist = shipped_set()
    if not _belongs(hist):
        raise CbldmError(
            "the clusters that come with the package are not those that "
            f"NumPy {np.__version__} draws; expected the same: make a set of "
            f"your own with {COMMAND}."
        )
    return hist


def build_set(
    count: int = FULL, progress: Callable[[int], object] | None = None
) -> Path:
    """Make a set and keep it in the cache folder.

    A set that is there already stays, one that does not hold these clusters
    is replaced.  What a stopped build has made is used again.

    Parameters
    ----------
    count : int
        Number of clusters; 100,000 are 60 MB and take minutes.
    progress : callable, optional
        Called with how many more clusters are done.

    Returns
    -------
    Path of the file.
    """
    if count < 1:
        raise CbldmError(
            f"count is {count}; expected 1 or more: pass --count {FULL}."
        )
    path = _path(count)
    if path.exists() and _read(path, count) is not None:
        return path
    parts = path.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    starts = range(0, count, BUILD_PART)
    for start in starts:
        size = min(BUILD_PART, count - start)
        part = parts / f"{start}.npy"
        if _read(part, size, start) is None:
            _write(part, [histograms(range(start, start + size))], size)
        if progress is not None:
            progress(size)
    _write(path, (np.load(parts / f"{s}.npy") for s in starts), count)
    shutil.rmtree(parts, ignore_errors=True)
    return path


def cache_folder() -> Path:
    """Where sets are kept.

    The folder that the environment variable CBLDM_CACHE names, or
    ``diffpy_cbldm`` in the user's cache folder (XDG_CACHE_HOME, or
    LOCALAPPDATA on Windows; ``~/.cache`` where neither is set).

    Raises
    ------
    CbldmError
        None of these is set, and the user has no home folder.
    """
    own = os.environ.get("CBLDM_CACHE")
    if own:
        return Path(os.path.expanduser(own))
    name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    base = os.environ.get(name)
    if base:
        return Path(base) / "diffpy_cbldm"
    try:
        return Path.home() / ".cache" / "diffpy_cbldm"
    except RuntimeError:
        raise CbldmError(
            "there is no home folder for the cache; expected one: set "
            "CBLDM_CACHE to a folder."
        ) from None


def _path(count: int) -> Path:
    digest = load_table().digest[:12]
    return cache_folder() / f"screening-{VERSION}-{digest}-{count}.npy"


def kept_sets() -> list[tuple[int, Path]]:
    """Sizes and files of the sets in the cache folder, the largest first."""
    try:
        beginning = _path(0).stem.removesuffix("0")
        names = os.listdir(cache_folder())
    except (CbldmError, OSError):  # no cache, or none that may be read
        return []
    kept = [
        (int(size), cache_folder() / name)
        for name in names
        if name.startswith(beginning)
        and name.endswith(".npy")
        and (size := Path(name).stem.removeprefix(beginning)).isdecimal()
    ]
    return sorted(kept, reverse=True)


def state_of_sets() -> tuple[tuple[Path, int, int], ...]:
    """The files of `kept_sets`, their bytes and when they were changed (ns).

    A set may be made again, or damaged, under the name that it had.
    """
    seen = []
    for _, path in kept_sets():
        with contextlib.suppress(OSError):  # removed meanwhile
            told = path.stat()
            seen.append((path.resolve(), told.st_size, told.st_mtime_ns))
    return tuple(seen)


def _read(path: Path, count: int, first: int = 0) -> np.ndarray | None:
    """A file's histograms, mapped; None where they are not the set's."""
    try:
        hist = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if hist.shape != (count, SET_BINS) or hist.dtype != np.float16:
        return None
    # Each row is compared with the data: one bad value would win or lose.
    if not all(
        np.isfinite(hist[k : k + BUILD_PART]).all()
        for k in range(0, count, BUILD_PART)
    ):
        return None
    return hist if _belongs(hist, first) else None


def _belongs(hist: np.ndarray, first: int = 0) -> bool:
    """Whether some rows are those of clusters that are drawn again."""
    rows = sorted({0, len(hist) // 2, len(hist) - 1})
    again = histograms([first + k for k in rows])
    return np.allclose(hist[rows], again, rtol=2e-3, atol=1e-4)


def _write(path: Path, parts: Iterable[np.ndarray], count: int) -> None:
    """Write histograms; the file is there as a whole or not at all."""
    with appearing(path) as unfinished, unfinished.open("wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream,
            {
                "descr": "<f2",
                "fortran_order": False,
                "shape": (count, SET_BINS),
            },
        )
        for part in parts:
            stream.write(part.astype("<f2").tobytes())


def main(words: Sequence[str] | None = None) -> None:
    """Make a set, or with --ship the one that comes with the package."""
    parser = argparse.ArgumentParser(
        COMMAND, description="Make the set of the generator screen."
    )
    parser.add_argument(
        "--count", type=int, default=FULL, help="number of clusters"
    )
    parser.add_argument(
        "--ship", type=Path, help="write the package's set to this file"
    )
    options = parser.parse_args(words)
    with one_thread():
        _make(options.count, options.ship)


def _make(count: int, shipped: Path | None) -> None:
    """Make the set in the cache folder, or the file of the package."""
    if shipped:
        parts = [
            histograms(range(start, start + BUILD_PART))
            for start in tqdm(range(0, SHIPPED, BUILD_PART))
        ]
        with appearing(shipped) as unfinished:
            np.savez_compressed(unfinished, hist=np.concatenate(parts))
        return
    with tqdm(total=count, unit="clusters") as bar:
        path = build_set(count, bar.update)
    print(path)


if __name__ == "__main__":
    main()
