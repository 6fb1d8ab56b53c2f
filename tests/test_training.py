# SPDX-License-Identifier: MIT
"""What the training of the default model rests on: merged labels, augmentation, measures, the optimiser."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "training"
if not FOLDER.is_dir():
    pytest.skip("training/ is not part of this copy", allow_module_level=True)
sys.path.insert(0, str(FOLDER))

import confusion  # noqa: E402
import data  # noqa: E402
import taxonomy  # noqa: E402
from semcbir.networks.card import ModelCard  # noqa: E402

CARDS = Path(__file__).with_name("cards")


def test_what_the_teachers_say_is_merged() -> None:
    ade, voc = (ModelCard.load(CARDS / f"{name}.json").classes for name in ("ade150", "voc21"))
    classes, labels = taxonomy.merged_classes(ade), taxonomy.voc_to_merged(ade, voc)
    assert len(classes) == 157
    assert [classes[label] for label in labels][:3] == ["airplane", "bicycle", "bird"]
    assert len(set(labels)) == 20

    rng = np.random.default_rng(0)
    ade_shares, voc_shares = rng.dirichlet(np.ones(150), 3), np.zeros((3, 21))
    voc_shares[0, 0] = 1  # nothing that VOC knows
    voc_shares[1, voc.index("dog")] = 1
    voc_shares[2, [0, voc.index("person")]] = 0.25, 0.75
    merged = taxonomy.merge(ade_shares, voc_shares, labels)
    np.testing.assert_allclose(merged.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(merged[0], [*ade_shares[0], *[0] * 7], rtol=1e-5)
    assert merged[1, classes.index("dog")] == 1
    person = classes.index("person")
    np.testing.assert_allclose(merged[2, person], 0.75 + 0.25 * ade_shares[2, person], rtol=1e-5)


def test_accuracy_and_mean_iou() -> None:
    table = np.array([[6, 2, 0], [1, 1, 0], [0, 0, 0]])  # the last class is never there
    accuracy, mean_iou = confusion.accuracy_and_mean_iou(table)
    assert accuracy == pytest.approx(7 / 10)
    assert mean_iou == pytest.approx((6 / 9 + 1 / 4) / 2)


def made_photos(tmp_path: Path) -> data.Photos:
    """Two photos whose red and green are their own labels, cell by cell: red the column, green the row."""
    names = ["set/7.jpg", "set/10.jpg"]
    side = 256 // data.STRIDE
    rows, columns = np.indices((side, side))
    labels = np.zeros((2, side, side, 8), np.uint8)
    labels[..., 0], labels[..., 1] = columns, rows
    image = np.zeros((256, 256, 3), np.uint8)
    image[..., 0], image[..., 1] = (np.kron(plane, np.ones((4, 4))) for plane in (columns, rows))
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in names))
    (tmp_path / "classes.txt").write_text("a\nb\n")
    np.save(tmp_path / "images.npy", np.stack([image, image]))
    np.save(tmp_path / "sizes.npy", np.array([[256, 192], [256, 256]]))
    np.save(tmp_path / "labels.npy", labels)
    np.save(tmp_path / "shares.npy", np.full(labels.shape, 0.125, np.float16))
    return data.Photos.load(tmp_path)


def test_files_whose_number_ends_in_0_are_held_out(tmp_path: Path) -> None:
    training, held_out = made_photos(tmp_path).split()
    assert (training.tolist(), held_out.tolist()) == ([0], [1])


def test_a_photo_and_its_labels_are_cut_scaled_and_turned_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "recoloured", lambda image, rng: image)
    photos = made_photos(tmp_path)
    flipped = set()
    for seed in range(20):
        sample = data.augmented(photos, seed % 2, (96, 128), 0.45, np.random.default_rng(seed))
        assert sample.image.shape == (96, 128, 3)
        assert sample.labels.shape == sample.shares.shape == (24, 32, 8)
        centres = sample.image[2::4, 2::4].astype(int)
        assert np.abs(centres[..., 0] - sample.labels[..., 0]).max() <= 1
        assert np.abs(centres[..., 1] - sample.labels[..., 1]).max() <= 1
        flipped.add(bool(sample.labels[0, 0, 0] > sample.labels[0, -1, 0]))
        if seed % 2 == 0:
            assert (
                sample.labels[..., 0].max() < 48
            )  # the first photo is 192 wide, the rest of its row is padding
    assert flipped == {True, False}


def test_a_pass_is_every_photo_once(tmp_path: Path) -> None:
    photos = made_photos(tmp_path)
    passes = list(data.batches(photos, np.arange(2), 1, (96, 128), 0.5, seed=0))
    assert [images.shape for images, _, _ in passes] == [(1, 96, 128, 3)] * 2


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 16)])
def test_a_step_of_muon_turns_every_direction_alike(shape: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    from muon import orthogonal

    torch.manual_seed(0)
    found = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert float(found.min()) > 0.5
    assert float(found.max()) < 1.4
