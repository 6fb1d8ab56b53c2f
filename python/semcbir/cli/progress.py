# SPDX-License-Identifier: MIT
"""The progress of long work, on stderr: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from semcbir.cli.console import note
from semcbir.cli.text import duration, size

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

    from semcbir.export.downloading import Transfer
    from semcbir.index.report import Progress


class Meter:
    """The base of the meters; a context manager. ``seconds`` is how long the work has taken."""

    PLAIN_EVERY = 10.0

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._first: tuple[float, int] | None = None
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

    def _show(self, done: int, bar: Callable[[], Bar], line: Callable[[float], str], **fields: Any) -> None:
        """Update the bar that ``bar`` made, or write the line that ``line`` makes of the rate a second."""
        if self._terminal:
            self._bar = self._bar or bar()
            self._bar.update(self._bar.task_ids[0], completed=done, **fields)
            return
        now = time.monotonic()
        self._first = self._first or (now, done)
        if now - self._said >= self.PLAIN_EVERY:
            self._said = now
            note(line((done - self._first[1]) / (now - self._first[0] or 1.0)))


class RunMeter(Meter):
    """Shows the progress of an indexing run; is the ``on_progress`` of an index."""

    def __call__(self, progress: Progress) -> None:
        """Take in how far the run has come."""
        self._show(
            progress.done,
            lambda: _run_bar(progress.total),
            lambda rate: _run_line(progress, rate),
            skipped=_skipped(progress.skipped),
        )


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
        self._show(
            transfer.done, _transfer_bar, lambda rate: _transfer_line(transfer, rate), total=transfer.total
        )


def _run_line(progress: Progress, rate: float) -> str:
    left = f", {duration((progress.total - progress.done) / rate)} left" if rate else ""
    return (
        f"{progress.done} of {progress.total} images{_skipped(progress.skipped)}, {rate:.1f} images/s{left}"
    )


def _skipped(count: int) -> str:
    return f", {count} skipped" if count else ""


def _transfer_line(transfer: Transfer, rate: float) -> str:
    """Return a line that says how far ``transfer`` is, at ``rate`` bytes a second."""
    whole = f" of {size(transfer.total)}" if transfer.total is not None else ""
    left = ""
    if transfer.total is not None and rate > 0:
        left = f", {duration((transfer.total - transfer.done) / rate)} left"
    return f"{size(transfer.done)}{whole}, {size(round(rate))}/s{left}"


def _run_bar(total: int) -> Bar:
    from rich.progress import MofNCompleteColumn, ProgressColumn, Task, TextColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} images/s" if speed else "", style="progress.data.speed")

    columns = MofNCompleteColumn(), TextColumn("images{task.fields[skipped]}"), Rate()
    return _started(*columns, total=total, skipped="")


def _transfer_bar() -> Bar:
    from rich.progress import DownloadColumn, TransferSpeedColumn

    return _started(DownloadColumn(), TransferSpeedColumn(), total=None)


def _started(*columns: ProgressColumn, **task: Any) -> Bar:
    """Start a bar with ``columns`` between it and the time left; ``task`` are its first values."""
    # Loading rich takes a while, so it is loaded only when there is something to show.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
    bar.add_task("", **task)
    bar.start()
    return bar
