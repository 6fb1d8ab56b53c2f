# SPDX-License-Identifier: MIT
"""What a process that may live for a third of a second need not do."""

from __future__ import annotations

import atexit
import gc
import os

_paused = False


def start_lean() -> None:
    """Begin without what takes long and serves nobody; to be called before the long imports.

    - OpenBLAS would start a thread for each CPU, which spins a while; no command multiplies large matrices.
    - What is imported stays until the end, so looking for garbage in it finds nothing; at the end the
      system takes everything at once.
    """
    global _paused
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if gc.isenabled():
        _paused = True
        gc.disable()
    atexit.register(gc.freeze)


def collect_from_now_on() -> None:
    """Collect garbage again, if ``start_lean`` has stopped that: not what is there by now, but what comes."""
    global _paused
    if _paused:
        _paused = False
        gc.freeze()
        gc.enable()
