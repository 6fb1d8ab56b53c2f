# SPDX-License-Identifier: MIT
"""kill -9 at random moments: the index opens, what was committed is right, a refresh completes it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from semcbir import Extractor, Index, Signatures, search

BUILD = """
import sys
import semcbir.index.run as ingest
from semcbir import Index
ingest.BATCH_IMAGES, ingest.BATCH_SECONDS = 3, 0.0
folder, index, model = sys.argv[1:4]
print("go", flush=True)
if model == "refresh":
    Index.open(index).refresh()
else:
    Index.build(folder, index, model=model)
"""

STOPPED = """
import os, signal, sys
import semcbir.index.run as ingest
import semcbir.index.segments as segments
from semcbir import Index
ingest.BATCH_IMAGES, ingest.BATCH_SECONDS = 3, 0.0
calls = 0
def sync_folder(folder):
    global calls
    calls += 1
    if calls == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)  # after the segment's rename, before the catalogue's commit
segments.sync_folder = sync_folder
Index.build(sys.argv[1], sys.argv[2], model=sys.argv[3])
"""


def run_and_kill(folder: Path, index: Path, model: str, after: float) -> bool:
    """Start a run and kill it ``after`` seconds of work; tells whether it was still at work."""
    command = [sys.executable, "-c", BUILD, str(folder), str(index), model]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


def assert_right(index: Index, expected: dict[Path, Signatures]) -> None:
    """The index is sound, and every image it reports has the signature that its file gives."""
    assert index.check() == []
    signatures = index.signatures()
    for record, mine in zip(index, signatures, strict=True):
        assert mine.ids.tolist() == [record.id]
        theirs = expected[record.path]
        np.testing.assert_array_equal(mine.classes, theirs.classes)
        np.testing.assert_array_equal(mine.proportions, theirs.proportions)
        np.testing.assert_array_equal(mine.centroids, theirs.centroids)


def kill_often(folder: Path, place: Path, model: Path, kills: int, longest: float) -> None:
    """Kill builds and refreshes in turn, until enough kills hit a run and some left a part of the work."""
    photos = photos_in(folder)
    expected = dict(zip(photos, Extractor(model).extract(photos), strict=True))
    rng = random.Random(5)
    index, away = place / "index", place / f"away{photos[-1].suffix}"
    hit = partial = 0
    for number in range(10 * kills):
        if number >= kills and hit >= kills // 3 and partial >= 1:
            break
        refreshing = number % 2 == 1 and (index / "catalog.sqlite").exists()
        committed: set[Path] = set()
        if refreshing:
            committed = {record.path for record in Index.open(index)} - {photos[-1]}
            # Besides what the killed build left undone: changed files, and one that comes and goes.
            for photo in rng.sample(photos[:-1], 5):
                os.utime(photo)
            away.rename(photos[-1]) if away.exists() else photos[-1].rename(away)
        else:
            shutil.rmtree(index, ignore_errors=True)
        killed = run_and_kill(folder, index, "refresh" if refreshing else str(model), rng.uniform(0, longest))
        # A busy machine is slower than one at rest, and may become so at any time.
        longest *= 1.1 if killed else 0.9
        hit += killed
        if not (index / "catalog.sqlite").exists():
            assert not refreshing  # killed before it was an index
            continue
        opened = Index.open(index)
        assert committed <= {record.path for record in opened}
        partial += 0 < len(opened) < len(photos) - 1
        assert_right(opened, expected)
        if number % 5 == 4:
            opened.refresh()
            assert_right(opened, expected)
            assert sorted((r.path for r in opened), key=os.fsencode) == photos_in(folder)
    assert hit >= kills // 3
    assert partial >= 1


def photos_in(folder: Path) -> list[Path]:
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=os.fsencode)


@pytest.mark.slow
def test_killed_on_made_photos(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    kill_often(photo_folder, tmp_path, tiny_model, kills=12, longest=0.4)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [20, pytest.param(60, marks=pytest.mark.long)])
def test_killed_on_real_photos(wang_dir: Path, ade_model: Path, tmp_path: Path, kills: int):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(0, 1000, 25):
        shutil.copy(wang_dir / f"{number}.jpg", folder)
    kill_often(folder, tmp_path, ade_model, kills=kills, longest=3.5)


@pytest.mark.parametrize("call", [1, 2, 4])
def test_stopped_between_rename_and_commit(photo_folder: Path, tiny_model: Path, tmp_path: Path, call: int):
    index = tmp_path / "index"
    command = [sys.executable, "-c", STOPPED, str(photo_folder), str(index), str(tiny_model), str(call)]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    opened = Index.open(index)
    assert len(opened) == 3 * (call - 1)
    assert opened.check() == []
    assert len(list((index / "segments").iterdir())) == call  # the last one is listed nowhere
    opened.refresh()
    assert len(opened) == 12
    assert [record.id for record in opened] == list(range(12))
    assert opened.check() == []
    listed = {segment.name for segment in (index / "segments").iterdir()}
    assert len(listed) == len(opened._snapshot.segments)


def test_search_answers_while_a_run_goes_on(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    index = tmp_path / "index"
    Index.build(photo_folder / "beach", index, model=tiny_model)
    command = [sys.executable, "-c", BUILD, str(photo_folder), str(index), str(tiny_model)]
    lengths = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            opened = Index.open(index)
            results = search(opened.signatures()[2], opened, k=20)[0]
            assert results[0].distance == 0
            assert len(results) == len(opened)
            lengths.append(len(results))
    assert process.returncode == 0
    assert lengths[0] == 4
    assert lengths == sorted(lengths)
    assert len(Index.open(index)) == 12
