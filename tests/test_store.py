# SPDX-License-Identifier: MIT
"""What evaluations keep: by content and recipe, through damage, kills and other versions."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from made_photos import write_photos
from semcbir import ImageError, Index
from semcbir.evaluation.collect import collect
from semcbir.evaluation.parts import LabelMaps, Part, Photo
from semcbir.evaluation.store import FILE, Arrays, Store, StoreError
from semcbir.evaluation.ways import Settings, signature_parts
from semcbir.features import KAZE, parse_features


class Brightness(Part):
    """A part that counts how often it is computed; of ``needs`` it takes the first array's sum, too."""

    def __init__(self, name: str = "brightness", needs: Sequence[Part] = ()) -> None:
        self.name, self.needs, self.computed = name, needs, 0

    @property
    def recipe(self) -> dict[str, object]:
        return {"test": self.name, "of": [part.key for part in self.needs]}

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        self.computed += 1
        total = photo.pixels.mean() + sum(float(arrays[0].sum()) for arrays in needed)
        return np.array([total]), np.arange(3, dtype=np.uint16)


def gather(paths: list[Path], parts: list[Part], folder: Path, threads: int = 2) -> list[object]:
    with Store(folder) as store:
        found = collect(paths, parts, store, long_side=64, threads=threads)
        return [one if isinstance(one, ImageError) else one.items for one in found]


def test_arrays_come_back_as_they_were(tmp_path: Path):
    arrays = (
        np.arange(12, dtype=np.uint8).reshape(3, 4),
        np.empty((0, 5), np.float32),
        np.array([np.pi, -0.0, 5e-324]),
        np.array(7, np.int64),
    )
    with Store(tmp_path / "new" / "folder") as store:
        store.write("key", {"a": 1}, [(b"x", arrays), (b"y", arrays[:1])])
        assert store.read("key", [b"z"]) == store.read("other", [b"x"]) == {}
    with Store(tmp_path / "new" / "folder") as store:
        found = store.read("key", [b"y", b"x", b"z"])
        assert set(found) == {b"x", b"y"}
        for came, expected in zip(found[b"x"], arrays, strict=True):
            assert (came.dtype, came.shape) == (expected.dtype, expected.shape)
            assert came.tobytes() == expected.tobytes()
        many = [(b"%d" % number, arrays[:1]) for number in range(1201)]
        store.write("many", {}, many)
        assert len(store.read("many", [content for content, _ in many])) == 1201


def test_what_is_there_is_not_computed_again(photo_folder: Path, tmp_path: Path):
    paths = sorted(photo_folder.rglob("*.*"))
    part = Brightness()
    first = gather(paths, [part], tmp_path)
    assert part.computed == len(paths) == 12
    again = gather(paths, [part], tmp_path)
    assert [one[part.key][0][0] for one in again] == [one[part.key][0][0] for one in first]
    assert part.computed == 12
    # By content: a copy under another name is known; a changed file is not.
    copy = shutil.copy(paths[0], tmp_path / "copy.jpg")
    paths[1].write_bytes(paths[2].read_bytes() + b"more")
    gather([*paths, Path(copy)], [part], tmp_path)
    assert part.computed == 13


def test_a_part_is_made_of_others(photo_folder: Path, tmp_path: Path):
    paths = sorted(photo_folder.rglob("*.*"))[:5]
    base = Brightness()
    twice, other = Brightness("twice", [base]), Brightness("other", [base])
    found = gather(paths, [twice], tmp_path)
    assert (base.computed, twice.computed) == (5, 5)
    assert all(set(one) == {twice.key} for one in found)
    gather(paths, [other, twice], tmp_path)  # what it is made of is there
    assert (base.computed, twice.computed, other.computed) == (5, 5, 5)
    base.computed = 0
    gather(paths, [twice], tmp_path / "another")
    assert (base.computed, twice.computed) == (5, 10)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_photo_comes_once_and_in_order(threads: int, tmp_path: Path):
    write_photos(tmp_path / "photos")
    some = sorted(path for path in (tmp_path / "photos").rglob("*.*"))
    paths = [some[number * 7 % len(some)] for number in range(200)]  # more than are looked up together
    part = Brightness()
    expected = [float(Photo(path, 64).pixels.mean()) for path in some]
    found = gather(paths, [part], tmp_path / "store", threads)
    assert [one[part.key][0][0] for one in found] == [expected[some.index(path)] for path in paths]


