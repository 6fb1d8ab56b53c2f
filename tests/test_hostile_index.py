# SPDX-License-Identifier: MIT
"""An index in a folder of photos from anywhere: nothing it holds deletes, overwrites or reads elsewhere."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from semcbir import Extractor, Index, IndexStorageError, ModelError, check_index, search
from semcbir.index import catalog, database, rows
from semcbir.networks.card import ModelCard

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX links and pipes")

COMMAND = [sys.executable, "-c", "from semcbir.cli import main; main()"]


@pytest.fixture(scope="module")
def pristine(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos with an index of its own."""
    folder = Path(shutil.copytree(made_photos / "beach", tmp_path_factory.mktemp("pristine") / "photos"))
    Index.build(folder, folder / ".semcbir", model=tiny_model)
    return folder


@pytest.fixture
def photos(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "photos"))


@pytest.fixture
def index(photos: Path) -> Path:
    return photos / ".semcbir"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A folder of the user's, with names that an index has too."""
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in ("thesis.txt", "model.onnx", "model.json", "0123456789abcdef.safetensors"):
        (folder / name).write_text("years of work")
    return folder


@pytest.fixture(autouse=True)
def _nothing_precious_changes(precious: Path):
    yield
    assert len(list(precious.iterdir())) == 4
    assert {file.read_text() for file in precious.iterdir()} == {"years of work"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, which must end soon and without a traceback."""
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode >= 0
    return done


def assert_refused(folder: Path, called: str, model: Path) -> None:
    """Whatever opens or completes the index says what is wrong."""
    for command in (["search", folder / "0.jpg", folder], ["index", folder, "--model", model]):
        done = run(*command)
        assert done.returncode == 1
        assert called in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("whole", [True, False], ids=["index", "no_catalogue"])
def test_segments_that_lead_elsewhere(
    photos: Path, index: Path, precious: Path, tiny_model: Path, whole: bool
):
    shutil.rmtree(index / "segments")
    (index / "segments").symlink_to(precious)
    if not whole:
        (index / catalog.NAME).unlink()
    assert_refused(photos, "segments is a symbolic link", tiny_model)
    if whole:
        assert "is a symbolic link" in " ".join(check_index(index))


@pytest.mark.parametrize("name", ["model", "model/model.onnx", "model/model.json"])
@pytest.mark.parametrize("whole", [True, False], ids=["index", "no_catalogue"])
def test_a_model_that_leads_elsewhere(
    photos: Path, index: Path, precious: Path, tiny_model: Path, name: str, whole: bool
):
    if name == "model":
        shutil.rmtree(index / name)
        (index / name).symlink_to(precious)
    else:
        (index / name).unlink()
        (index / name).symlink_to(precious / Path(name).name)
    if not whole:
        (index / catalog.NAME).unlink()
        assert_refused(photos, "is a symbolic link", tiny_model)
    else:
        done = run("search", photos / "0.jpg", photos)
        assert done.returncode == 1
        assert f"{name} is a symbolic link" in done.stderr
        assert "is a symbolic link" in " ".join(check_index(index))


def test_temporary_names_that_lead_elsewhere(photos: Path, index: Path, precious: Path, tiny_model: Path):
    shutil.rmtree(index)
    for name in ("model/.model.onnx.tmp", "model/.model.json.tmp", f".{catalog.NAME}.tmp"):
        (index / name).parent.mkdir(parents=True, exist_ok=True)
        (index / name).symlink_to(precious / "thesis.txt")
    assert run("index", photos, "--model", tiny_model).returncode == 0
    assert check_index(index) == []


@pytest.mark.parametrize("name", [catalog.NAME, catalog.LOCK])
def test_a_catalogue_or_lock_that_leads_elsewhere(photos: Path, index: Path, tmp_path: Path, name: str):
    other = tmp_path / "other"
    (index / catalog.NAME).rename(other) if name == catalog.NAME else None
    (index / name).unlink(missing_ok=True)
    (index / name).symlink_to(other)
    with pytest.raises(IndexStorageError, match=f"{name} is a symbolic link"):
        Index.open(index).refresh()
    assert other.exists() == (name == catalog.NAME)


def test_the_index_of_a_folder_is_no_link(photos: Path, index: Path, tmp_path: Path, tiny_model: Path):
    index.rename(tmp_path / "elsewhere")
    index.symlink_to(tmp_path / "elsewhere")
    before = sorted((tmp_path / "elsewhere").rglob("*"))
    assert_refused(photos, "is a symbolic link", tiny_model)
    for command in ("info", "check", "refresh", "compact"):
        assert "is a symbolic link" in run(command, photos).stderr
    assert sorted((tmp_path / "elsewhere").rglob("*")) == before
    # Named by the user, it is theirs; so is one behind a link that they name.
    assert run("info", tmp_path / "elsewhere").returncode == 0
    assert run("info", index).returncode == 0
    (tmp_path / "elsewhere").rename(tmp_path / "nowhere")
    assert_refused(photos, "is a symbolic link", tiny_model)


def test_only_litter_is_removed(index: Path, precious: Path):
    segments = index / "segments"
    keep = ["notes.txt", "x.safetensors", ".hidden", "0123456789ABCDEF.safetensors", "0123456789abcdef.txt"]
    for name in keep:
        (segments / name).write_text("not ours")
    (segments / "00000000000000aa.safetensors").symlink_to(precious / "thesis.txt")
    (segments / "00000000000000bb.safetensors").mkdir()
    litter = ["0123456789abcdef.safetensors", ".0123456789abcdef.safetensors.tmp"]
    for name in litter:
        (segments / name).write_text("what a killed run left")
    listed = {path.name for path in segments.iterdir()} - {*litter}
    Index.open(index).refresh()
    assert {path.name for path in segments.iterdir()} == listed


def pipe(place: Path) -> None:
    os.mkfifo(place)


def sparse(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(2**40)


def device(place: Path) -> None:
    place.symlink_to("/dev/zero")


@pytest.mark.parametrize("plant", [pipe, sparse, device])
@pytest.mark.parametrize("name", ["segments/*", "model/model.onnx", "model/model.json", catalog.NAME])
def test_pipes_devices_and_endless_files(photos: Path, index: Path, name: str, plant: Callable[[Path], None]):
    (place,) = index.glob(name)
    place.unlink()
    plant(place)
    for command in (["search", photos / "0.jpg", photos], ["check", photos]):
        done = run(*command)
        assert done.returncode == 1
        assert place.stem in (done.stdout + done.stderr).replace("catalogue", "catalog")


@pytest.mark.parametrize("plant", [pipe, sparse, device])
def test_models_and_cards_that_are_no_files(tmp_path: Path, tiny_model: Path, plant: Callable[[Path], None]):
    (tmp_path / "models").mkdir()
    for suffix in (".onnx", ".json"):
        folder = tmp_path / "models" / suffix[1:]
        folder.mkdir()
        for source in (tiny_model, tiny_model.with_suffix(".json")):
            shutil.copy(source, folder)
        place = folder / tiny_model.with_suffix(suffix).name
        place.unlink()
        plant(place)
        with pytest.raises(ModelError, match=place.name):
            Extractor(folder / tiny_model.name).load()
    with pytest.raises(ModelError, match="is a|expected at most"):
        ModelCard.load(place)


def test_a_picture_is_not_saved_through_a_link_that_leads_nowhere(photos: Path, tmp_path: Path):
    for plant in (lambda place: place.symlink_to(tmp_path / "nowhere.png"), pipe):
        sheet = tmp_path / f"{plant.__name__}.png"
        plant(sheet)
        done = run("search", photos / "0.jpg", photos, "--sheet", sheet)
        assert done.returncode == 1
        assert "is there already" in done.stderr
    assert not (tmp_path / "nowhere.png").exists()


def page_bomb(catalogue: Path, levels: int = 4) -> None:
    """Make the table of dead rows a tree of some pages that each name the next one hundreds of times."""
    with closing(sqlite3.connect(catalogue)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'dead'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    record = bytes([5, 3, 1, 1, 1, 0])  # its size; its header's, and two integers of a byte: 1 and 0

    def page(child: int) -> bytes:
        cell = (struct.pack(">I", child) if child else b"") + record
        header = 12 if child else 8
        count = (size - header) // (len(cell) + 2)
        start = size - count * len(cell)
        head = struct.pack(">BHHHB", 2 if child else 10, 0, count, start, 0)
        head += struct.pack(">I", child) if child else b""
        places = b"".join(struct.pack(">H", start + number * len(cell)) for number in range(count))
        return (head + places).ljust(start, b"\0") + cell * count

    data = bytearray(catalogue.read_bytes())
    data[(root - 1) * size : root * size] = page(pages + 1)
    for level in range(1, levels + 1):
        data += page(pages + level + 1 if level < levels else 0)
    struct.pack_into(">I", data, 28, pages + levels)
    catalogue.write_bytes(data)


def test_pages_that_name_each_other(index: Path, monkeypatch: pytest.MonkeyPatch):
    page_bomb(index / "catalog.sqlite")
    with pytest.raises(IndexStorageError, match="more rows than fit into it; run `semcbir check`"):
        Index.open(index)
    assert any("2nd reference to page" in line for line in check_index(index))
    monkeypatch.setattr(database, "_STEPS", 10**6)
    with pytest.raises(IndexStorageError, match="its pages name each other without end"):  # noqa: SIM117
        with database.reading(index) as connection:
            connection.execute("SELECT row FROM dead WHERE row = 7").fetchone()


def test_a_search_looks_through_no_folder_that_the_index_names(
    photos: Path, index: Path, tmp_path: Path, made_photos: Path
):
    private = tmp_path / "private"
    private.mkdir()
    shutil.copy(made_photos / "town" / "0.jpg", private)
    Index.open(index).add(private)
    shutil.copy(made_photos / "town" / "1.jpg", private / "secret.jpg")
    shutil.copy(made_photos / "town" / "2.jpg", photos / "new.jpg")
    with pytest.warns(RuntimeWarning, match=f"follows other folders too.*: {private}; `semcbir refresh"):
        results = search(photos / "0.jpg", photos)
    names = {hit.path.name for hit in results}
    assert "new.jpg" in names
    assert "secret.jpg" not in names
    assert Index.open(index).refresh().added == 1


def test_paths_of_images_stay_in_their_folder_on_windows(monkeypatch: pytest.MonkeyPatch):
    plain, hidden = b"a/b.jpg", b"a/..b/.c.jpg"
    outside = [b"", b"/a.jpg", b"../a.jpg", b"a/../../b.jpg", b"a//b.jpg", b"a\0.jpg"]
    windows = [b"C:/a.jpg", rb"\\host\share\a.jpg", rb"..\..\a.jpg", b"a.jpg:stream", b"c:a.jpg"]
    for on_windows in (False, True):
        monkeypatch.setattr(rows, "_WINDOWS", on_windows)
        assert all(map(rows.is_image_path, (plain, hidden)))
        assert not any(map(rows.is_image_path, outside))
        assert [rows.is_image_path(path) for path in windows] == [not on_windows] * len(windows)
