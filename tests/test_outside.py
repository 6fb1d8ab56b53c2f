# SPDX-License-Identifier: MIT
"""Exports: what all targets have in common, and the command."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from commands import Run
from exports import PAGE, at_the_demo, demo, require_pyarrow
from semcbir import Index
from semcbir.outside import TARGETS, export_index, rows

__all__ = ["at_the_demo", "demo"]


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
    named = run(*command, "--name", "a")
    assert (named.code, "error: --name: not with parquet" in named.err) == (2, True)
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
