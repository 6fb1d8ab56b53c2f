# SPDX-License-Identifier: MIT
"""Models and cards made to hurt, and models that fail on some photos only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hostile_models import (
    BYTES,
    CARDS,
    EXTERNAL,
    GRAPHS,
    LARGE,
    calling,
    expanded,
    external,
    functions,
    in_an_initializer,
    looping,
)
from semcbir.errors import ModelError
from semcbir.inference import model_file, watchdog
from semcbir.inference.model_file import ModelFile
from semcbir.networks.card import ModelCard
from semcbir.networks.specs import LARGEST_CARD
from semcbir.segmentation.segmenter import Segmenter
from tiny_models import card_of, labels_network, tiny_model

PHOTO = np.full((48, 64, 3), (200, 30, 20), np.uint8)
SOON = 20
"""Seconds within which each is refused, on a busy machine."""


def written(path: Path, data: bytes) -> Path:
    """Write a model that no checker has seen, with a card that fits its bytes."""
    tiny_model(path)
    card = json.loads(path.with_suffix(".json").read_text()) | {"sha256": sha256(data).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(card))
    path.write_bytes(data)
    return path


def refused(model: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Why ``model`` is refused, when it is opened or, at the latest, when it sees a photo."""
    start = time.monotonic()
    with pytest.raises(ModelError) as caught:
        Segmenter(model, device="cpu", threads=1).segment([PHOTO])
    assert time.monotonic() - start < SOON
    message = str(caught.value)
    assert message.startswith(str(model.with_suffix("")))
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 2000
    assert capfd.readouterr() == ("", "")
    return message


