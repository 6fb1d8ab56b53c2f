# SPDX-License-Identifier: MIT
"""Peak memory of a process; Linux only."""

from __future__ import annotations

from pathlib import Path


def peak_mib() -> float:
    """Largest resident memory of this process so far, in MiB.

    Not ``ru_maxrss``: a child begins with that of its parent.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
