# SPDX-License-Identifier: MIT
"""One class of a photo as the query: ten of Wang's bus photos, by the rows of the class "bus".

    python benchmarks/one_class.py WANG

The photos are 300.jpg, 310.jpg, ... 390.jpg, every tenth of Wang's buses; the feature is deep, without a
filter. The query and the photos it is compared with keep only the rows of that class (``rows_of``), as long
as the weighting makes them, or of length 1, which is cosine: a photo without the class is then at distance 1.
Beside these all class rows, and the whole photo.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from semcbir import Index, Searcher, Signatures
from semcbir.evaluation.datasets import Dataset
from semcbir.evaluation.layouts import wang
from semcbir.evaluation.metrics import precision_in, precision_out
from semcbir.evaluation.rankings import Rankings, Truth, judge
from semcbir.evaluation.rows import class_rows, rows_of
from tables import table

QUERIES = range(300, 400, 10)
LABEL = 3
CLASS = "bus"


def rankings(batch: Signatures, queries: np.ndarray, labels: np.ndarray) -> Rankings:
    """Judge the whole ranking of ``batch``, whose ids count from 0, for some of its images."""
    found = Searcher(batch).search(batch[queries], len(batch), None)
    return judge(found.ids, found.kept, Truth(labels, queries, labels[queries]))


def of_length_1(signatures: Signatures) -> Signatures:
    """Return ``signatures`` with every row that is not null at length 1."""
    norms = np.linalg.norm(signatures.centroids.astype(np.float64), axis=1, keepdims=True)
    centroids = signatures.centroids / np.where(norms == 0, 1, norms)
    return Signatures(**{**vars(signatures), "centroids": centroids.astype(np.float32)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--index", type=Path, help="an index of WANG with the feature deep")
    options = parser.parse_args()
    dataset = wang(options.folder)
    with tempfile.TemporaryDirectory() as scratch:
        index = (
            Index.open(options.index) if options.index else Index.build(dataset.folder, scratch + "/index")
        )
        report(index, dataset)


def report(index: Index, dataset: Dataset) -> None:
    """Print how many photos have the class, and what its rows find beside the others."""
    signatures = index.signatures("deep")
    label = index.recipe.classes.index(CLASS)
    label_of = dict(zip(dataset.paths, dataset.labels, strict=True))
    labels = np.array([label_of[record.path] for record in index])
    buses = np.flatnonzero(labels == LABEL)
    chosen = [index[dataset.folder / f"{number}.jpg"].id for number in QUERIES]
    shares = signatures.histograms()[:, label]
    places = np.flatnonzero(np.isin(signatures.ids, chosen))
    signatures = Signatures(**{**vars(signatures), "ids": np.arange(len(signatures))})
    print(
        f"{CLASS!r} is in {np.count_nonzero(shares[labels == LABEL])} of {len(buses)} bus photos and in "
        f"{np.count_nonzero(shares[labels != LABEL])} of {len(labels) - len(buses)} others; "
        f"the queries' shares of it: {', '.join(f'{share:.2f}' for share in shares[places])}\n"
    )
    rows = []
    for name, batch in {
        f"the rows of {CLASS!r} alone": rows_of(signatures, label),
        "the same, of length 1": of_length_1(rows_of(signatures, label)),
        "all class rows": class_rows(signatures),
        "the whole photo (all rows, the default)": signatures,
    }.items():
        judged = rankings(batch, places, labels)
        means = [measure(judged, 20).mean() for measure in (precision_out, precision_in)]
        rows.append([name, *(f"{mean:.3f}" for mean in means)])
    print(table(["ten bus photos, searched by", "p@20 out", "p@20 in"], rows))


if __name__ == "__main__":
    main()
