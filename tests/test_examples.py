# SPDX-License-Identifier: MIT
"""The examples at the end of each command's help: they fit, name what there is, and work as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from commands import Run
from semcbir.cli.app import app
from semcbir.cli.examples import examples

ROOT = Path(__file__).resolve().parents[1]


def commands(command: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of commands, with the words that call it."""
    yield above, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*above, name))


COMMANDS = dict(commands(typer.main.get_command(app)))
EXAMPLES = [(words, line) for words in COMMANDS for line in examples(" ".join(words))]
ELSEWHERE = {
    ("browse",),  # it serves until it is interrupted: test_web_browse.py does that
    ("export",),  # it needs the extras, and servers: test_outside.py has all of them
    *(("models", verb) for verb in ("fetch", "export")),  # they download, or need a checkpoint, and torch
    *(("evaluate", name) for name in ("wang", "msrc-v1", "msrc-v2", "linnaeus")),
}
"""Commands whose examples need what the demo does not have, or do not end."""


@pytest.mark.parametrize("words", COMMANDS)
def test_every_help_ends_with_examples_that_fit(
    words: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(*words, "--help").out.rstrip("\n").splitlines()
    place = lines.index("  Examples:")
    shown = [line.strip() for line in lines[place + 1 :]]
    assert shown == list(examples(" ".join(words)))
    assert 2 <= len(shown) <= 3
    assert lines[place - 1] == ""
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(" ".join(["semcbir", *words])) for line in shown)


@pytest.mark.parametrize(("words", "line"), EXAMPLES)
def test_every_option_of_an_example_exists_and_its_value_is_taken(
    words: tuple[str, ...], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo" / "photos").mkdir(parents=True)
    arguments = shlex.split(line)[1:]
    called = max((known for known in COMMANDS if tuple(arguments[: len(known)]) == known), key=len)
    assert called[: len(words)] == words
    command, rest = COMMANDS[called], arguments[len(called) :]
    known = {flag for parameter in command.params for flag in parameter.opts}
    options = {word for word in rest if re.match(r"-\D", word)}
    assert options <= known
    command.make_context(line, rest)  # a usage error if it is not to be understood


def test_the_demo_is_that_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "demo/photos" in readme
    places = {word for words, line in EXAMPLES for word in re.findall(r"demo/\S+", line)}
    kinds = {place.split("/")[2] for place in places if place.startswith("demo/photos/")}
    scenes = (ROOT / "docs" / "demo.py").read_text("utf-8")
    assert all(kind in scenes for kind in kinds)


@pytest.mark.slow
def test_the_examples_work_as_they_stand(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "demo.py", "demo/photos"], cwd=tmp_path, check=True)
    settings = {**os.environ, "SEMCBIR_CACHE": str(tmp_path / "cache")}
    # The index that others are about is made first, and remove and what it removes come last.
    lines = dict.fromkeys(line for words, line in EXAMPLES if words not in ELSEWHERE)
    order = sorted(lines, key=lambda line: (not line.startswith("semcbir index"), " remove " in line))
    assert len(order) > 20
    other = [line.replace("part.1", "part.2").replace("1/2", "2/2") for line in order if "--part " in line]
    for line in [*other, *order]:
        ran = subprocess.run(
            [sys.executable, "-m", *shlex.split(line)],
            cwd=tmp_path,
            env=settings,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{line}: {ran.stderr}"
