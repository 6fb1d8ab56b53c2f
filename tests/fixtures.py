# SPDX-License-Identifier: MIT
"""Fixtures: the shared photos and models where they are there, and small made ones where they are not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import Run, command
from made_photos import write_photos
from semcbir import _core
from tiny_models import tiny_model as write_tiny_model

__all__ = [
    "ade_model",
    "index",
    "level",
    "made_photos",
    "photo_folder",
    "run",
    "shared_dir",
    "tiny_logits_model",
    "tiny_model",
    "voc_model",
    "wang_dir",
]

TESTS = Path(__file__).resolve().parent


@pytest.fixture(params=_core.simd_levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction-set level of this machine in turn."""
    before = _core.simd_level()
    _core.set_simd_level(request.param)
    yield request.param
    _core.set_simd_level(before)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with real photos and models, beside the checkout."""
    folder = TESTS.parents[1] / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared (real photos and models)")
    return folder


@pytest.fixture(scope="session")
def wang_dir(shared_dir: Path) -> Path:
    """Corel-1000: 0.jpg .. 999.jpg, 384 x 256 or 256 x 384."""
    folder = shared_dir / "data" / "wang"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/wang")
    return folder


@pytest.fixture(scope="session")
def ade_model(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Card of the 150-class ADE20K network, its ONNX file beside it."""
    return _shared_model(
        "ade150.json", shared_dir / "models" / "ade150_deeplabv3p_mnv2.onnx", tmp_path_factory
    )


@pytest.fixture(scope="session")
def voc_model(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Card of the 21-class Pascal VOC network, its ONNX file beside it."""
    return _shared_model("voc21.json", shared_dir / "models" / "voc21_deeplabv3_mnv2.onnx", tmp_path_factory)


def _shared_model(card: str, onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not onnx.is_file():
        pytest.skip(f"needs ../shared/models/{onnx.name}")
    folder = tmp_path_factory.mktemp("model")
    (folder / onnx.name).symlink_to(onnx)
    return Path(shutil.copy(TESTS / "cards" / card, folder))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file of the tiny labels network (dynamic batch), its card beside it; see tiny_models.py."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_logits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ONNX file of the tiny logits network (batch of 1, stride 4), its card beside it; see tiny_models.py."""
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "tiny_logits.onnx", "logits")


@pytest.fixture(scope="session")
def made_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "photos"
    write_photos(folder)
    return folder


@pytest.fixture
def photo_folder(made_photos: Path, tmp_path: Path) -> Path:
    """A folder of 12 small photos, ``beach/``, ``meadow/`` and ``town/`` 4 each; the test's own to change."""
    return Path(shutil.copytree(made_photos, tmp_path / "photos"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in this process."""
    return command(capsys)


@pytest.fixture
def index(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Path:
    """An index of the 12 photos, two features."""
    place = tmp_path / "index"
    done = run("index", photo_folder, "-o", place, "--model", tiny_model, "--features", "kaze,hog")
    assert (done.code, done.err) == (0, "")
    return place
