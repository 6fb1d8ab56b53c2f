# SPDX-License-Identifier: MIT
"""Parquet: DuckDB finds the same ids in the same order, by the statements in docs/export.md."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exports import (
    DUCKDB,
    INDEXES,
    assert_new_photo,
    assert_same_hits,
    at_the_demo,
    blocks,
    broken,
    demo,
    kill_an_export,
    require_pyarrow,
)
from made_signatures import assert_same
from semcbir import Index, SemcbirError, Signatures
from semcbir._lock import PROBE, LockFileError
from semcbir.errors import RecipeMismatchError
from semcbir.explanation import WHOLE_IMAGE
from semcbir.outside import export_index, exporting, folders, rows
from semcbir.outside import parquet as parquet_files
from tiny_models import CLASSES

__all__ = ["at_the_demo", "demo"]


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