def test_photos_that_cannot_be_read_are_their_errors(photo_folder: Path, tmp_path: Path):
    paths = sorted(photo_folder.rglob("*.*"))[:3]
    paths[1].write_bytes(b"no image")
    part = Brightness()
    found = gather([*paths, tmp_path / "gone.jpg"], [part], tmp_path)
    assert [isinstance(one, ImageError) for one in found] == [False, True, False, True]
    assert "gone.jpg: No such file" in str(found[3])
    assert gather(paths, [part], tmp_path)[1].reason == found[1].reason
    assert part.computed == 4  # twice that of what could not be read


def test_an_interrupted_run_goes_on_from_there(tmp_path: Path):
    write_photos(tmp_path / "photos")
    paths = sorted((tmp_path / "photos").rglob("*.*"))
    part = Brightness()
    with Store(tmp_path) as store:
        found = collect(paths, [part], store, long_side=64, threads=1)
        for _ in range(5):
            next(found)
        found.close()
    assert part.computed >= 5
    before = part.computed
    gather(paths, [part], tmp_path)
    assert part.computed - before <= len(paths) - 5


@pytest.mark.parametrize("damage", [b"not a database, but something else", b"SQLite format 3\0" + bytes(500)])
def test_a_damaged_store_says_what_to_do(damage: bytes, tmp_path: Path):
    (tmp_path / FILE).write_bytes(damage)
    with pytest.raises(StoreError, match=r"items\.sqlite, what evaluations keep, cannot be used .* deleted"):
        Store(tmp_path)


