# SPDX-License-Identifier: MIT
"""Qdrant: a collection with a point for each image, its signature as a sparse vector.

Qdrant compares sparse vectors by their dot product alone, and without approximation. An entry more makes that
an order by distance: with |x|^2 + 1 in the images and -1/2 in the query, the score of x is
(|q|^2 - |q - x|^2 - 1) / 2. The 1 keeps the entry from being 0: Qdrant finds only what shares one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from semcbir._files import absolute, display_path
from semcbir._validate import shown
from semcbir.errors import SemcbirError
from semcbir.index.lookup import Record
from semcbir.outside.folders import require_no_index
from semcbir.outside.libraries import library, refuse
from semcbir.outside.rows import MADE_BY, Batch, Facts, Sink, path_text
from semcbir.signatures import Signatures

SIGNATURE, HISTOGRAM = "signature", "histogram"
MAX_CLASSES = 65_535
MAX_INDEX = 2**32 - 1
AT_ONCE = 128
"""Points sent at a time: some MB of JSON, far below the 32 MiB that a server takes."""
SECONDS = 60
_HOST = re.compile(r"(.*@)?[\w.-]+:\d+/?")
_KEY = re.compile(r"[!-~]([ -~]*[!-~])?")


@contextmanager
def writing(place: str, facts: Facts, name: str, replace: bool) -> Iterator[Sink]:
    """Write a collection ``name``; an error deletes it again.

    Raises ValueError for a collection that is there already unless ``replace``, and for one that others made;
    SemcbirError for what the server refuses.
    """
    qdrant, http = library("qdrant_client", "qdrant"), library("qdrant_client.http", "qdrant")
    _check_size(facts)
    try:
        with closing(_client(qdrant, place)) as client:
            _require_room(client, name, replace)
            try:
                _create(qdrant.models, client, facts, name)
                yield Sink(
                    f"collection {name} at {_shown(place)}", _adder(qdrant.models, client, facts, name)
                )
                _finish(client, facts, name)
            except BaseException:
                with suppress(Exception):  # the first error says more
                    client.delete_collection(name)
                raise
    except http.exceptions.ApiException as error:
        refuse(f"Qdrant at {_shown(place)}", error, [os.environ.get("QDRANT_API_KEY", "")])


def sparse_vectors(
    signatures: Signatures,
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Yield the indices and values of each image's sparse vector.

    Entry d of class c has index c D + d; those that are 0 are left out. The last entry, of index (C + 1) D
    with whole rows or C D without, is |x|^2 + 1.
    """
    dim = signatures.dim
    for low, high in pairwise(signatures.offsets.tolist()):
        values = signatures.centroids[low:high].astype(np.float64)
        index = signatures.classes[low:high, None].astype(np.int64) * dim + np.arange(dim)
        filled = values != 0
        last = (signatures.n_classes + signatures.whole) * dim
        yield np.append(index[filled], last), np.append(values[filled], (values**2).sum() + 1)


def _check_size(facts: Facts) -> None:
    if facts.n_classes > MAX_CLASSES or len(facts.names) * facts.dim > MAX_INDEX:
        raise ValueError(
            f"feature: expected at most {MAX_CLASSES} classes and {MAX_INDEX} numbers in a signature for "
            f"Qdrant, got {facts.n_classes} and {len(facts.names) * facts.dim}"
        )


def _is_server(place: str) -> bool:
    return place.lower().startswith(("http://", "https://"))


def _key() -> str | None:
    """Return the key of the server, if there is one; ValueError for what no header can hold."""
    key = os.environ.get("QDRANT_API_KEY")
    if key and not _KEY.fullmatch(key):  # the client's error would show it
        raise ValueError("QDRANT_API_KEY: expected printable ASCII with no blanks around, got something else")
    return key


def _client(qdrant: Any, place: str) -> Any:
    """Return a client of the server at an address, or of the folder of an embedded one."""
    if "://" in place or _HOST.fullmatch(place):
        _check_address(place)
        key = _key()
        try:
            return qdrant.QdrantClient(url=place, api_key=key, timeout=SECONDS, check_compatibility=False)
        except ValueError:  # the client is stricter than Python, and does not say whose address it means
            raise _not_an_address(place) from None
    folder = absolute(place, "place")
    _check_folder(folder)
    try:
        return qdrant.QdrantClient(path=str(folder))
    except RuntimeError:  # its only one: the folder is locked
        raise SemcbirError(f"{display_path(folder)} is open in another program of Qdrant's client") from None


