# SPDX-License-Identifier: MIT
"""The script that lays out the development sets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from semcbir.evaluation.layouts import by_folder

FOLDER = Path(__file__).resolve().parents[1] / "training"
if not FOLDER.is_dir():
    pytest.skip("training/ is not part of this copy", allow_module_level=True)
sys.path.insert(0, str(FOLDER))

import development_sets  # noqa: E402

BEGINS = {
    "mit8": [0, 170, 340, 510, 680, 850, 1020, 1190],
    "sun8": [0, 120, 240, 360, 480, 600, 703, 823],
    "weather": [0, 95, 190, 285],
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Empty files, as many as the sets have."""
    for name, sizes in development_sets.SETS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(sum(sizes)):
            (tmp_path / "photos" / name / f"{number:04d}.jpg").touch()
    return tmp_path / "photos"


def test_classes_are_runs_of_files(photos: Path, tmp_path: Path):
    development_sets.lay_out(photos, tmp_path / "out")
    for name, begins in BEGINS.items():
        dataset = by_folder(tmp_path / "out" / name)
        first = [
            next(path.name for path in dataset.paths if path.parent.name == c) for c in dataset.class_names
        ]
        assert first == [f"{number:04d}.jpg" for number in begins]
        assert [path.resolve() for path in dataset.paths] == sorted((photos / name).glob("*.jpg"))
    caltech = by_folder(tmp_path / "out" / "caltech101")
    second, eighth = (
        [path.name for path, label in zip(caltech.paths, caltech.labels, strict=True) if label == one]
        for one in (1, 7)
    )
    assert second == [f"00{number}.jpg" for number in range(14, 25)]
    assert eighth == [f"{number:04d}.jpg" for number in range(95, 101)]
    assert len(caltech.class_names) == 58


def test_another_number_of_photos_is_refused(photos: Path, tmp_path: Path):
    (photos / "sun8" / "0943.jpg").touch()
    with pytest.raises(ValueError, match="sun8: expected 943 photos, got 944"):
        development_sets.lay_out(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_photos_at_hand_are_as_many(shared_dir: Path):
    for name, sizes in development_sets.SETS.items():
        assert len(list((shared_dir / "photos" / name).glob("*.jpg"))) == sum(sizes)
