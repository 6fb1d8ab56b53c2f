# SPDX-License-Identifier: MIT
"""A program's standard streams where they are closed, full, or read by nobody."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

_NAMES = {1: "standard output", 2: "standard error"}


def open_standard_streams() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next file to be opened, perhaps a catalogue, would get that stream's number, and with
    it what the program prints. Call it before any file is opened.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = sys.stdout or io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)))
    sys.stderr = sys.stderr or io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w", closefd=False)))


def make_output_safe() -> None:
    """Let stdout and stderr write any file name, and fail at most once.

    When the reader of a pipe has left, the program goes on to its end and exit code. Another failure, such as
    a full disk, raises OSError on stdout and nothing on stderr. In both cases the rest goes nowhere.
    """
    sys.stdout, sys.stderr = _safe(sys.stdout), _safe(sys.stderr)


def _safe(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.reconfigure(errors="backslashreplace")
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO or raw.fileno() not in _NAMES:  # a console of Windows has a type of its own
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(raw.fileno())),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Output(io.FileIO):
    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())  # nothing may try to write the rest again
            os.close(null)
            if self.fileno() == 2 or isinstance(error, BrokenPipeError):
                return super().write(data)
            raise OSError(error.errno, error.strerror, _NAMES[self.fileno()]) from None
