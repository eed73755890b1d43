"""The inputs of ``cbldm`` as one series: workers, store, page and table."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from diffpy_cbldm import settings
from diffpy_cbldm.commands import common, inputs
from diffpy_cbldm.errors import CbldmError
from diffpy_cbldm.output import writers
from diffpy_cbldm.settings import SERIES_PAGE

if TYPE_CHECKING:
    from diffpy_cbldm.series.frames import Told

PAGE_EVERY = 30
"""Seconds from one page to the next while a series runs."""


class Command(Protocol):
    """What a series needs of the command that runs it."""

    reading: dict[str, Any]
    output: settings.Output
    series: settings.Series
    inputs: list[tuple[str, Any]]
    types: tuple[str, ...]
    page: bool
    account: common.Account

    @property
    def asked(self) -> dict[str, Any]:
        """The keywords of `diffpy_cbldm.solve`."""

    @property
    def count(self) -> int:
        """How many structures of an input are written at most."""

    def say(self, text: str) -> None:
        """Tell people."""


def without_page(types: str) -> tuple[bool, str]:
    """Whether the page of a series is asked for, and the other types."""
    named = [kind.strip() for kind in types.split(",")]
    others = [kind for kind in named if kind != SERIES_PAGE]
    return len(others) < len(named), ",".join(others) or "none"


def is_asked_for(table: settings.Series) -> bool:
    """Whether an option says that the inputs are a series."""
    return any(
        value is not None
        for value in (
            table.workers,
            table.scheduler,
            table.scheduler_file,
            table.watch,
        )
    )


def solve_series(command: Command) -> int:
    """Solve the inputs of a command as a series; return the exit code.

    Raises
    ------
    CbldmError
        A package is missing, or the store, a scheduler or a folder cannot
        be used.
    """
    return _Series(command).run()


class _Series:
    """A series while it runs, and what is shown of it."""

    def __init__(self, command: Command) -> None:
        from diffpy_cbldm.series import clients, many
        from diffpy_cbldm.series.store import Store

        clients.check_installed()
        if command.output.database is not None:
            raise CbldmError(
                "--database of a series: expected --store, which is a "
                "database of all its results: leave --database out."
            )
        self.command, self.table = command, command.series
        if self.table.table is not None:
            many.check_table_name(self.table.table)
        self.store = Store(self.table.store)
        self.feed = self._feed()
        self.links: dict[str, str] = {}
        self.ended = self.before = 0
        self.began = self.drawn = time.monotonic()
        self.bar: Any = None
        self.engine: Any = None

    def _feed(self) -> Any:
        """The inputs in their order, and a folder that is watched."""
        from diffpy_cbldm.series.frames import Frame
        from diffpy_cbldm.series.many import Listed
        from diffpy_cbldm.series.order import in_order
        from diffpy_cbldm.series.watching import Folder

        found = [
            self.command.account.attempt(
                name, functools.partial(_located, name, folders)
            )
            for name, folders in self.command.inputs
        ]
        names = [path for path in found if path is not None]
        frames = [Frame(*f) for f in in_order(names, self.table.order)]
        if self.table.watch is None:
            return Listed(frames)
        return Folder(self.table.watch, frames)

    def run(self) -> int:
        """Solve all, and end with the page and the table."""
        if not self.feed.open:  # each input was refused
            return self.command.account.close()
        from diffpy_cbldm.series import clients
        from diffpy_cbldm.series.engine import Engine

        where = self.table.scheduler or self.table.scheduler_file
        with contextlib.ExitStack() as stack:
            connect = stack.enter_context(
                clients.connected(
                    where or self.table.workers, self.table.worker_memory
                )
            )
            self.engine = Engine(
                self._telling(connect),
                self.store,
                self.feed,
                self.command.asked,
                reading=self.command.reading,
                full_every=self.table.full_every,
                again=self.table.again,
                heard=self.heard,
            )
            try:
                self.engine.run()
            except KeyboardInterrupt:
                # A folder is watched until somebody stops it.
                if self.table.watch is None:
                    raise
            finally:
                self._close_bar()
                self._write(running=False)
        return self._account()

    def _telling(self, connect: Callable[[], Any]) -> Callable[[], Any]:
        """Say where Dask's dashboard is, at each connection."""

        def told() -> Any:
            client = connect()
            if client.dashboard_link:
                self.command.say(f"Dask's dashboard: {client.dashboard_link}")
            return client

        return told

    def heard(self, told: Told) -> None:
        """Write the outputs of a frame that has ended, and show progress."""
        self.ended += 1
        # What the store had comes within no time, and tells no rate.
        if time.monotonic() - self.began < 1.0:
            self.before = self.ended
        record = told.record
        assert record is not None
        if record.state == "failed":
            self.command.account.attempt(record.source, _raising(record))
        elif self.command.types:
            self.command.account.attempt(
                record.source, lambda: self._write_outputs(told)
            )
        self._progress()
        if time.monotonic() - self.drawn > PAGE_EVERY:
            self._write(running=True)

    def _write_outputs(self, told: Told) -> None:
        """The files of one frame that are not there, or may be replaced."""
        record = told.record
        assert record is not None
        source = inputs.output_source(record.source)
        planned = writers.plan(
            self.command.output.output,
            self.command.types,
            source,
            self.command.count,
        )
        if ("html", None) in planned:
            self.links[record.source] = os.fspath(planned["html", None])
        # Of further ranks there may be none.
        there = [p.exists() for (_, k), p in planned.items() if k in (None, 1)]
        if all(there) and self.command.output.force != "yes":
            return
        solution = self.store.solution(record.key)
        written = writers.write(solution, record.source, planned)
        for output, error in written.failed:
            self.command.account.lost(record.source, output, error)

    def _progress(self) -> None:
        """A bar with frames an hour and the time left, on a terminal."""
        if not sys.stderr.isatty() or self.command.output.quiet:
            return
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(
                file=sys.stderr,
                leave=False,
                bar_format="{n_fmt}/{total_fmt} {bar} {desc}",
            )
        self.bar.total = len(self.engine.told)
        self.bar.n = self.ended
        self.bar.set_description_str(self.state())

    def state(self) -> str:
        """How fast the run is and what is left, in words."""
        spent = time.monotonic() - self.began
        fresh = self.ended - self.before
        if not fresh or not spent:
            return ""
        rate = fresh / spent
        left = (len(self.engine.told) - self.ended) / rate
        return f"{3600 * rate:.0f} frames an hour, {_clock(left)} left"

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.close()

    def _write(self, running: bool) -> None:
        """The page and the table, as far as the series is."""
        from diffpy_cbldm.series.many import write_table

        self.drawn = time.monotonic()
        told = self.engine.told
        records = [t.record for t in told if t.record is not None]
        if self.table.table is not None:
            self._attempt(
                self.table.table,
                lambda: write_table(records, str(self.table.table)),
            )
        if self.command.page:
            path = self._page_path()
            self._attempt(
                str(path), lambda: self._write_page(told, path, running)
            )

    def _attempt(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except CbldmError as error:
            self.command.account.lost(name, name, error)

    def _page_path(self) -> pathlib.Path:
        template = self.command.output.output
        return writers.output_name(template, "cbldm-series", "html")

    def _write_page(
        self, told: list[Told], path: pathlib.Path, running: bool
    ) -> None:
        from diffpy_cbldm.output.series import write_series

        folder = path.parent
        links: Mapping[str, str] = {
            source: os.path.relpath(page, folder)
            for source, page in self.links.items()
        }
        refresh = PAGE_EVERY if running else None
        state = f"{self.state()}." if running else ""
        write_series(told, path, links=links, refresh=refresh, state=state)

    def _account(self) -> int:
        """Say what came out; the exit code."""
        from diffpy_cbldm.output.tables import series_summary

        told = self.engine.told
        records = [t.record for t in told if t.record is not None]
        if records:
            self.command.say(series_summary(records))
        return self.command.account.close()


def _located(name: str, folders: Sequence[str]) -> str:
    """The path of an input, refused before workers start where it is none."""
    from diffpy_cbldm.grfile import check_file

    path = inputs.locate(name, folders)
    if path != inputs.STDIN:
        check_file(path)
    return path


def _raising(record: Any) -> Callable[[], None]:
    def fail() -> None:
        raise CbldmError(record.reason)

    return fail


def _clock(seconds: float) -> str:
    """A time as hours and minutes."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"
