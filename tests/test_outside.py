# SPDX-License-Identifier: MIT
"""Exports: other programs find the same ids in the same order, by the statements in docs/export.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_signatures import assert_same, made_signatures
from semcbir import HOG, Deep, Index, SemcbirError, Signatures, search
from semcbir._lock import PROBE, LockFileError
from semcbir.errors import RecipeMismatchError
from semcbir.explanation import WHOLE_IMAGE
from semcbir.outside import TARGETS, export_index, exporting, folders, rows
from semcbir.outside import parquet as parquet_files
from test_cli import Run, run
from tiny_models import CLASSES, tiny_encoder

__all__ = ["run"]

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "export.md").read_text("utf-8")
PARTS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
SECRET = "S3cret"  # by its name here: tracebacks show lines of this file
EPSILONS = (None, 0.9, 0.25)
INDEXES = (("demo/index", "deep"), ("demo/index", "hog"), ("demo/made", "hog"))

Search = Callable[[int, int, float | None], list[tuple[int, float]]]
"""(id of the query, k, epsilon) -> (id, distance) of the hits."""


def blocks(part: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PARTS[part], re.M | re.S)


DUCKDB, POSTGRES, QDRANT = (
    {language: blocks(part, language) for language in ("sql", "python")}
    for part in ("Parquet, and DuckDB", "PostgreSQL with pgvector", "Qdrant")
)


@pytest.fixture(scope="module")
def demo(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``demo/photos``, and indexes of them; ``demo/made`` has made signatures.

    Two photos are there twice, two have odd names. The made ones tie, have null vectors, or no rows at all.
    """
    folder = tmp_path_factory.mktemp("outside")
    photos = Path(shutil.copytree(made_photos, folder / "demo" / "photos"))
    for kind in ("beach", "town"):
        shutil.copy(photos / kind / "1.jpg", photos / kind / "again.jpg")
    if sys.platform == "linux":  # others refuse such names
        shutil.copy(photos / "beach" / "2.jpg", photos / "beach" / 'line\nbreak, "é" \\xff 海.jpg')
        shutil.copy(photos / "town" / "2.jpg", os.fsencode(photos / "town") + b"/caf\xe9.jpg")
    deep = Deep(tiny_encoder(folder / "encoder.onnx"))
    Index.build(photos, folder / "demo" / "index", model=tiny_model, features=[deep, HOG()])
    Index.build(photos / "beach", folder / "demo" / "other", model=tiny_model, features=deep)
    made = Index.build(photos / "town", folder / "demo" / "made", model=tiny_model, features="hog")
    made.remove([record.id for record in made][4:])
    some = made_signatures(36, n_classes=len(CLASSES), dim=36, duplicates=True)
    files = [folder / "made" / f"{number}.jpg" for number in range(len(some))]
    files[0].parent.mkdir()
    for file in files:
        file.touch()
    made.append(Signatures(**{**vars(some), "recipe": made.recipe}), files)
    return folder


@pytest.fixture(autouse=True)
def _at_the_demo(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)


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


def require_pyarrow() -> Any:
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    import pyarrow.parquet

    return pyarrow.parquet


def require_qdrant() -> Any:
    return pytest.importorskip("qdrant_client", reason="needs qdrant-client")


def assert_same_hits(index: Index, feature: str, found: Search) -> None:
    """Every image as the query: all images, and the first few, come as from the index's own search."""
    signatures, searcher = index.signatures(feature), index.searcher(feature)
    n = len(signatures)
    kept = set()
    for epsilon in EPSILONS:
        expected = searcher.search(signatures, k=n, epsilon=epsilon)
        kept |= set(expected.kept.tolist())
        for query, ids, distances in zip(
            signatures.ids.tolist(), expected.ids, expected.distances, strict=True
        ):
            for k in (n, 5):
                hits = found(query, k, epsilon)
                assert [key for key, _ in hits] == ids[:k].tolist()
                np.testing.assert_allclose([one for _, one in hits], distances[:k], rtol=1e-6, atol=1e-12)
    assert len(kept) > 2  # the filter has something to do


def assert_new_photo(hits: list[tuple[Any, ...]], key: int) -> None:
    expected = search("demo/photos/beach/1.jpg", "demo/index", k=20)
    assert [hit[key] for hit in hits] == [hit.id for hit in expected]


