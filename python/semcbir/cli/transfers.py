# SPDX-License-Identifier: MIT
"""How far a download has come, on stderr."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from semcbir.cli.console import note
from semcbir.cli.reporting import duration, size

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from semcbir.models.downloading import Transfer


class TransferMeter:
    """Shows a download on stderr: a bar on a terminal, elsewhere a line every ten seconds.

    Used as a context manager and as the ``on_progress`` of ``semcbir.models.fetching.fetch``.
    """

    PLAIN_EVERY = 10.0

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._first: tuple[float, int] | None = None
        self._said = time.monotonic()
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, transfer: Transfer) -> None:
        """Take in how far the download has come."""
        if self._terminal:
            self._bar = self._bar or _bar()
            self._bar.update(self._bar.task_ids[0], completed=transfer.done, total=transfer.total)
            return
        now = time.monotonic()
        self._first = self._first or (now, transfer.done)
        if now - self._said >= self.PLAIN_EVERY:
            self._said = now
            note(_line(transfer, (transfer.done - self._first[1]) / (now - self._first[0] or 1.0)))


def _line(transfer: Transfer, rate: float) -> str:
    """Say in a line how far ``transfer`` is at ``rate`` bytes a second."""
    whole = f" of {size(transfer.total)}" if transfer.total is not None else ""
    left = ""
    if transfer.total is not None and rate > 0:
        left = f", {duration((transfer.total - transfer.done) / rate)} left"
    return f"{size(transfer.done)}{whole}, {size(round(rate))}/s{left}"


def _bar() -> Bar:
    # Loading rich takes a while, so that only a download with something to show does it.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
    bar.add_task("", total=None)
    bar.start()
    return bar
