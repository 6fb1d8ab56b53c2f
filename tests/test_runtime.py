# SPDX-License-Identifier: MIT
"""The rule for the device, and networks at work on it: what is asked for, what is really used."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import platform
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from semcbir import extractor as extracting
from semcbir.errors import DeviceError, ImageError, ModelError
from semcbir.extractor import Extractor
from semcbir.inference import network, runtime
from semcbir.inference.model_file import ModelFile
from semcbir.networks.card import ModelCard
from semcbir.networks.specs import InferenceSpec
from semcbir.segmentation.segmenter import Segmenter
from tiny_models import labels_network
from tiny_models import tiny_model as write_tiny_model

needs_cuda_build = pytest.mark.skipif(not runtime.cuda_compiled(), reason="needs onnxruntime-gpu")
needs_no_gpu = pytest.mark.skipif(runtime.cuda_visible(), reason="needs a machine without an NVIDIA GPU")


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_warned", set())
    runtime._silence.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, **answers: bool) -> None:
    for name, answer in answers.items():
        monkeypatch.setattr(runtime, name, lambda answer=answer: answer)


def test_an_unknown_device_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="device: expected 'auto', 'cuda' or 'cpu', got 'gpu'"):
        Segmenter(tiny_model, device="gpu")


def test_auto_is_silent_on_a_machine_without_a_gpu(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, cuda_visible=False)
    assert Segmenter(tiny_model).device == "cpu"  # a warning would fail the test
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("compiled", "visible", "message"),
    [(True, False, "no NVIDIA GPU is visible"), (False, True, "built without CUDA .*onnxruntime-gpu")],
)
def test_cuda_where_there_is_none_says_what_is_missing(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool, visible: bool, message: str
) -> None:
    pretend(monkeypatch, cuda_compiled=compiled, cuda_visible=visible)
    with pytest.raises(DeviceError, match=f"device='cuda' is not available: .*{message}"):
        Segmenter(tiny_model, device="cuda")


@needs_cuda_build
@needs_no_gpu
def test_cuda_that_onnxruntime_cannot_load_is_an_error_or_one_warning(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, cuda_visible=True)  # the session is really asked for CUDA, and silently gets none
    with pytest.raises(DeviceError, match=r"could not load CUDA or cuDNN .*semcbir\[cuda\]"):
        Segmenter(tiny_model, device="cuda")
    with pytest.warns(RuntimeWarning, match="using the CPU although this machine has an NVIDIA GPU"):
        assert Segmenter(tiny_model).device == "cpu"
    with warnings.catch_warnings(action="error"):
        assert Segmenter(tiny_model, device="auto").device == "cpu"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("value", ["", "-1"])
def test_hidden_gpus_are_not_visible(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert not runtime.cuda_visible()


def test_two_distributions_are_told_once_with_the_mend(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnxruntime", "onnxruntime_gpu", "numpy"):
        (tmp_path / f"{name}-1.20.0.dist-info").mkdir()
    (tmp_path / "onnxruntime").mkdir()
    found = importlib.machinery.ModuleSpec(
        "onnxruntime", None, origin=str(tmp_path / "onnxruntime/__init__.py")
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: found)
    runtime._distributions.cache_clear()
    monkeypatch.setattr(runtime, "_warned", set())
    with pytest.warns(RuntimeWarning, match="both installed .* pip uninstall -y onnxruntime onnxruntime-gpu"):
        Segmenter(tiny_model, device="cpu")
    with warnings.catch_warnings(action="error"):
        Segmenter(tiny_model, device="cpu")
    runtime._distributions.cache_clear()


class PretendedCuda:
    """A CPU session that says it has CUDA and notes what it is given."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.shapes: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)

    def get_providers(self) -> list[str]:
        return [runtime.CUDA, runtime.CPU]

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray], options: Any) -> Any:
        self.shapes += [array.shape for array in inputs.values()]
        return self.session.run(outputs, inputs, options)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[tuple[PretendedCuda, bool]]:
    """The sessions that were opened, as if with CUDA, and whether each is to choose convolutions well."""
    opened: list[tuple[PretendedCuda, bool]] = []
    really = runtime.open_session

    def open_session(file: ModelFile, device: str, threads: int, *, tune: bool) -> Any:
        opened.append((PretendedCuda(really(file, "cpu", threads)), tune))
        return opened[-1][0]

    monkeypatch.setattr(network, "open_session", open_session)
    return opened


