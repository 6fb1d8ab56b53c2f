# SPDX-License-Identifier: MIT
"""``semcbir browse`` as a process: it indexes a folder, ends at Ctrl-C, and says what it lacks."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="the page needs the extra web")
pytest.importorskip("jinja2", reason="the page needs the extra web")
pytest.importorskip("starlette", reason="the page needs the extra web")

from semcbir import Index

posix = pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a signal")


def browse(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "semcbir", "browse", *map(str, arguments), "--no-open", "--port", "0"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def place_of(process: subprocess.Popen[str]) -> str:
    """The address that it prints."""
    assert process.stderr is not None
    line = process.stderr.readline()
    assert line.startswith("semcbir: http://127.0.0.1:"), line
    assert line.endswith(" (Ctrl-C ends it)\n")
    return line.removeprefix("semcbir: ").removesuffix(" (Ctrl-C ends it)\n")


def info(place: str) -> Any:
    with urllib.request.urlopen(f"{place}api/v1/info", timeout=30) as answer:
        return json.load(answer)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Interrupt it, and return its exit code and what else it said."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)  # closes its streams, too
    return process.returncode, out + err


@posix
def test_a_folder_is_indexed_and_ctrl_c_ends_it(photo_folder: Path) -> None:
    process = browse(photo_folder)
    place = place_of(process)
    deadline = time.monotonic() + 60
    while (state := info(place))["running"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert (state["ready"], state["images"], state["trouble"]) == (True, 12, "")
    assert ended(process) == (0, "")
    assert len(Index.open(photo_folder / ".semcbir")) == 12


@posix
@pytest.mark.slow
def test_ctrl_c_while_a_folder_is_read_keeps_what_is_done(photo_folder: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    photos = sorted(photo_folder.rglob("*.*"))
    for number in range(400):
        photo = photos[number % len(photos)]
        shutil.copy(photo, many / f"{number:03}{photo.suffix}")
    process = browse(many)
    place = place_of(process)
    while info(place)["done"] < 100:
        time.sleep(0.05)
    assert ended(process) == (0, "")
    index = Index.open(many / ".semcbir")
    assert 0 < len(index) < 400
    assert index.check() == []
    index.refresh()
    assert len(index) == 400


@pytest.mark.parametrize("lacking", ["starlette", "uvicorn", "jinja2", "python_multipart"])
def test_without_the_extra_it_says_what_to_install(photo_folder: Path, lacking: str) -> None:
    program = (
        f"import sys; sys.modules[{lacking!r}] = None; import semcbir.cli as c; sys.argv = {{}}; c.main()"
    )
    arguments = ["browse", str(photo_folder), "--no-open"]
    ran = subprocess.run(
        [sys.executable, "-c", program.format(["semcbir", *arguments])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        f'semcbir: error: the page needs the extra web: pip install "semcbir[web]" ({lacking} is missing)\n'
    )
    assert not (photo_folder / ".semcbir").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    process = browse(tmp_path / "nothing")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert "is not there" in err


@posix
def test_a_folder_without_photos_says_so_on_the_page(tmp_path: Path) -> None:
    process = browse(tmp_path)
    place = place_of(process)
    while info(place)["running"]:
        time.sleep(0.05)
    assert "there are no photos in" in info(place)["trouble"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(place, timeout=30)
    assert refused.value.code == 503
    assert b"There are no photos to show" in refused.value.read()
    refused.value.close()
    assert ended(process) == (0, "")
    assert list(tmp_path.iterdir()) == []


@posix
def test_an_answer_that_takes_minutes_holds_up_nobody(
    photo_folder: Path, tmp_path: Path, tiny_model: Path
) -> None:
    """Neither who asks for something else, nor the end."""
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog", device="cpu")
    program = (
        "import sys, time\n"
        "from semcbir.cli.app import app\n"
        "from semcbir.web import collection\n"
        "collection.duplicates = lambda *_: time.sleep(600)\n"
        f"app(['browse', {str(index.path)!r}, '--no-open', '--port', '0'], 'semcbir')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True)
    place = place_of(process)
    for _ in range(6):
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{place}api/v1/duplicates?distance=1", timeout=0.3)
    assert info(place)["images"] == len(index)
    assert ended(process) == (0, "")
