# SPDX-License-Identifier: MIT
"""What is fed with damaged bytes: for each target, inputs to begin with and a function that must not fail.

``run(data)`` returns if the bytes were used, or refused with the error that users are told; any other
exception is a defect, and so is a signal or a long time.
"""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from semcbir import (
    HOG,
    KAZE,
    EncoderCard,
    ImageError,
    IndexStorageError,
    ModelCard,
    ModelError,
    Recipe,
    Signatures,
    load_image,
)
from semcbir.index.segments import map_segment, write_segment
from semcbir.index.snapshot import Snapshot
from semcbir.networks.groups import ClassNames
from semcbir.networks.torch_legacy import read_tensors

CLASSES, IMAGES = 20, 12


@dataclass(frozen=True)
class Target:
    """A part of the package that reads bytes from outside."""

    seeds: Callable[[], Iterator[bytes]]
    run: Callable[[bytes], None]


RECIPE = Recipe(
    {"name": "m", "sha256": "0" * 64, "classes": [str(i) for i in range(CLASSES)]}, (KAZE(), HOG()), 512
)


def made_batch(images: int) -> dict[str, Signatures]:
    """Return signatures of both features of ``RECIPE``, the same on every run."""
    rng = np.random.default_rng(images)
    shares = np.where(rng.random((images, CLASSES)) < 0.2, rng.random((images, CLASSES)), 0).astype(
        np.float32
    )
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1)
    return {
        feature.name: Signatures.from_dense(
            np.where(shares[:, :, None] > 0, rng.random((images, CLASSES, feature.dim)), 0),
            shares,
            counts=(shares > 0).astype(np.uint32),
        )
        for feature in RECIPE.features
    }


def segment_seeds() -> Iterator[bytes]:
    """Segments of no image, of one, and of some."""
    for images in (0, 1, IMAGES):
        with tempfile.TemporaryDirectory() as folder:
            yield (Path(folder) / write_segment(Path(folder), [made_batch(images)]).name).read_bytes()


def run_segment(data: bytes) -> None:
    """Map a segment, search it and copy it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("0" * 16 + ".safetensors")
        path.write_bytes(data)
        try:
            segment = map_segment(path, RECIPE)
        except IndexStorageError:
            return
        snapshot = Snapshot(Path(folder), RECIPE, ClassNames(RECIPE.classes), (), (segment,), (segment.ids,))
        for feature, batch in made_batch(1).items():
            found = snapshot.searcher(feature).search(batch, 5, threads=1)
            assert not np.isnan(found.distances).any()
            with contextlib.suppress(IndexStorageError):  # values are looked at only now
                snapshot.signatures(feature, None)


def card_seeds() -> Iterator[bytes]:
    """The card that ships with the package, one with everything that a card may say, and an encoder's."""
    shipped = files("semcbir.networks").joinpath("shipped", "default.json").read_bytes()
    yield shipped
    card = json.loads(shipped)
    names = [str(name) for name in card["classes"]]
    if card["output"]["kind"] == "logits":
        card["inference"] = {
            "flip": True,
            "scales": [0.5, 1.0, 1.5],
            "short_side": 360,
            "crop": 473,
            "stride": 0.6,
            "padding": "centre",
            "taxonomy": {"one": names[:2], "two": names[2:3]},
            "void": "two",
        }
    card["classes"], card["measured"] = names, {"mean_iou": 0.5}
    yield json.dumps(card).encode()
    shared = {key: card[key] for key in ("format", "name", "file", "sha256", "input", "measured")}
    own = {"kind": "encoder", "size": {"rule": "squash", "length": 224}, "dim": 128, "output": "grid"}
    yield json.dumps(shared | own).encode()


def run_card(data: bytes) -> None:
    """Read a card and ask it what indexing asks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "card.json"
        path.write_bytes(data)
        cards = []
        for kind in (ModelCard, EncoderCard):
            with contextlib.suppress(ModelError):
                cards.append(kind.load(path))
    assert len(cards) <= 1, "a card is of one kind"
    for card in cards:
        assert type(card).from_dict(card.to_dict()) == card
        assert card.preprocessing_dict()
        if isinstance(card, ModelCard):
            assert card.n_classes == len(card.labels)
        for height, width in ((1, 1), (300, 400), (5, 4000)):
            size = card.size.scaled(height, width)
            assert all(side >= 1 for side in (*size, *card.size.canvas(*size)))


def weights_seeds() -> Iterator[bytes]:
    """A file of one tensor, its axes turned."""
    yield (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
        b"\x80\x02}X\r\0\0\0little_endian\x88s."
        b"\x80\x02ccollections\nOrderedDict\nq\0)R(X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n"
        b"((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0kX\3\0\0\0cpuK\6NtQ"
        b"K\0K\2K\3\x86K\1K\2\x86\x89h\0)RtRu."
        b"\x80\x02](X\1\0\0\0ke.\6\0\0\0\0\0\0\0" + np.arange(6, dtype="<f4").tobytes()
    )


def run_weights(data: bytes) -> None:
    """Read a file of weights, and every number in it."""
    try:
        tensors = read_tensors(data, "weights.pth")
    except ModelError:
        return
    assert sum(np.array(tensor).nbytes for tensor in tensors.values()) <= len(data) * len(tensors)


def image_seeds() -> Iterator[bytes]:
    """A small picture in every format that Pillow can write and semcbir reads."""
    y, x = np.mgrid[:40, :56]
    rgb = np.stack([4 * x, 6 * y, x * y % 256], axis=2).astype(np.uint8)
    picture = Image.fromarray(rgb)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, options in (
        ("JPEG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
    ):
        file = io.BytesIO()
        picture.save(file, kind, **options)
        yield file.getvalue()
    file = io.BytesIO()
    Image.fromarray(257 * rgb[:, :, 0].astype(np.uint16)).save(file, "PNG")
    yield file.getvalue()


def run_image(data: bytes) -> None:
    """Decode an image; sizes are bounded, so that neither memory nor time depend on what it announces."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        path.write_bytes(data)
        try:
            pixels = load_image(path, 64, 2**22)
        except ImageError:
            return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert 1 <= max(pixels.shape[:2]) <= 64


TARGETS = {
    "segment": Target(segment_seeds, run_segment),
    "card": Target(card_seeds, run_card),
    "image": Target(image_seeds, run_image),
    "weights": Target(weights_seeds, run_weights),
}
