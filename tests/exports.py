# SPDX-License-Identifier: MIT
"""What tests of exports have in common: indexes, statements of docs/export.md, searches that are compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_signatures import made_signatures
from semcbir import HOG, Deep, Index, Signatures, search
from semcbir.outside import rows
from tiny_models import CLASSES, tiny_encoder

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
def at_the_demo(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo)


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


def broken(*_: object) -> Iterator[rows.Batch]:
    """Batches that end in an error after the first."""
    yield next(rows.batches(Index.open("demo/made"), "hog"))
    raise OSError(28, "No space left on device")


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
