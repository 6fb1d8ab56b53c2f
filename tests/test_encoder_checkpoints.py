# SPDX-License-Identifier: MIT
"""Checkpoints of published encoders: read strictly by their official names, others refused; needs torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (extra export)")

import checkpoint_files as files  # noqa: E402
from encoder_reading import as_weights, resnet, shaken, vit  # noqa: E402
from semcbir.errors import ModelError  # noqa: E402
from semcbir.export.encoder_checkpoints import build_encoder, load_encoder  # noqa: E402
from semcbir.networks.published import EncoderSpec  # noqa: E402
from small_encoders import TINY_RESNET, TINY_VIT, made_encoder  # noqa: E402

SPECS = [TINY_VIT, TINY_RESNET]
both = pytest.mark.parametrize("spec", SPECS, ids=["vit", "resnet"])


def state_of(spec: EncoderSpec) -> Any:
    return dict(shaken(build_encoder(spec)).state_dict())


def load(path: Path, spec: EncoderSpec) -> Any:
    return load_encoder(path, made_encoder(spec))


@both
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_checkpoint_comes_back_as_the_network(
    tmp_path: Path, spec: EncoderSpec, zipped: bool, nested: bool
) -> None:
    state = state_of(spec)
    content = {"epoch": 3, "state_dict": state} if nested else state
    path = files.write(tmp_path / "a.pth", content, zipped=zipped)
    network, sha256 = load(path, spec)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not network.training
    x = torch.randn(2, 3, 32, 32)
    weights, images = as_weights(state), x.double().numpy()
    expected = vit(weights, images, TINY_VIT.heads) if spec is TINY_VIT else resnet(weights, images)
    with torch.no_grad():
        found = network(x).numpy()
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, key: state.pop(key), r"1 missing \({key}\)$"),
        (lambda state, key: state.update({"head.weight": torch.ones(2)}), r"1 unexpected \(head\.weight\)$"),
        (
            lambda state, key: state.update({key: state[key][:1]}),
            r"1 of another shape \({key} \(1,.*\) for \(\d+,.*\)\)$",
        ),
        (lambda state, key: state.update({key: state[key] * torch.nan}), r"{key} holds numbers that are not"),
        (lambda state, key: state.update({key: state[key].long()}), r"{key}: expected plain floating-point"),
        (lambda state, key: state.update({key: torch.ones(1).expand(10**12)}), r"1 of another shape"),
        (lambda state, key: state.update({f"module.{key}": state.pop(key)}), r"1 missing .* 1 unexpected"),
    ],
    ids=["missing", "extra", "shape", "nan", "integers", "huge", "prefix"],
)
def test_weights_that_do_not_fit_are_named(
    tmp_path: Path, spec: EncoderSpec, change: Callable[..., Any], message: str
) -> None:
    state = state_of(spec)
    key = "blocks.1.attn.qkv.weight" if spec is TINY_VIT else "layer2.0.conv2.weight"
    change(state, key)
    path = files.write(tmp_path / "a.pth", state)
    with pytest.raises(ModelError, match=message.replace("{key}", key.replace(".", r"\."))) as caught:
        load(path, spec)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left_out", ["mask_token", "fc.weight", "fc.bias"])
def test_what_is_not_used_must_be_there_too(tmp_path: Path, left_out: str) -> None:
    spec = TINY_VIT if left_out == "mask_token" else TINY_RESNET
    state = state_of(spec)
    del state[left_out]
    with pytest.raises(ModelError, match=rf"1 missing \({left_out}\)"):
        load(files.write(tmp_path / "a.pth", state), spec)


def test_one_network_is_not_the_other(tmp_path: Path) -> None:
    path = files.write(tmp_path / "a.pth", state_of(TINY_VIT))
    with pytest.raises(ModelError, match=r"not the weights of made: \d+ missing .*; \d+ unexpected"):
        load(path, TINY_RESNET)


def test_counters_may_be_missing_all_or_none(tmp_path: Path) -> None:
    state = state_of(TINY_RESNET)
    without = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    network, _ = load(files.write(tmp_path / "a.pth", without), TINY_RESNET)
    weights = network.state_dict()
    # Not taken for a network with other scales: those below 0 stay as they are.
    assert all(torch.equal(weights[key], value) for key, value in without.items())
    assert any((value < 0).any() for key, value in without.items() if key.endswith("bn1.weight"))
    del state["bn1.num_batches_tracked"]
    with pytest.raises(ModelError, match=r"1 missing \(bn1\.num_batches_tracked\)"):
        load(files.write(tmp_path / "b.pth", state), TINY_RESNET)


def test_variances_below_zero_are_refused(tmp_path: Path) -> None:
    state = state_of(TINY_RESNET)
    state["layer1.0.bn2.running_var"] -= 9
    with pytest.raises(ModelError, match=r"layer1\.0\.bn2\.running_var holds variances below 0"):
        load(files.write(tmp_path / "a.pth", state), TINY_RESNET)


class Payload:
    """A pickle that runs a command when it is loaded carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


@both
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused_and_not_run(
    tmp_path: Path, spec: EncoderSpec, zipped: bool
) -> None:
    content = state_of(spec) | {"x": Payload(tmp_path / "ran")}
    path = files.write(tmp_path / "evil.pth", content, zipped=zipped)
    with pytest.raises(ModelError, match=r"evil\.pth: refused: to load it would run \w+\.mkdir"):
        load(path, spec)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"<!DOCTYPE html><html></html>", "this is a web page, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\n", "this is not a checkpoint"),
        (None, "cannot read the checkpoint: No such file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.pth"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"a\.pth: .*{message}"):
        load(path, TINY_VIT)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_cut_off_file_is_reported(tmp_path: Path, share: float, zipped: bool) -> None:
    path = files.write(tmp_path / "a.pth", state_of(TINY_VIT), zipped=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match="cut short or damaged; download it again"):
        load(path, TINY_VIT)
