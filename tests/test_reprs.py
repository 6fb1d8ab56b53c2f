# SPDX-License-Identifier: MIT
"""What an interactive session shows of a result is short, however large the result is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from made_signatures import made_signatures
from semcbir import KAZE, Encoder, Extractor, Report, Searcher, Skipped
from semcbir.features import Deep
from tiny_models import tiny_encoder


def test_neighbors() -> None:
    searcher = Searcher(made_signatures(30))
    assert repr(searcher.search(made_signatures(12), k=20)) == "Neighbors(12 queries, k=20)"
    assert repr(searcher.search(made_signatures(1), k=7)) == "Neighbors(1 query, k=7)"


def test_local_features() -> None:
    rng = np.random.default_rng(0)
    found = KAZE().detect_and_compute(rng.integers(0, 256, (200, 300), np.uint8))
    assert len(found) > 1
    assert repr(found) == f"LocalFeatures({len(found)} keypoints, dim=64)"


def test_cards_and_features(tmp_path: Path) -> None:
    made = tiny_encoder(tmp_path / "encoder.onnx")
    card = Encoder(made).card
    assert repr(card) == f"EncoderCard({card.name!r}, dim={card.dim})"
    expected = f"Deep({card.name!r}, dim={card.dim}, weighting='share', whole_share=0.7)"
    assert repr(Deep(made)) == expected
    assert "weighting='share'" in repr(KAZE(weighting="share"))


def test_an_analysis_and_its_model(tiny_model: Path) -> None:
    extractor = Extractor(tiny_model, "kaze,hog")
    found = extractor.analyse(np.zeros((30, 40, 3), np.uint8))
    assert repr(found) == "Analysis(30 x 40 pixels, features='kaze,hog')"
    assert repr(extractor.card) == "ModelCard('tiny-labels', n_classes=5)"


def test_a_report_counts_its_files() -> None:
    skipped = [Skipped(Path(f"{i}.jpg"), "damaged") for i in range(1000)]
    assert repr(Report(added=3, skipped=skipped, ignored={"NEF": 2})) == (
        "Report(added=3, skipped=1000, ignored={'NEF': 2})"
    )
    assert repr(Report()) == "Report()"
