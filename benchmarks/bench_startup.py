# SPDX-License-Identifier: MIT
"""How long the package and the help take to come, beside what everything here waits for in the end: NumPy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from pairs import compare

NUMPY = [sys.executable, "-c", "import numpy"]


@pytest.mark.parametrize(
    ("what", "command"),
    [
        ("`import semcbir`", [sys.executable, "-c", "import semcbir"]),
        ("`import semcbir.errors, numpy`", [sys.executable, "-c", "import semcbir.errors, numpy"]),
        ("`semcbir --help`", [sys.executable, "-m", "semcbir", "--help"]),
    ],
)
def test_startup(benchmark: Any, what: str, command: list[str]) -> None:
    def run(words: list[str]) -> None:
        subprocess.run(words, stdout=subprocess.DEVNULL, check=True)

    compare(benchmark, what, lambda: run(command), "`import numpy`", lambda: run(NUMPY))
