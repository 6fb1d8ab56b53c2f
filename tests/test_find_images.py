# SPDX-License-Identifier: MIT
"""Finding image files, and names that no message should print as they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from image_files import NAMES, error_for, picture, raw, save
from semcbir._files import display_path
from semcbir.errors import ImageError
from semcbir.images.decode import load_image
from semcbir.images.find import IMAGE_SUFFIXES, find_images
from semcbir.images.kinds import DECODERS, READ_SUFFIXES, UNREAD_SUFFIXES


def touch(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def test_names_of_every_kind_are_found_and_loaded(tmp_path: Path) -> None:
    names = [*NAMES, raw(b"\xff\xfe caf\xe9.jpg")]
    for name in names:
        try:
            save(tmp_path / "x.jpg", picture()).rename(tmp_path / name)
        except OSError:  # not every file system takes every name
            names.remove(name)
    found = find_images(tmp_path)
    assert {path.name for path in found} == set(names)
    assert all(load_image(path).shape == (48, 64, 3) for path in found)


def test_messages_of_odd_names_stay_on_one_line(tmp_path: Path) -> None:
    for name in [*NAMES, raw(b"\xff\xfe caf\xe9.jpg")]:
        error = str(error_for(tmp_path / name))
        assert error.encode("utf-8")
        assert "\x1b" not in error


def test_display_path() -> None:
    assert display_path(Path("a b/日本 é 👩‍🚀.jpg")) == os.path.join("a b", "日本 é 👩‍🚀.jpg")  # noqa: PTH118
    assert display_path("a\nb\tc\x1b[0m\x7f") == r"a\nb\tc\x1b[0m\x7f"
    assert display_path("abc\u202egpj.exe\u2028") == r"abc\u202egpj.exe\u2028"
    if os.sep == "/":
        assert display_path(raw(b"caf\xe9.jpg")) == r"caf\xe9.jpg"


@settings(deadline=None)
@given(st.text())
def test_display_path_is_always_printable_on_one_line(text: str) -> None:
    shown = display_path(text)
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")


def test_finds_by_suffix_in_any_case_sorted_by_bytes(tmp_path: Path) -> None:
    wanted = touch(
        tmp_path, "b.JPG", "a/z.jpeg", "a/y.TiFf", "a-1.png", "Z.webp", "é.heic", "a/deep/er/x.bmp"
    )
    touch(tmp_path, "a/notes.txt", "jpg", "b.jpg.part", ".hidden.jpg", ".cache/c.jpg", "a/._y.jpg")
    (tmp_path / "folder.jpg").mkdir()
    found = find_images(tmp_path)
    assert found == sorted(wanted, key=os.fsencode)
    assert found[0] == tmp_path / "Z.webp"


def test_every_suffix_counts(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a{suffix}" for suffix in IMAGE_SUFFIXES))
    assert {path.suffix for path in find_images(str(tmp_path))} == IMAGE_SUFFIXES


def test_pictures_that_are_not_read_are_told_by_kind(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a.NEF",
        "b/c.nef",
        "d.Cr3",
        "e.jxl",
        "photo.ico",
        ".hidden.nef",
        "nef",
        "notes.txt",
        "f.jpg",
    )
    (tmp_path / "folder.psd").mkdir()
    told: list[str] = []
    assert find_images(tmp_path, on_unread=told.append) == [tmp_path / "f.jpg"]
    assert sorted(told) == ["CR3", "ICO", "JXL", "NEF", "NEF"]
    assert not set(UNREAD_SUFFIXES) & IMAGE_SUFFIXES


@pytest.mark.parametrize(
    "name",
    ["a.gif", "a.jfif", "a.jpe", "a.mpo", "a.apng", "a.avif", "a.hif", "a.jp2", "a.j2k", "a.jpx", "a.ppm",
     "a.pgm", "a.pbm", "a.pnm", "a.tga"],
)  # fmt: skip
def test_what_pillow_decodes_is_looked_for_and_read(tmp_path: Path, name: str) -> None:
    image = Image.fromarray(picture())
    if name == "a.hif":
        heif = pytest.importorskip("pillow_heif", reason="needs the extra heif")
        heif.from_pillow(image).save(tmp_path / "a.heic", quality=95)
        (tmp_path / "a.heic").rename(tmp_path / name)
    else:
        forms = {".jpx": "JPEG2000", ".mpo": "MPO", ".pgm": "PPM", ".pbm": "PPM", ".apng": "PNG"}
        image = image.convert({".pgm": "L", ".pbm": "1"}.get(name[1:], "RGB"))
        try:
            image.save(tmp_path / name, format=forms.get(name[1:]))
        except (KeyError, ValueError, OSError):
            pytest.skip("this Pillow cannot write it")
    assert find_images(tmp_path) == [tmp_path / name]
    assert np.abs(load_image(tmp_path / name).astype(int) - np.asarray(image.convert("RGB"))).mean() < 20


def test_every_kind_that_is_looked_for_has_a_decoder() -> None:
    assert set(READ_SUFFIXES) - {"PNM"} <= set(DECODERS)


def test_indexes_and_exclusions_are_left_out(tmp_path: Path) -> None:
    keep, *_ = touch(tmp_path, "keep.jpg", "index/catalog.sqlite", "index/segments/t.jpg", "index/u.jpg")
    drop, *_ = touch(tmp_path, "drop.jpg", "away/a.jpg", "away/deep/b.jpg")
    assert find_images(tmp_path, exclude=[tmp_path / "away", drop, tmp_path / "gone"]) == [keep]
    assert find_images(tmp_path, exclude=[tmp_path / "index" / ".." / "away", drop]) == [keep]
    assert find_images(tmp_path, exclude=[tmp_path]) == []
    assert find_images(tmp_path / "index") == []


def symlink(link: Path, target: Path | str) -> None:
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("needs symbolic links")


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    (real,) = touch(root, "m/real.jpg")
    touch(elsewhere, "far.jpg")
    symlink(root / "a-link-to-m", "m")
    symlink(root / "m" / "up", root)
    symlink(root / "m" / "itself", root / "m" / "itself")
    symlink(root / "m" / "itself.jpg", root / "m" / "itself.jpg")
    symlink(root / "dangling.jpg", "nowhere.jpg")
    symlink(root / "far", elsewhere)
    symlink(elsewhere / "back", root)
    symlink(root / "file.jpg", real)
    assert find_images(root) == [root / "far" / "far.jpg", root / "file.jpg", real]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_only_regular_files_are_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert find_images(tmp_path) == []


def test_missing_folder_and_file_for_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such folder") as caught:
        find_images(tmp_path / "gone")
    assert caught.value.transient
    (path,) = touch(tmp_path, "a.jpg")
    with pytest.raises(ImageError, match="expected a folder, got a file"):
        find_images(path)


def refusing(folder: Path) -> Callable[..., object]:
    scan = os.scandir

    def scandir(path: Path) -> object:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    return scandir


def test_unreadable_sub_folder_is_survived_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = touch(tmp_path, "a.jpg", "closed/b.jpg")
    monkeypatch.setattr(os, "scandir", refusing(tmp_path / "closed"))
    told: list[tuple[Path, OSError]] = []
    assert find_images(tmp_path) == [kept]
    assert find_images(tmp_path, on_error=lambda path, error: told.append((path, error))) == [kept]
    assert [(path, type(error)) for path, error in told] == [(tmp_path / "closed", PermissionError)]
    monkeypatch.setattr(os, "scandir", refusing(tmp_path))
    with pytest.raises(ImageError, match="cannot be listed") as caught:
        find_images(tmp_path)
    assert caught.value.transient


def test_wang_is_found_and_loaded(wang_dir: Path) -> None:
    found = find_images(wang_dir)
    assert len(found) == 1000
    assert {load_image(path).shape for path in found[::50]} == {(256, 384, 3), (384, 256, 3)}