def _check_address(place: str) -> None:
    """Raise ValueError unless ``place`` is the address of a server, and without secrets."""
    if "@" in place:
        raise ValueError(
            "place: expected http://HOST:PORT of Qdrant without a user or password, which its client leaves "
            "out, got an address with @; a key belongs into QDRANT_API_KEY"
        )
    try:
        parts = urlsplit(place)
        sound = _is_server(place) and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise _not_an_address(place)


def _not_an_address(place: str) -> ValueError:
    told = re.split("[?#]", place)[0]  # what follows may be a key
    return ValueError(f"place: expected http://HOST:PORT of Qdrant or a folder, got {shown(told)}")


def _check_folder(folder: Path) -> None:
    require_no_index(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"place: expected http://HOST:PORT or a folder, got the file {display_path(folder)}")
    held = {one.name for one in folder.iterdir()} if folder.exists() else set()
    if held and "meta.json" not in held:
        raise ValueError(
            f"place: expected a new or empty folder, or one of Qdrant's client, got {display_path(folder)} "
            f"with other files ({display_path(min(held))}); name another folder"
        )


def _shown(place: str) -> str:
    """Return the place without what an address may have after its path."""
    if not _is_server(place):
        return display_path(absolute(place))
    parts = urlsplit(place)
    return display_path(f"{parts.scheme}://{parts.netloc}{parts.path}")


def _require_room(client: Any, name: str, replace: bool) -> None:
    """Delete an earlier export's collection if ``replace``; ValueError if there is one that must stay."""
    if not client.collection_exists(name):
        return
    config = client.get_collection(name).config
    vectors = config.params
    if set(vectors.sparse_vectors or ()) != {SIGNATURE} or not _has_histograms(vectors.vectors):
        raise ValueError(
            f"name: expected one without a collection, got {name!r}, whose collection is not from semcbir; "
            "another name (--name) leaves it alone"
        )
    if not replace:
        # Part of an export is not replaced unasked: on a server it may be one that is running.
        has = "which has one"
        if config.metadata == MADE_BY:
            has = "whose collection is part of an export that was cut off, or is running"
        raise ValueError(
            f"name: expected one without a collection, got {name!r}, {has}; --replace (replace=True) "
            "replaces that export, another name (--name) leaves it alone"
        )
    client.delete_collection(name)


def _has_histograms(vectors: Any) -> bool:
    return isinstance(vectors, dict) and set(vectors) == {HISTOGRAM}


def _create(models: Any, client: Any, facts: Facts, name: str) -> None:
    # The filter must not miss an image, so there is no approximate index of histograms.
    histogram = models.VectorParams(
        size=facts.n_classes,
        distance=models.Distance.MANHATTAN,
        on_disk=True,
        hnsw_config=models.HnswConfigDiff(m=0),
    )
    client.create_collection(
        name,
        vectors_config={HISTOGRAM: histogram},
        sparse_vectors_config={SIGNATURE: models.SparseVectorParams()},
        metadata=dict(MADE_BY),
    )


def _finish(client: Any, facts: Facts, name: str) -> None:
    """Give the collection the other texts, which part of an export has not."""
    if client.get_collection(name).config.metadata:  # a server before 1.16 keeps none
        client.update_collection(name, metadata=facts.texts())


def _adder(models: Any, client: Any, facts: Facts, name: str) -> Any:
    def add(batch: Batch) -> None:
        for start in range(0, len(batch.records), AT_ONCE):
            some = slice(start, start + AT_ONCE)
            points = _points(models, batch.records[some], batch.signatures[some], facts)
            client.upsert(name, points=points, wait=True)

    return add


def _points(models: Any, records: list[Record], signatures: Signatures, facts: Facts) -> list[Any]:
    points = []
    histograms = signatures.histograms()
    vectors = sparse_vectors(signatures)
    for record, histogram, (indices, values) in zip(records, histograms, vectors, strict=True):
        sparse = models.SparseVector(indices=indices.tolist(), values=values.tolist())
        payload = _payload(record) | {"classes": [facts.names[c] for c in np.flatnonzero(histogram)]}
        vector = {HISTOGRAM: histogram.tolist(), SIGNATURE: sparse}
        points.append(models.PointStruct(id=record.id, vector=vector, payload=payload))
    return points


def _payload(record: Record) -> dict[str, Any]:
    """Return what a point says of its file; JSON holds no bytes, so an odd path has its bytes in hex, too."""
    path = os.fsencode(record.path)
    text = path_text(record.path)
    odd = {} if text.encode("utf-8", "surrogatepass") == path else {"path_hex": path.hex()}
    return {"path": text, "size": record.size, "mtime_ns": record.mtime_ns} | odd
