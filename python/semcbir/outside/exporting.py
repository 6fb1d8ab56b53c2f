# SPDX-License-Identifier: MIT
"""Exporting an index: its images, and the signatures of one feature, to where other programs read them."""

from __future__ import annotations

import os
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass

from semcbir._files import PathLike, absolute
from semcbir._validate import check_call, check_choice, check_flag, shown
from semcbir.index.index import Index, OnProgress
from semcbir.index.ready import open_place
from semcbir.index.report import Progress
from semcbir.outside import parquet, pgvector, qdrant
from semcbir.outside.rows import Facts, Sink, batches, facts_of

TARGETS = ("parquet", "pgvector", "qdrant")
NAME = "semcbir"
_NAMES = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Exported:
    """What was exported ``to`` which ``place``: so many images, and rows of signatures of ``feature``."""

    to: str
    place: str
    feature: str
    images: int
    rows: int


def export_index(
    index: Index | PathLike,
    place: PathLike,
    to: str,
    *,
    feature: str | None = None,
    name: str | None = None,
    replace: bool = False,
    on_progress: OnProgress = None,
) -> Exported:
    """Write the images of an index and their signatures of ``feature`` (None: the first) for other programs.

    ``to`` is "parquet", and ``place`` a folder; "pgvector", and ``place`` a connection string of PostgreSQL;
    or "qdrant", and ``place`` the address of a server or the folder of an embedded one. ``name`` (None:
    "semcbir") is how the tables begin, or that of the collection. An export that is there is replaced only
    with ``replace``; nothing else ever is. Some thousand images are in memory at a time.

    Raises TypeError or ValueError for a wrong argument, or a place that is not free; SemcbirError if a
    library is missing, or a database or server refuses; IndexStorageError if the index is damaged; OSError if
    files cannot be written.
    """
    check_choice("to", to, TARGETS)
    check_flag("replace", replace)
    check_call("on_progress", on_progress)
    opened = open_place(index, "index")
    facts = facts_of(opened, feature)
    done = rows = 0
    with _writing(place, to, facts, checked_name(name, to), replace) as sink:
        for batch in batches(opened, facts.feature):
            sink.add(batch)
            done += len(batch.records)
            rows += len(batch.signatures.classes)
            if on_progress:
                on_progress(Progress(done, len(opened), 0))
    return Exported(to, sink.place, facts.feature, done, rows)


def checked_name(name: object, to: str) -> str:
    """Return what the tables or the collection are called; ValueError for what cannot be a name there."""
    if name is None:
        return NAME
    if to == "parquet":
        raise ValueError(f"name: not with parquet, whose folder is its name; got {shown(name)}")
    if not isinstance(name, str) or not _NAMES.fullmatch(name):
        expected = "up to 40 small letters, digits and _, a letter first"
        raise ValueError(f"name: expected {expected}, got {shown(name)}")
    return name


def _checked_address(place: object, to: str) -> str:
    text = os.fspath(place) if isinstance(place, (str, os.PathLike)) else None
    if not isinstance(text, str):
        # Not what it is: bytes, say, may be an address with a password.
        raise TypeError(f"place: expected an address for {to} as text, got {type(place).__name__}")
    if not text.strip():
        raise ValueError(f"place: expected an address for {to}, got {shown(place)}")
    return text


def _writing(
    place: PathLike, to: str, facts: Facts, name: str, replace: bool
) -> AbstractContextManager[Sink]:
    if to == "parquet":
        folder = absolute(place, "place")
        if "://" in os.fspath(place):  # it is not shown, for it may have a password
            raise ValueError("place: expected a folder for Parquet files, got an address")
        return parquet.writing(folder, facts, replace)
    write = pgvector.writing if to == "pgvector" else qdrant.writing
    return write(_checked_address(place, to), facts, name, replace)
