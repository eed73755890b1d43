"""`solve_many`: many PDFs on the workers of Dask, each result kept."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.pdfdata import PDFData, check_pdf
from diffpy_cbldm.series import clients
from diffpy_cbldm.series.engine import Engine
from diffpy_cbldm.series.frames import Frame, Told
from diffpy_cbldm.series.order import in_order
from diffpy_cbldm.series.records import DONE, FAILED, Record
from diffpy_cbldm.series.store import Store

if TYPE_CHECKING:
    import pandas
    from distributed import Client

    from diffpy_cbldm.solving.solution import Solution


class Listed:
    """A `Feed` of frames that are all known."""

    open = False

    def __init__(self, frames: Sequence[Frame]) -> None:
        self.frames = list(frames)
        self.open = bool(frames)

    def take(self) -> list[Frame]:
        """All frames, at the first call."""
        taken, self.frames, self.open = self.frames, [], False
        return taken


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """What `solve_many` found.

    Attributes
    ----------
    frames : list of Told
        In the order of the series.
    store : Store
        Where the full results are.
    """

    frames: list[Told]
    store: Store
    # Keeps the folder of a store that nobody named as long as the results.
    folder: Any = None

    @property
    def records(self) -> list[Record]:
        """The figures of all frames, in the order of the series."""
        return [t.record for t in self.frames if t.record is not None]

    @property
    def failed(self) -> list[Record]:
        """Those of the frames that failed, with the reason."""
        return [r for r in self.records if r.state == FAILED]

    def solution(self, number: int) -> Solution:
        """The full result of a frame, by its place in the series from 0.

        Raises
        ------
        CbldmError
            The frame failed.
        """
        record = self.records[number]
        if record.state != DONE:
            raise CbldmError(
                f"frame {number} ({record.source}) failed: {record.reason}; "
                f"expected one that is done: see Series.failed."
            )
        return self.store.solution(record.key)

    def to_dataframe(self) -> pandas.DataFrame:
        """Return the figures as a table, one row a frame; see `Record`."""
        return table(self.records)

    def write_table(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dataframe` as a csv or, by its name, a Parquet file."""
        write_table(self.records, path)


def solve_many(
    pdfs: Sequence[PDFData | str | os.PathLike[str]],
    *,
    client: Client | str | int | None = None,
    store: Store | str | os.PathLike[str] | None = None,
    order: str = "given",
    full_every: int = 1,
    again: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **asked: Any,
) -> Series:
    """Find structures for many PDFs, on several workers at once.

    Parameters
    ----------
    pdfs : sequence of PDFData or path
        A file that cannot be read fails; the others go on.
    client : Client, str, int or None
        A client of Dask, the address of a scheduler such as
        ``tcp://host:8786``, the file that a scheduler wrote, or a number of
        local processes; default as many as there are cores.  In a script,
        local processes ask for ``if __name__ == "__main__":``.
    store : Store or str, optional
        A database of ASE, ``NAME.db`` or ``postgresql://user@host/name``.
        What it has is not done again.  Default: a file that is gone with the
        result.
    order : str
        "given", "names", "times", or a csv table; see
        `diffpy_cbldm.series.order.in_order`.
    full_every : int
        Every so many frames all generators are asked, and the frames between
        start from the answers beside them; default 1, all by themselves.
        For frames of one sample, in their order.
    again : bool
        Whether frames that failed before are tried again; default False.
    progress : callable, optional
        Called with (frames that ended, frames in all).
    **asked
        Keywords of `diffpy_cbldm.solve`.

    Returns
    -------
    Series

    Raises
    ------
    CbldmError
        Dask is missing, a setting is outside its limits, the store cannot be
        written, or no scheduler answers.
    """
    if full_every < 1:
        raise CbldmError(f"full_every is {full_every}; expected 1 or more.")
    clients.check_installed()
    folder = None
    if store is None:
        folder = tempfile.TemporaryDirectory(prefix="cbldm-series-")
        store = os.path.join(folder.name, "series.db")
    if not isinstance(store, Store):
        store = Store(store)
    frames = _frames(pdfs, order)
    ended = []

    def heard(told: Told) -> None:
        ended.append(told)
        if progress is not None:
            progress(len(ended), len(frames))

    with clients.connected(client) as connect:
        engine = Engine(
            connect,
            store,
            Listed(frames),
            asked,
            full_every=full_every,
            again=again,
            heard=heard,
        )
        return Series(engine.run(), store, folder)


def _frames(
    pdfs: Sequence[PDFData | str | os.PathLike[str]], order: str
) -> list[Frame]:
    """Files and PDFs as frames, in their order."""
    named: dict[str, PDFData | None] = {}
    for number, pdf in enumerate(pdfs):
        if isinstance(pdf, str | os.PathLike):
            named[os.fspath(pdf)] = None
        else:
            check_pdf(pdf)
            name = pdf.source or f"frame {number}"
            # Two PDFs of one file, or of none, are two frames.
            named[f"{name} ({number})" if name in named else name] = pdf
    ordered = in_order(list(named), order)
    return [Frame(name, value, named[name]) for name, value in ordered]


def table(records: Sequence[Record]) -> pandas.DataFrame:
    """The figures of frames as a table, with the index ``frame`` from 1."""
    import pandas

    names = [field.name for field in dataclasses.fields(Record)]
    rows = [dataclasses.asdict(record) for record in records]
    made = pandas.DataFrame(rows, columns=names)
    made.index = pandas.RangeIndex(1, len(made) + 1, name="frame")
    whole = ["n_atoms", "atoms_low", "atoms_high"]
    return made.astype(dict.fromkeys(whole, "Int64"))


def write_table(
    records: Sequence[Record], path: str | os.PathLike[str]
) -> None:
    """Write the figures of frames as csv, or Parquet for ``.parquet``.

    Raises
    ------
    CbldmError
        The name ends otherwise, pyarrow is missing, or the file cannot be
        written.
    """
    from diffpy_cbldm.files import appearing

    name = os.fspath(path)
    check_table_name(name)
    made = table(records)
    with appearing(name) as unfinished:
        if name.endswith(".csv"):
            made.to_csv(unfinished)
        else:
            made.to_parquet(unfinished)


def check_table_name(name: str) -> None:
    """Raise `CbldmError` for a table that cannot be written."""
    import importlib.util

    if not name.endswith((".csv", ".parquet")):
        raise CbldmError(
            f"the table is {name}; expected NAME.csv or NAME.parquet: change "
            f"--table."
        )
    if name.endswith(".parquet") and not importlib.util.find_spec("pyarrow"):
        raise CbldmError(
            f"{name} needs the package pyarrow: pip install "
            f"'diffpy_cbldm[series]', or write a csv file."
        )
