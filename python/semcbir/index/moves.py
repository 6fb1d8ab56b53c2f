# SPDX-License-Identifier: MIT
"""Moves: a new file that is an image known under another path, which is gone, keeps its id and signature.

It is recognised by its size, its mtime and its fingerprint: a hash of the size and of three pieces.
Among copies only those are taken whose names say which is which.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, TypeVar

from semcbir._files import open_regular
from semcbir.index.catalog import Catalog
from semcbir.index.roots import read_roots
from semcbir.index.rows import ImageRow
from semcbir.index.tasks import Move, Plan, Task
from semcbir.index.vanished import Surroundings, is_there

_Item = TypeVar("_Item")
_Key: TypeAlias = tuple[int, int, bytes]
_PIECE = 65536
_LARGEST = 2**63 - 1  # SQLite's; files can carry stranger times


def size_and_mtime(status: os.stat_result) -> tuple[int, int]:
    """Return a file's size in bytes and its mtime in ns, as the catalogue holds them."""
    return status.st_size, max(-_LARGEST, min(status.st_mtime_ns, _LARGEST))


def fingerprint(file: Path, size: int, mtime_ns: int) -> bytes | None:
    """Return a hash (16 bytes) of a file's size, its first 64 KiB, its last, and those in the middle.

    None if it cannot be read, or if its size and mtime are no longer these.
    """
    try:
        with open_regular(file) as opened:
            if size_and_mtime(os.fstat(opened.fileno())) != (size, mtime_ns):
                return None
            digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
            # The middle too: uncompressed pictures of one size may have the same borders.
            for start in sorted({0, max(0, (size - _PIECE) // 2), max(0, size - _PIECE)}):
                opened.seek(start)
                digest.update(opened.read(_PIECE))
            return digest.digest()
    except (OSError, ValueError):
        return None


def fingerprints(images: Iterable[tuple[int, Task]]) -> list[tuple[int, int, int, bytes]]:
    """Return (id, size, mtime, fingerprint) of the files of images, given by id; without unreadable ones."""
    return [
        (key, task.size, task.mtime_ns, digest)
        for key, task in images
        if (digest := fingerprint(task.path, task.size, task.mtime_ns))
    ]


def has_image_of(catalog: Catalog, root: int, files: Iterable[Path]) -> bool:
    """Return whether one of ``files`` is, by its fingerprint, an image of a root that is in the index."""
    if not catalog.has_fingerprints():
        return False
    for file in files:
        try:
            facts = size_and_mtime(file.stat())
        except OSError:
            continue
        own = {digest for row, digest in catalog.fingerprinted(*facts) if _is_at(row, root)}
        if own and fingerprint(file, *facts) in own:
            return True
    return False


def _is_at(row: ImageRow, root: int) -> bool:
    return (row.root, row.state) == (root, "indexed")


def recognise(catalog: Catalog, plans: Sequence[Plan], *, adding: bool) -> None:
    """Turn tasks for new paths into moves where the file is a known image's, whose own path is gone.

    A refresh has looked at all images, and ``plans`` say which are gone; while ``adding``, every image whose
    file is gone may be the one.
    """
    fresh = [(plan, task) for plan in plans for task in plan.tasks if task.known is None]
    if not fresh or not catalog.has_fingerprints():
        return
    known = _vanished(catalog, plans, fresh, adding=adding)
    found: dict[_Key, list[tuple[Plan, Task]]] = {}
    for plan, task in fresh:
        facts = (task.size, task.mtime_ns)
        if facts in known and (digest := fingerprint(task.path, *facts)):
            found.setdefault((*facts, digest), []).append((plan, task))
    moved, settled = set(), set()
    for (size, mtime_ns, digest), new in found.items():
        old = [row for row, own in known[size, mtime_ns] if own == digest]
        for row, (plan, task) in _pairs(old, new):
            settled.add(id(task))
            if row.state == "indexed" or row.stored:
                plan.moved.append(Move(row, task.root, task.relative))
            else:
                plan.tasks.append(replace(task, known=row))
            moved.add(row.id)
    for plan in plans:
        plan.tasks = [task for task in plan.tasks if id(task) not in settled]
        plan.gone = [key for key in plan.gone if key not in moved]


def _vanished(
    catalog: Catalog, plans: Sequence[Plan], fresh: Iterable[tuple[Plan, Task]], *, adding: bool
) -> dict[tuple[int, int], list[tuple[ImageRow, bytes]]]:
    """Return the images of the size and mtime of a ``fresh`` file whose own is gone, with fingerprints."""
    gone = {key for plan in plans for key in plan.gone}
    roots = {root.id: root for root in read_roots(catalog, forgotten=True)}
    around = {key: Surroundings(root) for key, root in roots.items()}

    def is_gone(row: ImageRow) -> bool:
        if row.id in gone:
            return True
        if row.root not in roots or row.state not in (("gone", "indexed") if adding else ("gone",)):
            return False
        root = roots[row.root]
        file = root.file(row.path)
        there = not os.path.isdir(root.folder) or is_there(file)  # noqa: PTH112
        return there is False and around[row.root].hollow(file) is None

    found = {}
    for facts in {(task.size, task.mtime_ns) for _, task in fresh}:
        if rows := [(row, digest) for row, digest in catalog.fingerprinted(*facts) if is_gone(row)]:
            found[facts] = rows
    return found


def _pairs(
    old: Sequence[ImageRow], new: Sequence[tuple[Plan, Task]]
) -> list[tuple[ImageRow, tuple[Plan, Task]]]:
    """Return which image is which file; of several copies, those of one name that only one pair has."""
    if len(old) == len(new) == 1:
        return [(old[0], new[0])]
    rows, files = _by_name((row.path, row) for row in old), _by_name((one[1].relative, one) for one in new)
    return [
        (rows[name][0], files[name][0])
        for name in rows.keys() & files.keys()
        if len(rows[name]) == len(files[name]) == 1
    ]


def _by_name(pairs: Iterable[tuple[bytes, _Item]]) -> dict[bytes, list[_Item]]:
    found: dict[bytes, list[_Item]] = {}
    for path, item in pairs:
        found.setdefault(path.rpartition(b"/")[2], []).append(item)
    return found
