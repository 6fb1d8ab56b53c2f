# SPDX-License-Identifier: MIT
"""Segments that others cut short or overwrite while they are mapped: an error or other values, no crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from made_signatures import assert_same, made_signatures
from semcbir import KAZE, IndexStorageError, Recipe, Signatures
from semcbir.index.segments import Memory, map_segment, write_segment
from semcbir.index.snapshot import Snapshot
from semcbir.networks.groups import ClassNames

RECIPE = Recipe({"name": "m", "sha256": "0", "classes": [str(i) for i in range(20)]}, (KAZE(),), 512)


def write(folder: Path, images: int = 300) -> tuple[Path, Signatures]:
    """A segment of some dozens of pages, and what is in it."""
    batch = made_signatures(images, dim=64)
    return folder / write_segment(folder, [{"kaze": batch}]).name, batch


def snapshot(path: Path) -> Snapshot:
    segment = map_segment(path, RECIPE)
    return Snapshot(path.parent, RECIPE, ClassNames(RECIPE.classes), (), (segment,), (segment.ids,))


CHANGE = """
import os, sys
from test_segment_changed import RECIPE, Path, snapshot
from semcbir import IndexStorageError
path, how = Path(sys.argv[1]), sys.argv[2]
mapped = snapshot(path)
searcher, query = mapped.searcher("kaze"), mapped.signatures("kaze", None)[5:9]
before = searcher.search(query, 20)
size = path.stat().st_size
with path.open("r+b") as file:
    if how == "ones":
        file.write(b"\\xff" * size)
    elif how == "random":
        file.write(os.urandom(size))
    else:
        file.truncate(int(size * float(how)))
for use in (lambda: searcher.search(query, 20), lambda: mapped.signatures("kaze", None)):
    try:
        use()
        print("used")
    except IndexStorageError as error:
        print("refused", error)
"""


@pytest.mark.parametrize("how", ["0", "0.3", "0.99", "ones", "random"])
def test_a_changed_segment_never_ends_the_process(tmp_path: Path, how: str):
    path, _ = write(tmp_path)
    command = [sys.executable, "-c", CHANGE, str(path), how]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parent, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    searched, copied = done.stdout.splitlines()
    assert copied.startswith("refused")
    assert path.name in copied or "is damaged" in copied
    assert searched.startswith("used" if how in ("ones", "random") else "refused")


def test_nothing_mapped_is_an_index_or_an_id(tmp_path: Path):
    path, batch = write(tmp_path)
    segment = map_segment(path, RECIPE)
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    for name in ("offsets", "classes", "ids"):
        np.testing.assert_array_equal(getattr(segment.batch["kaze"], name), getattr(batch, name))
    np.testing.assert_array_equal(segment.ids, batch.ids)


def test_values_that_are_no_numbers_come_last_and_in_the_same_order(tmp_path: Path):
    path, batch = write(tmp_path)
    mapped = snapshot(path)
    data = path.read_bytes()
    start = data.index(batch.centroids.tobytes())
    with path.open("r+b") as file:
        file.seek(start)
        file.write(np.full(len(batch.centroids) * 64 // 2, np.nan, np.float32).tobytes())
    found = [mapped.searcher("kaze").search(batch[250], 300, threads=threads) for threads in (1, 4)]
    assert sorted(found[0].ids[0]) == sorted(batch.ids)
    np.testing.assert_array_equal(found[0].ids, found[1].ids)
    assert not np.isnan(found[0].distances).any()


def test_a_file_that_shrinks_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, _ = write(tmp_path)
    whole = path.stat().st_size
    data = path.read_bytes()

    real = os.fstat

    def status(descriptor: int) -> object:
        return SimpleNamespace(st_size=whole, st_mode=real(descriptor).st_mode)

    for length in (0, 4, 8, 100, 5000, whole - 1):
        path.write_bytes(data[:length])
        with monkeypatch.context() as patch, pytest.raises(IndexStorageError, match="is damaged"):
            patch.setattr("os.fstat", status)
            map_segment(path, RECIPE)


def test_copies_share_memory_and_do_not_overlap(tmp_path: Path):
    files = []
    for name in "abc":
        (tmp_path / name).mkdir()
        files.append(write(tmp_path / name, 50))
    memory = Memory(40_000)
    segments = [map_segment(path, RECIPE, memory) for path, _ in files]
    for segment, (_, batch) in zip(segments, files, strict=True):
        assert_same(segment.batch["kaze"], batch)
    one, two = (segment.batch["kaze"].offsets for segment in segments[:2])
    assert not np.shares_memory(one, two)
    assert np.may_share_memory(memory.take(2**22 + 1), memory.take(10)) is False
