# SPDX-License-Identifier: MIT
"""Damaged inputs, by the drivers in fuzz/: no signal, no traceback, no wrong answer that check misses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from semcbir import Index

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"
TARGETS = ("card", "image", "segment", "weights")


def run(script: str, *arguments: object, cwd: Path) -> str:
    """Run a driver in ``cwd``; return what it printed last."""
    command = [sys.executable, FUZZ / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=3600, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def index(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of two features in two segments, one image removed, one file skipped; its photos beside it."""
    folder = tmp_path_factory.mktemp("sound")
    photos = Path(shutil.copytree(made_photos, folder / "photos"))
    made = Index.build(photos / "beach", folder / "index", model=tiny_model, features=["kaze", "hog"])
    (photos / "broken.jpg").write_bytes(b"nothing")
    made.refresh([photos])
    made.remove(5)
    return made.path


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_holds(tmp_path: Path, target: str):
    assert (
        run("run.py", target, "--count", 300, "--seed", 1, cwd=tmp_path)
        == f"{target}: 300 inputs, 0 failures"
    )


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_holds_for_long(tmp_path: Path, target: str):
    assert run("run.py", target, "--count", 20_000, "--seed", 2, cwd=tmp_path).endswith(" 0 failures")


def test_a_target_that_fails_is_told(tmp_path: Path):
    code = (
        f"import sys; sys.path.insert(0, {str(FUZZ)!r}); sys.argv[1:] = ['card', '--count', '5']\n"
        "import run, targets\n"
        "def broken(data): raise KeyError('broken')\n"
        "targets.TARGETS['card'] = targets.Target(targets.card_seeds, broken)\n"
        "sys.exit(run.main())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stdout == "card: 5 inputs, 5 failures\n"
    assert "KeyError" in done.stderr
    assert len(list((tmp_path / "fuzz-failures").iterdir())) == 5


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@pytest.mark.slow
def test_damaged_indexes(index: Path, tmp_path: Path):
    photo = index.parent / "photos" / "beach" / "0.jpg"
    last = run("corrupt_index.py", index, photo, "--count", 100, "--seed", 9, cwd=tmp_path)
    assert last == "100 tries, 0 failures"


@needs_fork
@pytest.mark.long
@pytest.mark.slow
def test_five_thousand_damaged_indexes(index: Path, tmp_path: Path):
    photo = index.parent / "photos" / "beach" / "0.jpg"
    last = run("corrupt_index.py", index, photo, "--count", 5000, "--seed", 9, cwd=tmp_path)
    assert last == "5000 tries, 0 failures"


@needs_fork
def test_a_wrong_answer_and_a_signal_are_told(index: Path, tmp_path: Path):
    """The driver itself: a package that answers wrongly, and one that dies, fail."""
    photo = index.parent / "photos" / "beach" / "0.jpg"
    for broken, outcome in (
        ("driver.check_index = lambda path: []", "silent"),
        ("driver.check_index = lambda path: os.kill(os.getpid(), 11)", "signal"),
        ("driver.check_index = lambda path: 1 / 0", "traceback"),
        ("driver.SECONDS = 1; driver.check_index = lambda path: time.sleep(9)", "hang"),
    ):
        code = (
            f"import os, sys, time; sys.path.insert(0, {str(FUZZ)!r})\n"
            f"sys.argv[1:] = [{str(index)!r}, {str(photo)!r}, '--count', '3', '--seed', '9']\n"
            f"import corrupt_index as driver\n"
            f"driver.tries = lambda *a: (driver.Damage(n, name, ['paths exchanged'], data) for n in (0,))\n"
            f"import sqlite3, shutil; from pathlib import Path\n"
            f"name = 'catalog.sqlite'; other = Path({str(tmp_path)!r}) / 'other.sqlite'\n"
            f"shutil.copy(Path({str(index)!r}) / name, other)\n"
            f"changed = sqlite3.connect(other)\n"
            f"changed.execute('UPDATE images SET path = CAST(path || 1 AS BLOB)'); changed.commit()\n"
            f"data = other.read_bytes()\n"
            f"{broken}\n"
            f"sys.exit(driver.main())"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
        assert done.returncode == 1, done.stderr
        assert done.stdout.endswith(f"     1 {outcome}\n1 tries, 1 failures\n"), done.stdout
