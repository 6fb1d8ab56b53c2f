# SPDX-License-Identifier: MIT
"""The progress of long work, on stderr: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from semcbir.cli.console import note
from semcbir.cli.rate import Rate, images_rate
from semcbir.cli.text import size

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

    from semcbir.export.downloading import Transfer
    from semcbir.index.report import Progress


SURE = 5
"""After how many images there is a time left: the first ones wait for models to be opened."""


class Meter:
    """The base of the meters; a context manager. ``seconds`` is how long the work has taken."""

    PLAIN_EVERY = 10.0

    def __init__(self, least: int = 1) -> None:
        self._bar: Bar | None = None
        self._rate = Rate(least)
        self._said = self._begun = time.monotonic()
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def seconds(self) -> float:
        """Time since the work began."""
        return time.monotonic() - self._begun

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def _show(self, done: int, total: int | None, bar: Callable[[], Bar], what: _Words) -> None:
        """Update the bar that ``bar`` made, or write a line: how much is done, the rate, the time left."""
        now = time.monotonic()
        self._rate.add(now, done, total)
        if self._terminal:
            self._bar = self._bar or bar()
            rate, left = what.rate(self._rate.per_second), self._rate.left()
            self._bar.update(
                self._bar.task_ids[0], completed=done, total=total, rate=rate, left=left, note=what.note
            )
        elif now - self._said >= self.PLAIN_EVERY:
            self._said = now
            parts = [what.done + what.note, what.rate(self._rate.per_second), self._rate.left()]
            note(", ".join(filter(None, parts)))


class _Words(NamedTuple):
    """What a meter says: how much is ``done``, a ``note`` after it, and the ``rate`` of so much a second."""

    done: str
    note: str
    rate: Callable[[float | None], str]


class RunMeter(Meter):
    """Shows the progress of an indexing run; is the ``on_progress`` of an index.

    Lines begin with the ``part`` that it is of, and say "about" where totals are estimates.
    """

    def __init__(self, part: str | None = None, *, about: bool = False) -> None:
        super().__init__(least=SURE)
        self._part = f"part {part}: " if part else ""
        self._of = "of about" if about else "of"

    def __call__(self, progress: Progress) -> None:
        """Take in how far the run has come."""
        skipped = f", {progress.skipped} skipped" if progress.skipped else ""
        done = f"{self._part}{progress.done} {self._of} {progress.total} images"
        what = _Words(done, skipped, images_rate)
        self._show(progress.done, progress.total, _run_bar, what)


class PhotoMeter(RunMeter):
    """Shows how many of ``total`` photos are read; is the ``on_progress`` of an evaluation."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total

    def read(self, done: int) -> None:
        """Take in how many are read."""
        from semcbir.index.report import Progress

        self(Progress(done, self.total, 0))


class TransferMeter(Meter):
    """Shows the progress of a download; is the ``on_progress`` of ``semcbir.export.fetching.fetch``."""

    def __call__(self, transfer: Transfer) -> None:
        """Take in how far the download has come."""
        whole = f" of {size(transfer.total)}" if transfer.total is not None else ""
        what = _Words(f"{size(transfer.done)}{whole}", "", _bytes_rate)
        self._show(transfer.done, transfer.total, _transfer_bar, what)


def _bytes_rate(per_second: float | None) -> str:
    return "" if per_second is None else f"{size(round(per_second))}/s"


def _run_bar() -> Bar:
    from rich.progress import MofNCompleteColumn, TextColumn

    return _started(MofNCompleteColumn(), TextColumn("images{task.fields[note]}", markup=False))


def _transfer_bar() -> Bar:
    from rich.progress import DownloadColumn

    return _started(DownloadColumn())


def _started(*columns: ProgressColumn) -> Bar:
    """Start a bar with ``columns`` between it and the rate and the time left."""
    # Loading rich takes a while, so it is loaded only when there is something to show.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        BarColumn(),
        *columns,
        TextColumn("{task.fields[rate]}", style="progress.data.speed", markup=False),
        TextColumn("{task.fields[left]}", style="progress.remaining", markup=False),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
    bar.add_task("", total=None, rate="", left="", note="")
    bar.start()
    return bar
