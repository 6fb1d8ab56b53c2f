# SPDX-License-Identifier: MIT
"""The examples of README and docs/python.md run as they stand, once the first command has drawn the demo."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", README, re.M | re.S)
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
PAGE_BLOCKS = re.findall(r"^```(python)\n(.*?)^```$", PAGE, re.M | re.S)
COMMANDS = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the first command makes."""
    folder = tmp_path_factory.mktemp("readme")
    subprocess.run([sys.executable, ROOT / "docs" / "demo.py", "demo/photos"], cwd=folder, check=True)
    return folder


def test_every_example_is_about_the_demo(demo: Path) -> None:
    indented = re.findall(r"^    (?:semcbir|pip) .*$", README, re.M)
    photos = {word for text in (*COMMANDS, *indented) for word in re.findall(r"demo/photos[^\s\"']*", text)}
    photos |= {
        word for _, block in BLOCKS + PAGE_BLOCKS for word in re.findall(r"demo/photos[^\s\"']*", block)
    }
    assert len(photos) > 4
    assert not [photo for photo in photos if not (demo / photo).exists()]
    # Any other folder or picture that an example reads would not be there.
    words = [
        word for command in (*COMMANDS, *indented) for word in command.split() if "photo" in word.lower()
    ]
    assert not [word for word in words if not word.startswith("demo/photos")]


@pytest.mark.parametrize("block", [block for language, block in BLOCKS + PAGE_BLOCKS if language == "python"])
def test_python(block: str, demo: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", block], cwd=demo, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout


@pytest.mark.slow
def test_the_command_line(demo: Path) -> None:
    commands = [command.rpartition("&& ")[2] for command in COMMANDS]
    commands = [command for command in commands if command.startswith("semcbir ")]
    assert len(commands) > 6
    for command in commands:
        module = command.replace("semcbir", f"{sys.executable} -m semcbir", 1)
        ran = subprocess.run(module, shell=True, cwd=demo, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{command}: {ran.stderr}"


def test_the_list_for_the_cpu_alone_is_what_is_needed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[<>=;]", line)[0] for line in project["dependencies"]} - {"onnxruntime-gpu"}
    (listed,) = re.findall(r"^    pip install (onnxruntime .*)$", README, re.M)
    assert {re.split(r"[<>=;]", word.strip('"'))[0] for word in listed.split()} == needed
