# SPDX-License-Identifier: MIT
"""``python -m semcbir.evaluation``: index a data set and print its figures; or whether copies are found."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from semcbir._core import __version__
from semcbir._files import absolute
from semcbir._streams import make_output_safe, open_standard_streams
from semcbir._validate import check_integer, counted
from semcbir.errors import SemcbirError
from semcbir.evaluation.datasets import DATASETS, with_distractors
from semcbir.evaluation.finding import QUERIES, find_originals, usual_queries
from semcbir.evaluation.measuring import evaluate
from semcbir.evaluation.tables import copies_markdown, markdown
from semcbir.extractor import LONG_SIDE
from semcbir.features.base import WEIGHTINGS
from semcbir.index.index import Index
from semcbir.index.report import Progress
from semcbir.networks.packaged import DEFAULT
from semcbir.searcher import check_epsilon
from semcbir.smoothing import check_smooth

_FEATURES = "deep,kaze,surf,hog,sift"
_COPIES = "copies"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 error, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        text, summary = _copies(options) if options.measure == _COPIES else _retrieval(options)
        print(text, flush=True)
        if options.json:
            options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    except (SemcbirError, ValueError, OSError) as error:
        print(f"semcbir.evaluation: error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m semcbir.evaluation")
    measures = parser.add_subparsers(dest="measure", required=True)
    for name in sorted(DATASETS):
        what = "a folder with a sub-folder for each class" if name == "folder" else f"the data set {name}"
        one = measures.add_parser(
            name,
            help=f"figures of {what}",
            description=f"Query {what} with each of its images, without the semantic filter, with penalised "
            "images last, and with them left out; print the figures of every protocol as Markdown.",
        )
        _add_index_options(one)
        _add_retrieval_options(one)
    copies = measures.add_parser(
        _COPIES,
        help="whether a photo's copy finds the photo",
        description="Query a folder of photos with copies of some of them: smaller, mirrored, compressed, "
        "brighter, cut, turned; print how often the original comes first, and in the first ten.",
    )
    _add_index_options(copies)
    copies.add_argument(
        "--queries",
        type=int,
        help=f"photos to make copies of (default: {QUERIES}, or all if there are fewer)",
    )
    return parser


def _add_index_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="where its images are")
    parser.add_argument(
        "--model", default=DEFAULT, help="segmentation model: its card, its ONNX file or a name (%(default)s)"
    )
    parser.add_argument("--features", default=_FEATURES, help="default: %(default)s")
    parser.add_argument("--encoder", help="of feature deep: its card, its ONNX file or a name")
    parser.add_argument(
        "--weighting", choices=WEIGHTINGS, help="of all the features (default: share for deep, else none)"
    )
    parser.add_argument("--index", type=Path, help="keep the index here, and continue one that is there")
    parser.add_argument("--long-side", type=int, default=LONG_SIDE, help="in pixels (default: %(default)s)")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--threads", type=int, help="default: every usable CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")


def _add_retrieval_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--distractors",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="images that are in the database, relevant to nothing and never a query; may be repeated",
    )
    parser.add_argument("--epsilon", type=float, default=0.9, help="of the filter (default: %(default)s)")
    parser.add_argument(
        "--smooth", type=int, metavar="K", help="measure searches smoothed with K neighbours too"
    )
    parser.add_argument(
        "--parts", action="store_true", help="of deep, measure the class rows and the whole row alone too"
    )


def _retrieval(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return the figures of a data set as text and as values for JSON."""
    check_epsilon(options.epsilon)
    smooth = None if options.smooth is None else check_smooth("smooth", options.smooth)
    dataset = with_distractors(DATASETS[options.measure](options.folder), options.distractors)
    with tempfile.TemporaryDirectory() as scratch:
        index = _index(dataset.folders, Path(scratch), options)
        scores = evaluate(
            index, dataset, options.epsilon, options.threads, smooth=smooth, parts=options.parts
        )
        queries, images = len(dataset.paths), len(index)
        summary = _summary(index, options) | {
            "distractors": images - queries,
            "epsilon": options.epsilon,
            "scores": {name: one.to_dict() for name, one in scores.items()},
        }
    text = markdown(scores, options.epsilon)
    if dataset.distractors:
        others = counted(images - queries, "distractor")
        text += f"\n\nThe database holds {images} images: {queries} queries and {others}."
    return text, summary


def _copies(options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return how often copies find their originals, as text and as values for JSON."""
    if options.queries is not None:  # before the work
        check_integer("queries", options.queries, 1)
    with tempfile.TemporaryDirectory() as scratch:
        index = _index((absolute(options.folder),), Path(scratch), options)
        queries = usual_queries(index) if options.queries is None else options.queries
        found = find_originals(index, queries)
        summary = _summary(index, options) | {
            "queries": queries,
            "found": {
                feature: {kind: one.to_dict() for kind, one in kinds.items()}
                for feature, kinds in found.items()
            },
        }
    return copies_markdown(found), summary


def _index(folders: Sequence[Path], scratch: Path, options: argparse.Namespace) -> Index:
    """Build the index of ``folders``, or bring an existing one up to date."""
    with Bar(
        TextColumn("indexing {task.fields[what]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("", total=None, what=options.measure)

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.done, total=progress.total)

        return Index.build(
            folders,
            options.index or scratch / "index",
            model=options.model,
            features=options.features,
            encoder=options.encoder,
            weighting=options.weighting,
            long_side=options.long_side,
            device=options.device,
            threads=options.threads,
            on_progress=show,
        )


def _summary(index: Index, options: argparse.Namespace) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "semcbir": __version__,
        "dataset": options.measure,
        "images": len(index),
        "recipe": index.recipe.to_dict(),
    }


if __name__ == "__main__":
    open_standard_streams()
    make_output_safe()
    sys.exit(main())
