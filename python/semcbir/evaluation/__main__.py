# SPDX-License-Identifier: MIT
"""``python -m semcbir.evaluation wang FOLDER --model MODEL``: index a data set and print its figures."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from semcbir._core import __version__
from semcbir._streams import make_output_safe, open_standard_streams
from semcbir.errors import SemcbirError
from semcbir.evaluation.datasets import DATASETS, Dataset
from semcbir.evaluation.measuring import Scores, evaluate
from semcbir.evaluation.tables import markdown
from semcbir.extractor import LONG_SIDE
from semcbir.index.index import Index
from semcbir.index.report import Progress
from semcbir.networks.published import DEFAULT
from semcbir.searcher import check_epsilon


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 error, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        check_epsilon(options.epsilon)
        dataset = DATASETS[options.dataset](options.folder)
        with tempfile.TemporaryDirectory() as scratch:
            index = _index(dataset, options.index or Path(scratch) / "index", options)
            scores = evaluate(index, dataset, options.epsilon, options.threads)
            summary = _summary(index, dataset, scores, options.epsilon)
        print(markdown(scores, options.epsilon), flush=True)
        if options.json:
            options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    except (SemcbirError, ValueError, OSError) as error:
        print(f"semcbir.evaluation: error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m semcbir.evaluation",
        description="Query a labelled data set with each of its images, without the semantic filter, with "
        "penalised images last, and with them left out; print the figures of every protocol as Markdown.",
    )
    parser.add_argument("dataset", choices=sorted(DATASETS), help="which data set")
    parser.add_argument("folder", type=Path, help="where its images are")
    parser.add_argument(
        "--model", default=DEFAULT, help="segmentation model: its card, its ONNX file or a name (%(default)s)"
    )
    parser.add_argument("--features", default="kaze,surf,hog,sift", help="default: %(default)s")
    parser.add_argument("--index", type=Path, help="keep the index here, and continue one that is there")
    parser.add_argument("--epsilon", type=float, default=0.9, help="of the filter (default: %(default)s)")
    parser.add_argument("--long-side", type=int, default=LONG_SIDE, help="in pixels (default: %(default)s)")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--threads", type=int, help="default: every usable CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    return parser


def _index(dataset: Dataset, path: Path, options: argparse.Namespace) -> Index:
    """Build the data set's index, or bring an existing one up to date."""
    with Bar(
        TextColumn("indexing {task.fields[what]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("", total=None, what=dataset.name)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.total)

        return Index.build(
            dataset.folder,
            path,
            model=options.model,
            features=options.features,
            long_side=options.long_side,
            device=options.device,
            threads=options.threads,
            on_progress=show,
        )


def _summary(index: Index, dataset: Dataset, scores: dict[str, Scores], epsilon: float) -> dict[str, object]:
    """Return the figures and everything they depend on."""
    return {
        "semcbir": __version__,
        "dataset": dataset.name,
        "images": len(index),
        "epsilon": epsilon,
        "recipe": index.recipe.to_dict(),
        "scores": {name: one.to_dict() for name, one in scores.items()},
    }


if __name__ == "__main__":
    open_standard_streams()
    make_output_safe()
    sys.exit(main())