def test_a_store_of_another_version(tmp_path: Path):
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("PRAGMA user_version = 77")
    with pytest.raises(StoreError, match="of a later version of semcbir"):
        Store(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as other:
        other.executescript("PRAGMA user_version = 1; CREATE TABLE items (a); INSERT INTO items VALUES (7)")
    with Store(tmp_path) as store:  # what an older version kept is dropped
        store.write("key", {}, [(b"x", (np.arange(5),))])
    with Store(tmp_path) as store:
        assert set(store.read("key", [b"x", b"y"])) == {b"x"}


def test_items_whose_bytes_have_changed_are_none(tmp_path: Path):
    arrays = (np.linspace(0, 1, 50, dtype=np.float32), np.zeros(1000, np.uint8))
    with Store(tmp_path) as store:
        store.write("key", {}, [(b"x", arrays), (b"y", arrays[1:])])
    with sqlite3.connect(tmp_path / FILE) as file:
        written = {bytes(x): blob for x, blob in file.execute("SELECT content, arrays FROM items")}
    changed = [b"", b"\0", b"\0\x93NUMPY", b"\1rubbish", bytes(100)]
    for content, blob in written.items():
        for place in range(0, len(blob), 7):
            one = bytearray(blob)
            one[place] ^= 1 << place % 8
            changed.append(bytes(one))
        changed.append(blob[:-1])
        for damaged in changed:
            with sqlite3.connect(tmp_path / FILE) as file:
                file.execute("UPDATE items SET arrays = ? WHERE content = ?", (damaged, content))
            with Store(tmp_path) as store:
                assert content not in store.read("key", [content])
        with sqlite3.connect(tmp_path / FILE) as file:
            file.execute("UPDATE items SET arrays = ? WHERE content = ?", (blob, content))
    with Store(tmp_path) as store:
        assert len(store.read("key", [b"x", b"y"])) == 2


def test_a_changed_item_is_worked_out_again(photo_folder: Path, tmp_path: Path):
    paths = sorted(photo_folder.rglob("*.*"))
    part = Brightness()
    first = gather(paths, [part], tmp_path)
    with sqlite3.connect(tmp_path / FILE) as file:
        (content, blob) = file.execute("SELECT content, arrays FROM items LIMIT 1").fetchone()
        file.execute(
            "UPDATE items SET arrays = ? WHERE content = ?", (blob[:-1] + bytes([blob[-1] ^ 1]), content)
        )
    for _ in range(2):
        assert [one[part.key][0][0] for one in gather(paths, [part], tmp_path)] == [
            one[part.key][0][0] for one in first
        ]
    assert part.computed == 13


def test_a_store_in_use_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("semcbir.evaluation.store._SECONDS", 0.1)
    with Store(tmp_path) as store, sqlite3.connect(tmp_path / FILE, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="in use by another run; wait for it"):
            store.write("key", {}, [])
        with pytest.raises(StoreError, match="in use by another run; wait for it"):
            Store(tmp_path)


def test_a_store_that_may_not_be_written_to_can_be_read(tmp_path: Path):
    with Store(tmp_path) as store:
        store.write("key", {}, [(b"x", (np.arange(5),))])
    with Store(tmp_path) as store:
        store._connection.execute("PRAGMA query_only = 1")  # as of a read-only file, whoever runs this
        store._prepare()
        assert set(store.read("key", [b"x"])) == {b"x"}
        with pytest.raises(StoreError, match="may not be written to; name another folder"):
            store.write("key", {}, [(b"y", (np.arange(5),))])


WRITER = """
import sys
from pathlib import Path
import numpy as np
from semcbir.evaluation.store import Store
folder, name = Path(sys.argv[1]), sys.argv[2]
with Store(folder) as store:
    print("open", flush=True)
    for number in range(int(sys.argv[3])):
        items = [(b"%s %d %d" % (name.encode(), number, i), (np.full(1000, number),)) for i in range(10)]
        store.write("key", {}, items)
"""


def writer(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(folder), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_write_to_one_store(tmp_path: Path):
    running = [writer(tmp_path, name, 20) for name in "abc"]
    for process in running:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with Store(tmp_path) as store:
        contents = [
            b"%s %d %d" % (name, n, i) for name in (b"a", b"b", b"c") for n in range(20) for i in range(10)
        ]
        found = store.read("key", contents)
    assert all((found[content][0] == int(content.split()[1])).all() for content in contents)


def test_a_killed_process_leaves_whole_items(tmp_path: Path):
    for attempt in range(4):
        process = writer(tmp_path, f"{attempt}", 10**6)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 * (attempt + 1))
        process.kill()
        process.wait()
        process.stdout.close()
        with Store(tmp_path) as store:
            found = store.read("key", [b"%d %d %d" % (attempt, n, i) for n in range(2000) for i in range(10)])
        batches = Counter(content.split()[1] for content in found)
        assert set(batches.values()) <= {10}  # what is written together is there together, or not at all
        assert all((arrays[0] == int(content.split()[1])).all() for content, arrays in found.items())


def test_keys_stand_for_all_that_decides(tiny_model: Path, tmp_path: Path):
    def key(**changed: object) -> str:
        return signature_parts(Settings((tiny_model,), **{"features": "kaze", **changed}))[0][1].key

    assert key() == key(threads=1, smooth=3, parts=True)
    # Weighting comes after what is kept.
    assert key() == key(weighting="share")
    assert key() == key(device="cpu")  # where there is nothing else
    others = [key(features="hog"), key(long_side=100), key(features=(KAZE(upright=True),))]
    assert len({key(), *others}) == 4
    maps = [LabelMaps(model, "cpu", 512) for model in (tiny_model, None)]
    assert maps[0].key != maps[1].key


def test_signatures_have_the_bits_of_an_index(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    names = "kaze,hog,deep"
    features = parse_features(names)
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model, features=features)
    parts = signature_parts(Settings((tiny_model,), names))
    paths = [record.path for record in index]
    for _ in range(2):  # worked out, then read
        with Store(tmp_path) as store:
            wanted = [part for _, part in parts]
            items = [one.items for one in collect(paths, wanted, store, long_side=512, threads=2)]
        for name, part in parts:
            came, expected = part.joined([one[part.key] for one in items]), index.signatures(name)
            for column in ("offsets", "classes", "proportions", "counts", "centroids"):
                assert getattr(came, column).tobytes() == getattr(expected, column).tobytes(), (name, column)
            assert came.recipe == expected.recipe
