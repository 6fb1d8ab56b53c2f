# SPDX-License-Identifier: MIT
"""What decoding libraries say on the side: kept for the reason, off the terminal.

Pillow warns and logs through Python, libtiff writes to stderr. Both are heard only in the thread that is
inside ``heard()``; whatever other threads, or the program around, do with Pillow is reported as ever.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from semcbir._fork import Lock

_MOST_MESSAGES, _MOST_BYTES = 10, 300
_thread = threading.local()
_installing = Lock()

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints errors that nobody handles


class _Listener:
    """Takes the place of the pattern in a warnings filter: it matches, and keeps, what this thread hears.

    ``warnings.catch_warnings`` is for one thread: two that overlap leave the wrong filters behind.
    """

    def match(self, text: str) -> bool:
        return _keep(text)


_FILTER: Any = ("ignore", _Listener(), Warning, None, 0)


def _keep(text: str) -> bool:
    messages: list[str] | None = getattr(_thread, "messages", None)
    if messages is None:
        return False
    if len(messages) < _MOST_MESSAGES:
        messages.append(" ".join(text.split()))
    return True


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collect what libraries say in this thread; the list grows meanwhile."""
    with _installing:
        if _FILTER not in warnings.filters:
            warnings.filters.insert(0, _FILTER)  # type: ignore[attr-defined]
    before = getattr(_thread, "messages", None)
    _thread.messages = messages = list[str]()
    try:
        yield messages
    finally:
        _thread.messages = before


@functools.cache
def hear_libtiff() -> bool:
    """Put a handler for libtiff's errors in the place of its own, which prints them; return whether it can.

    It cannot where the library's functions are hidden, as in Pillow for Windows.
    """
    try:
        from PIL import _imaging

        # The symbols of _imaging's own libraries: a second libtiff (OpenCV's) stays as it is.
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.restype = ctypes.c_void_p
        set_handler(_HANDLER)
    except (ImportError, AttributeError, OSError):
        return False
    return True


def _on_error(module: bytes | None, form: bytes | None, arguments: int | None) -> None:
    text = f"{(module or b'libtiff').decode(errors='replace')}: {_formatted(form or b'', arguments)}"
    if not _keep(text):
        print(f"{text}.", file=sys.stderr)


def _formatted(form: bytes, arguments: int | None) -> str:
    """Return C's printf text; ``arguments`` is a va_list, which all our platforms pass as a pointer."""
    buffer = ctypes.create_string_buffer(_MOST_BYTES)
    ctypes.CDLL(None).vsnprintf(buffer, ctypes.c_size_t(_MOST_BYTES), form, ctypes.c_void_p(arguments))
    return buffer.value.decode(errors="replace")


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_on_error)
