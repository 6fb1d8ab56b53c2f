# SPDX-License-Identifier: MIT
"""Power cuts, failing disks and kills at storage calls: what was committed stays, the rest is made again."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from disk_model import Disk, Left, digest, traced
from semcbir import Extractor, Index, Signatures, search
from semcbir.features import Deep
from tiny_models import tiny_encoder

pytestmark = pytest.mark.slow

Held: TypeAlias = "dict[int, str]"
"""What an index holds: the paths of its images by id."""

STATES = int(os.environ.get("SEMCBIR_POWER_CUTS", "400"))
FAULTS = STATES // 10
"""How many states of the disk are tried, and how many runs with a storage call that fails, or kills."""

LIFE = """
import json, os, sys
from contextlib import contextmanager
from pathlib import Path
import semcbir.index.merge as merge
import semcbir.index.run as run
from semcbir import Index
from semcbir.features import Deep
from semcbir.index.catalog import Catalog

run.BATCH_IMAGES, run.BATCH_SECONDS, merge.FANOUT = 3, 0.0, 3
photos, town, place, model, encoder, notes = map(Path, sys.argv[1:])
log = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note():
    held = {record.id: str(record.path) for record in Index.open(place)}
    os.write(log, (json.dumps(held) + chr(10)).encode())

changes = Catalog.changes

@contextmanager
def noted(catalog):
    with changes(catalog):
        yield
    note()

Catalog.changes = noted
index = Index.build(photos, place, model=model, features=[Deep(encoder)])
index.remove(photos / "beach" / "0.jpg")
(photos / "beach" / "1.jpg").rename(photos / "beach" / "moved.jpg")
index.add(town)
index.refresh()
index.append(index.signatures(ids=[2]), photos / "beach" / "2.jpg")
index.compact()
"""
"""Makes an index and changes it in every way; writes down what it holds after each commit."""


@dataclass
class Life:
    """Where LIFE works, and the signatures that photos have, by path."""

    photos: Path
    town: Path
    index: Path
    model: Path
    encoder: Path
    notes: Path
    expected: dict[str, Signatures]

    def command(self) -> list[str]:
        """Return the command that runs LIFE."""
        places = (self.photos, self.town, self.index, self.model, self.encoder, self.notes)
        return [sys.executable, "-c", LIFE, *map(str, places)]

    def noted(self) -> list[Held]:
        """Return what was held after each commit so far."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [_held(line) for line in lines]


def _held(line: str | bytes) -> Held:
    return {int(key): path for key, path in json.loads(line).items()}


@pytest.fixture
def life(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Life:
    """Photos of three kinds, the town's in a folder of their own, and a folder for the index alone."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    if subprocess.run(["strace", "-o", os.devnull, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs strace, and a system that lets it trace")
    photos, town = photo_folder, tmp_path / "town"
    (photos / "town").rename(town)
    files = sorted(path for folder in (photos, town) for path in folder.rglob("*") if path.is_file())
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    extractor = Extractor(tiny_model, features=[Deep(encoder)])
    expected = {str(file): one for file, one in zip(files, extractor.extract(files), strict=True)}
    expected[str(photos / "beach" / "moved.jpg")] = expected[str(photos / "beach" / "1.jpg")]
    (tmp_path / "disk").mkdir()
    return Life(photos, town, tmp_path / "disk" / "index", tiny_model, encoder, tmp_path / "notes", expected)


def put(root: Path, left: Left) -> None:
    """Make the folder ``root`` hold what a power cut left."""
    shutil.rmtree(root)
    for place in sorted(left):
        content = left[place]
        if content is None:
            (root / place).mkdir()
        else:
            (root / place).write_bytes(content)


def assert_signatures(index: Index, life: Life) -> None:
    """Every image has the signature that its photo gives, and finds itself."""
    signatures = index.signatures()
    for record, mine in zip(index, signatures, strict=True):
        theirs = life.expected[str(record.path)]
        assert mine.ids.tolist() == [record.id]
        for column in ("classes", "proportions", "centroids"):
            np.testing.assert_array_equal(getattr(mine, column), getattr(theirs, column))
    if len(signatures):
        assert search(signatures[0], index, k=1)[0][0].distance == 0


def assert_survives(life: Life, possible: list[Held], *, created: bool) -> None:
    """The index holds one of ``possible``, and is right; going on makes it whole."""
    if not (life.index / "catalog.sqlite").exists():
        assert not created
        opened = Index.build(life.photos, life.index, model=life.model, features=[Deep(life.encoder)])
    else:
        opened = Index.open(life.index)
        before = {record.id: str(record.path) for record in opened}
        assert before in possible
        assert_signatures(opened, life)
        opened.refresh()
        now = {record.id: str(record.path) for record in opened}
        gone = {key for key, path in before.items() if not Path(path).exists() and key not in now}
        assert not gone, "an image whose photo was moved lost its id"
        assert before.keys() <= now.keys()
    assert opened.check() == []
    assert_signatures(opened, life)
    found = {record.path for record in opened}
    there = {path for path in life.photos.rglob("*") if path.is_file()}
    assert there - found <= {life.photos / "beach" / "0.jpg"}  # taken out by hand


def test_power_cut_at_any_storage_call(life: Life, tmp_path: Path) -> None:
    disk, rng, calls = Disk(life.index.parent), random.Random(11), 0
    seen: list[tuple[int, Left]] = []
    notes: list[Held] = []
    for call in traced(life.command(), tmp_path / "trace"):
        if call.is_write_to(life.notes):
            notes.append(_held(call.data()))
        elif disk.apply(call):
            calls += 1
            seen += [(len(notes), disk.cut(rng, kept)) for kept in (0, 1, None, None, None, None)]
    # Deletions may wait: a segment that comes back is litter.
    assert disk.cut(rng, 1).items() <= disk.cut(rng, 0).items(), "something was never synced"
    assert len(notes) >= 10
    assert calls > 200
    states = {(done, digest(left)): (done, left) for done, left in seen}
    chosen = rng.sample(list(states.values()), min(STATES, len(states)))
    for done, left in chosen:
        put(disk.root, left)
        assert_survives(life, notes[max(0, done - 1) : done + 1] or [{}], created=done > 0)


CALLS = (
    "write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "renameat", "link", "linkat", "mkdir",
    "unlink", "unlinkat",
)  # fmt: skip


@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=KILL"])
def test_fault_at_any_storage_call(life: Life, tmp_path: Path, fault: str) -> None:
    photos = tmp_path / "as they were"
    shutil.copytree(life.photos, photos)
    counts = Counter(call.name for call in traced(life.command(), tmp_path / "trace"))
    notes = life.noted()
    faults = [(name, number) for name in CALLS for number in range(1, counts[name] + 1)]
    for name, number in random.Random(fault).sample(faults, min(FAULTS // 3, len(faults))):
        shutil.rmtree(life.photos)
        shutil.copytree(photos, life.photos)
        shutil.rmtree(life.index)
        life.notes.unlink(missing_ok=True)
        inject = ["strace", "-f", "-o", os.devnull, "-e", f"inject={name}:{fault}:when={number}"]
        run = subprocess.run(
            [*inject, *life.command()], check=False, timeout=120, capture_output=True, text=True
        )
        assert run.returncode in (0, 1, -signal.SIGKILL)
        if run.returncode == 1:
            assert re.match(r"(semcbir\.errors\.\w+|OSError): .*", run.stderr.splitlines()[-1])
        known = life.noted()
        first = notes.index(known[-1]) if known else 0
        possible = [*notes[first:], *([] if known else [{}])]
        assert_survives(life, possible, created=bool(known))
