# SPDX-License-Identifier: MIT
"""Near-duplicate photos of an index: in Python, on the command line, and as a picture."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import Ran, Run, command
from grouping_reference import components, distances
from made_photos import write_photos
from semcbir import Duplicate, DuplicateGroup, Index, duplicates
from semcbir.cli.duplicates import groups_text, parse_distance
from semcbir.errors import IndexStorageError
from semcbir.features import Deep
from semcbir.near_duplicates import DISTANCE, chosen_distance
from semcbir.pictures.duplicates import duplicates_sheet
from semcbir.results import MAX_HITS
from tiny_models import tiny_encoder


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """The command, in this process."""

    in_bytes = command(capfdbinary)

    def run(*arguments: object) -> Ran:
        done = in_bytes(*arguments)
        return Ran(done.code, os.fsdecode(done.out), os.fsdecode(done.err))

    return run


def resaved(path: Path, copy: Path, quality: int) -> Path:
    with Image.open(path) as image:
        image.convert("RGB").save(copy, quality=quality)
    return copy


@pytest.fixture
def copies(photo_folder: Path) -> dict[str, Path]:
    """A photo of which there are three files, of different sizes, and one of which there are two."""
    beach = photo_folder / "beach" / "0.jpg"
    return {
        "beach": beach,
        "exact": Path(shutil.copy(beach, photo_folder / "a copy.jpg")),
        "large": Path(shutil.copy(beach, photo_folder / "large.jpg")),
        "town": photo_folder / "town" / "1.jpg",
        "town copy": Path(shutil.copy(photo_folder / "town" / "1.jpg", photo_folder / "town" / "7.jpg")),
    }


@pytest.fixture
def index(photo_folder: Path, copies: dict[str, Path], tiny_model: Path, tmp_path: Path) -> Index:
    with copies["large"].open("ab") as file:
        file.write(b"\0" * 10)  # decoded to the same pixels
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog,kaze")


def test_copies_are_found_and_the_largest_comes_first(index: Index, copies: dict[str, Path]) -> None:
    beach, town = duplicates(index, 0.01)
    assert beach.paths == (copies["large"], copies["exact"], copies["beach"])
    assert beach.ids == tuple(index[path].id for path in beach.paths)
    assert [photo.size for photo in beach.photos] == [path.stat().st_size for path in beach.paths]
    assert [photo.distance for photo in beach.photos] == [0, 0, 0]
    assert not any(photo.changed for photo in beach.photos)
    assert beach.largest == beach.photos[0]
    assert town.paths == (copies["town"], copies["town copy"])  # as large as each other: by id
    assert beach.spare() == [copies["exact"], copies["beach"]]
    assert duplicates(index.path, 0.01) == duplicates(index, 0.01, "hog") == [beach, town]
    assert repr(beach) == "DuplicateGroup(3 photos, largest 'photos/large.jpg', distances up to 0.0000)"
    assert len(beach) == 3


@pytest.mark.parametrize("feature", ["hog", "kaze"])
def test_groups_and_distances_are_those_of_all_pairs(index: Index, feature: str) -> None:
    images = index.signatures(feature)
    between = distances(images)
    at = {int(key): position for position, key in enumerate(images.ids)}
    for distance in np.quantile(between, [0.1, 0.2, 0.3, 1]):
        groups = duplicates(index, distance, feature)
        expected = components(between <= distance, images.ids)
        assert [sorted(group.ids) for group in groups] == sorted(expected, key=lambda ids: (-len(ids), ids))
        for group in groups:
            assert [photo.distance for photo in group.photos] == [
                between[at[group.largest.id], at[key]] for key in group.ids
            ]


def test_several_segments_and_removed_images(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semcbir.index.run.BATCH_LIMIT", 1)
    for kind in ("beach", "town"):
        shutil.copytree(photo_folder / kind, photo_folder / f"{kind} again")
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")
    assert len(list((index.path / "segments").iterdir())) > 2
    groups = duplicates(index, 0)
    assert [sorted(path.parent.name for path in group.paths) for group in groups] == [
        ["beach", "beach again"]
    ] * 4 + [["town", "town again"]] * 4
    index.remove([photo_folder / "beach" / "2.jpg", photo_folder / "town again"])
    left = duplicates(index, 0)
    assert [group.ids for group in left] == [
        group.ids for group in groups[:4] if photo_folder / "beach" / "2.jpg" not in group.paths
    ]
    index.remove([record.id for record in index])
    assert duplicates(index, 0) == []


def test_large_groups_are_described_in_parts(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = duplicates(index, 0.4), duplicates(index, 0)
    assert len(expected[1]) == 2
    for at_once in (1, 2, 4, 5):
        monkeypatch.setattr("semcbir.near_duplicates._MEASURED_AT_ONCE", at_once)
        assert (duplicates(index, 0.4), duplicates(index, 0)) == expected


def test_files_that_are_gone_or_changed_come_last(index: Index, copies: dict[str, Path]) -> None:
    copies["large"].unlink()
    beach, town = duplicates(index, 0.01)
    assert beach.paths == (copies["exact"], copies["beach"], copies["large"])
    assert (beach.photos[-1].size, beach.photos[-1].changed) == (None, True)
    assert beach.spare() == [copies["beach"]]
    with copies["exact"].open("ab") as file:
        file.write(b"more")
    beach, town = duplicates(index, 0.01)
    assert beach.paths == (copies["beach"], copies["exact"], copies["large"])
    assert [photo.changed for photo in beach.photos] == [False, True, True]
    assert beach.photos[1].size == copies["exact"].stat().st_size
    assert beach.spare() == []
    os.utime(copies["beach"], ns=(0, 0))  # it may show something else now
    os.utime(copies["town"], ns=(0, 0))
    os.utime(copies["town copy"], ns=(0, 0))
    beach, town = duplicates(index, 0.01)
    assert all(photo.changed for group in (beach, town) for photo in group.photos)
    assert beach.paths == (copies["exact"], copies["beach"], copies["large"])
    assert (beach.spare(), town.spare()) == ([], [])


def test_the_largest_is_never_spared_under_another_name(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    photo, small = photo_folder / "beach" / "0.jpg", photo_folder / "small.jpg"
    try:
        (photo_folder / "a link.jpg").symlink_to(photo)
        (photo_folder / "hard.jpg").hardlink_to(photo)
    except OSError:
        pytest.skip("no links here")
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")
    (group,) = duplicates(index, 0)
    assert (len(group), group.spare()) == (3, [])
    shutil.copy(photo, small)
    index.refresh()
    (group,) = duplicates(index, 0)
    assert (len(group), group.spare()) == (4, [small])
    with small.open("ab") as file:
        file.write(b"more")
    index.refresh()
    (group,) = duplicates(index, 0)
    assert group.largest.path == small
    assert len(group.spare()) == 3
    small.unlink()
    assert group.spare() == []


def test_a_folder_gets_an_index_of_its_own(photo_folder: Path) -> None:
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "copy.jpg")
    first = duplicates(photo_folder, 0)
    assert [group.paths for group in first] == [(photo_folder / "beach" / "0.jpg", photo_folder / "copy.jpg")]
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "more.jpg")
    assert [len(group) for group in duplicates(photo_folder, 0)] == [3]
    index = Index.open(photo_folder / ".semcbir")
    assert duplicates(photo_folder) == duplicates(index) == duplicates(index, DISTANCE, "deep")


def test_an_index_whose_model_is_nowhere_is_enough(
    photo_folder: Path, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semcbir.index.model.LARGEST_MODEL", 10)  # so that the index has no copy of it
    model = Path(shutil.copy(tiny_model, tmp_path / "model.onnx"))
    shutil.copy(tiny_model.with_suffix(".json"), tmp_path / "model.json")
    index = Index.build(photo_folder, tmp_path / "index", model=model, features="hog")
    model.unlink()
    assert duplicates(index.path, 0) == []


def test_what_is_refused(index: Index, tmp_path: Path) -> None:
    for distance in (-0.1, float("nan"), "0.2", None):
        with pytest.raises((TypeError, ValueError), match="distance: expected a number of 0 or more, .*got"):
            duplicates(index, distance)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="as feature 'kaze' has no default, got None"):
        duplicates(index, None, "kaze")
    with pytest.raises(ValueError, match="feature: expected 'hog' or 'kaze', got 'sift'"):
        duplicates(index, 1, "sift")
    with pytest.raises(TypeError, match="index: expected an Index, or the path of one or of a folder, got 3"):
        duplicates(3, 1)  # type: ignore[arg-type]
    with pytest.raises(IndexStorageError, match="nowhere is not there"):
        duplicates(tmp_path / "nowhere", 1)
    index.close()
    with pytest.raises(ValueError, match="is closed; open it again"):
        duplicates(index, 1)


def test_deep_has_a_default_with_its_usual_weighting(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    index = Index.build(
        photo_folder / "beach", tmp_path / "a", model=tiny_model, features="deep,hog", encoder=encoder
    )
    assert chosen_distance(None, index.recipe) == DISTANCE
    assert duplicates(index) == duplicates(index, DISTANCE, "deep")
    plain = Deep(encoder, weighting="none")
    index = Index.build(photo_folder / "beach", tmp_path / "b", model=tiny_model, features=plain)
    with pytest.raises(ValueError, match="as feature 'deep' with weighting none has no default, got None"):
        duplicates(index)


# --- the command --------------------------------------------------------------------------------------------


def test_the_command_shows_a_line_for_each_photo(run: Run, index: Index, copies: dict[str, Path]) -> None:
    found = run("duplicates", index.path, "--distance", "0.01")
    sizes = [f"{path.stat().st_size / 1000:.1f} kB" for path in (copies["large"], copies["beach"])]
    town = f"{copies['town'].stat().st_size / 1000:.1f} kB"
    assert found.code == 0
    assert found.out.splitlines() == [
        "group   distance        size  path",
        f"    1    largest  {sizes[0]:>10}  {copies['large']}",
        f"    1     0.0000  {sizes[1]:>10}  {copies['exact']}",
        f"    1     0.0000  {sizes[1]:>10}  {copies['beach']}",
        f"    2    largest  {town:>10}  {copies['town']}",
        f"    2     0.0000  {town:>10}  {copies['town copy']}",
    ]
    spare = (2 * copies["beach"].stat().st_size + copies["town"].stat().st_size) / 1000
    assert found.err == (
        f"semcbir: 2 groups of 5 photos within 0.01; all but the largest of each take {spare:.1f} kB\n"
    )


def test_the_command_agrees_with_the_library(run: Run, index: Index) -> None:
    found = run("duplicates", index.path, "--distance", "0.8", "--feature", "kaze", "--json")
    assert found.code == 0
    said = found.json
    assert {key: said[key] for key in ("index", "feature", "distance", "images")} == {
        "index": str(index.path),
        "feature": "kaze",
        "distance": 0.8,
        "images": 15,
    }
    assert said["groups"] == [
        {"photos": [{**vars(photo), "path": str(photo.path)} for photo in group.photos]}
        for group in duplicates(index, 0.8, "kaze")
    ]
    assert said["groups"]


def test_none_are_no_error(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    place = tmp_path / "index"
    run("index", photo_folder, "-o", place, "--model", tiny_model, "--features", "hog")
    command = ("duplicates", place, "--distance", "0.001")
    assert run(*command) == (0, "", "semcbir: no duplicates within 0.001\n")
    assert run(*command, "--paths") == (0, "", "semcbir: no duplicates within 0.001\n")
    assert run(*command, "--json").json["groups"] == []
    sheet = tmp_path / "sheet.png"
    assert run(*command, "--sheet", sheet).code == 0
    assert sheet.exists()
    run("remove", place, photo_folder)
    assert run(*command) == (0, "", f"semcbir: there are no photos in {place}\n")


def test_paths(run: Run, index: Index, copies: dict[str, Path]) -> None:
    spare = [copies["exact"], copies["beach"], copies["town copy"]]
    command = ("duplicates", index.path, "--distance", "0.01")
    assert run(*command, "--paths").out == "".join(f"{path}\n" for path in spare)
    for option in (("-0",), ("--null",), ("--paths", "-0")):
        assert run(*command, *option).out == "".join(f"{path}\0" for path in spare)
    both = run(*command, "--paths", "--json")
    assert both.code == 2
    assert "--json / --paths: expected one of them, got both" in both.err


@pytest.mark.skipif(os.name == "nt", reason="such names are not possible there")
def test_paths_are_written_byte_for_byte(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    photo = write_photos(tmp_path / "made")[0]
    names = [b"0.jpg", b"bytes\xff.jpg", "été 夏.jpg".encode()]
    try:
        for name in names:
            shutil.copy(photo, folder / os.fsdecode(name))
    except OSError:
        pytest.skip("this file system refuses such names")
    run("index", folder, "--model", tiny_model, "--features", "hog")
    command = ("duplicates", folder, "--distance", "0")
    spare = [os.fsdecode(os.fsencode(folder / os.fsdecode(name))) for name in names[1:]]
    assert run(*command, "--paths").out.splitlines() == spare
    shutil.copy(photo, folder / "1\n2.jpg")
    broken = run(*command, "--paths")
    assert (broken.code, broken.out) == (1, "")
    assert broken.err.endswith("1\\n2.jpg has a line break in its name; use -0\n")
    assert sorted(run(*command, "-0").out.split("\0")[:-1]) == sorted([*spare, f"{folder}/1\n2.jpg"])


def test_what_a_user_should_know_before_deleting(
    run: Run, index: Index, copies: dict[str, Path], tmp_path: Path
) -> None:
    copies["town"].unlink()
    os.utime(copies["beach"], ns=(0, 0))
    found = run("duplicates", index.path, "--distance", "0.01")
    assert f"changed  {copies['beach']}\n" in found.out
    assert f"gone  {copies['town']}\n" in found.out
    assert found.err.splitlines()[1:] == [
        "semcbir: 2 photos are gone or have changed since they were indexed, and --paths leaves them out; "
        f"`semcbir refresh {index.path}` brings the index up to date"
    ]
    assert run("duplicates", index.path, "--distance", "0.01", "--paths").out == f"{copies['exact']}\n"
    # With chains photos come together that are farther apart.
    between = distances(index.signatures())
    for distance in np.quantile(between, np.linspace(0.2, 0.5, 10)):
        far = sum(
            photo.distance > distance for group in duplicates(index, distance) for photo in group.photos
        )
        if far > 1:
            break
    assert far > 1
    said = f"{far} photos are farther than that from the largest of the group, and joined to it by others"
    assert said in run("duplicates", index.path, "--distance", repr(float(distance))).err


def test_a_folder_is_indexed_on_first_use(run: Run, photo_folder: Path, tiny_model: Path) -> None:
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "copy.jpg")
    command = ("duplicates", photo_folder, "--distance", "0", "--json")
    first = run(*command, "--model", tiny_model, "--features", "hog")
    assert (first.code, len(first.json["groups"]), "13 added" in first.err) == (0, 1, True)
    shutil.copy(photo_folder / "beach" / "0.jpg", photo_folder / "more.jpg")
    (photo_folder / "bad.jpg").touch()
    second = run(*command)
    assert (second.code, len(second.json["groups"][0]["photos"])) == (3, 3)


def test_an_index_whose_photos_have_moved_says_so(
    run: Run, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("semcbir.index.ready._lost", lambda _: "its photos are elsewhere")
    assert "semcbir: its photos are elsewhere\n" in run("duplicates", index.path, "--distance", "0").err
    with pytest.warns(RuntimeWarning, match="its photos are elsewhere"):
        duplicates(index.path, 0)


@pytest.mark.parametrize("distance", ["-1", "nan", "near", ""])
def test_wrong_distances(run: Run, index: Index, distance: str) -> None:
    refused = run("duplicates", index.path, "--distance", distance)
    assert (refused.code, refused.out) == (2, "")
    assert f"--distance: expected a number of 0 or more, got {distance!r}" in refused.err
    assert parse_distance("0") == 0


def test_other_features_need_a_distance(run: Run, index: Index) -> None:
    refused = run("duplicates", index.path)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "semcbir: error: --distance: expected a number of 0 or more, as feature 'hog' has no default, "
        "got None\n"
    )


def test_nothing_is_indexed_without_a_distance_that_will_be_needed(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    for options in (("--feature", "kaze"), ("--features", "hog,deep")):
        refused = run("duplicates", photo_folder, "--model", tiny_model, *options)
        assert (refused.code, "--distance: expected a number of 0 or more" in refused.err) == (1, True)
    with pytest.raises(ValueError, match="as feature 'kaze' has no default"):
        duplicates(photo_folder, feature="kaze")
    photo = photo_folder / "beach" / "0.jpg"
    assert run("duplicates", photo_folder, "--model", tiny_model, "--sheet", photo).code == 1
    assert not (photo_folder / ".semcbir").exists()


def test_the_help_names_the_default(run: Run) -> None:
    assert f"(default: {DISTANCE:g} for deep, " in " ".join(run("duplicates", "--help").out.split())


# --- the sheet ----------------------------------------------------------------------------------------------


def made_group(paths: list[Path], first: int = 0) -> DuplicateGroup:
    return DuplicateGroup(
        tuple(Duplicate(first + n, path, 0.01 * n, 1000 - n, False) for n, path in enumerate(paths))
    )


def test_a_sheet_is_saved_and_never_over_a_photo(
    run: Run, index: Index, copies: dict[str, Path], tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    command = ("duplicates", index.path, "--distance", "0.01", "--sheet")
    assert run(*command, sheet).code == 0
    with Image.open(sheet) as picture:
        assert picture.width > 800
    assert run(*command, sheet).code == 0  # its own picture may be replaced
    refused = run(*command, copies["beach"])
    assert (refused.code, refused.out) == (1, "")
    assert "is there already, and semcbir did not make it" in refused.err


def test_a_sheet_has_rows_for_each_group(photo_folder: Path) -> None:
    paths = sorted(photo_folder.glob("*/*"))
    one = duplicates_sheet([made_group(paths[:2])])
    two = duplicates_sheet([made_group(paths[:2]), made_group(paths[2:7], 2)])
    three = duplicates_sheet([made_group(paths[:2]), made_group(paths[2:8], 2)])
    assert one.width == two.width == three.width
    assert one.height < two.height < three.height
    assert duplicates_sheet([made_group(paths[:6])], columns=6).height == one.height
    assert duplicates_sheet([]).height > 50
    with pytest.raises(ValueError, match="columns: expected an integer from 1 to 50, got 0"):
        duplicates_sheet([], columns=0)


def test_a_sheet_shows_the_photos_and_marks_the_largest(photo_folder: Path) -> None:
    paths = [photo_folder / "beach" / "0.jpg", photo_folder / "gone.jpg"]
    shown = np.asarray(duplicates_sheet([made_group(paths)]))
    swapped = np.asarray(duplicates_sheet([made_group(paths[::-1])]))
    assert shown.shape == swapped.shape
    left, right = shown[:, : shown.shape[1] // 4], shown[:, shown.shape[1] // 4 :]
    blue = [(part[..., 2].astype(int) - part[..., 0] > 60).sum() for part in (left, right)]
    assert blue[0] > 1000
    assert blue[1] == 0
    dark = [(part < 60).all(axis=2).sum() for part in (left, swapped[:, : shown.shape[1] // 4])]
    assert dark[1] > 800  # the label on the placeholder
    assert dark[0] > 800


def test_a_sheet_has_an_end() -> None:
    gone = [Path("gone.jpg")]
    full = duplicates_sheet([made_group(gone * MAX_HITS)])
    assert duplicates_sheet([made_group(gone * (MAX_HITS + 50))]).size == full.size
    assert duplicates_sheet([made_group(gone * MAX_HITS), made_group(gone * 2)]).size == full.size


def test_text_of_any_size() -> None:
    group = made_group([Path("a.jpg"), Path("b\n.jpg")])
    lines = groups_text([group] * 1000).splitlines()
    assert len(lines) == 2001
    assert lines[-1] == " 1000     0.0100   999 bytes  b\\n.jpg"


@pytest.mark.slow
def test_the_default_finds_copies_of_photos(wang_dir: Path, tmp_path: Path) -> None:
    originals = tmp_path / "photos" / "originals"
    originals.mkdir(parents=True)
    paths = [Path(shutil.copy(wang_dir / f"{number}.jpg", originals)) for number in range(0, 1000, 40)]
    found = 0
    for path in paths:
        resaved(path, tmp_path / "photos" / path.name, 30)
    groups = duplicates(tmp_path / "photos")
    for group in groups:
        assert len(group) == 2
        assert {path.name for path in group.paths} == {group.largest.path.name}
        assert group.spare() == [tmp_path / "photos" / group.largest.path.name]
        found += 1
    assert found >= 0.8 * len(paths)
