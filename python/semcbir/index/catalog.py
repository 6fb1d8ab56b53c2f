# SPDX-License-Identifier: MIT
"""The catalogue: the SQLite file that says what is in an index. What it does not list does not exist.

All SQL of the package is here, but for the tables, which ``schema`` declares and describes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from semcbir._files import display_path
from semcbir._lock import LockFileError, LockHeldError, hold
from semcbir._validate import shown
from semcbir.errors import IndexLockedError, IndexStorageError
from semcbir.index import rows
from semcbir.index.database import NAME, SEGMENTS, overtaken, reading, require_index, writing
from semcbir.index.rows import ImageRow, RootRow, RowError, SegmentFile, StoredRow
from semcbir.index.schema import FINGERPRINTS, SUPERSEDED, TAKEN, check_schema

LOCK = "writer.lock"
FILES = frozenset(f"{name}{suffix}" for name in (NAME, LOCK) for suffix in ("", "-journal"))
"""The files that a catalogue may consist of, even in the middle of a change."""

_ROOTS = "SELECT id, path, relative, state FROM roots ORDER BY id"
_SEGMENTS = "SELECT id, name, images, size, sha256 FROM segments ORDER BY id"
_DEAD = "SELECT segment, row FROM dead"
_IMAGE = "SELECT id, root, path, size, mtime_ns, state, segment IS NOT NULL FROM images"
_REASONS = "SELECT root, path, reason FROM images WHERE reason IS NOT NULL"
_ODD_TYPES = (
    "SELECT id, segment, row, reason FROM images WHERE typeof(segment) NOT IN ('integer', 'null')"
    " OR typeof(row) NOT IN ('integer', 'null') OR typeof(reason) NOT IN ('text', 'null')"
    " OR (state = 'skipped' AND reason IS NULL)"
)
_REMEMBER = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
_MOST_COMMITS = 2**62
_ROWS_AT_ONCE = 2**12
_IDS_AT_ONCE = 64
_SMALLEST_ROW = 4
"""Bytes."""
_BURY = "INSERT INTO dead SELECT segment, row FROM images"


class Catalog:
    """The open catalogue of the index at ``folder``, as ``read`` and ``writer`` give it.

    Changes belong inside ``with catalog.changes():``, which is one commit. Each commit counts one up in
    ``meta``: where the writers' lock does nothing, as on some network file systems, a writer whose catalogue
    another one has changed notices it there, and fails before it overwrites anything.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection
        self._generation = self._stored_generation()
        self._new: list[str] = []
        """Names of the segments that are to be listed with the next commit."""

    @contextmanager
    def changes(self) -> Iterator[None]:
        """Commit at the end; undo everything after an exception.

        Raises IndexLockedError, and undoes everything, if another process has changed the catalogue since it
        was opened, or has deleted a new segment.
        """
        before = self._connection.total_changes
        self._new.clear()
        with self._connection:
            yield
            if changed := self._connection.total_changes != before:
                self._require_alone()
                if not all(os.path.lexists(self.folder / SEGMENTS / name) for name in self._new):
                    raise overtaken(self.folder)
                self.remember("generation", self._generation + 1)
        self._generation += changed

    @contextmanager
    def standstill(self) -> Iterator[None]:
        """Keep other processes from committing; IndexLockedError if one has changed the catalogue."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._require_alone()
            yield
        finally:
            self._connection.rollback()

    def _require_alone(self) -> None:
        if self._stored_generation() != self._generation:
            raise overtaken(self.folder)

    def _stored_generation(self) -> int:
        stored = self.meta("generation")
        if stored is not None and (type(stored) is not int or not 0 <= stored < _MOST_COMMITS):
            raise RowError(f"generation: expected a number of commits, got {shown(stored)}")
        return stored or 0

    def _all(self, query: str, *values: object) -> list[Any]:
        return [*self._each(query, *values)]

    def _each(self, query: str, *values: object) -> Iterator[Any]:
        """Yield what a query finds; RowError for more than there can be, as where pages name one another."""
        found, cursor = 0, self._connection.execute(query, values)
        while part := cursor.fetchmany(_ROWS_AT_ONCE):
            found += len(part)
            if found > _ROWS_AT_ONCE and found > self._most_rows():
                raise RowError("it gives more rows than fit into it")
            yield from part

    def _most_rows(self) -> int:
        (pages,), (size,) = (
            self._connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
        )
        return int(pages * size) // _SMALLEST_ROW

    def _at_most(self, most: int, what: str, query: str) -> list[Any]:
        found = self._connection.execute(query).fetchmany(most + 1)
        if len(found) > most:
            raise RowError(f"it lists more than {most} {what}")
        return found

    # --- what it says -------------------------------------------------------------------------------------

    def meta(self, key: str) -> Any:
        """Return what the catalogue holds about the index under ``key``, or None."""
        found = self._all("SELECT value FROM meta WHERE key = ?", key)
        return found[0][0] if found else None

    def remember(self, key: str, value: str | int) -> None:
        """Make ``value`` what ``meta`` gives for ``key``."""
        self._connection.execute(_REMEMBER, (key, value))

    def forget(self, key: str) -> None:
        """Delete what ``meta`` gives for ``key``."""
        self._connection.execute("DELETE FROM meta WHERE key = ?", (key,))

    def roots(self) -> list[RootRow]:
        """Return all roots, oldest first, forgotten ones included."""
        return [rows.root_row(row) for row in self._at_most(rows.MAX_ROOTS, "folders", _ROOTS)]

    def segments(self) -> list[tuple[int, SegmentFile]]:
        """Return the segments with their numbers, oldest first."""
        return [rows.segment_row(row) for row in self._at_most(rows.MAX_SEGMENTS, "segments", _SEGMENTS)]

    def dead_rows(self) -> dict[int, list[int]]:
        """Return, per segment, the rows whose image is no longer in the index."""
        dead: dict[int, list[int]] = {}
        for segment, row in map(rows.dead_row, self._each(_DEAD)):
            dead.setdefault(segment, []).append(row)
        return dead

    def images_in_segment(self, segment: int) -> list[tuple[int, int]]:
        """Return (row, id) of a segment's images that are in the index, by row."""
        query = "SELECT row, id FROM images WHERE segment = ? AND state = 'indexed' ORDER BY row"
        return self._all(query, segment)

    def images_per_segment(self) -> dict[int, tuple[int, int]]:
        """Return, per segment that holds any, how many images in the index it holds, and their least id."""
        query = "SELECT segment, count(*), min(id) FROM images WHERE state = 'indexed' GROUP BY segment"
        return {segment: (images, least) for segment, images, least in self._each(query)}

    def stored_in_segment(self, segment: int) -> list[StoredRow]:
        """Return what is known of a segment's images that are in the index, by row."""
        query = (
            "SELECT row, id, root, path, size, mtime_ns, reason FROM images"
            " WHERE segment = ? AND state = 'indexed' ORDER BY row"
        )
        return [rows.stored_row(row) for row in self._each(query, segment)]

    def known_of_segment(
        self, segment: int
    ) -> tuple[list[tuple[int, int, int, bytes]], list[tuple[int, int, int, int | None]]]:
        """Return the fingerprints, and when the photos were taken, of a segment's images in the index.

        Both are as ``put_fingerprints`` and ``put_taken`` take them.
        """
        found = [
            self._all(
                f"SELECT image, t.size, t.mtime_ns, {column} FROM {table} t JOIN images ON id = image"
                " WHERE segment = ? AND state = 'indexed' ORDER BY row",
                segment,
            )
            if self._has_table(table)
            else []
            for table, column in (("fingerprints", "digest"), ("taken", "at"))
        ]
        return found[0], found[1]

    def listed_after(self, root: int, path: bytes, most: int) -> list[tuple[int, bytes, str]]:
        """Return (id, path, state) of ``most`` images of a root that are not gone, by path, from there on."""
        query = (
            "SELECT id, path, state FROM images WHERE root = ? AND path > ? AND state <> 'gone'"
            " ORDER BY path LIMIT ?"
        )
        found = self._each(query, root, path, most)
        return [(*rows.image_path((key, name)), state) for key, name, state in found]

    def dense_ids(self) -> int:
        """Return the id after all that were ever given out, which are as many as there are rows of images.

        Raises RowError where it cannot be: memory for as many numbers would then say nothing of the file.
        """
        bound = self.next_id()
        if bound > self._most_rows():
            raise RowError(f"image {bound - 1}: expected ids below the number of rows")
        return bound

    def unfound(self) -> list[tuple[ImageRow, str | None]]:
        """Return the files that could not be read, with the reason, and the images removed by hand."""
        query = f"{_IMAGE.replace(' FROM', ', reason FROM')} WHERE state IN ('skipped', 'removed')"
        return [(rows.image_row(row[:-1]), row[-1]) for row in self._each(query)]

    def image(self, image: int) -> ImageRow | None:
        """Return the image with this id, whatever its state."""
        found = self._all(f"{_IMAGE} WHERE id = ?", image)
        return rows.image_row(found[0]) if found else None

    def images(self, ids: Sequence[int]) -> dict[int, ImageRow]:
        """Return the images with these ids, whatever their state, by id; without ids that never existed."""
        found = {}
        for start in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[start : start + _IDS_AT_ONCE]
            # As many places as there may be, so that there is one statement; an id in several is found once.
            places = [*some, *[some[-1]] * (_IDS_AT_ONCE - len(some))] if len(some) > 1 else some
            query = f"{_IMAGE} WHERE id IN ({','.join('?' * len(places))})"
            found.update({row.id: row for row in map(rows.image_row, self._each(query, *places))})
        return found

    def indexed_at(self, root: int, path: bytes) -> ImageRow | None:
        """Return the image of the file ``path`` of a root, if it is in the index."""
        found = self._all(f"{_IMAGE} WHERE root = ? AND path = ? AND state = 'indexed'", root, path)
        return rows.image_row(found[0]) if found else None

    def image_at(self, root: int, path: bytes) -> ImageRow | None:
        """Return the image of the file ``path`` of a root, whatever its state."""
        found = self._all(f"{_IMAGE} WHERE root = ? AND path = ?", root, path)
        return rows.image_row(found[0]) if found else None

    def images_below(self, root: int, folder: bytes = b"") -> dict[bytes, ImageRow]:
        """Return all images of a root, or of a ``folder`` in it, by path, whatever their state."""
        # All paths below a folder begin with its name and "/", and sort before its name and "0".
        within, ends = (" AND path > ? AND path < ?", (folder + b"/", folder + b"0")) if folder else ("", ())
        query = f"{_IMAGE} WHERE root = ?{within}"
        found = map(rows.image_row, self._each(query, root, *ends))
        return {row.path: row for row in found}

    def each_file(self, root: int) -> Iterator[tuple[bytes, int]]:
        """Yield (path, size) of the files of a root that were there when it was looked at last, by path."""
        query = "SELECT id, path, size FROM images WHERE root = ? AND state <> 'gone' ORDER BY path"
        for key, path, size in self._each(query, root):
            if type(size) is int:
                yield rows.image_path((key, path))[1], size

    def indexed_below(self, root: int) -> list[tuple[int, bytes]]:
        """Return (id, path) of a root's images that are in the index."""
        query = "SELECT id, path FROM images WHERE root = ? AND state = 'indexed'"
        return [rows.image_path(row) for row in self._all(query, root)]

    def has_fingerprints(self) -> bool:
        """Return whether the catalogue holds fingerprints of files at all."""
        return self._has_table("fingerprints")

    def _has_table(self, name: str) -> bool:
        return bool(self._all("SELECT 1 FROM sqlite_master WHERE name = ?", name))

    def fingerprinted(self, size: int, mtime_ns: int) -> list[tuple[ImageRow, bytes]]:
        """Return the images of this size and mtime with their files' fingerprints."""
        # Another version may have read an image again and left its fingerprint as it was.
        join = ", digest FROM images JOIN fingerprints USING (size, mtime_ns)"
        query = _IMAGE.replace(" FROM images", join)
        found = self._all(f"{query} WHERE image = id AND size = ? AND mtime_ns = ?", size, mtime_ns)
        return [(rows.image_row(row[:-1]), row[-1]) for row in found]

    def skipped(self) -> list[tuple[int, bytes, str]]:
        """Return (root, path, reason) of the files that could not be read."""
        query = "SELECT root, path, reason FROM images WHERE state = 'skipped'"
        return [rows.skipped_row(row) for row in self._all(query)]

    def damaged(self) -> list[tuple[int, bytes, str]]:
        """Return (root, path, reason) of the images in the index whose files are damaged."""
        query = "SELECT root, path, reason FROM images WHERE state = 'indexed' AND reason IS NOT NULL"
        return [rows.skipped_row(row) for row in self._all(query)]

    def undated(self) -> list[tuple[int, int, bytes, int, int]]:
        """Return (id, root, path, size, mtime) of the images in the index whose dates are not known yet."""
        known = "SELECT 1 FROM taken WHERE image = id AND taken.size = i.size AND taken.mtime_ns = i.mtime_ns"
        return self._all(
            "SELECT id, root, path, size, mtime_ns FROM images i WHERE state = 'indexed'"
            + (f" AND NOT EXISTS ({known})" if self._has_table("taken") else "")
            + " AND typeof(size) = 'integer' AND typeof(mtime_ns) = 'integer'"
        )

    def named(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (id, root, path) of the images in the index."""
        query = "SELECT id, root, path FROM images WHERE state = 'indexed'"
        for key, root, path in self._each(query):
            yield key, root, rows.image_path((key, path))[1]

    def ids_below(self, root: int, folder: bytes) -> list[int]:
        """Return the ids of a root's images in a folder of it; b"": of all."""
        within, ends = (" AND path > ? AND path < ?", (folder + b"/", folder + b"0")) if folder else ("", ())
        query = f"SELECT id FROM images WHERE state = 'indexed' AND root = ?{within}"
        return [key for (key,) in self._each(query, root, *ends)]

    def ids_dated(self, first: int, last: int) -> list[int]:
        """Return the ids of the images taken from ``first`` to ``last``, in seconds; see ``taken_at``.

        A photo that does not say counts as taken when its file was changed last, by the clock here.
        """
        date, join = self._date()
        query = f"SELECT id FROM images i{join} WHERE state = 'indexed' AND {date}"
        return [key for (key,) in self._each(f"{query} BETWEEN ? AND ?", first, last)]

    def _date(self) -> tuple[str, str]:
        """Return SQL for when an image ``i`` was taken, and for what it joins."""
        join = " LEFT JOIN taken t ON t.image = i.id AND (t.size, t.mtime_ns) = (i.size, i.mtime_ns)"
        taken, join = ("t.at", join) if self._has_table("taken") else ("NULL", "")
        local = "CAST(strftime('%s', i.mtime_ns / 1000000000, 'unixepoch', 'localtime') AS INTEGER)"
        return f"coalesce({taken}, {local})", join

    def problems(self) -> list[str]:
        """Return what is wrong with the catalogue itself, one line per problem."""
        found = self._all("PRAGMA integrity_check")
        if found != [("ok",)]:
            lines = [line for (text,) in found for line in str(text).splitlines()]
            return [f"catalogue: {display_path(line)}" for line in lines]
        if self._all("PRAGMA foreign_key_check"):
            return ["catalogue: it names folders or segments that it does not list"]
        return [f"catalogue: {error}" for error in islice(self._wrong_rows(), 20)]

    def _wrong_rows(self) -> Iterator[RowError]:
        checks: tuple[tuple[str, Callable[[Any], object]], ...] = (
            (_ROOTS, rows.root_row),
            (_SEGMENTS, rows.segment_row),
            (_DEAD, rows.dead_row),
            (_IMAGE, rows.image_row),
            (_REASONS, rows.skipped_row),
            ("SELECT key, value FROM meta", tuple),  # text that is not UTF-8 is an error of SQLite's
        )
        for query, check in checks:
            for row in self._each(query):
                try:
                    check(row)
                except RowError as error:
                    yield error
        for key, segment, row, reason in self._each(_ODD_TYPES):
            yield RowError(
                f"image {key}: segment, row and reason: expected two numbers and text, "
                f"got {shown(segment)}, {shown(row)} and {shown(reason)}"
            )

    # --- roots --------------------------------------------------------------------------------------------

    def add_root(self, path: bytes, relative: bytes | None, state: str) -> int:
        """List a new root; return its number."""
        query = "INSERT INTO roots (path, relative, state) VALUES (?, ?, ?)"
        return self._inserted(query, path, relative, state)

    def set_root_state(self, root: int, state: str) -> None:
        """Set a root's state."""
        self._connection.execute("UPDATE roots SET state = ? WHERE id = ?", (state, root))

    def move_root(self, root: int, path: bytes, relative: bytes | None) -> None:
        """Store where a root is now."""
        query = "UPDATE roots SET path = ?, relative = ? WHERE id = ?"
        self._connection.execute(query, (path, relative, root))

    def drop_root(self, root: int) -> None:
        """Take a root that has no images off the list."""
        self._connection.execute("DELETE FROM roots WHERE id = ?", (root,))

    # --- images -------------------------------------------------------------------------------------------

    def next_id(self) -> int:
        """Return the id after all that were ever given out."""
        (last,) = self._all("SELECT coalesce(max(id), -1) FROM images")[0]
        if last >= rows.MAX_ID:
            raise RowError(
                f"image {last}: expected ids below {rows.MAX_ID}, so that another image can be added"
            )
        return int(last) + 1

    def put_image(
        self,
        image: int,
        root: int,
        path: bytes,
        *,
        size: int | None,
        mtime_ns: int | None,
        segment: int | None = None,
        row: int | None = None,
        reason: str | None = None,
    ) -> None:
        """List an image at a ``row`` of a ``segment``, or as skipped for ``reason``.

        For an image at a row, ``reason`` is what is damaged in its file.

        If the id is already listed, the segment row that held it becomes dead.
        """
        state = "skipped" if segment is None else "indexed"
        self._connection.execute(f"{_BURY} WHERE id = ? AND state = 'indexed'", (image,))
        self._connection.execute(
            "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " (root, path, size, mtime_ns, state, segment, row, reason) ="
            " (excluded.root, excluded.path, excluded.size, excluded.mtime_ns,"
            "  excluded.state, excluded.segment, excluded.row, excluded.reason)",
            (image, root, path, size, mtime_ns, state, segment, row, reason),
        )

    def put_fingerprints(self, prints: Iterable[tuple[int, int, int, bytes]]) -> None:
        """Store fingerprints of files: (image, size, mtime, digest)."""
        for query in FINGERPRINTS:
            self._connection.execute(query)
        self._connection.executemany("INSERT OR REPLACE INTO fingerprints VALUES (?, ?, ?, ?)", prints)

    def ids_by_date(self) -> list[int]:
        """Return the ids of the images, those taken last first, ties by id; dates are as in ``ids_dated``."""
        date, join = self._date()
        query = f"SELECT id FROM images i{join} WHERE state = 'indexed' ORDER BY {date} DESC, id"
        return [key for (key,) in self._each(query)]

    def put_taken(self, dates: Iterable[tuple[int, int, int, int | None]]) -> None:
        """Store when photos were taken: (image, size and mtime of the file that says so, seconds or None)."""
        self._connection.execute(TAKEN)
        self._connection.executemany("INSERT OR REPLACE INTO taken VALUES (?, ?, ?, ?)", dates)

    def take_out(self, images: Iterable[int], state: str) -> int:
        """Take images out; their rows stay, in ``state``. Returns how many were in the index."""
        keys = [(key,) for key in images]
        before = self._connection.total_changes
        self._connection.executemany(f"{_BURY} WHERE id = ? AND state = 'indexed'", keys)
        count = self._connection.total_changes - before
        self._connection.executemany(
            # What is damaged counts again if the image is put back.
            "UPDATE images SET reason = CASE WHEN state <> 'skipped' THEN reason END, state = ? WHERE id = ?",
            ((state, *key) for key in keys),
        )
        return count

    def hand_over(self, root: int, images: Iterable[tuple[int, bytes]]) -> None:
        """Give images, by (id, path there), to the root ``root``."""
        self._connection.executemany(
            "UPDATE images SET root = ?, path = ? WHERE id = ?", ((root, path, key) for key, path in images)
        )

    def supersede(self, image: int, root: int) -> None:
        """Take out an image whose file is another image, for good: its row only keeps the id reserved."""
        self.take_out([image], "gone")
        self._connection.execute(
            "UPDATE images SET root = ?, path = ?, size = NULL, mtime_ns = NULL WHERE id = ?",
            (root, f"{SUPERSEDED}/{image}".encode(), image),
        )

    def put_back(self, images: Iterable[int]) -> None:
        """Undo ``take_out`` for images whose segment still has their signature."""
        keys = [(key,) for key in images]
        self._connection.executemany(
            "DELETE FROM dead WHERE (segment, row) IN (SELECT segment, row FROM images WHERE id = ?)", keys
        )
        self._connection.executemany("UPDATE images SET state = 'indexed' WHERE id = ?", keys)

    # --- segments -----------------------------------------------------------------------------------------

    def add_segment(self, segment: SegmentFile) -> int:
        """List a new segment; return its number."""
        self._new.append(segment.name)
        query = "INSERT INTO segments (name, images, size, sha256) VALUES (?, ?, ?, ?)"
        return self._inserted(query, segment.name, segment.images, segment.size, segment.sha256)

    def replace_segments(self, old: Sequence[int], new: SegmentFile | None, images: Iterable[int]) -> None:
        """List ``new`` in place of ``old``; ``images`` are the ids of its rows, in order.

        Removed and gone images lose their stored signatures.
        """
        keys = [(key,) for key in old]
        if new:
            key = self.add_segment(new)
            self._connection.executemany(
                "UPDATE images SET segment = ?, row = ? WHERE id = ?",
                ((key, row, image) for row, image in enumerate(images)),
            )
        self._connection.executemany("UPDATE images SET segment = NULL, row = NULL WHERE segment = ?", keys)
        self._connection.executemany("DELETE FROM dead WHERE segment = ?", keys)
        self._connection.executemany("DELETE FROM segments WHERE id = ?", keys)

    def shrink(self) -> None:
        """Return free pages to the system; not within ``changes``."""
        self._connection.execute("VACUUM")

    def _inserted(self, query: str, *values: object) -> int:
        key = self._connection.execute(query, values).lastrowid
        assert key is not None
        return key


@contextmanager
def read(folder: Path) -> Iterator[Catalog]:
    """Open the catalogue for one consistent view; no lock is held afterwards.

    Raises IndexStorageError if ``folder`` is not an index, or its catalogue is damaged or too new.
    """
    with reading(folder) as connection:
        check_schema(folder, connection)
        yield Catalog(folder, connection)


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold the writers' lock.

    Raises IndexLockedError if another writer holds it, IndexStorageError if it cannot be made.
    """
    with ExitStack() as held:
        try:
            held.enter_context(hold(folder / LOCK))
        except LockHeldError as error:
            raise IndexLockedError(
                f"another process is writing to index {folder}; wait until it has finished (reading goes on)"
            ) from error
        except LockFileError as error:
            raise IndexStorageError(f"index {folder} cannot be written: {error}") from error
        yield


@contextmanager
def writer(folder: Path) -> Iterator[Catalog]:
    """Open the catalogue for the one writer an index can have; each ``with catalog.changes():`` is a commit.

    Raises IndexLockedError if another writer is active, and otherwise like ``read``.
    """
    require_index(folder)
    with writer_lock(folder), locked_writer(folder) as catalog:
        yield catalog


@contextmanager
def locked_writer(folder: Path) -> Iterator[Catalog]:
    """Do the same for a caller who holds the writers' lock, and opens the catalogue now and then."""
    with writing(folder) as connection:
        check_schema(folder, connection)
        yield Catalog(folder, connection)
