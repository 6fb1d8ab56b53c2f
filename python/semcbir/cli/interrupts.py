# SPDX-License-Identifier: MIT
"""Interrupts: what Ctrl-C does before and while a command runs."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""

_seen = False
_kept = True


def quit_at_once(*_signal: object) -> None:
    """Handle SIGINT while there is nothing to save yet."""
    with suppress(OSError):
        os.write(2, b"semcbir: interrupted\n")
    os._exit(INTERRUPTED)


def interrupt(*_signal: object) -> None:
    """Handle SIGINT while a command runs: raise KeyboardInterrupt, so that finished work can be saved.

    The second time end at once: a library may be at something that takes long and cannot be stopped. What was
    committed is safe whenever a process ends.
    """
    global _seen
    if _seen:
        quit_at_once()
    _seen = True
    raise KeyboardInterrupt


def raise_from_now_on() -> None:
    """Make SIGINT raise, unless a caller set a handler of its own or ignores the signal."""
    if signal.getsignal(signal.SIGINT) is quit_at_once:
        signal.signal(signal.SIGINT, interrupt)


def keep_nothing() -> None:
    """Note that what the command has done so far is lost when it is interrupted."""
    global _kept
    _kept = False


def what_is_left() -> str:
    """Return what to say after Ctrl-C."""
    if _kept:
        return "interrupted; committed work is kept, and the same command continues from there"
    return "interrupted; nothing is kept"


def interrupted() -> bool:
    """Return whether Ctrl-C was pressed; a library may have turned KeyboardInterrupt into another error."""
    return _seen
