# SPDX-License-Identifier: MIT
"""How much memory decoding a file takes, measured in a process of its own, which may not take much more."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_CHILD = """
import importlib, json, os, resource, sys
from semcbir.errors import ImageError
from semcbir.images import decode, kinds

def status(name):  # of this process, in bytes; only Linux says it
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), None)

def peak():
    if (found := status("VmHWM")) is not None:  # ru_maxrss there is at least the parent's
        return found
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

path, most, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
for module, _ in kinds.DECODERS.values():  # so that their code does not count
    try:
        importlib.import_module(module)
    except ImportError:
        pass
for name in ("bmp", "jpeg", "png", "pnm", "tiff", "webp"):
    importlib.import_module(f"semcbir.images.{name}")
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
before = status("VmSize")
if before is not None:
    resource.setrlimit(resource.RLIMIT_AS, (before + most, resource.RLIM_INFINITY))
before = peak()
try:
    said = str(decode.load_image(path, **options).shape)
except ImageError as error:
    said = error.reason
print(json.dumps({"said": said, "peak": peak() - before}))
"""


@dataclass(frozen=True)
class Decoded:
    """What came of a file: its shape as text, or why it was refused; and the most memory it took, bytes."""

    said: str
    peak: int


def decoded(path: Path, most: int = 2**31, **options: int | None) -> Decoded:
    """Load an image file in a process that may take at most ``most`` more bytes than it begins with.

    Only for systems that have the module ``resource``, all but Windows.
    """
    command = [sys.executable, "-c", _CHILD, str(path), str(most), json.dumps(options)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    return Decoded(**json.loads(ran.stdout))
