# SPDX-License-Identifier: MIT
"""``semcbir search`` and ``explain``: what is found, and how it is shown."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import semcbir
from commands import Run
from semcbir.smoothing import MAX_SMOOTH


def test_search_agrees_with_the_library(run: Run, index: Path, photo_folder: Path) -> None:
    query = photo_folder / "beach" / "1.jpg"
    found = run("search", query, index, "-k", 5, "--feature", "hog", "--json")
    assert found.code == 0
    expected = semcbir.search(query, index, k=5, feature="hog")
    assert found.json["kept"] == expected.kept
    assert found.json["hits"] == [{**vars(hit), "path": str(hit.path)} for hit in expected]
    assert found.json["hits"][0]["path"] == str(query)
    assert found.json["hits"][0]["distance"] == 0


def test_search_smooths(run: Run, index: Path, photo_folder: Path) -> None:
    query = photo_folder / "beach" / "1.jpg"
    plain = run("search", query, index, "--json").json
    found = run("search", query, index, "--json", "--smooth", 3).json
    assert (plain["smooth"], found["smooth"]) == (None, 3)
    expected = semcbir.search(query, semcbir.Index.open(index), smooth=3)
    assert [(hit["id"], hit["distance"]) for hit in found["hits"]] == [(h.id, h.distance) for h in expected]
    assert [hit["distance"] for hit in found["hits"]] != [hit["distance"] for hit in plain["hits"]]
    assert found["kept"] == plain["kept"]
    assert run("search", query, index, "--json", "--smooth", MAX_SMOOTH).code == 0
    refused = run("search", query, index, "--smooth", MAX_SMOOTH + 1)
    assert refused.code == 2
    assert f"expected an integer from 0 to {MAX_SMOOTH}" in refused.err


def test_search_shows_a_line_for_each_hit(run: Run, index: Path, photo_folder: Path) -> None:
    found = run("search", photo_folder / "beach" / "1.jpg", index, "-k", 100)
    lines = found.out.splitlines()
    columns = ["rank", "id", "distance", "histogram", "filter", "path", "in", str(photo_folder)]
    assert lines[0].split() == columns
    assert len(lines) == 1 + 12 + 1
    assert lines[1].split() == ["1", "1", "0.0000", "0.0000", "kept", "beach/1.jpg".replace("/", os.sep)]
    kept = sum(" kept " in line for line in lines)
    assert 4 <= kept < 12
    below = f"below: {12 - kept} photos that share too little with the query (epsilon 0.9)"
    assert lines[1 + kept] == below
    assert all(" penalised " in line for line in lines[2 + kept :])
    passed, more = found.err.splitlines()
    assert passed == f"semcbir: {kept} of 12 images pass the semantic filter"
    assert more.startswith("semcbir: --keep 12 would let 12 images pass, with epsilon 1.")


def test_filter_options(run: Run, index: Path, photo_folder: Path) -> None:
    search = ("search", photo_folder / "beach" / "1.jpg", index, "--json")

    def penalized(*options: str) -> list[bool]:
        found = run(*search, *options).json
        bound = 2 if found["epsilon"] is None else found["epsilon"]
        assert all(hit["penalized"] == (hit["histogram_distance"] > bound) for hit in found["hits"])
        return [hit["penalized"] for hit in found["hits"]]

    kept = penalized().count(False)
    assert 4 <= kept < 12
    assert penalized("--drop") == [False] * kept
    assert penalized("--epsilon", "0").count(False) < kept
    assert penalized("--epsilon", "None") == penalized("--epsilon", "2") == [False] * 12
    without = run(*search, "--epsilon", "none")
    assert (without.json["epsilon"], without.err) == (None, "")


def test_drop_without_a_filter_is_noted(run: Run, photo_folder: Path, index: Path) -> None:
    query = photo_folder / "beach" / "0.jpg"
    unfiltered = run("search", query, index, "--drop", "--epsilon", "none")
    assert (unfiltered.code, "--drop leaves out what the semantic filter" in unfiltered.err) == (0, True)
    assert "--drop" not in run("search", query, index, "--drop").err


def test_an_index_is_searched_as_it_is(run: Run, index: Path, photo_folder: Path) -> None:
    shutil.copy(photo_folder / "town" / "1.jpg", photo_folder / "new.jpg")
    assert run("search", photo_folder / "new.jpg", index, "--json").json["images"] == 12


def test_search_saves_a_sheet(run: Run, index: Path, photo_folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    done = run("search", photo_folder / "town" / "1.jpg", index, "--sheet", sheet)
    assert done.code == 0
    with Image.open(sheet) as picture:
        assert picture.width > 800


@pytest.mark.skipif(os.name == "nt", reason="such names are not possible there")
def test_any_file_name_is_one_line_and_survives_json(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    names = [b"new\nline.jpg", b"bytes\xff.jpg", b'it\'s "quoted" \x1b[31m.jpg', "été 夏.jpg".encode()]
    rng = np.random.default_rng(0)
    for name in names:
        _, data = cv2.imencode(".jpg", rng.integers(0, 256, (64, 64, 3), np.uint8))
        try:
            (folder / os.fsdecode(name)).write_bytes(data.tobytes())
        except OSError:
            pytest.skip("this file system refuses such names")
    index = tmp_path / "index"
    assert run("index", folder, "-o", index, "--model", tiny_model).code == 0
    for name in names:
        query = folder / os.fsdecode(name)
        found = run("search", query, index, "--json")
        assert [hit["path"] for hit in found.json["hits"][:1]] == [os.fspath(query)]
        text = run("search", query, index).out
        assert text.count("\n") == 1 + len(names)
        assert text.replace("\n", "").isprintable()


def test_explain_agrees_with_search(run: Run, index: Path, photo_folder: Path) -> None:
    query = photo_folder / "beach" / "1.jpg"
    hit = run("search", query, index, "--json").json["hits"][3]
    by_path = run("explain", query, hit["path"], index, "--json")
    by_id = run("explain", query, hit["id"], index, "--json")
    assert by_path.code == 0
    assert by_path.json == by_id.json
    for key in ("distance", "histogram_distance"):
        assert by_path.json[key] == hit[key]
    assert sum(row["share"] for row in by_path.json["classes"]) == pytest.approx(1)


def test_explain_shows_classes_and_saves_a_picture(
    run: Run, index: Path, photo_folder: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "why.png"
    pair = (photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg")
    done = run("explain", *pair, index, "--feature", "hog", "--picture", picture)
    assert (done.code, done.err) == (0, "")
    assert re.search(r"^blue +\d+\.\d %", done.out, re.MULTILINE)
    assert re.search(r"^green .* only in the hit$", done.out, re.MULTILINE)
    assert "(hog)" in done.out
    with Image.open(picture) as image:
        assert image.height > 400


def test_explain_a_hit_whose_file_is_gone(run: Run, index: Path, photo_folder: Path, tmp_path: Path) -> None:
    query, hit = photo_folder / "beach" / "1.jpg", photo_folder / "meadow" / "1.jpg"
    before = run("explain", query, hit, index, "--json")
    hit.unlink()
    after = run("explain", query, hit, index, "--json", "--picture", tmp_path / "why.png")
    assert after.code == 0
    assert after.out == before.out
    assert "cannot be read any more" in after.err


@pytest.mark.parametrize("victim", ["beach/0.jpg", "beach/1.jpg", "notes.jpg", "broken.png"])
def test_outputs_replace_nothing_but_outputs(run: Run, index: Path, photo_folder: Path, victim: str) -> None:
    query, place = photo_folder / "beach" / "0.jpg", photo_folder / victim
    if not place.exists():
        place.write_bytes(b"not a picture at all")
    before = place.read_bytes()
    for command in (
        ("search", query, index, "--sheet", place),
        ("explain", query, 1, index, "--picture", place),
    ):
        done = run(*command)
        assert (done.code, done.out) == (1, "")
        assert "semcbir did not make it" in done.err
    assert place.read_bytes() == before


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_sheet_may_be_made_again(run: Run, index: Path, photo_folder: Path, suffix: str) -> None:
    query, place = photo_folder / "beach" / "0.jpg", index.parent / f"out{suffix}"
    assert run("search", query, index, "--sheet", place).code == 0
    first = place.read_bytes()
    assert run("search", query, index, "--sheet", place, "-k", 3).code == 0
    assert place.read_bytes() != first
    assert run("explain", query, 1, index, "--picture", place).code == 0
