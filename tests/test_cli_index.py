# SPDX-License-Identifier: MIT
"""``semcbir index``, ``refresh`` and ``remove``: what they do, say, and exit with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from commands import Run, one_line
from semcbir import Index
from tiny_models import DIM, tiny_encoder


def test_index_says_what_it_did(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    command = ("index", photo_folder, "-o", tmp_path / "index", "--model", tiny_model, "--json")
    first = run(*command)
    assert first.code == 0
    assert {"images": 12, "added": 12, "skipped": []}.items() <= first.json.items()
    again = run(*command)
    assert (again.code, again.json["added"], again.json["unchanged"]) == (0, 0, 12)
    assert run(*command[:-1]).out.startswith(f"{tmp_path / 'index'}: 12 images (0 added, ")


def test_skipped_images_are_named_once_and_make_the_exit_code_3(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (photo_folder / "beach" / "notes.jpg").write_text("not a photo")
    (photo_folder / "beach" / "empty.png").touch()
    first = run("index", photo_folder, "-o", tmp_path / "index", "--model", tiny_model)
    assert first.code == 3
    assert "12 images" in first.out
    assert "2 skipped" in first.out
    assert f"skipped {photo_folder / 'beach' / 'notes.jpg'}: this is not an image" in first.err
    assert first.err.count(str(photo_folder)) == 2
    assert run("refresh", tmp_path / "index").code == 0
    kept = run("info", tmp_path / "index", "--json").json["skipped"]
    assert [Path(one["path"]).name for one in kept] == ["empty.png", "notes.jpg"]
    assert kept[0]["reason"] == "the file is empty (0 bytes)"


def test_damaged_photos_are_named_and_indexed(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    photo = photo_folder / "beach" / "0.jpg"
    photo.write_bytes(photo.read_bytes()[:-2])
    done = run("index", photo_folder, "-o", tmp_path / "index", "--model", tiny_model)
    assert done.code == 0
    assert "0 skipped, 1 damaged)" in done.out
    line = f"damaged {photo}: the file ends early"
    assert line in done.err
    info = run("info", tmp_path / "index")
    assert "damaged    1" in info.out
    assert line in info.out
    assert run("info", tmp_path / "index", "--json").json["damaged"] == [
        {"path": str(photo), "reason": "the file ends early"}
    ]
    assert f"{photo} is damaged: the file ends early" in run("search", photo, tmp_path / "index").err
    assert run("search", photo, photo_folder, "--model", tiny_model).code == 0


def test_max_pixels(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    done = run("index", photo_folder, "-o", index, "--model", tiny_model, "--max-pixels", "100", "--json")
    assert (done.code, done.json["added"], len(done.json["skipped"])) == (3, 0, 12)
    query = photo_folder / "beach" / "0.jpg"
    small = run("search", query, index, "--max-pixels", "100")
    assert small.code != 0
    assert "exceed the limit of 100 pixels" in small.err
    assert run("refresh", index, "--max-pixels", "100", "--json").json["added"] == 0
    assert run("refresh", index, "--max-pixels", "1000000", "--json").json["added"] == 12
    shutil.rmtree(index)
    done = run("search", query, photo_folder, "--model", tiny_model, "--max-pixels", "100000", "--json")
    assert done.json["images"] == 12


def test_pictures_that_are_not_read_are_counted_in_the_summary(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    for name in ("a.nef", "b.NEF", "c.psd"):
        (photo_folder / name).touch()
    done = run("index", photo_folder, "-o", tmp_path / "index", "--model", tiny_model)
    assert done.code == 0
    assert "not read, as no decoder here knows their kinds: 2 NEF, 1 PSD" in done.err
    assert run("refresh", tmp_path / "index", "--json").json["ignored"] == {"NEF": 2, "PSD": 1}
    query = photo_folder / "beach" / "0.jpg"
    assert "PSD" in run("search", query, photo_folder, "--model", tiny_model).err  # its first use
    assert "PSD" not in run("search", query, photo_folder).err


def test_many_skipped_images_are_counted(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    for number in range(25):
        (photo_folder / f"bad{number}.jpg").touch()
    done = run("index", photo_folder, "-o", photo_folder / "index", "--model", tiny_model)
    assert done.err.count("\n") == 21
    assert "skipped 5 more" in done.err


def test_refresh_finds_what_changed(run: Run, index: Path, photo_folder: Path, tmp_path: Path) -> None:
    shutil.copy(photo_folder / "town" / "0.jpg", photo_folder / "beach" / "new.jpg")
    shutil.copy(photo_folder / "town" / "1.jpg", photo_folder / "beach" / "0.jpg")
    (photo_folder / "meadow" / "2.jpg").unlink()
    more = tmp_path / "more"
    shutil.copytree(photo_folder / "town", more)
    done = run("refresh", index, more, "--json")
    assert done.code == 0
    counts = {key: done.json[key] for key in ("images", "added", "updated", "removed")}
    assert counts == {"images": 16, "added": 5, "updated": 1, "removed": 1}


def test_moved_photos_are_counted(run: Run, index: Path, photo_folder: Path) -> None:
    (photo_folder / "town").rename(photo_folder / "city")
    done = run("refresh", index)
    assert (done.code, "0 added, 4 moved, 0 updated" in done.out) == (0, True)
    assert run("refresh", index, "--json").json["moved"] == 0


def test_an_index_keeps_its_long_side(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    place = tmp_path / "index"
    made = ["index", photo_folder / "beach", "-o", place, "--model", tiny_model, "--features", "hog"]
    assert run(*made, "--long-side", 100).code == 0
    assert run("index", photo_folder, "-o", place).code == 0
    assert (len(Index.open(place)), Index.open(place).recipe.long_side) == (12, 100)
    other = run("index", photo_folder, "-o", place, "--long-side", 99)
    assert (other.code, "long_side: 100 / 99" in other.err) == (1, True)


def test_encoders_and_weightings_are_chosen(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    index = tmp_path / "index"
    made = ["index", photo_folder, "-o", index, "--model", tiny_model, "--features"]
    assert run(*made, "deep,kaze", "--encoder", encoder, "--weighting", "share").code == 0
    deep, kaze = Index.open(index).recipe.features
    assert (deep.name, kaze.name, deep.dim, kaze.weighting) == ("deep", "kaze", DIM, "share")
    query = photo_folder / "beach" / "0.jpg"
    found = run("search", query, index, "--json")
    assert (found.json["feature"], found.json["epsilon"], found.json["kept"]) == ("deep", None, 12)
    assert "semantic filter" not in found.err
    assert run("search", query, index, "--feature", "kaze", "--json").json["epsilon"] == 0.9
    assert run("check", index).code == 0
    told = run("info", index).out
    assert "features   deep (4, weighting share), kaze (64, weighting share)\n" in told
    assert "\nencoder    tiny-encoder (sha256 " in told
    columns = ["rank", "id", "distance", "histogram", "path"]  # no column of a filter that is off
    assert run("search", query, index).out.splitlines()[0].split()[:5] == columns
    columns.insert(4, "filter")
    assert run("search", query, index, "--feature", "kaze").out.splitlines()[0].split()[:6] == columns
    lines = run("explain", query, "3", index).out.splitlines()
    whole = next(line for line in lines if line.startswith("whole image"))
    assert len(whole.split()) == 5  # its name, what it adds, its share in per cent: it has no proportions
    wrong = run(*made, "kaze", "--encoder", encoder)
    assert (wrong.code, "error: --encoder: expected feature deep" in wrong.err) == (1, True)
    missing = run(*made, "deep", "--encoder", tmp_path / "missing.onnx")
    assert (missing.code, missing.err.count("\n")) == (1, 1)


def test_an_encoder_that_has_moved_is_named(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semcbir.index.model.LARGEST_MODEL", 10)  # so that the index has no copy of it
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    encoder, query = tiny_encoder(tmp_path / "encoder.onnx"), photo_folder / "beach" / "0.jpg"
    index = tmp_path / "index"
    command = ["index", photo_folder, "-o", index, "--model", tiny_model, "--features", "deep,kaze"]
    assert run(*command, "--encoder", encoder).code == 0
    found = run("search", query, index, "--json").json["hits"]
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in (encoder, encoder.with_suffix(".json")):
        file.rename(moved / file.name)
    commands = [("search", query, index), ("explain", query, "3", index), ("refresh", index, "--threads", 1)]
    for command in commands:
        lost = run(*command)
        assert (lost.code, one_line(lost.err)) == (1, True)
        assert "is not at" in lost.err
        assert run(*command, "--encoder", moved / "encoder.onnx").code == 0
    assert run("search", query, index, "--encoder", moved / "encoder.json", "--json").json["hits"] == found
    other = tiny_encoder(tmp_path / "other.onnx", size={"rule": "squash", "length": 40})
    refused = run("search", query, index, "--encoder", other)
    assert (refused.code, "encoder.size.length: 48 / 40" in refused.err) == (1, True)


def test_an_index_without_deep_has_no_use_for_an_encoder(run: Run, index: Path, photo_folder: Path) -> None:
    encoder = tiny_encoder(index.parent / "encoder.onnx")
    for command in (("search", photo_folder / "beach" / "0.jpg", index), ("refresh", index)):
        refused = run(*command, "--encoder", encoder)
        assert (refused.code, one_line(refused.err)) == (1, True)
        assert "error: --encoder: expected an index with feature deep" in refused.err


def test_a_missing_folder_is_told_and_the_rest_is_done(
    run: Run, index: Path, photo_folder: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(photo_folder / "beach", tmp_path / "disk"))
    assert run("refresh", index, other).code == 0
    shutil.rmtree(other)
    done = run("refresh", index)
    assert done.code == 3
    assert f"folder {other} is not there" in done.err
    assert f"`semcbir remove {index} {other}`" in done.err
    assert run("remove", index, other).out == f"{index}: 4 images removed, 12 left\n"
    assert (run("refresh", index).code, run("info", index, "--json").json["images"]) == (0, 12)


def test_a_folder_emptied_by_hand_is_told_and_can_be_removed(
    run: Run, index: Path, photo_folder: Path, tmp_path: Path
) -> None:
    shutil.rmtree(photo_folder)
    photo_folder.mkdir()
    told = run("refresh", index)
    assert told.code == 3
    assert f"`semcbir remove {index} {photo_folder}`" in told.err
    assert run("remove", index, photo_folder, "--json").json["removed"] == 12
    again = run("refresh", index)
    assert (again.code, again.err) == (0, "")


def test_remove_takes_photos_ids_and_folders(run: Run, index: Path, photo_folder: Path) -> None:
    gone = run("remove", index, photo_folder / "town", photo_folder / "beach" / "0.jpg", 1, "--json")
    assert (gone.code, gone.err) == (0, "")
    assert gone.json == {"index": str(index), "images": 6, "removed": 6}
    again = run("remove", index, 1)
    assert (again.code, again.out) == (1, "")
    assert one_line(again.err)
    assert run("refresh", index, "--json").json["images"] == 6
    assert (photo_folder / "town" / "0.jpg").is_file()


def test_removed_photos_are_told_of_and_come_back_when_asked(
    run: Run, photo_folder: Path, tiny_model: Path
) -> None:
    query = photo_folder / "beach" / "0.jpg"
    run("index", photo_folder, "--model", tiny_model)
    run("remove", photo_folder, photo_folder / "town", query)
    again = run("index", photo_folder, "--model", tiny_model)
    assert again.out.startswith(f"{photo_folder}/.semcbir: 7 images (0 added")
    assert (
        f"5 photos left out because of `semcbir remove`; `semcbir index FOLDER -o {photo_folder}" in again.err
    )
    assert run("refresh", photo_folder, "--json").json["left_out"] == 5
    back = run("index", photo_folder, "--model", tiny_model, "--restore", "--json")
    assert (back.json["added"], back.json["images"]) == (5, 12)
    assert "left out" not in run("index", photo_folder, "--model", tiny_model).err
