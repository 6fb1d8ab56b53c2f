# SPDX-License-Identifier: MIT
from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from semcbir import _core

LEVELS = ["baseline", "avx2", "avx512", "avx512vnni", "neon"]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own."""
    inherited = {name: value for name, value in os.environ.items() if name != "SEMCBIR_SIMD"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**inherited, **environment},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_version_is_written_once():
    assert _core.__version__ == importlib.metadata.version("semcbir")


def test_levels():
    levels = _core.simd_levels()
    assert levels[0] == "baseline"
    assert levels == [level for level in LEVELS if level in levels]
    assert isinstance(_core.openmp, bool)


def test_set_level_names_the_usable_ones():
    before = _core.simd_level()
    for name in ("sse9", "", "AVX2"):
        with pytest.raises(ValueError, match=f"usable here .baseline.*got '{name}'"):
            _core.set_simd_level(name)
    assert _core.simd_level() == before


PRINT_LEVEL = "from semcbir import _core; print(_core.simd_level())"


@pytest.mark.parametrize("level", _core.simd_levels())
def test_environment_chooses_the_level(level):
    assert run(PRINT_LEVEL, SEMCBIR_SIMD=level).stdout.strip() == level


@pytest.mark.parametrize("environment", [{}, {"SEMCBIR_SIMD": ""}])
def test_the_best_level_is_the_default(environment):
    assert run(PRINT_LEVEL, **environment).stdout.strip() == _core.simd_levels()[-1]


@pytest.mark.parametrize("value", ["sse9", *[level for level in LEVELS if level not in _core.simd_levels()]])
def test_an_unusable_level_in_the_environment_fails_the_import(value):
    done = run(PRINT_LEVEL, SEMCBIR_SIMD=value)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: environment variable SEMCBIR_SIMD: SIMD level: expected one of")
    assert last.endswith(f"got '{value}'")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("first_use", ["s.search(*images.query, 5, None, False, 4)", "pass"])
def test_a_forked_child_can_search(first_use):
    """An OpenMP run-time's threads are not there in a child; waiting for them would never end."""
    code = f"""
        import os, signal, sys, warnings
        import numpy as np
        from core_reference import make_columns
        from semcbir import _core
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads: that is the point
        images = make_columns(1, 400, 9, 16)
        s = _core.Searcher([images.segment], 16)
        {first_use}
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            again = s.search(*images.query, 5, None, False, 4)
            alone = s.search(*images.query, 5, None, False, 1)
            same = all(np.array_equal(a, b) for a, b in zip(again, alone))
            os._exit(0 if same else 1)
        status = os.waitpid(child, 0)[1]
        s.search(*images.query, 5, None, False, 4)
        sys.exit(os.waitstatus_to_exitcode(status))
    """
    done = run(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_stubs_fit_the_module():
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "semcbir._core"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
