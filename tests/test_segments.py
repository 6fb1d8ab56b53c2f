# SPDX-License-Identifier: MIT
"""Segment files: they are plain safetensors, they come back bit for bit, and damage never gets through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_signatures import assert_same, made_signatures
from semcbir import HOG, KAZE, IndexStorageError, Recipe, Signatures
from semcbir._files import file_sha256
from semcbir.index.segments import map_segment, write_segment

RECIPE = Recipe({"name": "m", "sha256": "0", "classes": [str(i) for i in range(20)]}, (KAZE(), HOG()), 512)


def made_batch(n: int, seed: int = 0) -> dict[str, Signatures]:
    """Two features over the same rows, as one pass over the images gives them."""
    kaze = made_signatures(n, dim=64, seed=seed)
    hog = {**vars(kaze), "centroids": np.where(kaze.counts[:, None] > 0, kaze.centroids[:, :36] / 2, 0)}
    return {"kaze": kaze, "hog": Signatures(**hog)}


def test_a_segment_comes_back_bit_for_bit(tmp_path: Path):
    batch = made_batch(30)
    file = write_segment(tmp_path, [batch])
    segment = map_segment(tmp_path / file.name, RECIPE)
    assert len(segment) == file.images == 30
    for name in ("kaze", "hog"):
        assert_same(segment.batch[name], batch[name])
        assert segment.batch[name].recipe == RECIPE.for_feature(name)
    assert file.sha256 == file_sha256(tmp_path / file.name)
    assert file.size == (tmp_path / file.name).stat().st_size


def test_batches_are_joined_as_concatenation_would(tmp_path: Path):
    batches = [made_batch(n, seed=n) for n in (3, 0, 5)]
    ids = np.arange(8)
    batches = [
        {name: Signatures(**{**vars(s), "ids": ids[start : start + len(s)]}) for name, s in batch.items()}
        for batch, start in zip(batches, (0, 3, 3), strict=True)
    ]
    segment = map_segment(tmp_path / write_segment(tmp_path, batches).name, RECIPE)
    for name in ("kaze", "hog"):
        assert_same(segment.batch[name], Signatures.concatenate([batch[name] for batch in batches]))


def test_safetensors_itself_reads_a_segment(tmp_path: Path):
    batch = made_batch(9)
    tensors = safetensors.numpy.load_file(tmp_path / write_segment(tmp_path, [batch]).name)
    for name in ("offsets", "classes", "proportions", "ids"):
        np.testing.assert_array_equal(tensors[name], getattr(batch["kaze"], name))
    for feature, signatures in batch.items():
        np.testing.assert_array_equal(tensors[f"counts.{feature}"], signatures.counts)
        np.testing.assert_array_equal(tensors[f"centroids.{feature}"], signatures.centroids)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_segment(tmp_path, [made_batch(3)])
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_is_noticed(tmp_path: Path):
    path = tmp_path / write_segment(tmp_path, [made_batch(2)]).name
    data = path.read_bytes()
    for length in [*range(0, min(len(data), 1200), 7), *range(len(data) - 40, len(data))]:
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(data[:length])
        with pytest.raises(IndexStorageError, match=r"cut\.safetensors"):
            map_segment(cut, RECIPE)
    with pytest.raises(IndexStorageError):
        cut.write_bytes(data + b"\0")
        map_segment(cut, RECIPE)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_harmless(tmp_path: Path, position: float, bit: int):
    """Whatever maps must be safe to search: offsets and classes as the core needs them."""
    source = tmp_path / "source"
    if not source.exists():
        source.mkdir()
        write_segment(source, [made_batch(4)])
    data = bytearray(next(source.iterdir()).read_bytes())
    data[int(position * len(data))] ^= 1 << bit
    flipped = tmp_path / "flipped.safetensors"
    flipped.write_bytes(data)
    try:
        segment = map_segment(flipped, RECIPE)
    except IndexStorageError as error:
        assert "flipped" in str(error)  # noqa: PT017 -- both outcomes are right
        return
    signatures = segment.batch["kaze"]
    assert signatures.offsets[0] == 0
    assert (np.diff(signatures.offsets) >= 0).all()
    assert signatures.offsets[-1] == len(signatures.classes) == len(signatures.centroids)
    assert not len(signatures.classes) or signatures.classes.max() < 20


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"ids":1}',
        b'{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0]}}',
        b'{"ids":{"dtype":"I64","shape":[-1],"data_offsets":[0,0]}}',
        b'{"ids":{"dtype":"F64","shape":[0],"data_offsets":[0,0]}}',
        b'{"ids":{"dtype":"I64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}',
        b'{"ids":{"dtype":"I64","shape":[0],"data_offsets":[-8,0]}}',
        b'{"ids":{"dtype":"I64","shape":"x","data_offsets":["a","b"]}}',
        b'{"ids":{"dtype":"I64","shape":[0],"data_offsets":[0,0]}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_hostile_headers_are_refused(tmp_path: Path, header: bytes):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(IndexStorageError, match="hostile"):
        map_segment(path, RECIPE)


def test_a_segment_of_another_recipe_is_refused(tmp_path: Path):
    path = tmp_path / write_segment(tmp_path, [made_batch(3)]).name
    few = Recipe({**RECIPE.model, "classes": ["a", "b"]}, RECIPE.features, 512)
    with pytest.raises(IndexStorageError, match="below n_classes=2"):
        map_segment(path, few)
    with pytest.raises(FileNotFoundError):
        map_segment(tmp_path / "absent.safetensors", RECIPE)
