# SPDX-License-Identifier: MIT
"""Damaged, unwritable and odd indexes: an error that names the culprit, never a crash, never a change."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from semcbir import Index, IndexStorageError, SemcbirError, check_index, search
from semcbir.index import catalog


@pytest.fixture(scope="module")
def pristine(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 12 photos in two segments, one image removed."""
    index = Index.build(
        made_photos / "beach",
        tmp_path_factory.mktemp("pristine") / "index",
        model=tiny_model,
        features="kaze",
    )
    index.refresh([made_photos])
    index.remove(5)
    return index.path


@pytest.fixture
def damaged(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "damaged"))


def segments(index: Path) -> list[Path]:
    return sorted((index / "segments").iterdir())


def test_the_pristine_one_is_sound(pristine: Path):
    assert Index.open(pristine).check() == []
    assert len(segments(pristine)) == 2


def test_an_empty_or_foreign_catalogue(damaged: Path):
    file = damaged / catalog.NAME
    file.write_bytes(b"")
    with pytest.raises(IndexStorageError, match="belongs to another program"):
        Index.open(damaged)
    file.write_text("x" * 5000)
    with pytest.raises(IndexStorageError, match="not a database"):
        Index.open(damaged)


def test_every_truncation_of_the_catalogue_is_found(damaged: Path, pristine: Path):
    data = (pristine / catalog.NAME).read_bytes()
    expected = list(Index.open(pristine))
    for length in [*range(0, len(data), 1531), len(data) - 1]:
        (damaged / catalog.NAME).write_bytes(data[:length])
        assert check_index(damaged)
        try:
            assert list(Index.open(damaged)) == expected  # what was cut off may not have been asked for
        except IndexStorageError as error:
            assert str(damaged) in str(error)  # noqa: PT017


def test_bits_flipped_in_the_catalogue_never_crash(damaged: Path, pristine: Path, made_photos: Path):
    data = (pristine / catalog.NAME).read_bytes()
    rng = random.Random(3)
    query = Index.open(pristine).signatures()[3]
    for _ in range(150):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (damaged / catalog.NAME).write_bytes(flipped)
        try:
            search(query, damaged)
            Index.open(damaged).check()
        except (SemcbirError, KeyError) as error:
            assert str(error)  # noqa: PT017 -- a clear error is one right outcome, an answer the other


def test_check_finds_every_flipped_bit_of_a_segment(damaged: Path):
    segment = segments(damaged)[0]
    data = segment.read_bytes()
    rng = random.Random(4)
    for _ in range(20):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        segment.write_bytes(flipped)
        (problem,) = check_index(damaged)
        assert segment.name in problem


def test_damaged_values_are_told_as_damage(damaged: Path):
    index = Index.open(damaged)
    segment, *_ = index._snapshot.segments
    path = next(path for path in segments(damaged) if len(path.read_bytes()) > 0)
    data = path.read_bytes()
    start = data.find(segment.batch["kaze"].centroids.tobytes()[:64])
    if start < 0:
        path = segments(damaged)[1]
        data = path.read_bytes()
        start = data.find(segment.batch["kaze"].centroids.tobytes()[:64])
    path.write_bytes(data[:start] + b"\xff\xff\xff\x7f" + data[start + 4 :])  # a NaN
    with pytest.raises(IndexStorageError, match="is damaged: centroids: expected finite numbers"):
        Index.open(damaged).signatures()


def test_a_truncated_segment(damaged: Path):
    segment = segments(damaged)[0]
    segment.write_bytes(segment.read_bytes()[:-8])
    with pytest.raises(IndexStorageError, match=f"{segment.name} is damaged"):
        Index.open(damaged)
    assert segment.name in check_index(damaged)[0]
    segment.write_bytes(b"")
    with pytest.raises(IndexStorageError, match=segment.name):
        Index.open(damaged)


def test_a_missing_segment(damaged: Path):
    segments(damaged)[0].unlink()
    with pytest.raises(IndexStorageError, match="a segment that is not there"):
        Index.open(damaged)
    (problem,) = check_index(damaged)
    assert "not there" in problem


def test_segments_that_changed_places(damaged: Path):
    one, two = segments(damaged)
    other = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(other)
    with pytest.raises(IndexStorageError, match="the catalogue says"):
        Index.open(damaged)
    assert len(check_index(damaged)) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE images SET row = row + 100 WHERE segment = (SELECT max(id) FROM segments)",
        "DELETE FROM dead",
        "INSERT INTO dead SELECT segment, row FROM images WHERE id = 2",
        "UPDATE images SET id = 77 WHERE id = 2",
        "UPDATE images SET state = 'gone', segment = NULL, row = NULL WHERE id = 2",
    ],
)
def test_check_finds_a_catalogue_that_disagrees_with_its_segments(damaged: Path, statement: str):
    with closing(sqlite3.connect(damaged / catalog.NAME)) as connection:
        connection.execute(statement)
        connection.commit()
    assert check_index(damaged)


@pytest.mark.parametrize("change", ["root = 99", "segment = 77"])
def test_check_finds_references_to_nowhere(damaged: Path, change: str):
    with closing(sqlite3.connect(damaged / catalog.NAME)) as connection:
        connection.execute(f"UPDATE images SET {change} WHERE id = 2")
        connection.commit()
    assert "does not list" in check_index(damaged)[0]


