# SPDX-License-Identifier: MIT
"""Models opened ahead: given to whoever asks for the same, once, and never in the place of another."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import semcbir
from semcbir import Encoder, ModelCard, ModelError, Segmenter
from semcbir.inference import ahead, network, runtime
from semcbir.networks.names import resolve
from tiny_models import tiny_encoder

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    ahead._ahead.clear()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The models whose sessions were opened, but for those that were opened ahead."""
    paths: list[Path] = []
    really = runtime.open_session

    def open_session(file: Any, *settings: Any, **more: Any) -> Any:
        paths.append(file.path)
        return really(file, *settings, **more)

    monkeypatch.setattr(network, "open_session", open_session)
    return paths


def test_a_model_that_was_opened_ahead_is_given_once(tiny_model: Path, opened: list[Path]) -> None:
    plain = Segmenter(tiny_model, device="cpu", threads=2).segment([IMAGE])[0]
    assert opened == [tiny_model]
    ahead.open_ahead(*resolve(tiny_model), 2)
    again = Segmenter(tiny_model, device="cpu", threads=2)
    assert opened == [tiny_model]
    assert again.segment([IMAGE])[0].tolist() == plain.tolist()
    Segmenter(tiny_model, device="cpu", threads=2)
    assert opened == [tiny_model] * 2


def test_an_encoder_is_opened_ahead_too(tmp_path: Path, opened: list[Path]) -> None:
    path = tiny_encoder(tmp_path / "m.onnx")
    plain = Encoder(path, device="cpu", threads=1).encode([IMAGE])[0]
    ahead.open_ahead(path, Encoder(path, device="cpu").card, 1)
    again = Encoder(path, device="cpu", threads=1).encode([IMAGE])[0]
    assert opened == [path] * 2
    assert again.cells.tobytes() == plain.cells.tobytes()


def test_other_threads_get_a_session_of_their_own(tiny_model: Path, opened: list[Path]) -> None:
    ahead.open_ahead(*resolve(tiny_model), 2)
    Segmenter(tiny_model, device="cpu", threads=1)
    assert opened == [tiny_model]


def test_a_file_that_is_another_by_now_is_read_again(
    tiny_model: Path, tiny_logits_model: Path, tmp_path: Path, opened: list[Path]
) -> None:
    path = tmp_path / "m.onnx"
    for model in (tiny_model, tiny_logits_model):
        shutil.copy(model, path)
        card = json.loads(model.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps({**card, "file": path.name}))
        if model is tiny_model:
            ahead.open_ahead(*resolve(path), 1)
            ahead._ahead[path].future.result()
    assert Segmenter(path, device="cpu", threads=1).card.output.kind == "logits"
    assert opened == [path]


def test_what_is_wrong_is_said_to_whoever_asks(tiny_model: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny_model, tmp_path / "m.onnx"))
    card = {**json.loads(tiny_model.with_suffix(".json").read_text()), "file": path.name}
    path.write_bytes(b"no model")
    path.with_suffix(".json").write_text(json.dumps(card))
    ahead.open_ahead(path, ModelCard.from_dict(card), 1)
    with pytest.raises(ModelError, match="not the file that its card"):
        Segmenter(path, device="cpu", threads=1)
    ahead.open_ahead(tmp_path / "gone.onnx", ModelCard.from_dict(card), 1)
    assert ahead._opened(ahead._ahead[tmp_path / "gone.onnx"]) is None


FORK = """
import os, sys, time
from semcbir.inference import ahead
from semcbir.networks.names import resolve

read = ahead.ModelFile.read
if sys.argv[2] == "reading":
    ahead.ModelFile.read = lambda *given: time.sleep(1) or read(*given)
path, card = resolve(sys.argv[1])
ahead.open_ahead(path, card, 2)
if sys.argv[2] == "opened":
    ahead._ahead[path].future.result()
child = os.fork()
if not child:
    os._exit(len(ahead._ahead))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("state", ["reading", "opened"])
def test_a_forked_child_waits_for_nothing(tiny_model: Path, state: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK, tiny_model, state]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


SEARCH = """
import sys
from semcbir.cli import main
from semcbir.inference import ahead, network

def open_session(file, *settings, **more):
    raise AssertionError(f"{file.path} was not opened ahead")

network.open_session = open_session
sys.argv = ["semcbir", "search", *sys.argv[1:], "--json"]
main()
"""


def test_a_search_opens_the_models_of_its_index_ahead(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    encoder = tiny_encoder(tmp_path / "m.onnx")
    semcbir.Index.build(photo_folder, tmp_path / "index", model=tiny_model, encoder=encoder, features="deep")
    query = photo_folder / "town" / "1.jpg"
    for device in ("auto", "cpu"):
        if device == "auto" and runtime.cuda_visible():
            continue
        command = [sys.executable, "-c", SEARCH, query, tmp_path / "index", "--device", device]
        ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        hits = json.loads(ran.stdout)["hits"]
        expected = semcbir.search(query, tmp_path / "index")
        assert [(hit["id"], hit["distance"]) for hit in hits] == [(hit.id, hit.distance) for hit in expected]


def test_a_command_ends_though_a_model_is_still_being_opened(
    photo_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    semcbir.Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    command = [sys.executable, "-m", "semcbir", "search", tmp_path / "broken.jpg", tmp_path / "index"]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "not an image" in ran.stderr
