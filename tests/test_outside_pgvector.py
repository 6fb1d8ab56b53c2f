# SPDX-License-Identifier: MIT
"""PostgreSQL with pgvector: the same ids in the same order, by the statements in docs/export.md."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from commands import Run
from exports import (
    INDEXES,
    PAGE,
    POSTGRES,
    SECRET,
    assert_new_photo,
    assert_same_hits,
    at_the_demo,
    broken,
    demo,
)
from semcbir import Index, SemcbirError
from semcbir.explanation import WHOLE_IMAGE
from semcbir.outside import export_index, exporting, rows
from tiny_models import CLASSES

__all__ = ["at_the_demo", "demo"]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The folder of a PostgreSQL with a database ``photos``, which libpq finds without being told."""
    psycopg = pytest.importorskip("psycopg", reason="needs psycopg (pip install 'psycopg[binary]')")
    pytest.importorskip("pwd", reason="needs a system with users as POSIX has them")
    from postgres_server import postgres

    with postgres() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGHOST", folder)
        patch.setenv("PGUSER", "postgres")
        with psycopg.connect("dbname=postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE photos")
        yield folder


@pytest.fixture
def database(server: str) -> Iterator[Any]:
    """A connection to ``photos`` without tables."""
    import psycopg

    with psycopg.connect("dbname=photos", autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS other CASCADE")
        connection.execute("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public")
        connection.execute("DROP EXTENSION IF EXISTS vector")
        yield connection


@pytest.mark.parametrize(("place", "feature"), INDEXES)
def test_pgvector_finds_the_same(
    place: str, feature: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "AT_ONCE", 5)
    index = Index.open(place)
    export_index(index, "dbname=photos", "pgvector", feature=feature)
    setting, statement, call, approximate = POSTGRES["sql"]
    database.execute(setting)
    database.execute(statement)
    assert len(database.execute(call).fetchall()) == min(20, len(index))

    def found(query: int, k: int, epsilon: float | None) -> list[tuple[int, float]]:
        database.execute("TRUNCATE query")
        database.execute(
            f"INSERT INTO query SELECT class, share, mean FROM semcbir_signatures WHERE id = {query}"
        )
        bound = "infinity" if epsilon is None else epsilon
        hits = database.execute(f"EXECUTE search ({k}, '{bound}')").fetchall()
        return [(key, distance) for key, _, distance, _ in hits]

    assert_same_hits(index, feature, found)
    create, nearest = approximate.replace("157", str(len(CLASSES))).split(";\n", 1)
    database.execute(create)
    assert len(database.execute(nearest).fetchall()) == (len(index) if feature == "deep" else 0)


def test_pgvector_finds_the_same_for_a_new_photo(database: Any) -> None:
    export_index("demo/index", "dbname=photos", "pgvector")
    names: dict[str, Any] = {"SEARCH": POSTGRES["sql"][1]}
    exec(POSTGRES["python"][0], names)
    assert_new_photo(names["hits"], 0)


def test_tables_hold_every_bit(database: Any) -> None:
    index = Index.open("demo/index")
    export_index(index, "dbname=photos", "pgvector", name="holidays")
    images = database.execute(
        "SELECT id, path_bytes, size, mtime_ns FROM holidays_images ORDER BY id"
    ).fetchall()
    assert images == [(one.id, os.fsencode(one.path), one.size, one.mtime_ns) for one in index]
    expected = index.signatures()
    columns = "id, class, share, count, mean::real[]"
    held = database.execute(f"SELECT {columns} FROM holidays_signatures ORDER BY id, class").fetchall()
    assert [row[0] for row in held] == np.repeat(expected.ids, np.diff(expected.offsets)).tolist()
    for place, name in enumerate(("classes", "proportions", "counts", "centroids"), 1):
        column = getattr(expected, name)
        np.testing.assert_array_equal(np.array([row[place] for row in held], column.dtype), column)
    names = database.execute("SELECT name FROM holidays_classes ORDER BY class").fetchall()
    assert [name for (name,) in names] == [*CLASSES, WHOLE_IMAGE]
    about = dict(database.execute("SELECT key, value FROM holidays_about").fetchall())
    assert json.loads(about["recipe"]) == json.loads(json.dumps(index.recipe.for_feature("deep").to_dict()))


def test_tables_are_replaced_only_if_asked(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def count(name: str) -> int:
        return database.execute(f"SELECT count(*) FROM {name}_images").fetchone()[0]

    export_index("demo/index", "dbname=photos", "pgvector")
    with pytest.raises(ValueError, match="name: expected one without tables, got 'semcbir', .*--replace"):
        export_index("demo/made", "dbname=photos", "pgvector")
    assert count("semcbir") == len(Index.open("demo/index"))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(exporting, "batches", broken)
        export_index("demo/made", "dbname=photos", "pgvector", replace=True)
    assert count("semcbir") == len(Index.open("demo/index"))
    export_index("demo/made", "dbname=photos", "pgvector", replace=True)
    assert count("semcbir") == len(Index.open("demo/made"))
    database.execute("CREATE TABLE shop_images (id bigint); CREATE TABLE shop_about (key text, price text)")
    with pytest.raises(ValueError, match="shop_images is there and is not from semcbir"):
        export_index("demo/made", "dbname=photos", "pgvector", name="shop", replace=True)
    assert count("shop") == 0
    database.execute("CREATE SCHEMA other")
    other = "dbname=photos options='-c search_path=other,public'"
    assert export_index("demo/index", other, "pgvector").images == count("other.semcbir")
    assert count("public.semcbir") == len(Index.open("demo/made"))


def test_what_postgresql_says_is_one_line(database: Any) -> None:
    with pytest.raises(SemcbirError, match=r'^PostgreSQL: .*database "absent" does not exist') as caught:
        export_index("demo/index", "dbname=absent password=secret", "pgvector")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    done = export_index("demo/index", "dbname=photos password=secret", "pgvector")
    assert done.place.startswith("tables semcbir_* of database photos at ")
    assert "secret" not in done.place


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bob:S3cret@[bad/photos",
        "postgresql://bob:S3c%ZZret@localhost/photos",
        "postgresql://bob:S3c/ret@localhost:1/photos",  # libpq takes bob for the host
        "postgresql://bob:S3c@S3c@localhost:1/photos",  # or S3c@localhost
        "postgres://localhost/photos?password=S3c&ret",
        "postgres//bob:S3cret@localhost/photos",
        "host=localhost password=S3cret S3c",
        "host=localhost password='S3cret",
        "host=localhost S3cret=S3cret",
        "host=localhost port=1 password=S3c\0ret",
        "host=localhost port=1 password=S3c\udcff",
    ],
)
def test_a_connection_string_that_cannot_be_read_is_not_shown(address: str, run: Run) -> None:
    pytest.importorskip("psycopg", reason="needs psycopg")
    with pytest.raises(ValueError, match=r"^place: expected a connection string of Postgre") as caught:
        export_index("demo/index", address, "pgvector")
    assert "S3c" not in "".join(traceback.format_exception(caught.value))
    done = run("export", "demo/index", address, "--to", "pgvector")
    assert (done.code, done.err) == (1, f"semcbir: error: {caught.value}\n")


def test_a_password_with_a_blank_is_not_shown() -> None:
    pytest.importorskip("psycopg", reason="needs psycopg")
    # libpq 17 refuses the blank and says what it is in, those before take it.
    with pytest.raises((ValueError, SemcbirError)) as caught:
        export_index("demo/index", f"postgresql://bob:{SECRET} Pw@localhost:1/photos", "pgvector")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "address",
    ["postgresql:///absent?application_name=a@b", "postgresql://bob:a%40b@/absent", "dbname=absent"],
)
def test_connection_strings_that_can_be_read(address: str, server: str) -> None:
    with pytest.raises(SemcbirError, match=r'^PostgreSQL: .*("absent"|"bob") does not exist'):
        export_index("demo/index", address, "pgvector")


