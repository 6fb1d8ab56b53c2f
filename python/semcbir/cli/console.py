# SPDX-License-Identifier: MIT
"""What the commands print: notes, errors and warnings go to stderr, results to stdout."""

from __future__ import annotations

import functools
import io
import os
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec

import typer

from semcbir._files import display_path
from semcbir.cli.interrupts import INTERRUPTED, interrupted, raise_from_now_on
from semcbir.errors import SemcbirError

P = ParamSpec("P")

ERROR, SKIPPED = 1, 3


def set_up() -> None:
    """Make output safe: any file name can be written, and each warning is one line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Pillow's warnings about photos that it can read (a broken EXIF block, say) help nobody here.
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
            # The reader of the output has closed it; nothing may try to flush the rest.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) or interrupted():
                note("interrupted; committed work is kept, and the same command continues from there")
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
    """Write ``text`` as one line to stderr."""
    line = display_path(re.sub(r"\s*\n\s*", " ", text.strip()))
    with suppress(OSError):
        print(f"semcbir: {line}", file=sys.stderr, flush=True)
