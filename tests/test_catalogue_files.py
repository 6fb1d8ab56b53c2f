# SPDX-License-Identifier: MIT
"""A catalogue from anywhere: SQLite deletes, runs and replaces nothing at its word."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from semcbir import Index, IndexStorageError, check_index
from semcbir.index import catalog, database

JOURNAL = bytes.fromhex("d9d505f920a163d7")
PAGE = 4096


@pytest.fixture(scope="module")
def pristine(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Index.build(
        made_photos / "beach", tmp_path_factory.mktemp("pristine") / "index", model=tiny_model
    ).path


@pytest.fixture
def index(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "index"))


def assert_refused(index: Path, message: str) -> None:
    for use in (Index.open, lambda path: Index.open(path).refresh()):
        with pytest.raises(IndexStorageError, match=message):
            use(index)
    (problem,) = check_index(index)
    assert message.replace("\\", "") in problem


def super_journal(index: Path, victim: Path) -> bytes:
    """A rollback journal of no pages that names ``victim`` as its super-journal, as SQLite describes it."""
    pages = (index / catalog.NAME).stat().st_size // PAGE
    header = JOURNAL + struct.pack(">5I", 0, 7, pages, 512, PAGE)
    name = os.fsencode(victim)
    locking_page = 2**30 // PAGE + 1
    ending = struct.pack(">I", locking_page) + name + struct.pack(">II", len(name), sum(name)) + JOURNAL
    return header.ljust(512, b"\0") + ending


@pytest.mark.parametrize("lock", [False, True], ids=["catalogue", "lock"])
def test_no_file_is_deleted_at_the_word_of_a_journal(index: Path, tmp_path: Path, lock: bool):
    victim = tmp_path / "thesis.txt"
    victim.write_text("years of work")
    if lock:
        shutil.copy(index / catalog.NAME, index / catalog.LOCK)
        (index / f"{catalog.LOCK}-journal").write_bytes(super_journal(index, victim))
        with pytest.raises(IndexStorageError, match=r"writer\.lock is .*expected an empty file"):
            Index.open(index).refresh()
    else:
        (index / database.JOURNAL).write_bytes(super_journal(index, victim))
        assert_refused(index, "catalog.sqlite-journal makes SQLite delete another file")
    assert victim.read_text() == "years of work"


def test_the_test_above_tests_something(index: Path, tmp_path: Path):
    """SQLite by itself deletes the file."""
    victim = tmp_path / "thesis.txt"
    victim.write_text("years of work")
    (index / database.JOURNAL).write_bytes(super_journal(index, victim))
    with closing(sqlite3.connect(index / catalog.NAME)) as connection:
        connection.execute("SELECT count(*) FROM images").fetchone()
    assert not victim.exists()


def test_the_lock_is_an_empty_file(index: Path):
    for name, content in (
        (catalog.LOCK, b"x"),
        (f"{catalog.LOCK}-journal", b""),
        (f"{catalog.LOCK}-wal", b""),
    ):
        (index / name).write_bytes(content)
        with pytest.raises(IndexStorageError, match=rf"{name} is a regular file of \d bytes"):
            Index.open(index).refresh()
        (index / name).unlink()
    Index.open(index).refresh()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX links and pipes")
@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "sparse"])
def test_what_lies_beside_the_catalogue(index: Path, tmp_path: Path, suffix: str, kind: str):
    place = index / f"{catalog.NAME}{suffix}"
    (tmp_path / "victim").write_bytes(JOURNAL * 100)
    if kind == "link":
        place.symlink_to(tmp_path / "victim")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    else:
        with place.open("wb") as file:
            file.truncate(2**40)
    assert_refused(index, place.name)
    assert (tmp_path / "victim").read_bytes() == JOURNAL * 100


def test_a_catalogue_in_wal_mode_is_refused(index: Path):
    with closing(sqlite3.connect(index / catalog.NAME)) as connection:
        assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        connection.execute("UPDATE meta SET value = value")
        connection.commit()
        assert (index / f"{catalog.NAME}-wal").exists()
        assert_refused(index, "semcbir keeps no such file")
    assert_refused(index, "in the WAL mode")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE VIEW more AS SELECT * FROM images", "holds the view 'more'"),
        (
            "CREATE TRIGGER more AFTER INSERT ON images BEGIN DELETE FROM roots; END",
            "holds the trigger 'more'",
        ),
        ("CREATE VIRTUAL TABLE more USING fts5(x)", "holds the table 'more'"),
        ("CREATE TABLE more (x)", "holds the table 'more'"),
        ("CREATE INDEX more ON images (size)", "holds the index 'more'"),
        ("ALTER TABLE images ADD COLUMN more", "holds the table 'images'"),
        (
            "ALTER TABLE images RENAME TO more; CREATE VIEW images AS SELECT * FROM more",
            "holds the index 'images_by_row'",
        ),
        ("DROP TABLE dead", "lacks the table 'dead'"),
        ("DROP INDEX images_by_row", "lacks the index 'images_by_row'"),
        (
            "DROP TABLE dead; CREATE TABLE dead (segment DEFAULT (randomblob(9)), row AS (1/0))",
            "holds the table 'dead'",
        ),
    ],
)
def test_a_schema_that_is_not_ours_is_refused(index: Path, statement: str, what: str):
    with closing(sqlite3.connect(index / catalog.NAME)) as connection:
        try:
            connection.executescript(statement)
        except sqlite3.OperationalError as error:
            pytest.skip(str(error))
    assert_refused(index, what)


def test_the_text_of_a_schema_may_be_set_otherwise(index: Path):
    with closing(sqlite3.connect(index / catalog.NAME)) as connection:
        connection.executescript(
            "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, ', ', ',  \n');"
        )
    assert len(Index.open(index)) == 4


def test_readers_open_read_only(index: Path):
    with database.reading(index) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("UPDATE meta SET value = value")


def test_sqlite_is_told_to_trust_nothing(index: Path):
    def assert_careful(connection: sqlite3.Connection) -> None:
        for setting, value in (("trusted_schema", 0), ("cell_size_check", 1), ("mmap_size", 0)):
            assert connection.execute(f"PRAGMA {setting}").fetchone() in ((value,), None)
        with pytest.raises(sqlite3.DataError, match="too big"):
            connection.execute("SELECT zeroblob(100000000)")

    with database.reading(index) as connection:
        assert_careful(connection)
    with database.writing(index) as connection:
        assert_careful(connection)


KILLED = """
import os, signal, sys
from pathlib import Path
from semcbir.index.catalog import writer
with writer(Path(sys.argv[1])) as catalog, catalog.changes():
    catalog._connection.execute("PRAGMA cache_spill = 1")
    catalog._connection.execute("PRAGMA cache_size = 1")
    for key in range(2000):
        catalog.put_image(1000 + key, 1, str(key).encode(), size=1, mtime_ns=1, reason="x" * 100)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(index: Path) -> Path:
    """An index whose writer was killed amid a commit, so that its catalogue is half new, half old."""
    before = (index / catalog.NAME).read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, str(index)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (index / database.JOURNAL).stat().st_size > 512
    assert (index / catalog.NAME).read_bytes() != before
    return index


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("use", [Index.open, check_index, lambda path: Index.open(path).refresh()])
def test_what_a_killed_writer_left_is_rolled_back(
    killed: Path, pristine: Path, use: Callable[[Path], object]
):
    use(killed)
    assert not (killed / database.JOURNAL).exists()
    assert list(Index.open(killed)) == list(Index.open(pristine))
    assert check_index(killed) == []


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_writer_killed_while_a_reader_opens(killed: Path, pristine: Path, monkeypatch: pytest.MonkeyPatch):
    """The reader looked before there was a journal, and SQLite finds it."""
    inspect = database._inspect
    seen = []

    def late(folder: Path) -> bool:
        seen.append(inspect(folder))
        return seen[-1] and len(seen) > 1

    monkeypatch.setattr(database, "_inspect", late)
    assert len(Index.open(killed)) == len(Index.open(pristine))
    assert seen == [True, True, False]
    assert not (killed / database.JOURNAL).exists()


def test_an_empty_journal_is_no_reason_to_refuse(index: Path):
    for content in (b"", b"\0" * 512, b"\0" * 4096):
        (index / database.JOURNAL).write_bytes(content)
        assert len(Index.open(index)) == 4
        assert check_index(index) == []
