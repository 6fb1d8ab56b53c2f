# SPDX-License-Identifier: MIT
"""Compare an exported model with the network in torch, on photos or on generated pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx

from semcbir.errors import ModelError
from semcbir.export.fp16 import LIMIT, with_largest_values
from semcbir.export.graph import IMAGE, INPUT, LABELS, SCORES, Reference
from semcbir.inference.canvas import lay_whole
from semcbir.inference.model_file import ModelFile
from semcbir.inference.runtime import open_session
from semcbir.networks.specs import SizeSpec
from semcbir.threads import usable_cpus

Image = npt.NDArray[np.uint8]

MIN_IDENTICAL = 0.9999
MAX_DIFFERENCE = 1e-3
HEADROOM = 2
"""Half precision must hold values this many times larger than those seen inside the network."""
MIN_REDUCED = 0.9
"""The share of labels that must be as in float32 for a model of another precision."""
_ODD_SIZES = ((97, 131), (150, 65))  # no side is a multiple of 4


def batches(images: Sequence[Image], size: SizeSpec) -> Iterator[Image]:
    """Yield inputs (N, H, W, 3): each image on its canvas, then batches of two in odd sizes."""
    for image in images:
        yield lay_whole(image, INPUT, size)[None]
    first, second = images[0], images[-1]
    for height, width in _ODD_SIZES:
        pair = [cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) for image in (first, second)]
        yield np.stack(pair).astype(np.uint8)


def size_words(inputs: Sequence[Image]) -> list[str]:
    """Return the sizes of inputs, height x width, with the number of images where it is not 1."""
    shapes = dict.fromkeys(batch.shape for batch in inputs)
    return [f"{h}x{w}" + (f" (batch of {n})" if n > 1 else "") for n, h, w, _ in shapes]


def open_cpu(model: onnx.ModelProto | Path, folder: Path) -> Any:
    """Open a session on the CPU; a model that is not in a file yet is first written into ``folder``."""
    if isinstance(model, Path):
        return open_session(ModelFile.read(model), "cpu", usable_cpus())
    path = folder / "probe.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    try:
        return open_session(ModelFile.read(path), "cpu", usable_cpus())
    finally:
        path.unlink()


@dataclass
class Expected:
    """Batches and what torch gives for them: computed once, compared with several graphs."""

    reference: Reference
    batches: list[Image] = field(default_factory=list)
    scores: list[npt.NDArray[Any]] = field(default_factory=list)
    labels: list[npt.NDArray[Any]] = field(default_factory=list)

    @classmethod
    def of(cls, reference: Reference, images: Sequence[Image], size: SizeSpec) -> Expected:
        """Run the reference over ``batches`` of the images; ModelError if its scores are not finite."""
        expected = cls(reference)
        for batch in batches(images, size):
            scores, labels = reference(batch)
            if not np.isfinite(scores).all():
                raise ModelError(f"the model in torch gives scores that are not finite on {batch.shape}")
            expected.batches.append(batch)
            expected.scores.append(scores)
            expected.labels.append(labels)
        return expected

    @property
    def sizes(self) -> list[str]:
        """The inputs' sizes, see ``size_words``."""
        return size_words(self.batches)


@dataclass(frozen=True)
class Comparison:
    """How a graph compares with torch.

    ``identical`` is the share of ``pixels`` that have the same label. ``difference`` is the largest
    difference between scores, divided by the largest absolute score of the reference in the same batch if
    that is above 1.
    """

    pixels: int
    identical: float
    difference: float


def compare(session: Any, expected: Expected) -> Comparison:
    """Run ``session``, which gives scores or labels or both, over the expected batches.

    If it gives no labels, torch makes them from its scores; if it gives no scores, the difference is 0.
    Raises ModelError if the graph fails, or gives another shape or scores that are not finite.
    """
    names = [output.name for output in session.get_outputs()]
    same = pixels = 0
    difference = 0.0
    for batch, scores, labels in zip(expected.batches, expected.scores, expected.labels, strict=True):
        found = dict(zip(names, run_graph(session, batch), strict=True))
        if SCORES in found:
            check_shape(found[SCORES], scores, batch)
            if not np.isfinite(found[SCORES]).all():
                raise ModelError("the exported model gives scores that are not finite")
            scale = max(1.0, float(np.abs(scores).max()))
            difference = max(difference, float(np.abs(found[SCORES] - scores).max()) / scale)
            found.setdefault(LABELS, expected.reference.labels(found[SCORES], batch.shape[1:3]))
        check_shape(found[LABELS], labels, batch)
        same += int((found[LABELS] == labels).sum())
        pixels += labels.size
    return Comparison(pixels, same / pixels, difference)


def check_range(model: onnx.ModelProto, inputs: Sequence[Image], folder: Path) -> float:
    """Return the largest value inside the network; ModelError if half precision may not hold it.

    ``inputs`` are batches (N, H, W, 3). It must hold twice as much, because other photos may give larger
    values.
    """
    session = open_cpu(with_largest_values(model), folder)
    largest = float(np.max([np.max(run_graph(session, batch)) for batch in inputs]))
    if not largest * HEADROOM <= LIMIT:
        raise ModelError(
            f"values inside the model reach {largest:.3g}; half precision ends at {LIMIT:g}, and must hold "
            f"{HEADROOM} times as much as was seen"
        )
    return float(f"{largest:.3g}")


def run_graph(session: Any, batch: Image) -> list[npt.NDArray[Any]]:
    """Return the outputs of an exported graph; ModelError if it fails."""
    try:
        outputs: list[npt.NDArray[Any]] = session.run(None, {IMAGE: batch})
    except MemoryError:
        raise
    except Exception as error:
        raise ModelError(f"the exported model fails on {batch.shape}: {error}") from error
    return outputs


def check_shape(found: npt.NDArray[Any], expected: npt.NDArray[Any], batch: Image) -> None:
    """Raise ModelError if the graph's output for ``batch`` has another shape than torch's."""
    if found.shape != expected.shape:
        raise ModelError(
            f"the exported model gives {found.shape} for {batch.shape}, in torch it gives {expected.shape}"
        )


def check(comparison: Comparison) -> None:
    """Refuse a float32 graph that does not match the network: ModelError with what was measured."""
    if comparison.identical < MIN_IDENTICAL or comparison.difference > MAX_DIFFERENCE:
        raise ModelError(
            "the exported model differs from torch: "
            f"{comparison.identical:.6f} of {comparison.pixels} labels are the same (expected at least "
            f"{MIN_IDENTICAL}), scores differ by up to {comparison.difference:.2g} (expected at most "
            f"{MAX_DIFFERENCE:g} of the largest); nothing was written"
        )


def check_reduced(comparison: Comparison, precision: str) -> str | None:
    """Return a warning if too few labels are those of float32, else None.

    In half precision, where labels should hardly differ, that is a ModelError. In 8 bits, much depends on the
    network and on the photos for calibration, so the user should judge.
    """
    if comparison.identical >= MIN_REDUCED:
        return None
    finding = f"only {comparison.identical:.2%} of the labels in {precision} are torch's in float32"
    if precision == "fp16":
        raise ModelError(f"{finding}, expected at least {MIN_REDUCED:.0%}; nothing was written")
    return f"{finding}: calibrate with more photos, similar to those to be searched, or use another precision"
