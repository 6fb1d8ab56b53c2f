# SPDX-License-Identifier: MIT
"""Completion in shells: commands, options, and the names of classes, after a comma too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands import Run
from semcbir import Index
from semcbir.cli.class_names import completed
from semcbir.networks.names import resolve
from semcbir.networks.taxonomy import taxonomy

DEFAULT = resolve()[1].classes
needs_bash = pytest.mark.skipif(shutil.which("bash") is None or os.name != "posix", reason="needs bash")


@pytest.fixture(scope="module")
def index(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index whose network has classes with names of all kinds."""
    folder = tmp_path_factory.mktemp("completion")
    card = json.loads(tiny_model.with_suffix(".json").read_text("utf-8"))
    classes = ["sea gull", "Sea", "river, lake", "$(rm x)", "tree"]
    (folder / "named.json").write_text(json.dumps({**card, "classes": classes, "file": "named.onnx"}))
    shutil.copy(tiny_model, folder / "named.onnx")
    Index.build(made_photos / "town", folder / "index", model=folder / "named.onnx", features="hog").close()
    return folder / "index"


def asked(shell: str, **variables: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    return subprocess.run(
        [sys.executable, "-m", "semcbir"],
        env={**environment, "_SEMCBIR_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def bash(words: str, at: int | None = None) -> list[str]:
    """What bash is told about the word number ``at`` (None: the last one) of a line."""
    ran = asked("bash", COMP_WORDS=words, COMP_CWORD=len(words.split()) - 1 if at is None else at)
    assert ran.stderr == ""
    return ran.stdout.split()


def test_commands_and_options() -> None:
    assert bash("semcbir se") == ["search"]
    assert bash("semcbir models f") == ["fetch"]
    assert bash("semcbir info --cl") == ["--classes"]
    assert bash("semcbir --inst") == ["--install-completion"]


@pytest.mark.parametrize(
    ("words", "at", "said"),
    [
        ("--only sk", 5, ["sky", "skyscraper"]),
        ("--only sea,sk", 5, ["sea,sky", "sea,skyscraper"]),
        ("--only sky,sk", 5, ["sky,skyscraper"]),
        ("--without Pers", 5, ["Person"]),
        ("--without anim", 5, ["animal"]),
        ("--only =anim", 5, ["=animal"]),
        ("--only =sk", 5, ["=sky", "=skyscraper"]),
        ("--weights horse=2,sk", 5, ["horse=2,sky=", "horse=2,skyscraper="]),
        ("--weights horse=2", 5, []),
        ("--only nothing", 5, []),
        # as bash breaks words at "="
        ("--only = sk", 6, ["sky", "skyscraper"]),
        ("--only = sea,sk", 6, ["sea,sky", "sea,skyscraper"]),
        ("--weights horse = 2,sk", 7, ["2,sky=", "2,skyscraper="]),
        ("--weights = horse = 2,sk", 8, ["2,sky=", "2,skyscraper="]),
        ("--weights horse = ", 6, []),
        ("--weights horse = ", 7, []),
        ("--without = sky --only = sk", 9, ["sky", "skyscraper"]),
        ("--feature deep --sheet hits.jpg -k many --only sk", 11, ["sky", "skyscraper"]),
    ],
)
def test_classes_of_the_model_that_ships(words: str, at: int, said: list[str]) -> None:
    assert bash(f"semcbir search photo.jpg photos {words}", at) == said


def test_all_classes_and_groups_are_there_for_the_asking() -> None:
    found = bash("semcbir search photo.jpg photos --only ", 5)
    assert {"animal", "indoor", "vehicle"} < set(found)
    assert {name.replace(" ", "_") for name in DEFAULT} < set(found)
    assert bash("semcbir search photo.jpg photos --only =", 5) == found


def test_classes_of_a_published_model() -> None:
    words = "semcbir search photo.jpg photos --model hrnet-w48-mseg --only cat,swi"
    assert bash(words) == ["cat,swivel_chair", "cat,swimming_pool"]
    assert "swivel_chair" in taxonomy("mseg_194").classes
    for other in ("dinov2-vits14", "model.onnx", "no-such-model"):
        assert bash(f"semcbir search photo.jpg photos --model {other} --only sk") == ["sky", "skyscraper"]


def test_classes_of_an_index_among_the_arguments(index: Path) -> None:
    """A name that a shell would not take as it is, from wherever the index came, is not offered."""
    assert bash(f"semcbir search photo.jpg {index} --only ", 5) == [
        "plant",
        "water",
        "sea_gull",
        "sea",
        "tree",
    ]
    assert bash(f"semcbir search photo.jpg {index} --only se") == ["sea_gull", "sea"]
    assert bash(f"semcbir search photo.jpg {index} --weights water=2,se") == [
        "water=2,sea_gull=",
        "water=2,sea=",
    ]
    assert bash(f"semcbir search photo.jpg {index} --only ri") == []


def test_a_damaged_index_is_nobodys_business_here(index: Path, tmp_path: Path) -> None:
    for place, content in (("none", None), ("text", b"no catalogue"), ("empty", b"")):
        (tmp_path / place).mkdir()
        if content is not None:
            (tmp_path / place / "catalog.sqlite").write_bytes(content)
        assert bash(f"semcbir search photo.jpg {tmp_path / place} --only sk") == ["sky", "skyscraper"]


def test_zsh_and_fish(index: Path) -> None:
    line = f"semcbir search photo.jpg {index}"
    zsh = asked("zsh", _TYPER_COMPLETE_ARGS=f"{line} --only tree,se")
    assert (zsh.stdout, zsh.stderr) == ('_arguments \'*: :(("tree,sea_gull"\n"tree,sea"))\'\n', "")
    for words, said in (
        ("--only tree,se", ["tree,sea_gull", "tree,sea"]),
        ("--only=tree,se", ["--only=tree,sea_gull", "--only=tree,sea"]),
        ("--weights tr", ["tree="]),
    ):
        variables = {"_TYPER_COMPLETE_ARGS": f"{line} {words}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        fish = asked("fish", **variables)
        assert (fish.stdout.split(), fish.stderr) == (said, "")
        assert asked("fish", **{**variables, "_TYPER_COMPLETE_FISH_ACTION": "is-args"}).returncode == 0


@pytest.mark.parametrize(
    "variables",
    [
        {"COMP_WORDS": "semcbir bogus x", "COMP_CWORD": 2},
        {"COMP_WORDS": "semcbir search 'photo", "COMP_CWORD": 2},
        {"COMP_WORDS": "semcbir search photo.jpg --only", "COMP_CWORD": 99},
        {"COMP_WORDS": "semcbir search --k", "COMP_CWORD": "many"},
        {"COMP_WORDS": "", "COMP_CWORD": 0},
        {"COMP_WORDS": "semcbir = = =", "COMP_CWORD": 3},
        {},
    ],
)
def test_what_goes_wrong_shows_nothing(variables: dict[str, object]) -> None:
    ran = asked("bash", **variables)
    assert ran.stderr == ""
    assert "Traceback" not in ran.stdout
    assert asked("tcsh", **variables).stdout == ""


def test_nothing_heavy_is_loaded(index: Path) -> None:
    code = (
        "import sys, semcbir.cli\n"
        "try: semcbir.cli.main()\n"
        "finally: print(*{'numpy', 'cv2', 'PIL', 'onnxruntime', 'onnx'} & set(sys.modules))"
    )
    words = f"semcbir search photo.jpg {index} --feature hog --sheet hits.jpg --only tr"
    variables = {"_SEMCBIR_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "9"}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["tree"]


def test_names_that_are_there_are_left_out() -> None:
    assert completed("sea, sk", [], ["sea", "sky"]) == []
    assert completed("a b,", [], ["a-b", "a", "b", "A_B"]) == ["a b,a", "a b,b"]
    assert completed("a=1,=b=2,", ["g"], ["a", "b", "c"], weights=True) == ["a=1,=b=2,g=", "a=1,=b=2,c="]


@needs_bash
def test_bash_itself_completes(index: Path, tmp_path: Path) -> None:
    """By the script that is installed, with the words as bash breaks them."""
    (tmp_path / "semcbir").write_text(f'#!/bin/sh\nexec {sys.executable} -m semcbir "$@"\n')
    (tmp_path / "semcbir").chmod(0o755)
    shell = f"""
        PATH={tmp_path}:$PATH
        SHELL=/bin/bash source <(semcbir --show-completion)
        complete -p semcbir
        COMP_WORDS=(semcbir search photo.jpg {index} --weights tree = 2,se) COMP_CWORD=7
        _semcbir_completion semcbir && echo "${{COMPREPLY[@]}}"
    """
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "complete -o default -F _semcbir_completion semcbir",
        "2,sea_gull= 2,sea=",
    ]


def test_installing_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for shell, place in (
        ("bash", ".bash_completions/semcbir.sh"),
        ("zsh", ".zfunc/_semcbir"),
        ("fish", ".config/fish/completions/semcbir.fish"),
    ):
        monkeypatch.setattr("shellingham.detect_shell", lambda shell=shell: (shell, f"/bin/{shell}"))
        done = run("--install-completion")
        assert (done.code, done.err) == (0, "")
        where = tmp_path / place
        assert done.out == f"completion for {shell} is in {where}; it works in shells opened from now on\n"
        assert where.read_text().strip() == run("--show-completion").out.strip()
        assert "_SEMCBIR_COMPLETE=complete_" in where.read_text()


def test_a_shell_that_has_no_completion(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("tcsh", "/bin/tcsh"))
    shells = "'bash', 'zsh', 'fish', 'powershell' or 'pwsh'"
    for flag in ("--install-completion", "--show-completion"):
        failed = run(flag)
        assert (failed.code, failed.out) == (2, "")
        assert failed.err == (
            f"semcbir: error: {flag}: expected to be called from {shells}, got 'tcsh'; see `semcbir -h`\n"
        )
    monkeypatch.setattr("shellingham.detect_shell", lambda: 1 / 0)
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "complete_fish" in run("--show-completion").out
    monkeypatch.delenv("SHELL")
    assert "got 'no shell'" in run("--show-completion").err