@pytest.mark.parametrize("where", EXTERNAL)
def test_weights_outside_of_the_file_are_refused(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # where onnxruntime would look for them
    Path("w.data").write_bytes(b"\x01\x02\x03")
    graph = labels_network("N")
    EXTERNAL[where](graph)
    model = written(tmp_path / "m.onnx", graph.SerializeToString())
    with pytest.raises(ModelError, match="all its weights inside, this one keeps some in other files"):
        ModelFile.read(model)
    refused(model, capfd)


def test_the_same_network_with_its_weights_inside_is_accepted(tmp_path: Path) -> None:
    graph = labels_network("N")
    in_an_initializer(graph)
    graph.graph.initializer[-1].CopyFrom(onnx.helper.make_tensor("outside", 2, [1, 1, 3], [0, 0, 0]))
    segmenter = Segmenter(written(tmp_path / "m.onnx", graph.SerializeToString()))
    assert (segmenter.segment([PHOTO])[0] == 1).all()


def test_a_model_with_functions_is_accepted(tmp_path: Path) -> None:
    graph = labels_network("N")
    functions(graph, calling(5, 2))
    assert (Segmenter(written(tmp_path / "m.onnx", graph.SerializeToString())).segment([PHOTO])[0] == 1).all()


@pytest.mark.parametrize("what", BYTES)
def test_bytes_that_are_no_network_are_refused(
    what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(written(tmp_path / "m.onnx", BYTES[what]), capfd)


@pytest.mark.parametrize("what", GRAPHS)
def test_a_network_that_asks_for_too_much_is_refused(
    what: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = labels_network("N")
    GRAPHS[what](graph)
    refused(written(tmp_path / "m.onnx", graph.SerializeToString()), capfd)


@pytest.mark.parametrize(
    ("field", "value"), CARDS, ids=[f"{field:.30} {n}" for n, (field, _) in enumerate(CARDS)]
)
def test_a_card_that_asks_for_too_much_is_refused(
    field: str, value: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(tmp_path / "tiny.onnx", "logits")
    card = card_of(model, "logits")
    *above, last = field.split(".")
    place = card
    for name in above:
        place = place[name]
    place[last] = value
    model.with_suffix(".json").write_text(json.dumps(card))
    assert field.split(".")[0][:20] in refused(model, capfd)


def test_fields_that_are_too_much_together_are_refused(tmp_path: Path) -> None:
    card = card_of(tiny_model(tmp_path / "tiny.onnx", "logits"), "logits")
    for name, value in LARGE.items():
        ModelCard.from_dict(card | {name: value})
    with pytest.raises(ModelError, match="expected scores of at most 16 GiB for a photo, got 2005 classes"):
        ModelCard.from_dict(card | LARGE)
    ModelCard.from_dict(card | LARGE | {"masked": [], "output": {"kind": "labels"}})


@pytest.mark.parametrize(
    "content",
    [
        b'{"format": 1' + b" " * LARGEST_CARD + b"}",
        b'{"a":' * 100_000,
        b"[" + b"[]," * 1_000_000 + b"0]",
        b'{"format": ' + b"1" * 10_000 + b"}",
        b"\xef\xbb\xbf{}",
        '{"format": 1}'.encode("utf-16"),
        b'{"format": 1e999}',
        b'{"format": true}',
        b"\0" * 1000,
    ],
    ids=["long", "deep", "wide", "large number", "mark", "UTF-16", "infinite", "true", "zeros"],
)
def test_a_file_that_is_no_card_is_refused(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(tmp_path / "m.onnx")
    model.with_suffix(".json").write_bytes(content)
    assert "model card: " in refused(model, capfd)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_neither_a_card_nor_a_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.json")
    with pytest.raises(ModelError, match="not a regular file"):
        ModelCard.load(tmp_path / "m.json")
    with pytest.raises(ModelError, match="not a regular file"):
        ModelFile.read(tmp_path / "m.json")


def test_a_model_file_too_large_for_its_format_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ModelError, match="has 1099511627776 bytes, expected at most 2147483648"):
        ModelFile.read(tmp_path / "m.onnx")


def test_measured_is_bounded_in_depth() -> None:
    value: dict[str, Any] = {}
    for _ in range(40):
        value = {"deeper": value}
    card = card_of(Path(__file__), "labels") | {"file": "m.onnx", "measured": value}
    with pytest.raises(
        ModelError, match="measured: expected at most .* 32 levels deep, got .* 41 levels deep"
    ):
        ModelCard.from_dict(card)


def test_a_taxonomy_of_many_classes_is_checked_soon(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(60_000)]
    card = card_of(tiny_model(tmp_path / "tiny.onnx", "logits"), "logits") | {"classes": names}
    start = time.monotonic()
    ModelCard.from_dict(card | {"inference": {"taxonomy": {name: [name] for name in names}}})
    assert time.monotonic() - start < SOON / 4


def test_an_endless_network_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watchdog.VARIABLE, "0.5")
    graph = labels_network("N")
    looping(graph)
    onnx.checker.check_model(graph)
    segmenter = Segmenter(written(tmp_path / "m.onnx", graph.SerializeToString()), device="cpu")
    start = time.monotonic()
    for _ in range(2):
        with pytest.raises(ModelError, match=r"m\.onnx: did not answer within 0\.5 s$"):
            segmenter.segment([PHOTO])
    with pytest.raises(ModelError, match=rf"3 times in a row; it may never end .*{watchdog.VARIABLE}"):
        segmenter.segment([PHOTO])
    assert 1.5 <= time.monotonic() - start < SOON


@pytest.mark.parametrize(
    ("value", "expected"), [("", 300), ("x", 300), ("-1", 300), ("nan", 300), ("2.5", 2.5)]
)
def test_how_long_a_model_may_take(value: str, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(watchdog.VARIABLE, value)
    assert watchdog.seconds() == expected


_GREEDY = r"""
import re, sys, numpy as np
from pathlib import Path
from semcbir.inference import runtime
from semcbir.segmentation.segmenter import Segmenter
runtime._memory = lambda: 2**28
try:
    Segmenter(sys.argv[1], device="cpu", threads=1).segment([np.zeros((48, 64, 3), np.uint8)])
except Exception as error:
    print(type(error).__name__, error)
# getrusage's peak begins with that of the process that started this one.
print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_an_output_that_does_not_fit_into_memory_fails_the_call(tmp_path: Path) -> None:
    graph = labels_network("N")
    expanded(graph, 1, 2**15, 2**15)  # 1 GiB
    model = written(tmp_path / "m.onnx", graph.SerializeToString())
    ran = subprocess.run([sys.executable, "-c", _GREEDY, model], capture_output=True, text=True, check=True)
    said, peak = ran.stdout.rsplit("\n", 2)[:2]
    assert said.startswith("PhotoError"), said
    assert "failed on an input of shape (1, 48, 64, 3)" in said
    assert int(peak) < 600_000


def test_half_precision_is_seen_in_weights_only(tmp_path: Path) -> None:
    graph = labels_network("N")
    assert not ModelFile.read(written(tmp_path / "m.onnx", graph.SerializeToString())).half
    graph.graph.initializer.append(onnx.helper.make_tensor("half", onnx.TensorProto.FLOAT16, [1], [1]))
    assert ModelFile.read(written(tmp_path / "h.onnx", graph.SerializeToString())).half


def test_the_walk_knows_the_fields_of_onnx() -> None:
    """Every field that can hold a tensor or a node, at any depth, is walked."""
    kinds = {
        model_file._MODEL: onnx.ModelProto,
        model_file._TRAINING: onnx.TrainingInfoProto,
        model_file._GRAPH: onnx.GraphProto,
        model_file._NODE: onnx.NodeProto,
        model_file._ATTRIBUTE: onnx.AttributeProto,
        model_file._SPARSE: onnx.SparseTensorProto,
        model_file._TENSOR: onnx.TensorProto,
        model_file._FUNCTION: onnx.FunctionProto,
    }
    names = {kind.DESCRIPTOR.full_name for kind in kinds.values()}
    for kind, message in kinds.items():
        holding = {
            number
            for number, one in message.DESCRIPTOR.fields_by_number.items()
            if one.message_type is not None and one.message_type.full_name in names
        }
        assert holding == set(model_file._PARTS[kind]), message.DESCRIPTOR.name
    tensor = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert tensor["external_data"].number == model_file._EXTERNAL_DATA
    assert tensor["data_location"].number == model_file._DATA_LOCATION
    assert external().HasField("data_location")
