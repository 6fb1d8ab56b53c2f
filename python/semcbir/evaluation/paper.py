# SPDX-License-Identifier: MIT
"""The paper's own figures (Ouni, Royer, Chevaldonné, Dhome, ISVC 2020, Tables 3 to 6), and ours beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from semcbir._validate import listed
from semcbir.evaluation.measuring import Scores
from semcbir.evaluation.tables import joined

DESCRIPTORS = ("kaze", "surf", "hog")
TITLES = {
    3: "Table 3: HRNet-W48 trained on MSeg",
    4: "Table 4: HRNet-W48 trained on COCO-Stuff",
    5: "Table 5: precision of the first 20",
    6: "Table 6: other methods",
}
"""Tables with figures, and what the paper's are of."""

_SIGNATURES: dict[int, dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]] = {
    3: {
        "msrc-v1": ((0.79, 0.84, 0.85), (0.81, 0.86, 0.87)),
        "msrc-v2": ((0.61, 0.58, 0.60), (0.74, 0.73, 0.71)),
        "linnaeus": ((0.71, 0.73, 0.71), (0.73, 0.75, 0.74)),
        "wang": ((0.73, 0.74, 0.71), (0.84, 0.84, 0.83)),
    },
    4: {
        "msrc-v1": ((0.77, 0.82, 0.84), (0.80, 0.85, 0.86)),
        "msrc-v2": ((0.57, 0.55, 0.61), (0.71, 0.72, 0.71)),
        "linnaeus": ((0.67, 0.68, 0.66), (0.72, 0.75, 0.73)),
        "wang": ((0.71, 0.72, 0.69), (0.82, 0.83, 0.80)),
    },
}
"""By table and data set: mAP of KAZE, SURF and HOG without the filter, and with it."""

_FIRST_20 = {
    "ElAlami": 0.76,
    "Guo and Prasetyo": 0.77,
    "Zeng et al.": 0.80,
    "Jitesh Pradhan": 0.81,
    "the paper's own": 0.91,
}
"""Table 5, Wang."""

_METHODS: dict[str, dict[str, float]] = {
    "BoVW": {"msrc-v1": 0.48, "msrc-v2": 0.30, "linnaeus": 0.26, "wang": 0.48},
    "n-BoVW": {"msrc-v1": 0.58, "msrc-v2": 0.39, "linnaeus": 0.31, "wang": 0.60},
    "VLAD": {"msrc-v1": 0.78, "msrc-v2": 0.41, "wang": 0.74},
    "N-Gram": {"wang": 0.37},
    "AlexNet": {"msrc-v1": 0.81, "msrc-v2": 0.58, "linnaeus": 0.47, "wang": 0.68},
    "VGGNet": {"msrc-v1": 0.76, "msrc-v2": 0.63, "linnaeus": 0.48, "wang": 0.76},
    "ResNet": {"msrc-v1": 0.83, "msrc-v2": 0.70, "linnaeus": 0.69, "wang": 0.82},
    "Ruigang (CNN and SVM)": {"linnaeus": 0.70},
    "the paper's best": {"msrc-v1": 0.86, "msrc-v2": 0.72, "linnaeus": 0.75, "wang": 0.84},
}
"""Table 6."""


def check(number: int, dataset: str, features: Sequence[str] = DESCRIPTORS) -> None:
    """Raise ValueError unless the paper's table ``number``, 3 to 6, has figures of ``dataset``.

    Tables 3 and 4 have figures of some features only, of which one has to be among ``features``.
    """
    if number not in TITLES:
        raise ValueError(f"table: expected 3, 4, 5 or 6, got {number}")
    if dataset not in _SIGNATURES[3] or (number == 5 and dataset != "wang"):
        known = ["wang"] if number == 5 else list(_SIGNATURES[3])
        raise ValueError(
            f"table: the paper's table {number} has figures of {', '.join(known)}, expected one "
            f"of these data sets, got {dataset}"
        )
    if number in _SIGNATURES and not set(DESCRIPTORS) & set(features):
        raise ValueError(
            f"table: expected one with figures of {', '.join(features)}; the paper's {number} has those of "
            f"{listed(DESCRIPTORS)}"
        )


def table(number: int, dataset: str, scores: Mapping[str, Scores]) -> str:
    """Return the paper's table ``number`` for ``dataset``, with the figures of ``scores`` beside.

    ValueError as ``check``.
    """
    check(number, dataset)
    if number == 5:
        return f"{TITLES[number]}\n\n{joined(_first_20(scores))}"
    rows = _methods(dataset, scores) if number == 6 else _signatures(number, dataset, scores)
    return f"{TITLES[number]}\n\n{joined(rows)}"


def _signatures(number: int, dataset: str, scores: Mapping[str, Scores]) -> list[list[str]]:
    lines = [["", "paper", "measure `paper`, ours", "ap, ours"]]
    for which, (title, modes) in enumerate((("no filter", ("none",)), ("filter", ("drop", "last")))):
        for place, descriptor in enumerate(DESCRIPTORS):
            published = _SIGNATURES[number][dataset][which][place]
            for name, one in scores.items():
                if name.partition(",")[0] != descriptor:
                    continue
                ours = " / ".join(f"{one.mean(mode, 'paper'):.3f} {mode}" for mode in modes)
                ap = " / ".join(f"{one.mean(mode, 'ap'):.3f} {mode}" for mode in modes)
                lines.append([f"{name}, {title}", f"{published:.2f}", ours, ap])
    return lines


def _first_20(scores: Mapping[str, Scores]) -> list[list[str]]:
    lines = [["", "paper", "p@20, query in", "p@20, query out"]]
    lines += [[name, f"{value:.2f}", "", ""] for name, value in _FIRST_20.items()]
    for name, one in scores.items():
        for mode in one.values:
            figures = [f"{one.mean(mode, f'p@20 {where}'):.3f}" for where in ("in", "out")]
            lines.append([f"{name}, {mode}", "", *figures])
    return lines


def _methods(dataset: str, scores: Mapping[str, Scores]) -> list[list[str]]:
    lines = [["", "paper", "measure `paper`, ours", "ap, ours"]]
    for name, published in _METHODS.items():
        figure = f"{published[dataset]:.2f}" if dataset in published else "-"
        lines.append([name, figure, "", ""])
    for name, one in scores.items():
        for mode in one.values:
            title = name if list(one.values) == ["none"] else f"{name}, {mode}"
            lines.append([title, "", f"{one.mean(mode, 'paper'):.3f}", f"{one.mean(mode, 'ap'):.3f}"])
    return lines
