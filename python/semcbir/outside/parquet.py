# SPDX-License-Identifier: MIT
"""Parquet: a folder with ``images.parquet`` and ``signatures.parquet``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from semcbir._files import display_path, sync_file, sync_folder
from semcbir._lock import PROBE
from semcbir.outside.folders import LOCK, only_writer, require_no_index
from semcbir.outside.libraries import library
from semcbir.outside.rows import Batch, Facts, Sink, path_text

IMAGES, SIGNATURES = "images.parquet", "signatures.parquet"
_UNFINISHED = ".part"
_OURS = frozenset({IMAGES, SIGNATURES, IMAGES + _UNFINISHED, SIGNATURES + _UNFINISHED, LOCK})
"""What an export has, or a killed one may have left."""


@contextmanager
def writing(folder: Path, facts: Facts, replace: bool) -> Iterator[Sink]:
    """Write into ``folder``; the files have their names once both are whole, and an error leaves none behind.

    Raises ValueError for a folder of an index or with other files, or with an export unless ``replace``;
    SemcbirError if another export to it is running.
    """
    pyarrow, parquet = library("pyarrow", "parquet"), library("pyarrow.parquet", "parquet")
    _check_folder(folder, replace)
    new = not folder.exists()
    try:
        with only_writer(folder):
            _check_folder(folder, replace)  # another export may have ended since
            with _files(parquet, folder, _Tables(pyarrow, facts)) as add:
                yield Sink(display_path(folder), add)
    except BaseException:
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def _files(parquet: Any, folder: Path, tables: _Tables) -> Iterator[Callable[[Batch], None]]:
    try:
        with (
            _writer(parquet, folder / IMAGES, tables.images) as images,
            _writer(parquet, folder / SIGNATURES, tables.signatures, ["name"]) as signatures,
        ):

            def add(batch: Batch) -> None:
                images.write_table(tables.of_images(batch))
                signatures.write_table(tables.of_signatures(batch))

            yield add
        _give_names(folder)
    except BaseException:
        for name in (IMAGES, SIGNATURES):
            (folder / (name + _UNFINISHED)).unlink(missing_ok=True)
        raise


def _check_folder(folder: Path, replace: bool) -> None:
    shown = display_path(folder)
    require_no_index(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"place: expected a folder for Parquet files, got the file {shown}")
    held = {one.name for one in folder.iterdir()} if folder.exists() else set()
    held = {name for name in held if not name.startswith(PROBE)}
    if other := held - _OURS:
        raise ValueError(
            f"place: expected a new or empty folder, got {shown} with other files "
            f"({display_path(min(other))}); name another folder"
        )
    if held & {IMAGES, SIGNATURES} and not replace:
        part = "" if IMAGES in held else "part of "  # of one that was cut off while it named its files
        raise ValueError(
            f"place: expected a new or empty folder, got {shown} with {part}an export; --replace "
            "(replace=True) replaces it"
        )


def _writer(parquet: Any, file: Path, schema: Any, repeating: list[str] | None = None) -> Any:
    """Return a writer; the columns ``repeating`` get a dictionary of their values, which costs the others."""
    return parquet.ParquetWriter(
        str(file) + _UNFINISHED, schema, compression="zstd", use_dictionary=repeating or False
    )


def _give_names(folder: Path) -> None:
    """Put the files in their places; whoever finds IMAGES finds the SIGNATURES that belong to it."""
    for name in (IMAGES, SIGNATURES):
        sync_file(folder / (name + _UNFINISHED))
    (folder / IMAGES).unlink(missing_ok=True)
    for name in (SIGNATURES, IMAGES):
        os.replace(folder / (name + _UNFINISHED), folder / name)  # noqa: PTH105 -- as names are made above
    sync_folder(folder)


class _Tables:
    """The columns of both files, and batches in them."""

    def __init__(self, pyarrow: Any, facts: Facts) -> None:
        self._pyarrow, self._dim = pyarrow, facts.dim
        self._names = pyarrow.array(facts.names, pyarrow.string())
        about = {f"semcbir.{key}": text for key, text in facts.texts().items()}
        self.images = self._schema(
            {"id": "int64", "path": "string", "path_bytes": "binary", "size": "int64", "mtime_ns": "int64"},
            about,
        )
        self.signatures = self._schema(
            {"id": "int64", "class": "int32", "name": "string", "share": "float32", "count": "int64"}, about
        ).append(pyarrow.field("mean", pyarrow.list_(pyarrow.float32(), facts.dim), nullable=False))

    def _schema(self, columns: dict[str, str], about: dict[str, str]) -> Any:
        make, optional = self._pyarrow, {"size", "mtime_ns"}
        fields = [
            make.field(name, getattr(make, kind)(), nullable=name in optional)
            for name, kind in columns.items()
        ]
        return make.schema(fields, metadata=about)

    def of_images(self, batch: Batch) -> Any:
        paths = [record.path for record in batch.records]
        columns = [
            [record.id for record in batch.records],
            [path_text(path) for path in paths],
            [os.fsencode(path) for path in paths],
            [record.size for record in batch.records],
            [record.mtime_ns for record in batch.records],
        ]
        return self._table(columns, self.images)

    def of_signatures(self, batch: Batch) -> Any:
        rows, make = batch.signatures, self._pyarrow
        entries = make.array(rows.centroids.reshape(-1))
        columns = [
            batch.ids_of_rows(),
            rows.classes.astype("int32"),
            self._names.take(make.array(rows.classes)),
            rows.proportions,
            rows.counts.astype("int64"),
            make.FixedSizeListArray.from_arrays(entries, type=self.signatures.field("mean").type),
        ]
        return self._table(columns, self.signatures)

    def _table(self, columns: list[Any], schema: Any) -> Any:
        make = self._pyarrow
        arrays = [
            column if isinstance(column, make.Array) else make.array(column, field.type)
            for column, field in zip(columns, schema, strict=True)
        ]
        return make.Table.from_arrays(arrays, schema=schema)
