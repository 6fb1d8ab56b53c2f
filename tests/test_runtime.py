# SPDX-License-Identifier: MIT
"""The rule for the device: what is asked for, what is there, and what is really used."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from semcbir.errors import DeviceError
from semcbir.segmentation import Segmenter, runtime

needs_cuda_build = pytest.mark.skipif(not runtime.cuda_compiled(), reason="needs onnxruntime-gpu")
needs_no_gpu = pytest.mark.skipif(runtime.cuda_visible(), reason="needs a machine without an NVIDIA GPU")


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_warned", set())


def pretend(monkeypatch: pytest.MonkeyPatch, **answers: bool) -> None:
    for name, answer in answers.items():
        monkeypatch.setattr(runtime, name, lambda answer=answer: answer)


def test_an_unknown_device_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ValueError, match="device must be one of auto, cuda, cpu, got 'gpu'"):
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
    with pytest.raises(DeviceError, match=f"device='cuda' is not to be had: .*{message}"):
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
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version: Callable[[str], str] = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "1" if name.startswith("onnxruntime") else version(name)
    )
    with pytest.warns(RuntimeWarning, match="both installed .* pip uninstall -y onnxruntime onnxruntime-gpu"):
        Segmenter(tiny_model, device="cpu")
    with warnings.catch_warnings(action="error"):
        Segmenter(tiny_model, device="cpu")
