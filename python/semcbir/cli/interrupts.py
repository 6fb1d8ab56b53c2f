# SPDX-License-Identifier: MIT
"""Interrupts: what Ctrl-C does before a command runs, and while it does."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

_seen = False


def quit_at_once(*_signal: object) -> None:
    """Handle SIGINT while there is nothing to save yet."""
    os.write(2, b"semcbir: interrupted\n")
    os._exit(INTERRUPTED)


def interrupt(*_signal: object) -> None:
    """Handle SIGINT while a command runs: KeyboardInterrupt, so that what is done can be saved."""
    global _seen
    _seen = True
    raise KeyboardInterrupt


def raise_from_now_on() -> None:
    """Let SIGINT raise; where a caller set a handler of its own, or ignores the signal, that stays."""
    if signal.getsignal(signal.SIGINT) is quit_at_once:
        signal.signal(signal.SIGINT, interrupt)


def interrupted() -> bool:
    """Tell whether Ctrl-C came; a library may have made another error of its KeyboardInterrupt."""
    return _seen
