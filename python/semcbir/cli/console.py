# SPDX-License-Identifier: MIT
"""What the commands say: notes, errors, progress, summaries; results go to stdout, all else to stderr."""

from __future__ import annotations

import functools
import io
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, ParamSpec, Self

import typer

from semcbir.cli.interrupts import INTERRUPTED, interrupted, raise_from_now_on
from semcbir.cli.reporting import duration
from semcbir.errors import SemcbirError
from semcbir.images import display_path

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from semcbir.ingest import Progress

P = ParamSpec("P")

ERROR, SKIPPED = 1, 3


def set_up() -> None:
    """Make output safe: any file name can be written, and warnings are one line each."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What Pillow finds odd in a photo it can read (a broken EXIF block, say) helps nobody here.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    warnings.showwarning = lambda message, *_rest, **_more: note(f"warning: {message}")


def command(function: Callable[P, int | None]) -> Callable[P, None]:
    """Turn errors into one line on stderr, and the function's result (None: 0) into the exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            raise_from_now_on()
            code = function(*args, **kwargs) or 0
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever read the output has seen enough; nothing may try to flush the rest.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) or interrupted():
                note("interrupted; what was committed is kept, and the same command goes on from there")
                code = INTERRUPTED
            elif isinstance(error, (SemcbirError, ValueError, OSError, MemoryError)):
                note(f"error: {_message(error)}")
                code = ERROR
            else:
                raise
        raise typer.Exit(code)

    return run


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{display_path(error.filename)}: " if error.filename is not None else ""
        return f"{where}{error.strerror}"
    if isinstance(error, MemoryError):
        return f"out of memory {error}".strip()
    return str(error) or type(error).__name__


def note(text: str) -> None:
    """Say ``text`` in one line on stderr."""
    line = display_path(re.sub(r"\s*\n\s*", " ", text.strip()))
    with suppress(OSError):
        print(f"semcbir: {line}", file=sys.stderr, flush=True)


class Meter:
    """Shows the progress of a run on stderr: a bar on a terminal, elsewhere a line every ten seconds.

    Used as a context manager and as an index's ``on_progress``. ``seconds`` is how long the run took.
    """

    PLAIN_EVERY = 10.0

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._first: tuple[float, int] | None = None
        self._said = self._begun = time.monotonic()
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    @property
    def seconds(self) -> float:
        """Time since the run began."""
        return time.monotonic() - self._begun

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Take in how far the run has come."""
        if self._terminal:
            self._bar = self._bar or _bar(progress.total)
            self._bar.update(
                self._bar.task_ids[0], completed=progress.done, skipped=_skipped(progress.skipped)
            )
            return
        now = time.monotonic()
        self._first = self._first or (now, progress.done)
        if now - self._said >= self.PLAIN_EVERY:
            self._said = now
            rate = (progress.done - self._first[1]) / (now - self._first[0] or 1.0)
            left = f", {duration((progress.total - progress.done) / rate)} left" if rate else ""
            note(
                f"{progress.done} of {progress.total} images{_skipped(progress.skipped)}, "
                f"{rate:.1f} images/s{left}"
            )


def _skipped(count: int) -> str:
    return f", {count} skipped" if count else ""


def _bar(total: int) -> Bar:
    # Loading rich takes a while, so that only a run with something to show does it.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} images/s" if speed else "", style="progress.data.speed")

    bar = Bar(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images{task.fields[skipped]}"),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
    bar.add_task("", total=total, skipped="")
    bar.start()
    return bar
