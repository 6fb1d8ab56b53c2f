# SPDX-License-Identifier: MIT
"""Which photos a search is for, and what is said of wrong ones: in the words that are meant to be read."""

from __future__ import annotations

import csv
import io
import os
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import semcbir
from commands import Run, one_line
from semcbir.cli import queries


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Path:
    semcbir.Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")
    return tmp_path / "index"


@pytest.fixture
def photos(photo_folder: Path) -> list[Path]:
    return [photo_folder / kind / "1.jpg" for kind in ("beach", "town", "meadow")]


def write_list(place: Path, lines: list[Path | str], end: str = "\n") -> Path:
    place.write_bytes("".join(f"{line}{end}" for line in lines).encode())
    return place


# --- many queries -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n", "\0", "\n\n"])
def test_a_list_of_queries(run: Run, index: Path, photos: list[Path], tmp_path: Path, end: str) -> None:
    found = run("search", "--queries", write_list(tmp_path / "list", photos, end), index, "-k", 3, "--json")
    assert found.code == 0
    assert found.json == [run("search", photo, index, "-k", 3, "--json").json for photo in photos]


def test_a_list_from_standard_input(
    run: Run, index: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = "\ufeff" + "\n".join(map(str, photos))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data.encode())))
    found = run("search", index, "--queries", "-", "-k", 1, "--json")
    assert [one["query"] for one in found.json] == [str(photo) for photo in photos]


def test_text_has_a_heading_for_each_query(run: Run, index: Path, photos: list[Path], tmp_path: Path) -> None:
    command = ("search", "--queries", write_list(tmp_path / "list", photos[:2]), index, "-k", 3)
    done = run(*command)
    tables = [run("search", photo, index, "-k", 3) for photo in photos[:2]]
    assert done.out == "\n".join(f"query {photo}\n{t.out}" for photo, t in zip(photos, tables, strict=False))
    assert done.err == "".join(
        t.err.replace("semcbir: ", f"semcbir: {photo}: ") for photo, t in zip(photos, tables, strict=False)
    )


def test_csv_has_a_column_for_the_query(run: Run, index: Path, photos: list[Path], tmp_path: Path) -> None:
    listed = write_list(tmp_path / "list", photos)
    rows = list(csv.DictReader(io.StringIO(run("search", "--queries", listed, index, "-k", 2, "--csv").out)))
    assert next(iter(rows[0])) == "query"
    assert [(row["query"], row["rank"]) for row in rows] == [
        (str(photo), rank) for photo in photos for rank in "12"
    ]


