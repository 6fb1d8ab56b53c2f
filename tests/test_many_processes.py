# SPDX-License-Identifier: MIT
"""Many processes at one index: an answer is right or says what is wrong, and nothing committed is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from semcbir import Index, IndexLockedError, IndexStorageError, _lock, search
from semcbir.index import catalog, create, run, segments
from semcbir.index.create import is_building
from semcbir.index.database import is_index

COMMAND = [sys.executable, "-c", "from semcbir.cli import main; main()"]
PROCESSES = 8
LINUX = Path("/proc/self/fd").is_dir()


@pytest.fixture
def many(photo_folder: Path) -> Path:
    """A folder of 120 photos."""
    for number in range(9):
        shutil.copytree(photo_folder / "beach", photo_folder / f"beach{number}")
        shutil.copytree(photo_folder / "town", photo_folder / f"town{number}")
        shutil.copytree(photo_folder / "meadow", photo_folder / f"meadow{number}")
    return photo_folder


def test_a_folder_searched_by_many_at_once(many: Path, tiny_model: Path):
    query = many / "beach" / "1.jpg"
    command = [*COMMAND, "search", str(query), str(many), "--model", str(tiny_model), "--json"]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    answers = []
    for process in started:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        answers.append(json.loads(out))
    assert [answer["images"] for answer in answers] == [120] * PROCESSES
    assert all(answer["hits"] == answers[0]["hits"] for answer in answers)
    assert Index.open(many / ".semcbir").check() == []


SLOW = """
import sys, time
import semcbir.index.run as run
from semcbir import Index
run.BATCH_IMAGES, run.BATCH_SECONDS = 1, 0.0
def slow(progress):
    print(progress.done, flush=True)
    if progress.done == 5:
        sys.stdin.readline()
Index.build(sys.argv[1], sys.argv[2], model=sys.argv[3], on_progress=slow)
"""


@contextmanager
def half_built(folder: Path, model: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has committed some photos, and goes on when it reads a line."""
    command = [sys.executable, "-c", SLOW, str(folder), str(folder / ".semcbir"), str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout
        while builder.stdout.readline().strip() != "5":
            assert builder.poll() is None
        yield builder
        builder.kill()


def test_a_search_waits_for_the_builder(photo_folder: Path, tiny_model: Path):
    with half_built(photo_folder, tiny_model) as builder:
        index = photo_folder / ".semcbir"
        assert 0 < len(Index.open(index)) < 12
        assert is_building(index)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")

            def go_on(*_: object) -> None:
                print(file=builder.stdin, flush=True)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("semcbir.index.ready.time.sleep", go_on)
                results = search(photo_folder / "beach" / "1.jpg", photo_folder, k=20)
        assert len(results) == 12
        told = [str(warning.message) for warning in caught]
        assert sum("is indexing" in message and "waiting" in message for message in told) == 1
    assert not is_building(index)


def test_an_index_named_as_such_is_searched_while_it_is_built(photo_folder: Path, tiny_model: Path):
    with half_built(photo_folder, tiny_model):
        assert 0 < len(search(photo_folder / "beach" / "1.jpg", photo_folder / ".semcbir", k=20)) < 12


def test_a_killed_builder_is_not_waited_for(photo_folder: Path, tiny_model: Path):
    with half_built(photo_folder, tiny_model):
        pass
    assert is_building(photo_folder / ".semcbir")
    assert len(search(photo_folder / "beach" / "1.jpg", photo_folder, k=20)) == 12
    assert not is_building(photo_folder / ".semcbir")


def test_after_the_first_build_nobody_waits(photo_folder: Path, tiny_model: Path):
    index = photo_folder / ".semcbir"
    Index.build(photo_folder, index, model=tiny_model)
    with catalog.writer_lock(index), pytest.warns(RuntimeWarning, match="searching what it holds so far"):
        assert len(search(photo_folder / "beach" / "1.jpg", photo_folder, k=20)) == 12


# --- where locks do nothing -------------------------------------------------------------------------------


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network file system whose locks are granted to everyone."""

    @contextmanager
    def granted(file: Path) -> Iterator[None]:
        yield

    monkeypatch.setattr(catalog, "hold", granted)
    monkeypatch.setattr(run, "BATCH_IMAGES", 1)
    monkeypatch.setattr(run, "BATCH_SECONDS", 0.0)


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder / "beach", tmp_path / "index", model=tiny_model)


@pytest.mark.usefixtures("no_locks")
def test_the_second_of_two_writers_fails_and_nothing_committed_is_lost(index: Index, photo_folder: Path):
    def other(progress: run.Progress) -> None:
        if progress.done == 2:
            Index.open(index.path).add(photo_folder / "town")

    with pytest.raises(IndexLockedError, match="changed by another process .* locks .* do not work"):
        index.add(photo_folder / "meadow", on_progress=other)
    opened = Index.open(index.path)
    assert opened.check() == []
    names = [record.path.parent.name for record in opened]
    assert names.count("beach") == names.count("town") == 4
    assert names.count("meadow") == 2
    opened.refresh()
    assert len(opened) == 12
    assert opened.check() == []


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("change", ["refresh", "compact", "remove"])
def test_a_new_segment_may_be_taken_for_litter_but_the_index_stays_sound(
    index: Index, photo_folder: Path, monkeypatch: pytest.MonkeyPatch, change: str
):
    real = segments.sync_folder

    def other(folder: Path) -> None:
        real(folder)
        monkeypatch.setattr(segments, "sync_folder", real)
        opened = Index.open(index.path)
        opened.remove(0) if change == "remove" else getattr(opened, change)()

    monkeypatch.setattr(segments, "sync_folder", other)
    with pytest.raises(IndexLockedError, match="locks of its file system do not work"):
        index.add(photo_folder / "meadow")
    opened = Index.open(index.path)
    assert opened.check() == []
    opened.refresh()
    assert len(opened) == (7 if change == "remove" else 8)
    assert opened.check() == []
    assert len(list((index.path / "segments").iterdir())) == len(opened._snapshot.segments)


@pytest.mark.usefixtures("no_locks")
def test_a_new_index_does_not_replace_another_s(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place, real = tmp_path / "index", create.copy_model

    def other(*arguments: object) -> None:
        monkeypatch.setattr(create, "copy_model", real)
        Index.build(photo_folder / "beach", place, model=tiny_model)
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(create, "copy_model", other)
    with pytest.raises(IndexLockedError, match="locks of its file system do not work"):
        Index.build(photo_folder / "town", place, model=tiny_model)
    assert [record.path.parent.name for record in Index.open(place)] == ["beach"] * 4
    assert Index.open(place).check() == []
    assert not [entry for entry in place.iterdir() if entry.suffix == ".tmp"]


def test_what_is_done_without_changes_counts_no_commit(index: Index):
    before = (index.path / catalog.NAME).read_bytes()
    index.refresh()
    assert (index.path / catalog.NAME).read_bytes() == before


@pytest.mark.parametrize("value", ["'x'", "-1", "9223372036854775807", "1.5"])
def test_a_strange_number_of_commits_is_refused(index: Index, value: str):
    with closing(sqlite3.connect(index.path / catalog.NAME)) as connection:
        connection.execute(f"INSERT OR REPLACE INTO meta VALUES ('generation', {value})")
        connection.commit()
    with pytest.raises(IndexStorageError, match="generation"):
        Index.open(index.path)


# --- where there are no locks -----------------------------------------------------------------------------

NO_LOCKS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
static int wrap(const char *name, int fd, int command, void *argument) {
    if (command == F_SETLK || command == F_SETLKW) { errno = ENOLCK; return -1; }
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    return real(fd, command, argument);
}
#define WRAP(name) int name(int fd, int command, ...) { \\
    va_list list; va_start(list, command); void *argument = va_arg(list, void *); va_end(list); \\
    return wrap(#name, fd, command, argument); }
WRAP(fcntl)
WRAP(fcntl64)
"""


@pytest.fixture(scope="module")
def no_lock_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes every lock fail as on NFS without its lock service."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler on Linux")
    folder = tmp_path_factory.mktemp("no_locks")
    (folder / "no_locks.c").write_text(NO_LOCKS)
    library = folder / "no_locks.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(folder / "no_locks.c"), "-ldl"]
    subprocess.run(command, check=True)
    return library


