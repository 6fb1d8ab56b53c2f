# SPDX-License-Identifier: MIT
"""``semcbir info``, ``check`` and ``compact``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from commands import Run
from semcbir import Index
from semcbir.index import catalog, database
from semcbir.networks.specs import InferenceSpec


def test_info(run: Run, index: Path, photo_folder: Path) -> None:
    facts = run("info", index, "--json").json
    assert facts["images"] == 12
    assert facts["roots"] == [str(photo_folder)]
    assert [feature["name"] for feature in facts["recipe"]["features"]] == ["kaze", "hog"]
    assert facts["bytes"] == sum(f.stat().st_size for f in index.rglob("*") if f.is_file())
    text = run("info", index).out
    for shown in ("12", str(photo_folder), "tiny-labels", "kaze (64), hog (36)"):
        assert shown in text


@pytest.mark.parametrize("form", ["{new}", "{old}={new}"])
def test_info_root_tells_where_the_photos_are_now(
    run: Run, index: Path, photo_folder: Path, tmp_path: Path, form: str
) -> None:
    new = tmp_path / "moved=here"
    photo_folder.rename(new)
    failed = run("refresh", index)
    assert failed.code == 1
    assert "info INDEX --root NEW" in failed.err
    done = run("info", index, "--root", form.format(old=photo_folder, new=new), "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["roots"] == [str(new)]
    assert run("refresh", index, "--json").json["unchanged"] == 12


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("{tmp}", "expected OLD=NEW, where OLD is one of the index's folders ({roots}), got {tmp}"),
        ("zz={tmp}", "'zz' is none of the index's folders, which are: {roots}"),
        ("zz=c=d", "'zz' is none of the index's folders, which are: {roots}"),
        ("={tmp}", "'' is none of the index's folders, which are: {roots}"),
        ("{one}=", "expected OLD=NEW, got no NEW in {one}="),
        ("", "expected NEW or OLD=NEW, got nothing"),
    ],
)
def test_info_root_says_which_folders_there_are(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path, root: str, said: str
) -> None:
    one, other = photo_folder / "beach", photo_folder / "town"
    place = tmp_path / "two"
    assert run("index", one, other, "-o", place, "--model", tiny_model, "--features", "hog").code in (0, 3)
    names = {"tmp": tmp_path, "one": one, "roots": f"{one}, {other}"}
    failed = run("info", place, "--root", root.format(**names))
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == f"semcbir: error: --root: {said.format(**names)}\n"


def test_info_root_of_one_folder_says_that_old_is_another(
    run: Run, index: Path, photo_folder: Path, tmp_path: Path
) -> None:
    failed = run("info", index, "--root", f"zz={tmp_path}")
    said = f"semcbir: error: --root: 'zz' is none of the index's folders, which are: {photo_folder}\n"
    assert (failed.code, failed.err) == (1, said)


def test_info_root_refuses_a_folder_without_the_photos(run: Run, index: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    before = run("info", index, "--json").json["roots"]
    done = run("info", index, "--root", tmp_path / "empty")
    assert done.code == 1
    assert "--root: expected a folder with images of the one that moved" in done.err
    assert run("info", index, "--json").json["roots"] == before


def test_info_root_says_what_is_not_there(run: Run, index: Path, photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "few" / "beach").mkdir(parents=True)
    shutil.copy(photo_folder / "beach" / "0.jpg", tmp_path / "few" / "beach")
    done = run("info", index, "--root", tmp_path / "few")
    assert done.code == 0
    assert done.err == "semcbir: warning: 11 of 12 images are not there; is it the right folder?\n"


def test_memory_of_screens_is_promised_where_there_are_some(run: Run, index: Path) -> None:
    assert "mapped" in run("info", index).out
    assert "more after 32 queries" not in run("info", index).out
    assert set(run("info", index, "--json").json["bytes_of_screens"].values()) == {0}


def test_info_tells_how_photos_go_through_the_model(
    run: Run, photo_folder: Path, tiny_logits_model: Path, tmp_path: Path
) -> None:
    for inference, said in (
        (None, []),
        ("single-scale", []),
        ("flip", ["inference  flip: scales 1, flipped too, padding at the end"]),
        (InferenceSpec(scales=(0.5, 1.0)), ["inference  scales 0.5 1, padding at the end"]),
    ):
        place = tmp_path / f"index of {inference}"
        Index.build(photo_folder, place, model=tiny_logits_model, features="hog", inference=inference)
        told = run("info", place).out.splitlines()
        assert [line for line in told if line.startswith("inference")] == said


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_info_reads_the_catalogue_once_beside_opening_the_index(
    run: Run, index: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    really, opened = database.reading, []

    def reading(folder: Path) -> Any:
        opened.append(folder)
        return really(folder)

    monkeypatch.setattr(catalog, "reading", reading)
    assert run("info", index, *options).code == 0
    assert len(opened) == 2


def test_check_tells_a_sound_index_from_a_damaged_one(run: Run, index: Path) -> None:
    sound = run("check", index)
    assert (sound.code, sound.out) == (0, f"{index} is sound\n")
    (segment,) = (index / "segments").glob("*.safetensors")
    data = bytearray(segment.read_bytes())
    data[-5] ^= 1
    segment.write_bytes(data)
    damaged = run("check", index)
    assert damaged.code == 1
    assert segment.name in damaged.out
    assert segment.name in run("check", index, "--json").json["problems"][0]


def test_a_damaged_index_says_what_to_do(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    run("index", photo_folder, "--model", tiny_model)
    segment = next((photo_folder / ".semcbir" / "segments").iterdir())
    segment.write_bytes(segment.read_bytes()[:-1] + b"?")
    checked = run("check", photo_folder)
    assert (checked.code, "cannot be repaired; delete it, and index the photos again" in checked.err) == (
        1,
        True,
    )
    (photo_folder / ".semcbir" / "catalog.sqlite").write_bytes(b"no database " * 1000)
    searched = run("search", photo_folder / "beach" / "0.jpg", photo_folder)
    assert searched.code == 1
    assert "delete it, and index the photos again" in searched.err


def test_compact_drops_what_was_removed(run: Run, index: Path, photo_folder: Path) -> None:
    shutil.rmtree(photo_folder / "town")
    assert run("refresh", index).code == 0
    before = run("search", photo_folder / "beach" / "1.jpg", index).out
    sizes = [f.stat().st_size for f in (index / "segments").iterdir()]
    assert run("compact", index).code == 0
    assert sum(f.stat().st_size for f in (index / "segments").iterdir()) < sum(sizes)
    assert run("search", photo_folder / "beach" / "1.jpg", index).out == before


def test_compact_tells_programs(run: Run, photo_folder: Path, index: Path) -> None:
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "new.jpg")
    run("refresh", index)
    done = run("compact", index, "--json").json
    assert done["index"] == str(index)
    assert [len(done["segments_before"]), len(done["segments"])] == [2, 1]
    assert sum(done["segments"]) < sum(done["segments_before"])
