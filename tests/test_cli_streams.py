# SPDX-License-Identifier: MIT
"""The command where its output goes nowhere: closed streams, readers that leave, full disks; without KAZE."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import semcbir

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX shells")

COMMAND = [sys.executable, "-c", "from semcbir.cli import main; main()"]


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Path:
    semcbir.Index.build(photo_folder, tmp_path / "index", model=tiny_model)
    return tmp_path / "index"


def run(
    redirection: str, *arguments: object, command: list[str] = COMMAND
) -> subprocess.CompletedProcess[str]:
    """The command with ``redirection`` as a shell has it: "2>&-", "| head -0"."""
    text = (
        f'"$@" {redirection}' if "|" not in redirection else f'{{ "$@"; echo "code $?" >&2; }} {redirection}'
    )
    # Output is written at the end then, when nothing but the command itself can catch an error.
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["sh", "-c", text, "sh", *command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=buffered,
    )


@pytest.mark.parametrize("asked", ["search", "json", "info", "check", "models list", "--version", "--help"])
@pytest.mark.parametrize("redirection", [">&-", ">&- <&-", "| true"])
def test_output_that_nobody_reads_is_no_error(
    asked: str, redirection: str, index: Path, photo_folder: Path
) -> None:
    query = photo_folder / "town" / "1.jpg"
    arguments: dict[str, list[object]] = {
        "search": ["search", query, index],
        "json": ["search", query, index, "--json"],
        "info": ["info", index],
        "check": ["check", index],
    }
    ended = run(redirection, *arguments.get(asked, asked.split()))
    lines = ended.stderr.splitlines()
    if "|" in redirection:
        assert lines.pop() == "code 0"
    assert ended.returncode == 0
    assert all(line.startswith("semcbir: ") and "error" not in line for line in lines)


def test_the_exit_code_is_the_works_whether_anybody_reads_or_not(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (photo_folder / "empty.jpg").touch()
    for number, redirection in enumerate([">/dev/null", ">&-", "2>&-", ">&- 2>&- <&-"]):
        place = tmp_path / str(number)
        ended = run(redirection, "index", photo_folder, "-o", place, "--model", tiny_model)
        assert ended.returncode == 3, redirection
        assert run(redirection, "info", tmp_path / "none").returncode == 1
        assert run(redirection, "nothing").returncode == 2


def test_with_all_streams_closed_nothing_is_printed_into_the_index(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    place = tmp_path / "index"
    for _ in range(2):
        ended = run("<&- >&- 2>&-", "index", photo_folder, "-o", place, "--model", tiny_model)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    opened = semcbir.Index.open(place)
    assert (len(opened), opened.check()) == (12, [])
    printed = run("", "index", photo_folder, "-o", place, "--model", tiny_model)
    assert printed.returncode == 0
    assert "12 images" in printed.stdout
    for file in place.rglob("*"):
        assert not file.is_file() or b"12 images (" not in file.read_bytes()


def test_without_stderr_the_work_and_its_output_go_on(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (photo_folder / "empty.jpg").touch()
    for redirection in ("2>&-", "2>/dev/full"):
        if "full" in redirection and not Path("/dev/full").exists():
            continue
        place = tmp_path / redirection[2:].replace("/", "").replace("&", "")
        ended = run(redirection, "index", photo_folder, "-o", place, "--model", tiny_model)
        assert ended.returncode == 3
        assert "13 images" not in ended.stdout
        assert "12 added" in ended.stdout
        assert "empty.jpg" not in ended.stdout  # notes are not results
        failed = run(redirection, "search", tmp_path / "none.jpg", place)
        assert (failed.returncode, failed.stdout) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("asked", ["--help", "--version", "models list", "info"])
def test_a_full_disk_is_one_line(asked: str, index: Path) -> None:
    ended = run(">/dev/full", *(["info", index] if asked == "info" else asked.split()))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "semcbir: error: standard output: No space left on device"
    assert ended.stderr.count("error") == 1


def test_ctrl_c_ends_the_command_without_stderr_too() -> None:
    code = (
        "import os, signal, semcbir.cli as cli, semcbir.cli.app as app\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "os.close(2)\n"
        "app.run = lambda: (os.close(2), os.kill(os.getpid(), signal.SIGINT))\n"
        "cli.main()\n"
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ended = subprocess.run([sys.executable, "-c", code], timeout=60)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.returncode == 130


def test_files_do_not_get_the_numbers_of_closed_streams(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from semcbir._streams import make_output_safe, open_standard_streams\n"
        "open_standard_streams()\n"
        "make_output_safe()\n"
        "with open(sys.argv[1], 'w') as file:\n"
        "    assert file.fileno() > 2\n"
        "    print('to nobody')\n"
        "    print('to nobody', file=sys.stderr, flush=True)\n"
        "    assert sys.stdin.read() == ''\n"
        "    sys.stdout.flush()\n"
        "    os.system('echo from a child; echo from a child >&2')\n"
    )
    ended = run("<&- >&- 2>&-", tmp_path / "file", command=[sys.executable, "-c", code])
    assert ended.returncode == 0
    assert (tmp_path / "file").read_text() == ""


@pytest.mark.parametrize("words", [["info"], ["evaluate", "wang"]])
def test_the_module_run_as_a_program_minds_closed_streams_too(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "semcbir"]
    ended = run("2>&-", *words, tmp_path / "none", command=command)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert run("| true", "--help", command=command).stderr == "code 0\n"


LACKING = "import cv2\ndel cv2.KAZE_create, cv2.HOGDescriptor\nfrom semcbir.cli import main\nmain()\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["KAZE", "HOG"])
def test_an_opencv_without_a_feature_is_one_line_everywhere(
    name: str, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    feature, query, place = name.lower(), photo_folder / "town" / "1.jpg", tmp_path / "index"
    made = semcbir.Index.build(photo_folder, place, model=tiny_model, features=feature)
    new = tmp_path / "new"
    commands: list[list[object]] = [
        ["index", photo_folder, "-o", new, "--model", tiny_model, "--features", feature],
        ["index", photo_folder, "-o", new, "--model", tiny_model, "--features", f"sift,{feature}"],
        ["search", query, place],
        ["search", query, photo_folder, "--model", tiny_model, "--features", feature],
        ["explain", query, 1, place],
        ["refresh", place, "--device", "cpu"],
    ]
    if name == "KAZE":
        commands += [
            ["search", query, photo_folder, "--feature", feature],
        ]
    for command in commands:
        ended = run("", *command, command=[sys.executable, "-c", LACKING])
        assert (ended.returncode, ended.stdout) == (1, ""), command
        assert ended.stderr.startswith("semcbir: error: OpenCV "), ended.stderr
        assert f"has no {name}: pip install 'opencv-python-headless<5'" in ended.stderr
        assert ended.stderr.count("\n") == 1
        assert not new.exists()
        assert not (photo_folder / ".semcbir").exists()
    for command in (["info", place], ["check", place], ["refresh", place], ["--help"]):
        assert run("", *command, command=[sys.executable, "-c", LACKING]).returncode == 0, command
    assert len(made) == 12
