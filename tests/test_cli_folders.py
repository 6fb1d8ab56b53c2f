# SPDX-License-Identifier: MIT
"""Searches of a folder of photos, which has an index of its own: when it is made, and when it is not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from commands import Run, one_line
from semcbir import Index
from semcbir.index import catalog, ready
from semcbir.networks.names import resolve
from tiny_models import tiny_encoder


def test_the_index_of_one_folder_has_a_place_of_its_own(
    run: Run, photo_folder: Path, tiny_model: Path
) -> None:
    done = run("index", photo_folder, "--model", tiny_model, "--json")
    assert (done.code, done.json["index"]) == (0, str(photo_folder / ".semcbir"))
    found = run("search", photo_folder / "town" / "1.jpg", photo_folder)
    assert (found.code, "added" in found.err) == (0, False)
    several = run("index", photo_folder / "town", photo_folder / "beach", "--model", tiny_model)
    assert several.code == 2
    assert "-o / --output: needed for several folders" in several.err


def test_a_folder_is_indexed_on_first_use_and_refreshed_later(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    inside = photo_folder / "town" / "1.jpg"
    outside = Path(shutil.move(photo_folder / "beach" / "0.jpg", tmp_path / "query.jpg"))
    first = run("search", inside, photo_folder, "--model", tiny_model, "--json")
    assert first.code == 0
    assert first.json["index"] == str(photo_folder / ".semcbir")
    assert len(first.json["hits"]) == 11
    assert "11 added" in first.err
    shutil.copy(outside, photo_folder / "new.jpg")
    second = run("search", outside, photo_folder, "-k", 1, "--json")
    assert [hit["path"] for hit in second.json["hits"]] == [str(photo_folder / "new.jpg")]
    assert "1 added" in second.err
    third = run("search", outside, f"{photo_folder}/", "-k", 1, "--json")
    assert third.json["images"] == 12
    assert "added" not in third.err
    assert run("info", photo_folder, "--json").json["images"] == 12


def test_first_use_takes_the_network_that_ships(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    query = photo_folder / "town" / "1.jpg"
    assert run("search", query, photo_folder).code == 0
    assert run("info", photo_folder, "--json").json["recipe"]["model"]["name"] == resolve()[1].name
    failed = run("search", query, photo_folder, "--model", tiny_model)
    assert (failed.code, failed.out) == (1, "")
    assert one_line(failed.err)
    failed = run("search", query, photo_folder, "--model", "nowhere")
    assert (failed.code, failed.out) == (1, "")
    assert one_line(failed.err)
    assert "hrnet-w48-cocostuff" in failed.err


def test_a_folders_first_search_says_what_it_decides(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    query, place = photo_folder / "beach" / "0.jpg", photo_folder / ".semcbir"
    command = ["search", query, photo_folder, "--model", tiny_model]
    chosen = run(*command, "--feature", "kaze").err
    kept = f"the folder's index holds kaze, model {tiny_model} from now on; delete {place} to choose again\n"
    assert kept in chosen
    assert "from now on" not in run(*command, "--feature", "kaze").err
    shutil.rmtree(place)
    assert "from now on" not in run("search", query, photo_folder).err  # nobody chose


def test_a_folders_first_search_may_name_an_encoder(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    encoder = tiny_encoder(photo_folder.parent / "encoder.onnx")
    query = photo_folder / "beach" / "0.jpg"
    command = ["search", query, photo_folder, "--model", tiny_model, "--encoder", encoder]
    refused = run(*command, "--features", "kaze")
    assert (refused.code, one_line(refused.err)) == (1, True)
    assert "error: --encoder: expected feature deep, as no other has one, got kaze" in refused.err
    assert not (photo_folder / ".semcbir").exists()
    done = run(*command, "--features", "kaze,deep")
    assert done.code == 0
    assert [feature.name for feature in Index.open(photo_folder / ".semcbir").recipe.features] == [
        "kaze",
        "deep",
    ]
    assert run("search", query, photo_folder, "-k", 1).code == 0


def test_nothing_is_indexed_for_a_query_that_cannot_be_read(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    failed = run("search", tmp_path / "none.jpg", photo_folder, "--model", tiny_model)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == f"semcbir: error: {tmp_path / 'none.jpg'}: there is no such file\n"
    assert not (photo_folder / ".semcbir").exists()


def test_a_folder_is_not_indexed_for_options_that_contradict_each_other(run: Run, photo_folder: Path) -> None:
    query = photo_folder / "beach" / "0.jpg"
    refused = run("search", query, photo_folder, "--feature", "kaze", "--features", "hog,sift")
    assert (refused.code, one_line(refused.err)) == (1, True)
    assert "error: --feature: expected 'hog' or 'sift', one of the features, got 'kaze'" in refused.err
    assert not (photo_folder / ".semcbir").exists()


def test_other_features_than_the_folders_are_refused(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    search = ("search", photo_folder / "town" / "1.jpg", photo_folder, "--model", tiny_model)
    assert run(*search, "--features", "hog,kaze").code == 0
    assert run(*search, "--features", "hog,kaze").code == 0
    other = run(*search, "--features", "kaze,hog")  # of which the first is what searches compare by
    assert (other.code, "leave out --features, or --feature chooses one of them" in other.err) == (1, True)
    failed = run(*search, "--features", "sift")
    assert failed.code == 1
    assert "holds the features hog,kaze, not sift" in failed.err


def test_a_network_that_does_not_fit_leaves_no_index(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    card = json.loads(tiny_model.with_suffix(".json").read_text())
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    card |= {"file": broken.name, "sha256": hashlib.sha256(b"no network").hexdigest()}
    broken.with_suffix(".json").write_text(json.dumps(card))
    assert run("search", photo_folder / "beach" / "0.jpg", photo_folder, "--model", broken).code == 1
    assert not (photo_folder / ".semcbir").exists()
    assert run("search", photo_folder / "beach" / "0.jpg", photo_folder, "--model", tiny_model).code == 0


def test_a_folder_another_process_is_indexing_is_searched_as_it_is(
    run: Run, photo_folder: Path, tiny_model: Path
) -> None:
    search = ("search", photo_folder / "town" / "1.jpg", photo_folder, "--json")
    run(*search, "--model", tiny_model)
    with catalog.writer_lock(photo_folder / ".semcbir"):
        found = run(*search)
        refused = run("refresh", photo_folder)
    assert (found.code, found.json["images"]) == (0, 12)
    assert "another process is writing" in found.err
    assert refused.code == 1
    assert one_line(refused.err)


def test_a_folder_that_cannot_be_written_is_searched_as_it_is(
    run: Run, photo_folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = ("search", photo_folder / "town" / "1.jpg", photo_folder, "--json")
    run(*search, "--model", tiny_model)
    refused = SimpleNamespace(access=lambda *_: False, PathLike=os.PathLike, W_OK=os.W_OK)
    monkeypatch.setattr(ready, "os", refused)
    shutil.copy(photo_folder / "town" / "1.jpg", photo_folder / "new.jpg")
    found = run(*search)
    assert (found.code, found.json["images"]) == (0, 12)
    assert "cannot be written" in found.err


def test_a_folder_that_cannot_be_written_names_the_way_out(
    run: Run, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda place, mode: mode != os.W_OK or Path(place) != photo_folder)
    done = run("search", photo_folder / "beach" / "0.jpg", photo_folder)
    assert (done.code, done.out) == (1, "")
    assert "semcbir index" in done.err
    assert not (photo_folder / ".semcbir").exists()


def test_a_folder_without_photos_says_so(run: Run, photo_folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("search", photo_folder / "beach" / "0.jpg", empty)
    assert "there are no photos in" in done.err


def test_a_folder_without_photos_gets_no_index(run: Run, photo_folder: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    query = photo_folder / "beach" / "0.jpg"
    refused = run("search", query, wrong)
    assert (refused.code, refused.out, one_line(refused.err)) == (1, "", True)
    assert f"there are no photos in {wrong}, so it gets no index" in refused.err
    (wrong / "a.nef").touch()
    assert f"only 1 other, in {wrong}" in run("search", query, wrong).err
    assert [file.name for file in wrong.iterdir()] == ["a.nef"]


def test_the_last_photo_of_a_folder_may_be_deleted(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    query = tmp_path / "query.jpg"
    (photo_folder / "beach" / "0.jpg").rename(query)
    assert run("search", query, photo_folder / "beach", "--model", tiny_model).code == 0
    for photo in (photo_folder / "beach").iterdir():
        if photo.is_file():
            photo.unlink()
    found = run("search", query, photo_folder / "beach")
    assert found.code == 0
    assert "3 removed" in found.err
    assert "there are no photos in" in found.err


def test_a_folder_that_was_removed_from_its_own_index(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    query = photo_folder / "beach" / "0.jpg"
    run("index", photo_folder, "--model", tiny_model)
    run("remove", photo_folder, photo_folder)
    shutil.copy(query, photo_folder / "new.jpg")
    searched = run("search", query, photo_folder)
    assert searched.code == 0
    assert (
        f"{photo_folder} was removed from its index, so new photos in it are not looked for" in searched.err
    )
    run("index", photo_folder, "--model", tiny_model)
    found = run("search", query, photo_folder, "--json")
    assert [hit["path"] for hit in found.json["hits"]] == [str(photo_folder / "new.jpg")]


def test_an_index_that_is_still_empty_says_so(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    run("index", photo_folder, "--model", tiny_model, "--features", "hog")
    place = photo_folder / ".semcbir"
    run("remove", photo_folder, *range(12))
    with catalog.writer(place) as opened, opened.changes():
        opened.remember("building", "1")
    searched = run("search", photo_folder / "beach" / "0.jpg", place)
    assert (searched.code, "is still being made, or was interrupted" in searched.err) == (0, True)


def test_a_search_of_an_emptied_index_says_how_photos_come_back(
    run: Run, photo_folder: Path, tiny_model: Path
) -> None:
    query = photo_folder / "beach" / "0.jpg"
    run("index", photo_folder, "--model", tiny_model, "--features", "kaze")
    run("remove", photo_folder, *range(12))
    searched = run("search", query, photo_folder)
    assert (searched.code, "--restore` brings those of a folder back" in searched.err) == (0, True)
