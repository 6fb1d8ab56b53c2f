# SPDX-License-Identifier: MIT
"""PostgreSQL with pgvector: tables for images, signatures, names of classes, and what they are about."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from semcbir._files import display_path
from semcbir.errors import SemcbirError
from semcbir.outside.libraries import library, refuse
from semcbir.outside.rows import Batch, Facts, Sink, path_text

MAX_DIM = 16_000
"""The most numbers that a vector of pgvector has."""
_TABLES = ("images", "signatures", "classes", "about")
_THERE = "to_regclass(format('%%I.%%I', current_schema(), %s::text))"
"""The table of a name where tables are created: others on the search path are not meant."""
_EXTENSION = (
    "SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = %s"
)
"""The schema of an extension, which need not be on the search path."""
_URI = re.compile(r"postgres(ql)?://([^/@]*@)?[^@?]*(\?.*)?", re.S)
"""An address that libpq reads as it was meant: of a password with / or @ it takes a part for the host."""
_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"


@contextmanager
def writing(address: str, facts: Facts, name: str, replace: bool) -> Iterator[Sink]:
    """Write tables ``name``_images and so on into the database at ``address``, in one transaction.

    Raises ValueError for tables that are there already unless ``replace``, and for those that others made;
    SemcbirError for what the database refuses.
    """
    psycopg = library("psycopg", "pgvector")
    if facts.dim > MAX_DIM:
        raise ValueError(f"feature: expected at most {MAX_DIM} numbers for pgvector, got {facts.dim}")
    secrets = _secrets(psycopg, address)
    try:
        with psycopg.connect(address) as connection:
            _require_schema(connection)
            _require_room(connection, name, replace)
            _create(connection, facts, name, _vector(psycopg.sql, connection))
            where = f"{connection.info.dbname} at {connection.info.host or 'the local socket'}"

            def add(batch: Batch) -> None:
                _copy_images(connection, name, batch)
                _copy_signatures(connection, name, batch)

            yield Sink(f"tables {name}_* of database {display_path(where)}", add)
            connection.execute(f"ALTER TABLE {name}_images ADD PRIMARY KEY (id)")
            connection.execute(f"ALTER TABLE {name}_signatures ADD PRIMARY KEY (id, class)")
            connection.execute(f"ANALYZE {name}_images, {name}_signatures")
    except psycopg.Error as error:
        refuse("PostgreSQL", error, secrets)


def _secrets(psycopg: Any, address: str) -> list[str]:
    """Return the passwords of a connection string and the environment; ValueError if it cannot be read.

    Neither the string nor what libpq says about it is in the error: either may show the password.
    """
    conninfo = psycopg.pq.Conninfo
    uri = address.startswith(("postgres://", "postgresql://"))
    if "\0" not in address and (not uri or _URI.fullmatch(address)):
        with suppress(psycopg.Error, UnicodeError):
            options = [*conninfo.parse(address.encode()), *conninfo.get_defaults()]
            return [one.val.decode(errors="replace") for one in options if one.val and one.dispchar == b"*"]
    raise ValueError(
        "place: expected a connection string of PostgreSQL (postgresql://USER@HOST/DATABASE, or "
        "KEY=VALUE ...), got one that cannot be read; a password belongs into PGPASSWORD"
    )


def _require_schema(connection: Any) -> None:
    """Raise SemcbirError if there is no schema where tables are created."""
    if not _answer(connection, "SELECT current_schema()"):
        raise SemcbirError(
            "PostgreSQL: there is no schema for the tables: search_path names none that exists and may be "
            f"used ({display_path(_answer(connection, 'SHOW search_path'))})"
        )


def _vector(sql: Any, connection: Any) -> str:
    """Return the type of pgvector with its schema; the extension is created if it is missing."""
    schema = _answer(connection, _EXTENSION, "vector")
    if not schema:
        # Not where the search path begins: those with another path would not find it.
        public = _answer(connection, "SELECT 1 FROM pg_namespace WHERE nspname = %s", "public")
        connection.execute("CREATE EXTENSION vector" + (" WITH SCHEMA public" if public else ""))
        schema = _answer(connection, _EXTENSION, "vector")
    return str(sql.Identifier(schema, "vector").as_string(connection))


def _require_room(connection: Any, name: str, replace: bool) -> None:
    """Drop the tables of an earlier export if ``replace``; ValueError if there are some that must stay."""
    tables = [f"{name}_{kind}" for kind in _TABLES]
    held = [table for table in tables if _answer(connection, f"SELECT {_THERE}", table)]
    if not held:
        return
    if not _is_ours(connection, name, held):
        raise ValueError(
            f"name: expected one without tables, got {name!r}, and {held[0]} is there and is not from "
            "semcbir; another name (--name) leaves it alone"
        )
    if not replace:
        raise ValueError(
            f"name: expected one without tables, got {name!r}, and {held[0]} is there; --replace "
            "(replace=True) replaces that export, another name (--name) leaves it alone"
        )
    for table in held:
        connection.execute(f"DROP TABLE {table}")


def _is_ours(connection: Any, name: str, held: list[str]) -> bool:
    about = f"{name}_about"
    if about not in held:
        return False
    columns = f"SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = {_THERE} AND attnum > 0"
    if _answer(connection, columns, about) != ["key", "value"]:
        return False
    return bool(_answer(connection, f"SELECT value FROM {about} WHERE key = %s", "made_by") == "semcbir")


def _answer(connection: Any, question: str, *values: str) -> Any:
    """Return the first column of the first row, or None."""
    row = connection.execute(question, values).fetchone()
    return row and row[0]


def _create(connection: Any, facts: Facts, name: str, vector: str) -> None:
    """Create the tables, and fill those that do not grow with the images."""
    for table in (
        f"{name}_images (id bigint, path text NOT NULL, path_bytes bytea NOT NULL, size bigint, "
        "mtime_ns bigint)",
        f"{name}_signatures (id bigint, class integer, share real NOT NULL, count bigint NOT NULL, "
        f"mean {vector}({facts.dim}) NOT NULL)",
        f"{name}_classes (class integer PRIMARY KEY, name text NOT NULL)",
        f"{name}_about (key text PRIMARY KEY, value text NOT NULL)",
    ):
        connection.execute(f"CREATE TABLE {table}")
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {name}_classes VALUES (%s, %s)", list(enumerate(facts.names)))
        cursor.executemany(f"INSERT INTO {name}_about VALUES (%s, %s)", list(facts.texts().items()))


def _copy_images(connection: Any, name: str, batch: Batch) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {name}_images FROM STDIN") as copy:
        for record in batch.records:
            path = os.fsencode(record.path)
            copy.write_row((record.id, path_text(record.path), path, record.size, record.mtime_ns))


def _copy_signatures(connection: Any, name: str, batch: Batch) -> None:
    command = f"COPY {name}_signatures FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        copy.write(_START + _binary(batch).tobytes() + _END)


def _binary(batch: Batch) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the rows as COPY takes them: the number of fields, and each field after its size in bytes.

    A vector is its length as int16, two bytes of 0, and its numbers. As text, rows take fifty times as long.
    """
    signatures, dim = batch.signatures, batch.signatures.dim
    kinds = {"id": ">i8", "class": ">i4", "share": ">f4", "count": ">i8"}
    fields: list[tuple[Any, ...]] = [("fields", ">i2")]
    for name, kind in kinds.items():
        fields += [(f"{name} size", ">i4"), (name, kind)]
    fields += [("mean size", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("mean", ">f4", (dim,))]
    rows = np.zeros(len(signatures.classes), np.dtype(fields))
    rows["fields"], rows["dim"], rows["mean size"] = len(kinds) + 1, dim, 4 + 4 * dim
    for name in kinds:
        rows[f"{name} size"] = rows.dtype[name].itemsize
    rows["id"], rows["class"] = batch.ids_of_rows(), signatures.classes
    rows["share"], rows["count"], rows["mean"] = (
        signatures.proportions,
        signatures.counts,
        signatures.centroids,
    )
    return rows
