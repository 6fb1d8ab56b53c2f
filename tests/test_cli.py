# SPDX-License-Identifier: MIT
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
from PIL import Image

import semcbir
from semcbir import Index
from semcbir.cli import progress, text
from semcbir.cli.app import app
from semcbir.index import catalog, database, ready
from semcbir.networks.names import resolve
from semcbir.networks.specs import InferenceSpec
from semcbir.smoothing import MAX_SMOOTH
from tiny_models import DIM, tiny_encoder


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in this process."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            app([os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments], "semcbir")
        return Ran(stop.value.code or 0, *capsys.readouterr())  # type: ignore[call-overload]

    return run


@pytest.fixture
def index(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Path:
    """An index of the 12 photos, two features."""
    place = tmp_path / "index"
    done = run("index", photo_folder, "-o", place, "--model", tiny_model, "--features", "kaze,hog")
    assert (done.code, done.err) == (0, "")
    return place


def one_line(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith("\n")


# --- index and refresh --------------------------------------------------------------------------------------


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


# --- search -------------------------------------------------------------------------------------------------


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


def test_nothing_is_indexed_for_a_query_that_cannot_be_read(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    failed = run("search", tmp_path / "none.jpg", photo_folder, "--model", tiny_model)
    assert (failed.code, failed.out) == (1, "")
    assert failed.err == f"semcbir: error: {tmp_path / 'none.jpg'}: there is no such file\n"
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


def test_an_index_is_searched_as_it_is(run: Run, index: Path, photo_folder: Path) -> None:
    shutil.copy(photo_folder / "town" / "1.jpg", photo_folder / "new.jpg")
    assert run("search", photo_folder / "new.jpg", index, "--json").json["images"] == 12


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


# --- explain ------------------------------------------------------------------------------------------------


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


# --- info, check, compact -----------------------------------------------------------------------------------


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


def test_times_as_people_write_them() -> None:
    assert [text.elapsed(seconds) for seconds in (9.94, 59, 60, 94, 599.4, 600, 7260)] == [
        "9.9 s",
        "59 s",
        "1 min 0 s",
        "1 min 34 s",
        "9 min 59 s",
        "10 min",
        "2 h 1 min",
    ]


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


def test_moved_photos_are_counted(run: Run, index: Path, photo_folder: Path) -> None:
    (photo_folder / "town").rename(photo_folder / "city")
    done = run("refresh", index)
    assert (done.code, "0 added, 4 moved, 0 updated" in done.out) == (0, True)
    assert run("refresh", index, "--json").json["moved"] == 0


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


def test_compact_drops_what_was_removed(run: Run, index: Path, photo_folder: Path) -> None:
    shutil.rmtree(photo_folder / "town")
    assert run("refresh", index).code == 0
    before = run("search", photo_folder / "beach" / "1.jpg", index).out
    sizes = [f.stat().st_size for f in (index / "segments").iterdir()]
    assert run("compact", index).code == 0
    assert sum(f.stat().st_size for f in (index / "segments").iterdir()) < sum(sizes)
    assert run("search", photo_folder / "beach" / "1.jpg", index).out == before


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


# --- errors -------------------------------------------------------------------------------------------------


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


def test_times_and_rates_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.RunMeter() as meter:
        for done in (1, 21, 41):
            meter(semcbir.Progress(done, 621, done // 20))
            clock[0] += 10.0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "semcbir: 21 of 621 images, 1 skipped, 2.0 images/s, 5 min left",
        "semcbir: 41 of 621 images, 2 skipped, 2.0 images/s, 5 min left",
    ]


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


def test_an_index_without_deep_has_no_use_for_an_encoder(run: Run, index: Path, photo_folder: Path) -> None:
    encoder = tiny_encoder(index.parent / "encoder.onnx")
    for command in (("search", photo_folder / "beach" / "0.jpg", index), ("refresh", index)):
        refused = run(*command, "--encoder", encoder)
        assert (refused.code, one_line(refused.err)) == (1, True)
        assert "error: --encoder: expected an index with feature deep" in refused.err


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


def test_a_folders_first_search_says_what_it_decides(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    query, place = photo_folder / "beach" / "0.jpg", photo_folder / ".semcbir"
    command = ["search", query, photo_folder, "--model", tiny_model]
    chosen = run(*command, "--feature", "kaze").err
    kept = f"the folder's index holds kaze, model {tiny_model} from now on; delete {place} to choose again\n"
    assert kept in chosen
    assert "from now on" not in run(*command, "--feature", "kaze").err
    shutil.rmtree(place)
    assert "from now on" not in run("search", query, photo_folder).err  # nobody chose


def test_a_folder_is_not_indexed_for_options_that_contradict_each_other(run: Run, photo_folder: Path) -> None:
    query = photo_folder / "beach" / "0.jpg"
    refused = run("search", query, photo_folder, "--feature", "kaze", "--features", "hog,sift")
    assert (refused.code, one_line(refused.err)) == (1, True)
    assert "error: --feature: expected 'hog' or 'sift', one of the features, got 'kaze'" in refused.err
    assert not (photo_folder / ".semcbir").exists()


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


def test_an_index_keeps_its_long_side(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    place = tmp_path / "index"
    made = ["index", photo_folder / "beach", "-o", place, "--model", tiny_model, "--features", "hog"]
    assert run(*made, "--long-side", 100).code == 0
    assert run("index", photo_folder, "-o", place).code == 0
    assert (len(Index.open(place)), Index.open(place).recipe.long_side) == (12, 100)
    other = run("index", photo_folder, "-o", place, "--long-side", 99)
    assert (other.code, "long_side: 100 / 99" in other.err) == (1, True)


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


def test_drop_without_a_filter_is_noted(run: Run, photo_folder: Path, index: Path) -> None:
    query = photo_folder / "beach" / "0.jpg"
    unfiltered = run("search", query, index, "--drop", "--epsilon", "none")
    assert (unfiltered.code, "--drop leaves out what the semantic filter" in unfiltered.err) == (0, True)
    assert "--drop" not in run("search", query, index, "--drop").err


def test_errors_name_the_option(run: Run, photo_folder: Path, index: Path) -> None:
    searched = run("search", photo_folder / "beach" / "0.jpg", index, "--feature", "surf")
    assert (
        searched.code,
        "error: --feature: this index holds kaze and hog; you asked for surf" in searched.err,
    ) == (1, True)
    searched = run("search", photo_folder / "beach" / "0.jpg", index, "-k", 0)
    assert (searched.code, "error: -k: expected an integer" in searched.err) == (2, True)


def test_compact_tells_programs(run: Run, photo_folder: Path, index: Path) -> None:
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "new.jpg")
    run("refresh", index)
    done = run("compact", index, "--json").json
    assert done["index"] == str(index)
    assert [len(done["segments_before"]), len(done["segments"])] == [2, 1]
    assert sum(done["segments"]) < sum(done["segments_before"])