def test_check_finds_a_missing_or_altered_model(damaged: Path):
    card = damaged / "model" / "model.json"
    card.write_text(card.read_text().replace('"red"', '"rot"'))
    assert "it does not match the recipe" in check_index(damaged)[0]
    (damaged / "model" / "model.onnx").unlink()
    assert "model.onnx" in check_index(damaged)[0]


def test_check_finds_a_card_of_another_file(damaged: Path):
    card = damaged / "model" / "model.json"
    card.write_text(card.read_text().replace('"model.onnx"', '"other.onnx"'))
    (problem,) = check_index(damaged)
    assert "names other.onnx, expected model.onnx" in problem


def test_what_sqlite_says_is_one_line(damaged: Path):
    """It quotes the schema, which has many, and its own headings."""
    file = damaged / catalog.NAME
    data = file.read_bytes()
    file.write_bytes(data.replace(b"state TEXT NOT NULL CHECK", b"state TEXT NOT NULL`CHECK", 1))
    with pytest.raises(IndexStorageError, match=r"\Acatalogue of index [^\n]*malformed[^\n]*\Z"):
        Index.open(damaged)
    file.write_bytes(data[:4096] + data[8192:12288] + data[8192:])
    problems = check_index(damaged)
    assert problems
    assert not any("\n" in problem for problem in problems)


def test_check_finds_another_model(damaged: Path):
    with (damaged / "model" / "model.onnx").open("ab") as file:
        file.write(b"x")
    (problem,) = check_index(damaged)
    assert "model.onnx" in problem


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("PRAGMA user_version = 2", "has format 2, this semcbir reads 1"),
        ("UPDATE meta SET value = '{}' WHERE key = 'recipe'", "recipe of index .* is damaged"),
        ("UPDATE meta SET value = 'x' WHERE key = 'recipe'", "recipe of index .* is damaged"),
        ("UPDATE meta SET value = json_set(value, '$.format', 99) WHERE key = 'recipe'", "newer semcbir"),
        ("DELETE FROM meta", "recipe of index .* is damaged"),
        ("DROP TABLE segments", "lacks the table 'segments'"),
        ("INSERT INTO dead SELECT id, 1000 FROM segments", "does not have"),
    ],
)
def test_catalogues_that_say_odd_things(damaged: Path, statement: str, message: str):
    with closing(sqlite3.connect(damaged / catalog.NAME)) as connection:
        connection.execute(statement)
        connection.commit()
    with pytest.raises(IndexStorageError, match=message):
        Index.open(damaged)


def test_a_segment_may_not_lead_outside(damaged: Path):
    with closing(sqlite3.connect(damaged / catalog.NAME)) as connection:
        connection.execute("UPDATE segments SET name = '../catalog.sqlite' WHERE id = 1")
        connection.commit()
    with pytest.raises(IndexStorageError, match=r"\.\./catalog\.sqlite"):
        Index.open(damaged)


LIMITED = """
import resource, signal, sys
from semcbir import Index, IndexStorageError
index = Index.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    index.refresh([sys.argv[2]])
except IndexStorageError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX resource limits")
@pytest.mark.parametrize("limit", [1000, 30_000])
def test_a_write_that_fails_changes_nothing(damaged: Path, made_photos: Path, tmp_path: Path, limit: int):
    """A limit on file sizes stands for a full disk: below the segment's size, and below the catalogue's."""
    more = Path(shutil.copytree(made_photos, tmp_path / "more"))
    before = {path: path.read_bytes() for path in segments(damaged)}
    records = list(Index.open(damaged))
    command = [sys.executable, "-c", LIMITED, str(damaged), str(more), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "refused:" in done.stdout, done.stderr
    assert str(damaged) in done.stdout
    index = Index.open(damaged)
    assert index.check() == []
    assert list(index) == records
    assert all(path.read_bytes() == data for path, data in before.items())
    index.refresh([more])
    assert len(index) == 11 + 12
    assert index.check() == []


def test_one_byte_written_is_what_a_writer_needs(damaged: Path, monkeypatch: pytest.MonkeyPatch):
    """A lock file that may only be read must not pass for a lock."""
    real = sqlite3.connect

    def read_only(path: object, **options: object) -> sqlite3.Connection:
        if str(path).endswith(catalog.LOCK):
            return real(f"file:{path}?mode=ro", uri=True, **options)
        return real(path, **options)

    Index.open(damaged).refresh()
    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(IndexStorageError, match="cannot be written"):
        Index.open(damaged).refresh()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_index_can_be_searched_but_not_changed(damaged: Path, made_photos: Path):
    for path in [*damaged.rglob("*"), damaged]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert search(made_photos / "beach" / "0.jpg", damaged)[0].distance == 0
        with pytest.raises(IndexStorageError, match="cannot be written"):
            Index.open(damaged).refresh()
    finally:
        for path in [damaged, *damaged.rglob("*")]:
            path.chmod(0o755)


def test_a_catalogue_that_cannot_be_written(damaged: Path, monkeypatch: pytest.MonkeyPatch):
    """What the test above shows, for those who run the tests as root."""
    real = sqlite3.connect

    def read_only(path: str | Path, **options: object) -> sqlite3.Connection:
        if str(path).endswith(catalog.LOCK):
            raise sqlite3.OperationalError("unable to open database file")
        return real(path, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    with pytest.raises(IndexStorageError, match="cannot be written: unable to open"):
        Index.open(damaged).refresh()
    assert len(Index.open(damaged)) == 11
