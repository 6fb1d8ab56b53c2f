# SPDX-License-Identifier: MIT
"""Benchmarks compare with a peer in the same run and print the ratios at the end.

Run: pytest benchmarks  (real photos and models are looked for in ../shared)
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fixtures import *  # noqa: E402, F403


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print every pair of the run as a row of the table in benchmarks/README.md."""
    session = getattr(config, "_benchmarksession", None)
    rows = [bench.extra_info for bench in session.benchmarks] if session else []
    rows = [row for row in rows if "peer" in row]
    if not rows:
        return
    terminalreporter.write_line(
        "\n| what | median | peer | median | ratio peer / ours (pairs: min, median, max) |"
    )
    terminalreporter.write_line("|---|---|---|---|---|")
    for row in rows:
        terminalreporter.write_line(
            f"| {row['what']} | {row['ours_ms']:.3g} ms | {row['peer']} | {row['peer_ms']:.3g} ms "
            f"| {row['min']:.2f}, **{row['ratio']:.2f}**, {row['max']:.2f} |"
        )