def photos(*shapes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]


MIXED = [(48, 64), (64, 48), (10, 64), (64, 64), (40, 60), (30, 40), (64, 48), (48, 64), (1, 9), (48, 64)] * 2


def test_a_tuned_network_sees_one_shape_for_each_canvas(
    tiny_model: Path, cuda: list[tuple[PretendedCuda, bool]]
) -> None:
    images = photos(*MIXED)
    segmenter = Segmenter(tiny_model, device="cuda", tune=True)
    assert segmenter.device == "cuda"
    assert segmenter.batches
    assert segmenter.tuned
    label_maps = segmenter.segment(images)
    session, _ = cuda.pop()
    assert {shape[0] for shape in session.shapes} == {segmenter.batch_size}
    for image, labels in zip(images, label_maps, strict=True):
        np.testing.assert_array_equal(labels, Segmenter(tiny_model, device="cpu").segment([image])[0])
        cuda.clear()


def test_without_tuning_no_row_is_wasted(tiny_model: Path, cuda: list[tuple[PretendedCuda, bool]]) -> None:
    Segmenter(tiny_model, device="cuda").segment(photos((48, 64)))
    session, chosen_well = cuda.pop()
    assert not chosen_well
    assert session.shapes == [(1, 48, 64, 3)]


@pytest.mark.parametrize(("multiple", "chosen_well"), [(4, False), (64, True)])
def test_convolutions_are_chosen_well_where_all_inputs_are_alike(
    tmp_path: Path, cuda: list[tuple[PretendedCuda, bool]], multiple: int, chosen_well: bool
) -> None:
    size = {"rule": "long_side", "length": 64, "multiple": multiple}
    segmenter = Segmenter(write_tiny_model(tmp_path / "m.onnx", size=size), device="cuda", tune=True)
    segmenter.segment(photos((48, 64)))
    session, asked = cuda.pop()
    assert (segmenter.tuned, asked) == (True, chosen_well)
    assert session.shapes == [(segmenter.batch_size, 64 if chosen_well else 48, 64, 3)]


