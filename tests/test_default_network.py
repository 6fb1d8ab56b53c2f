# SPDX-License-Identifier: MIT
"""The model that ships: it is there, knows everyday scenes, and makes search work without any options."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import semcbir
from semcbir.cli.app import app
from semcbir.evaluation.evaluate import evaluate
from semcbir.evaluation.layouts import wang
from semcbir.evaluation.store import Store
from semcbir.evaluation.ways import Settings
from semcbir.images.decode import load_image
from semcbir.images.find import find_images
from semcbir.networks.names import resolve
from semcbir.segmentation.segmenter import Segmenter

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn beaches, meadows, mountains and towns, four of each."""
    folder = tmp_path_factory.mktemp("scenes")
    subprocess.run([sys.executable, ROOT / "docs" / "demo.py", folder], check=True)
    return folder


def share(segmenter: Segmenter, image: np.ndarray, *names: str) -> float:
    """The share of the image that has one of these labels."""
    labels = [i for i, name in enumerate(segmenter.card.classes) if name in names]
    return float(np.isin(segmenter.segment([image])[0], labels).mean())


def test_it_is_what_its_card_says() -> None:
    onnx, card = resolve()
    card.check_file(onnx)
    assert onnx.stat().st_size <= 7_000_000
    assert len(card.classes) == 157
    assert {"sky", "grass", "person", "cat", "horse", "train"} <= set(card.classes)
    assert card.licence == "MIT"
    assert card.measured["held_out"]["pixel_accuracy"] >= 0.62
    assert {"held_out", "real_labels", "wang_kaze", "speed", "training", "curve"} <= set(card.measured)


def test_it_knows_a_landscape(scenes: Path) -> None:
    segmenter = Segmenter(device="cpu")
    meadow, beach = (load_image(scenes / kind / "1.jpg") for kind in ("meadow", "beach"))
    for image in (meadow, beach):
        assert share(segmenter, image[:40], "sky") > 0.8
    assert share(segmenter, meadow[-150:], "grass", "field", "plant", "flower") > 0.6
    assert share(segmenter, beach, "sand", "earth", "sea", "water") > 0.3
    assert share(segmenter, load_image(scenes / "town" / "1.jpg"), "building", "house", "road") > 0.4


def test_what_it_says_hardly_depends_on_the_size_of_the_photo(scenes: Path) -> None:
    segmenter = Segmenter(device="cpu")
    large = load_image(scenes / "mountains" / "1.jpg", None)
    small = load_image(scenes / "mountains" / "1.jpg", large.shape[1] // 2)
    fine, coarse = segmenter.segment([large, small])
    rows, columns = (np.arange(side) * 2 + 1 for side in coarse.shape)
    assert np.mean(fine[np.ix_(rows, columns)] == coarse) > 0.95


def test_search_needs_a_photo_and_a_folder_and_no_network_connection(
    scenes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(SystemExit) as done:
        app(["search", str(scenes / "beach" / "1.jpg"), str(scenes), "-k", "4"], "semcbir")
    assert not done.value.code
    hits = capsys.readouterr().out.splitlines()[1:]
    assert len(hits) == 4
    assert all("beach" in hit for hit in hits)


def test_scenes_find_their_kind(scenes: Path, tmp_path: Path) -> None:
    index = semcbir.Index.build(scenes, tmp_path / "index")
    right = 0
    for query in find_images(scenes):
        itself, nearest, *others = semcbir.search(query, index, k=4)
        assert itself.path == query
        assert nearest.path.parent == query.parent
        right += sum(hit.path.parent == query.parent for hit in others)
    assert right >= 30  # of 32


@pytest.mark.slow
def test_figures_on_wang(wang_dir: Path, tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        scores = evaluate(wang(wang_dir), Settings(features="kaze"), store).scores["kaze"]
    assert scores.mean("last", "ap") >= 0.55
    assert scores.mean("last", "p@20 in") >= 0.75
