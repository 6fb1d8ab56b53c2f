# SPDX-License-Identifier: MIT
"""What plain embeddings with cosine find, by the measures of ``semcbir.evaluation``.

    python benchmarks/embeddings.py DATASET FOLDER [--distractors FOLDER] [--mobilenet FILE] [--smooth 10]

DATASET is wang or folder. The embeddings are those of MobileNetV2 (FILE, a graph with an output "embedding"
for a photo squashed to 224 x 224), and the mean over the photo of the last features of the segmentation model
that ships. Cosine gives the ranking of L2 between vectors of length 1, which is what is
searched here: signatures of one row.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from semcbir import Signatures, load_image, smoothed
from semcbir.evaluation.datasets import Dataset, with_distractors
from semcbir.evaluation.layouts import DATASETS
from semcbir.evaluation.measuring import Scores, measure_signatures
from semcbir.evaluation.rankings import DISTRACTOR
from semcbir.evaluation.rows import one_row
from semcbir.inference.canvas import Placement, lay_whole
from semcbir.networks.names import resolve
from semcbir.networks.specs import InputSpec, SizeSpec
from tables import table

MOBILENET = Path(__file__).resolve().parents[2] / "shared" / "models" / "mobilenetv2_imagenet.onnx"
MOBILENET_INPUT = InputSpec(layout="NCHW", dtype="float32", mean=(127 / 255,) * 3, std=(127.5 / 255,) * 3)
MEASURES = ("ap", "ap@100", "p@20 out", "p@20 in", "p@100 out", "p@100 in")

Embedding = Callable[[np.ndarray], np.ndarray]


def mobilenetv2(path: Path) -> Embedding:
    """Return what gives an RGB image its embedding, float32 (1280,)."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    size = SizeSpec(rule="squash", length=224)

    def embed(image: np.ndarray) -> np.ndarray:
        return session.run(["embedding"], {"image": lay_whole(image, MOBILENET_INPUT, size)[None]})[0][0]

    return embed


def pooled(model: str | Path | None = None) -> tuple[Path, Embedding]:
    """Return a segmentation model's file, and what gives an image the mean of its last features there.

    These are what the graph's last convolution reads, the classifier of every pixel. The mean is over the
    cells in which the photo lies, not over padding.
    """
    path, card = resolve(model)
    graph = onnx.load(path)
    last = next(node for node in reversed(graph.graph.node) if node.op_type == "Conv")
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(last.input[0]))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def embed(image: np.ndarray) -> np.ndarray:
        (grid,) = session.run([last.input[0]], {name: lay_whole(image, card.input, card.size)[None]})
        rows, columns = Placement.of(image, card.size).cells(grid.shape[2:])
        return grid[0, :, : rows[-1] + 1, : columns[-1] + 1].mean(axis=(1, 2), dtype=np.float64)

    return path, embed


def signatures_of(vectors: Sequence[np.ndarray]) -> Signatures:
    """Return vectors as signatures of one class each, of length 1: their L2 ranks like cosine."""
    rows = np.asarray(vectors, np.float64)
    return one_row((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def measured(embed: Embedding, dataset: Dataset, smooth: int | None = None) -> dict[str, Scores]:
    """Return the scores of an embedding by "" and, with ``smooth``, by ", smoothed K"."""
    pairs = dict.fromkeys(dataset.distractors, DISTRACTOR)
    pairs.update(zip(dataset.paths, map(int, dataset.labels), strict=True))
    paths = sorted(pairs, key=bytes)
    found = {"": signatures_of([embed(load_image(path)) for path in paths])}
    if smooth:
        found[f", smoothed {smooth}"] = smoothed(found[""], smooth)
    labels = np.array([pairs[path] for path in paths])
    return {what: measure_signatures(batch, labels) for what, batch in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset", choices=sorted(DATASETS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--distractors", type=Path, action="append", default=[])
    parser.add_argument("--mobilenet", type=Path, default=MOBILENET, help="ONNX file (%(default)s)")
    parser.add_argument("--smooth", type=int)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    dataset = with_distractors(DATASETS[options.dataset](options.folder), options.distractors)

    file, hrnet = pooled()
    embeddings = {"the shipped model's features, pooled": (file, hrnet)}
    if options.mobilenet.is_file():
        embeddings["MobileNetV2 embedding"] = (options.mobilenet, mobilenetv2(options.mobilenet))
    else:
        print(f"MobileNetV2: {options.mobilenet} is not there\n")
    rows, scores = [], {}
    for name, (path, embed) in embeddings.items():
        print(f"{name}: {path}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}\n", flush=True)
        for what, one in measured(embed, dataset, options.smooth).items():
            figures = {measure: one.mean("none", measure) for measure in MEASURES}
            scores[name + what] = figures
            rows.append([name + what, *(f"{figure:.3f}" for figure in figures.values())])
    images = f"{len(dataset.paths)} queries, {len(dataset.distractors)} distractors"
    print(f"{dataset.name} {dataset.folder}: {images}\n\n{table(['cosine', *MEASURES], rows)}")
    if options.json:
        options.json.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
