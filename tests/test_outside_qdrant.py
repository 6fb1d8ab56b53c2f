# SPDX-License-Identifier: MIT
"""Qdrant: the same ids in the same order, by the client in docs/export.md."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from commands import Run
from exports import (
    INDEXES,
    QDRANT,
    SECRET,
    assert_new_photo,
    assert_same_hits,
    at_the_demo,
    broken,
    demo,
    kill_an_export,
    require_qdrant,
)
from semcbir import Index, SemcbirError
from semcbir.outside import export_index, exporting, rows
from tiny_models import CLASSES

__all__ = ["at_the_demo", "demo"]


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
