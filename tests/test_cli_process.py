# SPDX-License-Identifier: MIT
"""The command as a process of its own: signals, pipes, terminals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import semcbir

COMMAND = [sys.executable, "-c", "from semcbir.cli import main; main()"]
needs_posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and terminals")


@pytest.fixture(autouse=True)
def _interrupts_are_heard() -> Iterator[None]:
    """A test run in the background may ignore SIGINT, and its children would inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Path:
    semcbir.Index.build(photo_folder, tmp_path / "index", model=tiny_model)
    return tmp_path / "index"


def run(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **settings)  # type: ignore[call-overload,no-any-return]


@needs_posix
def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    for number in range(20):
        shutil.copytree(photo_folder / "meadow", photo_folder / f"more{number}")
        shutil.copytree(photo_folder / "town", photo_folder / f"most{number}")
    place = tmp_path / "index"
    command = ["index", photo_folder, "-o", place, "--model", tiny_model, "--json", "--threads", 1]
    for wait in (0.5, 1, 2, 4, 8):  # until something was done on a busy machine
        process = subprocess.Popen(
            [*COMMAND, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not (place / "catalog.sqlite").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, "")
        assert err == (
            "semcbir: interrupted; committed work is kept, and the same command continues from there\n"
        )
        if done := len(semcbir.Index.open(place)):
            break
    assert 0 < done < 172
    assert semcbir.Index.open(place).check() == []
    resumed = run(*command)
    assert resumed.returncode == 0
    counts = json.loads(resumed.stdout)
    assert (counts["added"], counts["unchanged"], counts["images"]) == (172 - done, done, 172)


STUCK = """
import os, sys, time
import semcbir.index.check

def check(index):
    heard = 0
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if heard < 2:
                os.write(1, b"goes on\\n")
            time.sleep(60)
        except KeyboardInterrupt:
            heard += 1

semcbir.index.check.check_index = check
from semcbir.cli import main
main()
"""


@needs_posix
def test_a_second_ctrl_c_ends_what_cannot_be_stopped(index: Path) -> None:
    command = [sys.executable, "-c", STUCK, "check", str(index)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == "goes on\n"
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (130, "semcbir: interrupted\n")


@needs_posix
def test_ctrl_c_before_the_work_is_no_traceback(tmp_path: Path) -> None:
    code = (
        "import os, signal, semcbir.cli as cli, semcbir.cli.app as app\n"
        "app.run = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "cli.main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, "semcbir: interrupted\n")


@needs_posix
def test_an_error_made_of_an_interrupt_is_an_interrupt(index: Path) -> None:
    code = (
        "import os, signal, sys, semcbir\n"
        "from semcbir.cli import main\n"
        "def opened(path):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        raise ImportError('initialization failed')\n"
        "semcbir.Index.open = opened\n"
        f"sys.argv = ['semcbir', 'info', {str(index)!r}]\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 130
    assert ended.stderr.startswith("semcbir: interrupted;")


@needs_posix
def test_a_reader_that_leaves_early_is_no_error(index: Path, photo_folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, "search", photo_folder / "town" / "1.jpg", index]
    # Output is written at the end then, when nothing but the command itself can catch the error.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    ended = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, env=buffered
    )
    os.close(writer)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


def test_output_is_plain_and_notes_stay_out_of_it(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    colours = {**os.environ, "FORCE_COLOR": "1", "PYTHONIOENCODING": "ascii"}
    (photo_folder / "été.jpg").touch()
    indexed = run("index", photo_folder, "-o", tmp_path / "i", "--model", tiny_model, env=colours)
    assert indexed.returncode == 3
    assert r"\xe9t\xe9.jpg: the file is empty" in indexed.stderr
    found = run("search", photo_folder / "town" / "1.jpg", tmp_path / "i", "--json", env=colours)
    assert len(json.loads(found.stdout)["hits"]) == 12
    assert "\x1b" not in indexed.stdout + indexed.stderr + found.stdout + found.stderr


def info_with(index: Path, statement: str) -> subprocess.CompletedProcess[str]:
    """Run ``semcbir info``, which executes ``statement`` when it opens the index."""
    code = (
        "import gc, sys, warnings, semcbir\n"
        "from semcbir.cli import main\n"
        "opened = semcbir.Index.open\n"
        "def open_index(path):\n"
        f"    {statement}\n"
        "    return opened(path)\n"
        "semcbir.Index.open = open_index\n"
        f"sys.argv = ['semcbir', 'info', {str(index)!r}]\n"
        "main()\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_warnings_are_one_line(index: Path) -> None:
    ended = info_with(index, r"warnings.warn('this machine\nhas a GPU', RuntimeWarning)")
    assert (ended.returncode, ended.stderr) == (0, "semcbir: warning: this machine has a GPU\n")


@needs_posix
def test_a_terminal_shows_a_bar_that_goes_away(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    import pty

    terminal, end = pty.openpty()
    command = [*COMMAND, "index", photo_folder, "-o", tmp_path / "index", "--model", tiny_model]
    settings = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, env=settings) as process:
        os.close(end)
        shown = b""
        # A terminal whose other end closed is an error on Linux and an end of file elsewhere.
        try:
            while part := os.read(terminal, 4096):
                shown += part
        except OSError:
            pass
        out = process.communicate(timeout=60)[0]
    os.close(terminal)
    assert process.returncode == 0
    assert b"12/12" in shown
    assert b" images" in shown
    assert b"\x1b[2K" in shown.rsplit(b"12/12", 1)[1]
    assert b"\x1b" not in out


def test_a_users_own_number_of_threads_stays() -> None:
    code = (
        "import gc, os, semcbir.cli as cli, semcbir.cli.app as app\n"
        "app.run = lambda: print(os.environ['OPENBLAS_NUM_THREADS'], gc.isenabled())\n"
        "cli.main()\n"
    )
    for own, expected in (({}, "1"), ({"OPENBLAS_NUM_THREADS": "3"}, "3")):
        rest = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**rest, **own}
        )
        assert (ran.stdout, ran.stderr) == (f"{expected} False\n", "")


def test_garbage_is_collected_while_a_command_runs(index: Path) -> None:
    ended = info_with(index, "print(gc.isenabled(), file=sys.stderr)")
    assert (ended.returncode, ended.stderr) == (0, "True\n")
