# SPDX-License-Identifier: MIT
"""What the command says of wrong places and wrong usage: one line, and the exit code."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest

import semcbir
from commands import Run, one_line
from semcbir.cli.app import app


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("search {photo} {tmp}/nowhere", "nowhere is not there; `semcbir index` makes an index"),
        ("search {photo} {photo}", "is not an index"),
        (
            "search {photo} {index} --feature surf",
            "feature: this index holds kaze and hog; you asked for surf",
        ),
        ("search {photo} {index} --model {tmp}/none.onnx", "no such model file"),
        ("explain {photo} {tmp}/other.jpg {index}", "other.jpg is not in index"),
        ("explain {photo} 99 {index}", "id 99 is not in index"),
        ("explain {photo} 99999999999999999999 {index}", "is not in index"),
        ("info {photos}", "is not an index"),
        ("check {tmp}/nowhere", "is not there"),
        ("info {index} --root {tmp}/nowhere", "nowhere is not there"),
        ("index {tmp}/nowhere -o {tmp}/new --model {model}", "nowhere is not there"),
        ("index {photos} -o {photos}/town --model {model}", "nor empty"),
        ("index {photos} -o {index} --model {model} --features sift", "sift"),
        ("index {photos} -o {tmp}/new --model {photo}", "is not a model"),
        ("index {photos} -o {photo} --model {model}", "1.jpg is a file, and an index is a folder"),
        ("index {photos} -o {photo}/new --model {model}", "cannot be made: Not a directory\n"),
        ("index {photo} -o {tmp}/new --model {model}", "1.jpg is a file, expected a folder"),
        (
            "search {photo} {index} --feature sift",
            "this index holds kaze and hog; you asked for sift, which another index can hold: "
            "`semcbir index FOLDER -o INDEX --features sift`\n",
        ),
        (
            "explain {photo} 1 {index} --feature sift",
            "this index holds kaze and hog; you asked for sift, which another index can hold: "
            "`semcbir index FOLDER -o INDEX --features sift`\n",
        ),
    ],
)
def test_an_error_is_one_line(
    run: Run,
    index: Path,
    photo_folder: Path,
    tiny_model: Path,
    tmp_path: Path,
    arguments: str,
    said: str,
) -> None:
    places = {
        "index": index,
        "photos": photo_folder,
        "photo": photo_folder / "beach" / "1.jpg",
        "model": tiny_model,
        "tmp": tmp_path,
    }
    failed = run(*(part.format(**places) for part in arguments.split()))
    assert (failed.code, failed.out) == (1, "")
    assert one_line(failed.err)
    assert failed.err.startswith("semcbir: error: ")
    assert said in failed.err


def test_errors_name_the_option(run: Run, photo_folder: Path, index: Path) -> None:
    searched = run("search", photo_folder / "beach" / "0.jpg", index, "--feature", "surf")
    assert (
        searched.code,
        "error: --feature: this index holds kaze and hog; you asked for surf" in searched.err,
    ) == (1, True)
    searched = run("search", photo_folder / "beach" / "0.jpg", index, "-k", 0)
    assert (searched.code, "error: -k: expected an integer" in searched.err) == (2, True)


@pytest.mark.parametrize("command", ["search", "index", "refresh", "info", "check", "compact", "explain"])
def test_an_empty_path_is_not_the_current_folder(
    run: Run, photo_folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo_folder)
    query = photo_folder / "beach" / "0.jpg"
    before = {"search": [query], "explain": [query, "1"]}.get(command, [])
    refused = run(command, *before, "")
    assert (refused.code, one_line(refused.err)) == (2, True)
    assert "expected a path, got ''" in refused.err
    assert not (photo_folder / ".semcbir").exists()


@pytest.mark.parametrize(
    "options",
    [
        "-k 0",
        "-k many",
        "--epsilon -0.5",
        "--epsilon nan",
        "--epsilon much",
        "--device tpu",
        "--threads 0",
        "--sheet picture",
        "--sheet nowhere/picture.png",
        "--features kaze,none",
        "--features kaze,kaze",
        "--unknown",
    ],
)
def test_wrong_usage_is_code_2_and_names_the_option(run: Run, options: str) -> None:
    failed = run("search", "query.jpg", "index", *options.split())
    assert (failed.code, failed.out) == (2, "")
    assert one_line(failed.err)
    assert failed.err.startswith("semcbir: error: ")
    assert options.split()[0] in failed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("search a b -k many", "-k: expected an integer from 1 to 2147483647, got 'many'"),
        ("search a b -k 0", "-k: expected an integer from 1 to 2147483647, got '0'"),
        ("search a b --threads 2.5", "--threads: expected an integer from 1 to 1024, got '2.5'"),
        ("search a b --max-pixels -1", "--max-pixels: expected an integer from 1 to 1099511627776, got '-1'"),
        ("index a --long-side 1e3", "--long-side: expected an integer from 1 to 65536, got '1e3'"),
        ("index a -o b --part 3/2", "--part: expected I/N with I from 1 to N, as in '3/16', got '3/2'"),
        ("refresh a --threads x", "--threads: expected an integer from 1 to 1024, got 'x'"),
        ("search a b --epsilon x", "--epsilon: expected a number of 0 or more, auto or none, got 'x'"),
        ("search a b --feature surfing", "--feature: expected 'deep', 'kaze', 'surf', 'sift' or 'hog'"),
        ("index a b", "-o / --output: needed for several folders"),
        ("search a", "INDEX-or-FOLDER is missing"),
        ("search a b c", "QUERY: expected one photo and one index, got c too; --also takes another"),
        ("search a b -k", "-k' requires an argument"),
        ("serch a b", "no such command 'serch'"),
        ("search a b --thread 1", "no such option: --thread"),
        ("models shw", "no such command 'shw'"),
        ("models fetch default --precision fp8", "--precision: expected 'fp32', 'fp16' or 'int8', got 'fp8'"),
    ],
)
def test_wrong_usage_is_one_line_in_our_words(run: Run, arguments: str, said: str) -> None:
    failed = run(*arguments.split())
    assert (failed.code, failed.out) == (2, "")
    assert one_line(failed.err)
    assert said in failed.err
    assert "see `semcbir" in failed.err or "requires" in said


def test_an_error_of_the_program_itself_is_not_hidden(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semcbir.Index, "open", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError), contextlib.suppress(SystemExit):
        app(["info", str(index)], "semcbir")


def test_help_documents_the_exit_codes(run: Run) -> None:
    text = run("--help").out
    for code in (0, 1, 2, 3, 130):
        assert re.search(rf"^ *{code} +\w", text, re.MULTILINE)
    assert run("--version").out == f"semcbir {semcbir.__version__}\n"