def test_a_file_system_without_locks_is_named(index: Index, no_lock_library: Path, tmp_path: Path):
    environment = {"LD_PRELOAD": str(no_lock_library), "PATH": "/usr/bin"}
    code = (
        "import sys; from pathlib import Path; import semcbir.index.database as database\n"
        "database._BUSY_SECONDS = 0.2\n"
        "from semcbir import IndexLockedError, IndexStorageError\n"
        "from semcbir.index.catalog import read, writer\n"
        "for use in (read, writer):\n"
        "    try:\n"
        "        with use(Path(sys.argv[1])): pass\n"
        "    except IndexStorageError as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-c", code, str(index.path)]
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(
        command, env=environment | paths, capture_output=True, text=True, timeout=120, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert line.startswith("IndexStorageError")
        assert "has no locks (No locks available)" in line
        assert "put the folder on another disk" in line
    assert index.check() == []
    assert not [entry for entry in index.path.iterdir() if entry.name.startswith(_lock.PROBE)]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_lock_that_is_held_is_not_taken_for_one_that_is_missing(
    index: Index, number: int, monkeypatch: pytest.MonkeyPatch
):
    fcntl = pytest.importorskip("fcntl")
    with catalog.writer_lock(index.path):
        with pytest.raises(IndexLockedError, match="another process is writing"):
            index.refresh()

        def missing(*_: object) -> None:
            raise OSError(number, "no locks here")

        monkeypatch.setattr(fcntl, "lockf", missing)
        with pytest.raises(IndexStorageError, match="has no locks") as raised:
            index.refresh()
        assert not isinstance(raised.value, IndexLockedError)
    assert is_index(index.path)


def test_reading_threads_leave_the_writer_its_locks(photo_folder: Path, tiny_model: Path, tmp_path: Path):
    index = tmp_path / "index"
    file = index / "catalog.sqlite"
    Index.build(photo_folder, index, model=tiny_model)
    outside = f"import sqlite3; sqlite3.connect({str(file)!r}, 0).execute('BEGIN IMMEDIATE')"
    with ThreadPoolExecutor(1) as beside, catalog.writer(index) as opened, opened.changes():
        opened.take_out([0], "gone")
        for _ in range(3):
            found = beside.submit(lambda: Index.open(index).find(photo_folder / "beach" / "1.jpg")).result()
            assert found is not None
        other = subprocess.run([sys.executable, "-c", outside], capture_output=True, text=True, check=False)
        assert "database is locked" in other.stderr
        Index.open(index)
    assert len(Index.open(index)) == 11
    assert Index.open(index).check() == []
    if LINUX:  # nothing stays open
        assert file not in {Path(os.path.realpath(path)) for path in Path("/proc/self/fd").glob("*")}
