# SPDX-License-Identifier: MIT
"""HRNets for the benchmarks: made, trained on a toy task where labels must mean something, exported, run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from semcbir.export.export import export_network
from semcbir.export.hrnet import HRNet, HRNetSpec
from semcbir.export.options import ExportOptions
from semcbir.networks.card import ModelCard
from semcbir.networks.draft import CardDraft
from semcbir.networks.specs import IMAGENET_MEAN, IMAGENET_STD, SizeSpec

N_CLASSES = 171
COLOURS = (3, 3, 3)
"""Bins of red, green and blue: 27 classes that a network learns to tell in a minute on a GPU."""

Labeller = Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]
"""Bytes (N, H, W, 3) -> labels (N, H, W), both in the CPU's memory."""


def network(width: int) -> HRNet:
    """HRNet of ``width`` with the simple head, as COCO-Stuff's, random weights of a fixed seed.

    Its normalisations are random too, as trained ones would be: the exporter shares constants that are equal,
    and onnxruntime leaves the shared biases out of int8.
    """
    torch.manual_seed(0)
    hrnet = HRNet(HRNetSpec.of(width), N_CLASSES, align_corners=True)
    for module in hrnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return hrnet.eval()


def pictures(count: int, side: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth random pictures (count, side, side, 3)."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 9, 9, generator=generator)
    smooth = functional.interpolate(coarse, (side, side), mode="bicubic", align_corners=True)
    smooth = (smooth + 0.02 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)
    return np.ascontiguousarray((255 * smooth).byte().permute(0, 2, 3, 1).numpy())


def train_on_colours(hrnet: HRNet, device: str, steps: int = 200, side: int = 128) -> float:
    """Train for a minute to name a pixel's colour; returns the last batch's accuracy.

    Scores of random weights lie so close together that rounding alone turns labels; those of trained ones
    do not.
    """
    hrnet.to(device).train()
    optimiser = torch.optim.AdamW(hrnet.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    accuracy = 0.0
    for step in range(steps):
        image = torch.from_numpy(pictures(16, side, step)).to(device)
        red, green, blue = (
            (image[..., i].long() * bins).div(256, rounding_mode="floor") for i, bins in enumerate(COLOURS)
        )
        target = ((red * COLOURS[1] + green) * COLOURS[2] + blue)[:, 2::4, 2::4]
        with torch.autocast(device, torch.bfloat16):
            scores = hrnet(normalised(image.permute(0, 3, 1, 2).float()))
        loss = functional.cross_entropy(scores.float(), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        accuracy = float((scores.argmax(1) == target).float().mean())
    hrnet.eval().cpu()
    return accuracy


def normalised(image: Tensor) -> Tensor:
    """Bytes as floats (N, 3, H, W) -> what the network takes."""
    mean, std = (image.new_tensor(value)[:, None, None] for value in (IMAGENET_MEAN, IMAGENET_STD))
    return (image / 255 - mean) / std


def export(hrnet: HRNet, folder: Path, precision: Any, *, calibration: Path | None = None) -> Path:
    """The network as ONNX that takes bytes and gives labels; returns the file."""
    spec = CardDraft(
        name="benchmark",
        classes=tuple(f"class {number}" for number in range(N_CLASSES)),
        size=SizeSpec(rule="long_side", length=512, multiple=512),
        align_corners=True,
    )
    file = folder / f"{precision}.onnx"
    export_network(hrnet, spec, file, ExportOptions(precision=precision, calibration=calibration))
    return file


def card_of_side(file: Path, side: int) -> Path:
    """A card of the exported ``file`` whose canvas is ``side`` x ``side``; returns the card."""
    card = replace(
        ModelCard.load(file.with_suffix(".json")),
        size=SizeSpec(rule="long_side", length=side, multiple=side),
    )
    path = file.with_name(f"{file.stem}-{side}.json")
    card.save(path)
    return path


class _Labels(nn.Module):
    def __init__(self, hrnet: HRNet) -> None:
        super().__init__()
        self.hrnet = hrnet

    def forward(self, image: Tensor) -> Tensor:
        x = normalised(image.permute(0, 3, 1, 2).to(next(self.hrnet.parameters()).dtype))
        scores = functional.interpolate(self.hrnet(x), image.shape[1:3], mode="bilinear", align_corners=True)
        return scores.argmax(1).to(torch.uint8)


def torch_labeller(hrnet: HRNet, device: str, *, half: bool = False, compiled: bool = False) -> Labeller:
    """Plain torch as its users run it: channels last, fp16 where ``half``, compiled for each shape."""
    module: Any = _Labels(hrnet).to(device, torch.float16 if half else torch.float32)
    module = module.to(memory_format=torch.channels_last)
    if compiled:
        module = torch.compile(module, dynamic=False)

    def run(batch: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(batch).to(device)).cpu().numpy())

    return run


def onnx_labeller(file: Path, providers: list[Any], threads: int = 0) -> tuple[Labeller, Any]:
    """onnxruntime with these providers, and its session."""
    import onnxruntime

    # What fails is raised; a line for every plan that cuDNN turns down would drown the tables.
    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # Without its own fallback, which would time the CPU under another name.
    session = onnxruntime.InferenceSession(str(file), options, providers=providers, enable_fallback=0)

    def run(batch: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        return np.asarray(session.run(["labels"], {"image": batch})[0])

    return run, session


def bound_labeller(session: Any, batch: npt.NDArray[np.uint8]) -> Callable[[Any], Any]:
    """The same with input and output left on the GPU: what copying costs is the difference.

    It labels ``batch`` whatever it is given, and gives onnxruntime's values.
    """
    import onnxruntime

    on_device = onnxruntime.OrtValue.ortvalue_from_numpy(batch, "cuda", 0)
    binding = session.io_binding()
    binding.bind_ortvalue_input("image", on_device)
    binding.bind_output("labels", "cuda")

    def run(_: Any) -> Any:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return binding.get_outputs()[0]

    return run


_PEAK = """
import sys
import numpy as np
from pathlib import Path
sys.path.insert(0, sys.argv[1])
file, side, width, threads = sys.argv[2], *map(int, sys.argv[3:])
batch = np.zeros((1, side, side, 3), np.uint8)
if file:
    from semcbir.inference.model_file import ModelFile
    from semcbir.inference.runtime import open_session
    session = open_session(ModelFile.read(Path(file)), "cpu", threads)
    run = lambda batch: session.run(None, {"image": batch})
else:
    import networks
    run = networks.torch_labeller(networks.network(width), "cpu")
run(batch)
run(batch)
from memory import peak_mib
print(peak_mib())
"""


def peak_mib(file: Path | str, side: int, width: int, threads: int) -> float:
    """Peak memory of a process that labels one picture twice, in MiB; without a file by torch; Linux only."""
    here = str(Path(__file__).resolve().parent)
    command = [sys.executable, "-c", _PEAK, here, str(file), str(side), str(width), str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