def test_a_query_that_cannot_be_read_is_said_and_the_others_go_on(
    run: Run, index: Path, photos: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(photos[0].read_bytes()[:-2])
    address = "http://example.org/a.jpg"
    gone = photos[0].with_name("1x.jpg")
    listed = write_list(tmp_path / "list", [gone, broken, address, cut, photos[1]])
    done = run("search", "--queries", listed, index, "-k", 1, "--json")
    assert done.code == 1
    assert [(Path(one["query"]), "hits" in one) for one in done.json] == [
        (gone, False),
        (broken, False),
        (Path(address), False),
        (cut, True),
        (photos[1], True),
    ]
    lines = done.err.splitlines()
    assert lines[0] == f"semcbir: error: {gone}: there is no such file; did you mean '1.jpg'?"
    assert lines[1].startswith(f"semcbir: error: {broken}: this is not an image in a readable format (JPEG")
    assert lines[2] == (
        f"semcbir: error: {Path(address)}: photos are read from files, not from the web, so download it first"
    )
    assert f"semcbir: {cut} is damaged: the file ends early" in lines
    assert done.json[0]["error"] == f"{gone}: there is no such file; did you mean '1.jpg'?"
    text = run("search", "--queries", listed, index, "-k", 1)
    assert (text.code, text.out.count("query ")) == (1, 2)


def test_a_query_without_the_class_is_said_and_the_others_go_on(
    run: Run, index: Path, photos: list[Path], tmp_path: Path
) -> None:
    opened = semcbir.Index.open(index)
    classes = opened.recipe.classes
    shares = {
        photo: set(opened.signatures("hog", ids=[opened.find(photo).id]).classes.tolist()) for photo in photos
    }
    label = next(
        label for label in range(len(classes)) if sum(label in has for has in shares.values()) in (1, 2)
    )
    listed = write_list(tmp_path / "list", photos)
    done = run("search", "--queries", listed, index, "--only", classes[label], "--json")
    assert done.code == 1
    assert [("hits" in one) for one in done.json] == [label in shares[photo] for photo in photos]
    assert "1.jpg: --only: expected a class that the query has" in done.err
    unknown = run("search", "--queries", listed, index, "--only", "unicorn", "--json")
    assert (unknown.code, unknown.out, one_line(unknown.err)) == (1, "", True)


def test_a_list_without_a_photo_that_is_there_ends_before_any_work(
    run: Run, photo_folder: Path, tmp_path: Path
) -> None:
    listed = write_list(tmp_path / "list", [tmp_path / "a.jpg", tmp_path / "b.jpg"])
    failed = run("search", "--queries", listed, photo_folder)
    said = f"none of the 2 photos is there; {tmp_path / 'a.jpg'}: there is no such file"
    assert (failed.code, failed.err) == (1, f"semcbir: error: {said}\n")
    assert not (photo_folder / ".semcbir").exists()


@pytest.mark.parametrize("option", ["--paths", "-0", "--open", "--sheet", "--copy", "--link"])
def test_some_outputs_are_for_a_single_query(
    run: Run, index: Path, photos: list[Path], tmp_path: Path, option: str
) -> None:
    values = {"--sheet": [tmp_path / "a.png"], "--copy": [tmp_path / "c"], "--link": [tmp_path / "c"]}
    options = [option, *values.get(option, [])]
    refused = run("search", "--queries", write_list(tmp_path / "list", photos), index, *options)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == (
        f"semcbir: error: {option}: expected a single query, got 3 queries; "
        "--csv and --json tell queries apart; see `semcbir search -h`\n"
    )
    if option == "--paths":
        single = run("search", "--queries", write_list(tmp_path / "list", photos[:1]), index, "--paths")
        assert single.out == run("search", photos[0], index, "--paths").out


def test_a_list_or_a_photo(run: Run, index: Path, photos: list[Path], tmp_path: Path) -> None:
    listed = write_list(tmp_path / "list", photos)
    both = run("search", photos[0], index, "--queries", listed)
    assert (both.code, both.err) == (
        2,
        f"semcbir: error: --queries: expected no QUERY beside it, got {photos[0]}; see `semcbir search -h`\n",
    )
    empty = run("search", "--queries", write_list(tmp_path / "empty", ["", ""]), index)
    said = f"--queries: expected a path a line, got none in {tmp_path / 'empty'}; see `semcbir search -h`"
    assert (empty.code, empty.err) == (2, f"semcbir: error: {said}\n")
    missing = run("search", "--queries", tmp_path / "none", index)
    assert (missing.code, missing.err) == (
        1,
        f"semcbir: error: {tmp_path / 'none'}: No such file or directory\n",
    )


# --- wrong queries ------------------------------------------------------------------------------------------


def test_usage_shows_that_the_query_may_be_left_out(run: Run) -> None:
    usage = run("search", "--help").out.splitlines()[0]
    assert "[QUERY] " in usage
    assert "INDEX-or-FOLDER" in usage


@pytest.mark.parametrize("place", ["photos", "index"])
def test_swapped_arguments(run: Run, index: Path, photo_folder: Path, place: str, tmp_path: Path) -> None:
    photo = Path(shutil.copy(photo_folder / "beach" / "0.jpg", tmp_path / "my horse.jpg"))
    target = {"photos": photo_folder, "index": index}[place]
    refused = run("search", target, photo)
    meant = f"semcbir search {shlex.quote(str(photo))} {target}" if os.name != "nt" else "semcbir search"
    assert refused.code == 2
    said = f"semcbir: error: QUERY: expected a photo, got a folder; did you mean: {meant}"
    assert refused.err == f"{said}?\n" if os.name != "nt" else refused.err.startswith(said)


def test_an_argument_is_missing(run: Run, photo_folder: Path) -> None:
    for arguments, name in (
        ([], "INDEX-or-FOLDER"),
        (["a.jpg"], "INDEX-or-FOLDER"),
        ([photo_folder], "QUERY"),
    ):
        refused = run("search", *arguments)
        assert (refused.code, refused.err) == (
            2,
            f"semcbir: error: {name} is missing; see `semcbir search -h`\n",
        )


@pytest.mark.parametrize("command", ["search", "explain"])
def test_an_address_is_no_photo(run: Run, index: Path, command: str) -> None:
    hit = ["1"] if command == "explain" else []
    for address in ("http://example.org/a.jpg", "HTTPS://example.org/a.jpg"):
        refused = run(command, address, *hit, index)
        assert (refused.code, refused.err) == (
            2,
            "semcbir: error: QUERY: photos are read from files, not from the web, so download it first, "
            f"got '{address}'; see `semcbir {command} -h`\n",
        )


@pytest.mark.parametrize("words", ["red bus", "horse"])
def test_words_are_no_photo(
    run: Run, index: Path, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = run("search", words, index)
    assert (refused.code, refused.err) == (
        2,
        f"semcbir: error: QUERY: there is no file '{words}'; a query is a photo, words are for "
        "`semcbir find`; see `semcbir search -h`\n",
    )
    (tmp_path / "Red-Bus.jpg").touch()
    (tmp_path / "horse.jpeg").touch()
    near = {"red bus": "Red-Bus.jpg", "horse": "horse.jpeg"}[words]
    failed = run("search", words, index)
    assert (failed.code, failed.err) == (
        1,
        f"semcbir: error: {words}: there is no such file; did you mean '{near}'?\n",
    )


@pytest.mark.parametrize("command", ["search", "explain"])
def test_a_name_that_is_nearly_right(run: Run, index: Path, tmp_path: Path, command: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("beach_01.jpg", "beach_02.JPG", "beach_03.jpg", "beach_04.png", "town.jpg", "beach_00.txt"):
        (folder / name).touch()
    hit = ["1"] if command == "explain" else []
    failed = run(command, folder / "beach_01.jpeg", *hit, index)
    assert failed.code == 1
    assert failed.err == (
        f"semcbir: error: {folder / 'beach_01.jpeg'}: there is no such file; "
        "did you mean 'beach_01.jpg', 'beach_04.png' or 'beach_03.jpg'?\n"
    )
    far = run(command, folder / "xyz.jpg", *hit, index)
    assert far.err == f"semcbir: error: {folder / 'xyz.jpg'}: there is no such file\n"


def test_a_folder_of_many_names_is_looked_through_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        (tmp_path / f"a{number}.jpg").touch()
    monkeypatch.setattr(queries, "_NAMES", 2)
    assert len(queries.near_names(tmp_path / "a.jpg")) == 2
    assert queries.near_names(tmp_path / "none" / "a.jpg") == []


@pytest.mark.parametrize("option", ["--top", "-n", "--limit"])
def test_other_names_of_k(run: Run, index: Path, photos: list[Path], option: str) -> None:
    assert run("search", photos[0], index, option, 3, "--json") == run(
        "search", photos[0], index, "-k", 3, "--json"
    )
    assert option not in run("search", "--help").out.split()
    refused = run("search", photos[0], index, option, 0)
    said = "--top / -n / --limit: expected an integer from 1 to 2147483647, got '0'; see `semcbir search -h`"
    assert (refused.code, refused.err) == (2, f"semcbir: error: {said}\n")


def test_a_feature_that_the_folders_index_lacks(
    run: Run, photo_folder: Path, photos: list[Path], tiny_model: Path
) -> None:
    run("index", photo_folder, "--model", tiny_model, "--features", "hog")
    for command in (["search", photos[0]], ["explain", photos[0], "1"]):
        refused = run(*command, photo_folder, "--feature", "kaze")
        assert (refused.code, refused.err) == (
            1,
            "semcbir: error: --feature: this index holds hog; you asked for kaze, which another index can "
            "hold: `semcbir index FOLDER -o INDEX --features kaze`\n",
        )