def test_passes_of_more_than_a_batch_come_in_whole_ones(
    tmp_path: Path, cuda: list[tuple[PretendedCuda, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network.BATCH, "cuda", 4)
    model = write_tiny_model(tmp_path / "m.onnx", "logits", batch="N")
    windows = InferenceSpec(flip=True, crop=33)
    (labels,) = Segmenter(model, device="cuda", inference=windows).segment(photos((48, 64)))
    session, _ = cuda.pop()
    assert len(session.shapes) > 1
    assert set(session.shapes) == {(4, 3, 33, 33)}
    np.testing.assert_array_equal(
        labels, Segmenter(model, device="cpu", inference=windows).segment(photos((48, 64)))[0]
    )


def test_cuda_without_cudnn_is_no_cuda(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, cuda_compiled=True, cuda_visible=True)
    really = runtime._session
    monkeypatch.setattr(
        runtime,
        "_session",
        lambda file, providers, threads: (
            PretendedCuda(really(file, [runtime.CPU], threads))
            if len(providers) > 1
            else really(file, providers, threads)
        ),
    )
    monkeypatch.setattr(runtime, "_CUDNN", {platform.system(): "libnothing.so"})
    with pytest.raises(DeviceError, match=r"cuDNN does not load .*semcbir\[cuda\]"):
        Segmenter(tiny_model, device="cuda")
    with pytest.warns(RuntimeWarning, match="using the CPU although .* cuDNN does not load"):
        assert Segmenter(tiny_model).device == "cpu"


@pytest.fixture
def provided(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The providers that sessions are opened with on a machine that seems to have CUDA and cuDNN."""
    pretend(monkeypatch, cuda_compiled=True, cuda_visible=True)
    monkeypatch.setattr(runtime, "_CUDNN", {})
    asked: list[Any] = []
    really = runtime._session

    def session(file: ModelFile, providers: list[Any], threads: int) -> Any:
        asked.append(providers)
        return PretendedCuda(really(file, [runtime.CPU], threads))

    monkeypatch.setattr(runtime, "_session", session)
    return asked


def halved(network: onnx.ModelProto) -> onnx.ModelProto:
    """The tiny network with its weights, and all between the bytes and the labels, in half precision."""
    network.graph.node[0].attribute[0].i = TensorProto.FLOAT16
    for tensor in network.graph.initializer:
        weights = numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    return network


@pytest.mark.parametrize(
    ("half", "tune", "settings"),
    [
        (False, True, {"cudnn_conv_algo_search": "EXHAUSTIVE"}),
        (False, False, {"cudnn_conv_algo_search": "HEURISTIC"}),
        (True, True, {"cudnn_conv_algo_search": "HEURISTIC", "prefer_nhwc": "1"}),
        (True, False, {"cudnn_conv_algo_search": "HEURISTIC", "prefer_nhwc": "1"}),
    ],
)
def test_what_a_session_on_cuda_is_told(
    tmp_path: Path, provided: list[Any], half: bool, tune: bool, settings: dict[str, str]
) -> None:
    network = halved(labels_network("N")) if half else labels_network("N")
    square = {"rule": "long_side", "length": 64, "multiple": 64}
    model = write_tiny_model(tmp_path / "m.onnx", network=network, size=square)
    segmenter = Segmenter(model, device="cuda", tune=tune)
    assert (segmenter.device, segmenter.tuned) == ("cuda", tune)
    assert provided == [[(runtime.CUDA, settings | {"use_tf32": "0"}), runtime.CPU]]
    assert segmenter.segment(photos((48, 64)))[0].shape == (48, 64)


def test_onnxruntime_stays_silent_while_cuda_is_at_work(
    tiny_model: Path, provided: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[int] = []
    monkeypatch.setattr("onnxruntime.set_default_logger_severity", levels.append)
    for _ in range(2):
        Segmenter(tiny_model, device="cuda").segment(photos((48, 64)))
    assert len(provided) == 2
    assert levels == [4]


def test_a_file_that_is_no_network_is_the_model_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, cuda_compiled=True, cuda_visible=True)
    with pytest.raises(ModelError, match="onnxruntime cannot load the model"):
        runtime.open_session(ModelFile(tmp_path / "m.onnx", b"no network", half=False), "cuda", 1)


@pytest.mark.parametrize("kind", ["labels", "logits"])
def test_a_stream_through_a_gpu_is_that_through_the_cpu(
    kind: Literal["labels", "logits"],
    photo_folder: Path,
    tmp_path: Path,
    cuda: list[tuple[PretendedCuda, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = write_tiny_model(tmp_path / "m.onnx", kind, batch="N")
    (photo_folder / "broken.jpg").write_bytes(b"no photo")
    sources = [*sorted(photo_folder.rglob("*.*")), *photos(*MIXED)]
    monkeypatch.setitem(network.BATCH, "cuda", 2)
    streamed = list(Extractor(model, "hog", device="cuda", threads=3).stream(sources))
    ((session, _),) = cuda
    assert {shape[0] for shape in session.shapes} == {2}
    assert len(session.shapes) < 0.8 * len(sources)  # not a padded call for each image
    monkeypatch.undo()
    expected = list(Extractor(model, "hog", device="cpu", threads=2).stream(sources))
    assert sum(isinstance(one, ImageError) for one in expected) == 1
    for one, other in zip(streamed, expected, strict=True):
        if isinstance(other, ImageError):
            assert isinstance(one, ImageError)
            assert one.reason == other.reason
        else:
            assert isinstance(one, dict)
            np.testing.assert_array_equal(one["hog"].proportions, other["hog"].proportions)
            np.testing.assert_array_equal(one["hog"].centroids, other["hog"].centroids)


def test_a_single_image_on_a_gpu_is_a_single_row(
    tiny_model: Path, cuda: list[tuple[PretendedCuda, bool]]
) -> None:
    extractor = Extractor(tiny_model, "hog", device="cuda")
    extractor.load()  # the network for many
    extractor.extract(photos((48, 64)))
    session, chosen_well = cuda[-1]
    assert not chosen_well
    assert session.shapes == [(1, 48, 64, 3)]


@pytest.mark.parametrize(
    ("inference", "shape"),
    [
        (InferenceSpec(flip=True), (2, 3, 49, 65)),
        (InferenceSpec(crop=65), (1, 3, 65, 65)),
        (InferenceSpec(short_side=40), (1, 3, 49, 65)),
    ],
)
def test_passes_that_are_averaged_are_not_padded_to_a_batch(
    tmp_path: Path, cuda: list[tuple[PretendedCuda, bool]], inference: InferenceSpec, shape: tuple[int, ...]
) -> None:
    model = write_tiny_model(tmp_path / "m.onnx", "logits", batch="N")
    extractor = Extractor(model, "hog", device="cuda", inference=inference, threads=2)
    images = photos((48, 64), (48, 64))
    streamed = list(extractor.stream(images))
    extractor.extract(images[:1])
    ((session, chosen_well),) = cuda  # one network for both
    assert not chosen_well
    assert session.shapes == [shape] * 3
    assert len(streamed) == 2


def test_large_scores_come_in_smaller_chunks(
    tmp_path: Path, cuda: list[tuple[PretendedCuda, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = Segmenter(write_tiny_model(tmp_path / "m.onnx", "logits", batch="N"), device="cuda")
    assert segmenter.output_bytes == 4 * 5 * 65 * 65  # nothing is known yet
    segmenter.segment(photos((64, 64)))
    scores = 4 * 5 * 17 * 17  # every fourth pixel
    assert segmenter.output_bytes == scores
    for fitting, batches in [(1, 1), (8, 1), (17, 2), (1000, 4)]:
        monkeypatch.setattr(extracting, "_OUTPUTS", fitting * scores)
        assert extracting._chunk(segmenter) == batches * segmenter.batch_size


def test_the_gpu_works_while_the_caller_is_busy(
    tiny_model: Path, cuda: list[tuple[PretendedCuda, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(network.BATCH, "cuda", 2)
    extractor = Extractor(tiny_model, "hog", device="cuda", threads=2)
    stream = extractor.stream(photos(*[(48, 64)] * 40))
    next(stream)
    (session, _), *_ = cuda
    deadline = time.monotonic() + 10
    while len(session.shapes) < 8 and time.monotonic() < deadline:  # the first 8 images, and 8 more
        time.sleep(0.005)
    assert len(session.shapes) == 8
    assert len(list(stream)) == 39


def test_streaming_on_the_cpu_starts_no_threads_but_the_pool_s(tiny_model: Path, photo_folder: Path) -> None:
    psutil = pytest.importorskip("psutil")
    extractor = Extractor(tiny_model, "kaze", device="cpu", threads=3)
    extractor.load()
    before = psutil.Process().num_threads()
    most = max(psutil.Process().num_threads() for _ in extractor.stream(sorted(photo_folder.rglob("*.*"))))
    assert most <= before + 3


def write_unchecked(path: Path, graph: onnx.ModelProto) -> Path:
    """Write a network that onnx's checker refuses and onnxruntime runs."""
    write_tiny_model(path)
    path.write_bytes(graph.SerializeToString())
    card = ModelCard.load(path.with_suffix(".json"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    replace(card, sha256=digest).save(path.with_suffix(".json"))
    return path


def test_a_network_of_open_rank_is_refused(tmp_path: Path) -> None:
    graph = labels_network("N")
    graph.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.UINT8, None))
    with pytest.raises(ModelError, match=r"expected an input of 4 dimensions \(NHWC\), but the graph leaves"):
        Segmenter(write_unchecked(tmp_path / "m.onnx", graph))


def test_an_output_of_open_rank_is_checked_when_it_comes(tmp_path: Path) -> None:
    graph = labels_network("N")
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("labels", TensorProto.UINT8, None))
    segmenter = Segmenter(write_unchecked(tmp_path / "m.onnx", graph))
    assert segmenter.segment(photos((48, 64)))[0].shape == (48, 64)
    graph.graph.node[-2].attribute[1].i = 1  # keepdims
    graph.graph.node.append(helper.make_node("Unsqueeze", ["labels", "axis"], ["deep"]))
    graph.graph.initializer.append(numpy_helper.from_array(np.array([0], np.int64), "axis"))
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("deep", TensorProto.UINT8, None))
    segmenter = Segmenter(write_unchecked(tmp_path / "deep.onnx", graph))
    with pytest.raises(ModelError, match=r"expected labels of shape \(1, h, w\), got \(1, 1, 1, 48, 64\)"):
        segmenter.segment(photos((48, 64)))