# --- Parquet ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "feature"), INDEXES)
def test_duckdb_finds_the_same(
    place: str, feature: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require_pyarrow()
    duckdb = pytest.importorskip("duckdb", reason="needs duckdb")
    monkeypatch.setattr(rows, "AT_ONCE", 5)
    index = Index.open(place)
    done = export_index(index, tmp_path / "parquet", "parquet", feature=feature)
    assert (done.images, done.rows) == (len(index), len(index.signatures(feature).classes))
    offline = {"autoinstall_known_extensions": False, "autoload_known_extensions": False, "threads": 2}
    with duckdb.connect(config=offline) as connection:
        setting, statement, call = DUCKDB["sql"]
        connection.execute(setting.replace("demo/parquet", os.fspath(tmp_path / "parquet")))
        connection.execute(statement)
        assert len(connection.execute(call).fetchall()) == min(20, len(index))

        def found(query: int, k: int, epsilon: float | None) -> list[tuple[int, float]]:
            connection.execute("DELETE FROM query")
            connection.execute(
                f"INSERT INTO query SELECT class, share, mean FROM signatures WHERE id = {query}"
            )
            bound = "infinity" if epsilon is None else epsilon
            called = f"EXECUTE search(k := {k}, epsilon := '{bound}')"
            return [(key, distance) for key, _, distance, _ in connection.execute(called).fetchall()]

        assert_same_hits(index, feature, found)


def test_duckdb_finds_the_same_for_a_new_photo() -> None:
    require_pyarrow()
    pytest.importorskip("duckdb", reason="needs duckdb")
    export_index("demo/index", "demo/parquet", "parquet", replace=True)
    names: dict[str, Any] = {"SEARCH": DUCKDB["sql"][1]}
    exec(DUCKDB["python"][0], names)
    names["connection"].close()
    assert_new_photo(names["hits"], 0)


@pytest.mark.parametrize(("place", "feature"), INDEXES)
def test_parquet_holds_every_bit(place: str, feature: str, tmp_path: Path) -> None:
    parquet = require_pyarrow()
    index = Index.open(place)
    export_index(index, tmp_path / "new" / "parquet", "parquet", feature=feature)
    images = parquet.read_table(tmp_path / "new" / "parquet" / "images.parquet")
    records = list(index)
    assert images["id"].to_pylist() == [record.id for record in records]
    assert images["path_bytes"].to_pylist() == [os.fsencode(record.path) for record in records]
    assert images["size"].to_pylist() == [record.size for record in records]
    assert images["mtime_ns"].to_pylist() == [record.mtime_ns for record in records]
    assert all(Path(os.fsdecode(path)).exists() for path in images["path_bytes"].to_pylist())
    table = parquet.read_table(tmp_path / "new" / "parquet" / "signatures.parquet")
    expected = index.signatures(feature)
    assert table["id"].to_pylist() == np.repeat(expected.ids, np.diff(expected.offsets)).tolist()
    for name, column in (("class", "classes"), ("share", "proportions"), ("count", "counts")):
        np.testing.assert_array_equal(table[name].to_numpy(), getattr(expected, column))
    np.testing.assert_array_equal(np.array(table["mean"].to_pylist(), np.float32), expected.centroids)
    names = [*CLASSES, WHOLE_IMAGE]
    assert table["name"].to_pylist() == [names[label] for label in expected.classes.tolist()]
    about = table.schema.metadata
    assert about == images.schema.metadata
    assert about[b"semcbir.feature"] == feature.encode()
    assert about[b"semcbir.whole"] == b"%d" % (feature == "deep")
    assert about[b"semcbir.index"] == index.identity.encode()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system with any bytes in names")
def test_odd_names_are_kept(tmp_path: Path) -> None:
    parquet = require_pyarrow()
    export_index("demo/index", tmp_path / "parquet", "parquet")
    paths = parquet.read_table(tmp_path / "parquet" / "images.parquet")["path"].to_pylist()
    names = {path.rpartition("/")[2] for path in paths}
    assert {"caf\\xe9.jpg", 'line\nbreak, "é" \\xff 海.jpg'} <= names


def test_and_back() -> None:
    require_pyarrow()
    export_index("demo/index", "demo/parquet", "parquet", replace=True)
    (code,) = blocks("And back", "python")
    exec(code, {})
    index, other = Index.open("demo/index"), Index.open("demo/other")
    assert other.check() == []
    ids = [other[record.path].id for record in index]
    assert len(ids) == len(other)
    back = other.signatures(ids=ids)
    assert_same(Signatures(**{**vars(back), "ids": index.signatures().ids}), index.signatures())
    export_index(index, "demo/parquet", "parquet", replace=True, feature="hog")
    with pytest.raises(RecipeMismatchError, match="made differently"):
        exec(code, {})


def test_folders_with_other_files_are_refused(tmp_path: Path) -> None:
    require_pyarrow()
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    for replace in (False, True):
        with pytest.raises(ValueError, match=r"place: expected a new or empty folder, got .*\(letter\.txt\)"):
            export_index("demo/index", folder, "parquet", replace=replace)
    assert [one.name for one in folder.iterdir()] == ["letter.txt"]
    with pytest.raises(ValueError, match="place: expected a folder for Parquet files, got the file"):
        export_index("demo/index", folder / "letter.txt", "parquet")
    (folder / "letter.txt").unlink()
    export_index("demo/index", folder, "parquet")
    before = (folder / "images.parquet").read_bytes()
    with pytest.raises(ValueError, match=r"with an export; --replace \(replace=True\) replaces it"):
        export_index("demo/made", folder, "parquet")
    assert (folder / "images.parquet").read_bytes() == before
    export_index("demo/made", folder, "parquet", replace=True)
    assert (folder / "images.parquet").read_bytes() != before
    assert sorted(one.name for one in folder.iterdir()) == ["images.parquet", "signatures.parquet"]


def broken(*_: object) -> Iterator[rows.Batch]:
    """Batches that end in an error after the first."""
    yield next(rows.batches(Index.open("demo/made"), "hog"))
    raise OSError(28, "No space left on device")


def test_an_error_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_pyarrow()
    export_index("demo/index", tmp_path / "old", "parquet")
    before = (tmp_path / "old" / "signatures.parquet").read_bytes()
    monkeypatch.setattr(exporting, "batches", broken)
    for place in ("old", "new"):
        with pytest.raises(OSError, match="No space left"):
            export_index("demo/made", tmp_path / place, "parquet", replace=True)
    assert [one.name for one in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "signatures.parquet").read_bytes() == before
    assert len(list((tmp_path / "old").iterdir())) == 2


def test_one_export_at_a_time_writes_into_a_folder(tmp_path: Path) -> None:
    require_pyarrow()
    folder = tmp_path / "new"
    said: list[str] = []

    def another(_: object) -> None:
        command = [sys.executable, "-m", "semcbir", "export", "demo/index", folder, "--to", "parquet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        said.append(done.stderr)

    export_index("demo/made", folder, "parquet", on_progress=another)
    assert said == [f"semcbir: error: another export to {folder} is running; wait until it has finished\n"]
    assert sorted(one.name for one in folder.iterdir()) == ["images.parquet", "signatures.parquet"]


def test_an_export_that_ended_meanwhile_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_pyarrow()
    real = folders.only_writer

    def late(folder: Path) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(parquet_files, "only_writer", real)
            export_index("demo/made", folder, "parquet")
        return real(folder)

    monkeypatch.setattr(parquet_files, "only_writer", late)
    with pytest.raises(ValueError, match="with an export"):
        export_index("demo/index", tmp_path / "new", "parquet")


def test_the_lock_of_a_file_that_was_removed_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = folders.hold, []

    @contextmanager
    def removed_once(file: Path) -> Iterator[None]:
        with real(file):
            if not seen:
                file.unlink()
                file.with_name("other").touch()
                file.with_name("other").rename(file)
            seen.append(file)
            yield

    monkeypatch.setattr(folders, "hold", removed_once)
    with folders.only_writer(tmp_path / "new"):
        assert seen == [tmp_path / "new" / folders.LOCK] * 2
        with pytest.raises(SemcbirError, match="is running"), folders.only_writer(tmp_path / "new"):
            pass
        assert seen[0].exists()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_whose_file_system_has_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_pyarrow()

    def none(_: Path) -> Any:
        raise LockFileError("it is odd")

    monkeypatch.setattr(folders, "hold", none)
    with pytest.raises(SemcbirError, match="new cannot be written: it is odd"):
        export_index("demo/made", tmp_path / "new", "parquet")
    monkeypatch.setattr(folders, "locks_missing", lambda folder: f"{folder} has no locks")
    export_index("demo/made", tmp_path / "new", "parquet")
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_what_a_killed_export_leaves_is_replaced(tmp_path: Path) -> None:
    parquet = require_pyarrow()
    folder = tmp_path / "new"
    kill_an_export(folder, "parquet")
    left = {one.name for one in folder.iterdir()}
    assert left == {"images.parquet.part", "signatures.parquet.part", folders.LOCK}
    (folder / f"{PROBE}0").touch()  # what a process that is killed may leave, too
    export_index("demo/made", folder, "parquet")
    assert parquet.read_table(folder / "images.parquet").num_rows == len(Index.open("demo/made"))
    assert len(list(folder.iterdir())) == 3
    (folder / "images.parquet").unlink()
    with pytest.raises(ValueError, match=r"with part of an export; --replace \(replace=True\) replaces it"):
        export_index("demo/made", folder, "parquet")


def test_an_address_is_no_folder_for_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_pyarrow()
    index = Index.open("demo/index")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^place: expected a folder for Parquet files, got an address$"):
        export_index(index, "postgresql://bob:S3cret@localhost/photos", "parquet")
    assert list(tmp_path.iterdir()) == []


# --- PostgreSQL ---------------------------------------------------------------------------------------------


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


# --- Qdrant -------------------------------------------------------------------------------------------------


def qdrant_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's first block defines, with the embedded client in the place of a server's."""
    qdrant = require_qdrant()
    names: dict[str, Any] = {}
    real = qdrant.QdrantClient
    with monkeypatch.context() as patch:
        patch.setattr(qdrant, "QdrantClient", lambda _: real(path=os.fspath(folder)))
        exec(QDRANT["python"][0], names)
    return names


@pytest.mark.parametrize(("place", "feature"), INDEXES)
def test_qdrant_finds_the_same(
    place: str, feature: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    require_qdrant()
    monkeypatch.setattr(rows, "AT_ONCE", 5)
    index = Index.open(place)
    done = export_index(index, tmp_path / "qdrant", "qdrant", feature=feature)
    assert done.images == len(index)
    names = qdrant_names(tmp_path / "qdrant", monkeypatch)
    client = names["client"]
    vectors = {
        record.id: client.retrieve("semcbir", [record.id], with_vectors=True)[0].vector for record in index
    }

    def found(query: int, k: int, epsilon: float | None) -> list[tuple[int, float]]:
        hits = names["search"](client, vectors[query], k, epsilon)
        return [(key, squared**0.5) for _, squared, key in hits]

    assert_same_hits(index, feature, found)
    assert client.get_collection("semcbir").config.metadata["feature"] == feature
    client.close()


def test_qdrant_finds_the_same_for_a_new_photo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    require_qdrant()
    export_index("demo/index", tmp_path / "qdrant", "qdrant")
    names = qdrant_names(tmp_path / "qdrant", monkeypatch)
    exec(QDRANT["python"][1], names)
    assert_new_photo(names["hits"], 2)
    points = names["client"].retrieve("semcbir", [record.id for record in Index.open("demo/index")])
    for point, record in zip(points, Index.open("demo/index"), strict=True):
        path = os.fsencode(record.path)
        payload = point.payload
        assert bytes.fromhex(payload.get("path_hex", "")) or payload["path"].encode() == path
        assert payload.get("path_hex", path.hex()) == path.hex()
        assert (payload["size"], payload["mtime_ns"]) == (record.size, record.mtime_ns)
        assert payload["classes"]
        assert set(payload["classes"]) < set(CLASSES)
    names["client"].close()


@pytest.mark.filterwarnings("ignore")  # a client that finds its folder locked does not close its file
def test_collections_are_replaced_only_if_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qdrant = require_qdrant()
    folder = tmp_path / "qdrant"

    def count(name: str) -> int:
        client = qdrant.QdrantClient(path=os.fspath(folder))
        try:
            return client.count(name).count if client.collection_exists(name) else -1
        finally:
            client.close()

    export_index("demo/index", folder, "qdrant")
    with pytest.raises(
        ValueError, match="name: expected one without a collection, got 'semcbir', .*--replace"
    ):
        export_index("demo/made", folder, "qdrant")
    assert count("semcbir") == len(Index.open("demo/index"))
    export_index("demo/made", folder, "qdrant", replace=True)
    export_index("demo/made", folder, "qdrant", name="holidays")
    assert count("semcbir") == count("holidays") == len(Index.open("demo/made"))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(exporting, "batches", broken)
        export_index("demo/made", folder, "qdrant", name="half")
    assert count("half") == -1
    client = qdrant.QdrantClient(path=os.fspath(folder))
    size = qdrant.models.VectorParams(size=3, distance=qdrant.models.Distance.DOT)
    client.create_collection("shop", vectors_config=size)
    with pytest.raises(SemcbirError, match="is open in another program"):
        export_index("demo/made", folder, "qdrant")
    client.close()
    with pytest.raises(ValueError, match="'shop', whose collection is not from semcbir"):
        export_index("demo/made", folder, "qdrant", name="shop", replace=True)
    assert count("shop") == 0


def test_places_of_qdrant(tmp_path: Path) -> None:
    require_qdrant()
    (tmp_path / "letter.txt").write_text("dear")
    for place in ("localhost:6333", "grpc://localhost:6334"):
        with pytest.raises(ValueError, match=f"place: expected http.* of Qdrant or a folder, got '{place}'"):
            export_index("demo/index", place, "qdrant")
    with pytest.raises(ValueError, match=r"place: expected a new or empty folder.*\(letter\.txt\)"):
        export_index("demo/index", tmp_path, "qdrant")
    with pytest.raises(ValueError, match="got the file"):
        export_index("demo/index", tmp_path / "letter.txt", "qdrant")
    with pytest.raises(SemcbirError, match=r"^Qdrant at http://127\.0\.0\.1:1/: .*refused"):
        export_index("demo/index", "HTTP://127.0.0.1:1/?api_key=S3cret#S3cret", "qdrant")


@pytest.mark.parametrize(
    "place",
    [
        "http://bob:S3cret@127.0.0.1:1",  # the client would leave it out
        "http://bob:S3cret@localhost:abc",
        "http://bob:S3cret@[bad",
        "http://bob:S3c/S3cret@localhost:1",
        "http://bob:S3c#S3cret@localhost:1",
        "HTTP://bob:S3cret@localhost:1",
        "postgresql://bob:S3cret@localhost/photos",
        "bob:S3cret@localhost:6333",
        "bob:S3c/S3cret@localhost:6333",
    ],
)
def test_a_password_in_an_address_of_qdrant_is_refused_and_not_shown(place: str, run: Run) -> None:
    require_qdrant()
    with pytest.raises(ValueError, match=r"place: expected http://HOST:PORT of Qdrant without a") as caught:
        export_index("demo/index", place, "qdrant")
    assert "S3c" not in "".join(traceback.format_exception(caught.value))
    done = run("export", "demo/index", place, "--to", "qdrant")
    assert (done.code, done.err) == (1, f"semcbir: error: {caught.value}\n")


@pytest.mark.parametrize(
    "place", ["http://localhost:abc", "http://[bad", "http://localhost:99999", "http://", "http://a b:1"]
)
def test_addresses_of_qdrant_that_cannot_be_read(place: str) -> None:
    require_qdrant()
    message = f"place: expected http://HOST:PORT of Qdrant or a folder, got {place!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$") as caught:
        export_index("demo/index", f"{place}?api_key={SECRET}", "qdrant")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_key_that_no_header_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    require_qdrant()
    for key in ("S3cret\n", " S3cret", "S3crét", "S3cret\x7f"):
        monkeypatch.setenv("QDRANT_API_KEY", key)
        with pytest.raises(ValueError, match=r"^QDRANT_API_KEY: expected printable ASCII") as caught:
            export_index("demo/index", "http://127.0.0.1:1", "qdrant")
        assert "S3c" not in "".join(traceback.format_exception(caught.value))


def metadata_in(folder: Path, name: str) -> dict[str, str] | None:
    client = require_qdrant().QdrantClient(path=os.fspath(folder))
    try:
        return client.get_collection(name).config.metadata
    finally:
        client.close()


def test_a_collection_that_was_cut_off_is_called_part_of_an_export(tmp_path: Path) -> None:
    require_qdrant()
    folder = tmp_path / "qdrant"
    kill_an_export(folder, "qdrant")
    assert metadata_in(folder, "semcbir") == {"made_by": "semcbir"}
    with pytest.raises(ValueError, match=r"is part of an export that was cut off, .*; --replace \(replace=T"):
        export_index("demo/made", folder, "qdrant")
    export_index("demo/made", folder, "qdrant", replace=True)
    assert metadata_in(folder, "semcbir") == rows.facts_of(Index.open("demo/made"), None).texts()
    with pytest.raises(ValueError, match=r"got 'semcbir', which has one; --replace \(replace=True\)"):
        export_index("demo/made", folder, "qdrant")


def test_a_server_that_keeps_no_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = require_qdrant().QdrantClient
    create = client.create_collection
    monkeypatch.setattr(client, "create_collection", lambda *given, metadata, **more: create(*given, **more))
    monkeypatch.setattr(client, "update_collection", None)
    for replace in (False, True):
        export_index("demo/made", tmp_path / "qdrant", "qdrant", replace=replace)
    assert metadata_in(tmp_path / "qdrant", "semcbir") is None
    with pytest.raises(ValueError, match="got 'semcbir', which has one;"):
        export_index("demo/made", tmp_path / "qdrant", "qdrant")


# --- what all have in common --------------------------------------------------------------------------------

KILLED = """
import os, sys
from semcbir.outside import export_index, exporting, rows
rows.AT_ONCE = 5
whole = exporting.batches
def first(index, feature):
    yield next(whole(index, feature))
    os._exit(9)
exporting.batches = first
export_index("demo/made", sys.argv[1], sys.argv[2])
"""


def kill_an_export(place: Path, to: str) -> None:
    """End a process after its first batch, without any of its last words."""
    assert subprocess.run([sys.executable, "-c", KILLED, os.fspath(place), to], check=False).returncode == 9


@pytest.mark.parametrize("to", ["parquet", "qdrant"])
def test_a_folder_of_an_index_is_refused(to: str, demo: Path, tmp_path: Path) -> None:
    pytest.importorskip({"parquet": "pyarrow", "qdrant": "qdrant_client"}[to])
    before = sorted(Path("demo/index").rglob("*"))
    for inside in ("new", "new/er", "segments", ".."):
        place = Path("demo/index/segments", inside)
        with pytest.raises(ValueError, match=r"^place: expected a folder outside of an index, got .*, which"):
            export_index("demo/made", place, to, replace=True)
    with pytest.raises(ValueError, match=r"demo/index, which is an index; name another folder$"):
        export_index("demo/made", "demo/index", to)
    link = tmp_path / "link"
    link.symlink_to(demo / "demo" / "index", target_is_directory=True)
    with pytest.raises(ValueError, match=r"link/new, which is in the index "):
        export_index("demo/made", link / "new", to)
    (tmp_path / "segments").symlink_to(demo / "demo" / "index" / "segments", target_is_directory=True)
    with pytest.raises(ValueError, match=r"segments/new, which is in the index "):
        export_index("demo/made", tmp_path / "segments" / "new", to)
    assert sorted(Path("demo/index").rglob("*")) == before


def test_bytes_are_not_shown() -> None:
    with pytest.raises(TypeError, match="got bytes$") as caught:
        export_index("demo/index", b"postgresql://bob:S3cret@localhost", "pgvector")  # type: ignore[arg-type]
    assert "S3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("to", "top"), [("parquet", "pyarrow"), ("pgvector", "psycopg"), ("qdrant", "qdrant_client")]
)
def test_a_missing_library_is_named_with_its_extra(
    to: str, top: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, top, None)
    done = run("export", "demo/index", tmp_path / "new", "--to", to)
    assert done.code == 1
    extra = f'the extra {to}: pip install "semcbir[{to}]" ({top} is missing)'
    assert done.err == f"semcbir: error: an export to {to} needs {extra}\n"
    assert list(tmp_path.iterdir()) == []


def test_arguments_are_checked_first(tmp_path: Path) -> None:
    for wrong, error, message in (
        ({"to": "csv"}, ValueError, "to: expected 'parquet', 'pgvector' or 'qdrant', got 'csv'"),
        ({"index": 3}, TypeError, "index: expected an Index, or the path of one"),
        ({"feature": "kaze"}, ValueError, "feature: expected 'deep' or 'hog', got 'kaze'"),
        ({"name": "holidays"}, ValueError, "name: not with parquet, whose folder is its name; got"),
        (
            {"to": "qdrant", "name": "Robert'); DROP TABLE"},
            ValueError,
            "name: expected up to 40 small letters",
        ),
        ({"to": "pgvector", "name": ""}, ValueError, "name: expected up to 40 small letters"),
        ({"place": ""}, ValueError, "place: expected a path, got ''"),
        ({"to": "pgvector", "place": ""}, ValueError, "place: expected an address for pgvector, got ''"),
        ({"to": "qdrant", "place": 3}, TypeError, "place: expected an address for qdrant as text, got int"),
        ({"replace": 1}, TypeError, "replace: expected True or False, got 1"),
        ({"on_progress": 1}, TypeError, "on_progress: expected a function or None, got 1"),
    ):
        given = {"index": "demo/index", "place": tmp_path / "new", "to": "parquet", **wrong}
        with pytest.raises(error, match=re.escape(message)):
            export_index(**given)
    assert list(tmp_path.iterdir()) == []


def test_the_command(run: Run, tmp_path: Path) -> None:
    require_pyarrow()
    index = Index.open("demo/index")
    found = len(index.signatures().classes)
    done = run("export", "demo/index", tmp_path / "new", "--to", "parquet")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{tmp_path / 'new'}: {len(index)} images, {found} rows of deep in ")
    again = run("export", "demo/index", tmp_path / "new", "--to", "parquet")
    assert (again.code, again.out) == (1, "")
    assert again.err.count("\n") == 1
    command = ("export", "demo/index", tmp_path / "new", "--to", "parquet", "--replace", "--json")
    told = run(*command, "--feature", "hog").json
    assert told.pop("seconds") > 0
    assert told == {
        "index": os.fspath(index.path),
        "to": "parquet",
        "place": os.fspath(tmp_path / "new"),
        "feature": "hog",
        "images": len(index),
        "rows": len(index.signatures("hog").classes),
    }
    assert run(*command, "--feature", "kaze").err.startswith(
        "semcbir: error: --feature: expected 'deep' or 'hog'"
    )
    assert run(*command, "--name", "a").err.startswith("semcbir: error: --name: not with parquet")
    assert run("export", "demo/index", tmp_path / "new").code == 2
    assert run("export", "demo/index", tmp_path / "new", "--to", "csv").code == 2


def test_the_page_s_first_words(run: Run) -> None:
    require_pyarrow()
    (commands,), (code,) = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)[:1] for kind in ("sh", "python"))
    lines = [shlex.split(line) for line in commands.splitlines() if line.startswith("semcbir ")]
    assert [line[-1] for line in lines] == list(TARGETS)
    assert run(*lines[0][1:], "--replace").code == 0
    exec(code, {})


def test_progress_and_an_index_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = require_pyarrow()
    monkeypatch.setattr(rows, "AT_ONCE", 7)
    seen: list[tuple[int, int]] = []
    index = Index.open("demo/index")
    export_index(
        index, tmp_path / "all", "parquet", on_progress=lambda one: seen.append((one.done, one.total))
    )
    n = len(index)
    assert seen == [(done, n) for done in [*range(7, n, 7), n]]
    shutil.copytree("demo/other", tmp_path / "empty")
    empty = Index.open(tmp_path / "empty")
    empty.remove([record.id for record in empty])
    assert export_index(empty, tmp_path / "none", "parquet").images == 0
    assert parquet.read_table(tmp_path / "none" / "signatures.parquet").num_rows == 0