def test_a_password_in_what_postgresql_says_is_blanked(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    psycopg = pytest.importorskip("psycopg")
    with pytest.raises(SemcbirError, match='database "S3cret" does not exist') as caught:
        export_index("demo/index", "dbname=S3cret password=a", "pgvector")
    assert isinstance(caught.value.__cause__, psycopg.Error)
    with pytest.raises(SemcbirError, match=r'database "\*\*\*" does not exist') as caught:
        export_index("demo/index", f"dbname={SECRET} password={SECRET}", "pgvector")
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setenv("PGPASSWORD", SECRET)
    with pytest.raises(SemcbirError, match=r'database "\*\*\*" does not exist') as caught:
        export_index("demo/index", f"dbname={SECRET}", "pgvector")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def extension_schema(database: Any) -> str:
    found = database.execute(
        "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"
    )
    return found.fetchone()[0]


@pytest.mark.parametrize("there", [False, True])
def test_a_search_path_without_the_extension(there: bool, database: Any) -> None:
    database.execute("CREATE SCHEMA other")
    if there:
        database.execute("CREATE EXTENSION vector")
    done = export_index("demo/index", "dbname=photos options='-c search_path=other'", "pgvector")
    assert extension_schema(database) == "public"
    database.execute("SET search_path = other, public")  # as the page says
    assert "`options='-c search_path=NAME,public'`" in PAGE
    setting, statement, call, approximate = POSTGRES["sql"]
    database.execute(setting)
    database.execute(statement)
    assert len(database.execute(call).fetchall()) == min(20, done.images)
    create, nearest = approximate.replace("157", str(len(CLASSES))).split(";\n", 1)
    database.execute(create)
    assert len(database.execute(nearest).fetchall()) == done.images
    export_index("demo/index", "dbname=photos", "pgvector")
    assert database.execute("SELECT count(*) FROM public.semcbir_images").fetchone()[0] == done.images


def test_an_extension_in_a_schema_of_any_name(database: Any) -> None:
    database.execute('CREATE SCHEMA "Odd ""one"" %s"; CREATE EXTENSION vector SCHEMA "Odd ""one"" %s"')
    done = export_index("demo/index", "dbname=photos", "pgvector")
    assert database.execute("SELECT count(*) FROM semcbir_images").fetchone()[0] == done.images


def test_a_database_without_the_schema_public(database: Any) -> None:
    database.execute("DROP SCHEMA public; CREATE SCHEMA other")
    with pytest.raises(SemcbirError, match=r'^PostgreSQL: there is no schema .* \("\$user", public\)$'):
        export_index("demo/index", "dbname=photos", "pgvector")
    export_index("demo/index", "dbname=photos options='-c search_path=other'", "pgvector")
    assert extension_schema(database) == "other"


def test_a_schema_that_is_not_there(database: Any, run: Run) -> None:
    done = run("export", "demo/index", "dbname=photos options='-c search_path=absent'", "--to", "pgvector")
    what = "there is no schema for the tables: search_path names none that exists and may be used (absent)"
    assert (done.code, done.err) == (1, f"semcbir: error: PostgreSQL: {what}\n")
