# SPDX-License-Identifier: MIT
"""Searches by one class: what they find beside the whole photo, and how long all that can be asked takes.

    python benchmarks/asking.py WANG [--sheets FOLDER]
    python benchmarks/asking.py WANG --speed

Precision: for each kind of Wang's photos with a class of the default network, ten queries, every tenth photo
that holds 2 % of the class or more, feature deep; p@20 without the query itself. ``--sheets`` writes a
contact sheet of one query of each.

Speed: 50,000 images drawn from Wang's signatures (``workload.py``), one thread, medians over 60 queries of
the medians of 9 calls each, which take turns with the search of the whole photo.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from semcbir import Index, Searcher, Signatures, search
from semcbir.evaluation.datasets import Dataset
from semcbir.evaluation.layouts import wang
from semcbir.terms import Terms
from tables import table
from workload import bases, resampled

KINDS = {
    "buses": "bus",
    "horses": "horse",
    "elephants": "animal",
    "flowers": "flower",
    "beach": "sea",
    "mountains": "mountain",
    "buildings": "building",
    "food": "food",
    "africans": "person",
}
QUERIES, HITS, LEAST = 10, 20, 0.02
IMAGES, CALLS, SEARCHES = 50_000, 9, 60


def precision(index: Index, dataset: Dataset, sheets: Path | None) -> None:
    """Print p@20 of a class alone and of the whole photo."""
    label_of = dict(zip(dataset.paths, dataset.labels, strict=True))
    kind_of = {record.id: dataset.class_names[label_of[record.path]] for record in index}
    signatures, classes, searcher = index.signatures(), index.recipe.classes, index.searcher()
    rows = []
    for kind, name in KINDS.items():
        if name not in classes or kind not in dataset.class_names:
            print(f"no class {name!r}, or no kind {kind!r}")
            continue
        shares = signatures.histograms()[:, classes.index(name)]
        own = [i for i, key in enumerate(signatures.ids.tolist()) if kind_of[key] == kind]
        able = [i for i in own if shares[i] >= LEAST]
        chosen = able[:: max(1, len(able) // QUERIES)][:QUERIES]
        label = classes.index(name)
        means = []
        for terms in (Terms(only=(label,), unit_rows=True), Terms(only=(label,)), None):
            right = []
            for i in chosen:
                ids = searcher.search(signatures[i], HITS + 1, None, terms=terms).ids[0].tolist()
                others = [key for key in ids if key != signatures.ids[i]][:HITS]
                right.append(np.mean([kind_of[key] == kind for key in others]))
            means.append(f"{np.mean(right):.3f}")
        held = np.count_nonzero(shares >= LEAST)
        rows.append([kind, name, f"{len(able)} / {held}", *means])
        if sheets:
            picture(index, index[int(signatures.ids[chosen[0]])].path, name, sheets)
    held_by = "of the kind / all that hold 2 % of it"
    titles = ["kind", "class", held_by, "p@20: only it", "the same, rows as stored", "the whole photo"]
    print(table(titles, rows))


def picture(index: Index, query: Path, name: str, folder: Path) -> None:
    """Write the sheet of a search by one class."""
    from semcbir.pictures.sheet import contact_sheet

    folder.mkdir(parents=True, exist_ok=True)
    contact_sheet(query, search(query, index, HITS, only=f"={name}")).save(folder / f"{name}.jpg")


def speed(base: Signatures) -> None:
    """Print how long searches of all kinds take beside those of whole photos."""
    images, queries = resampled(base, IMAGES, 1), resampled(base, SEARCHES, 2)
    searcher = Searcher(images)
    searcher.search(queries, 20, None, threads=1)
    held = np.bincount(images.classes, minlength=images.n_classes + 1)[:-1] / len(images)
    most = int(np.argmax(held))

    def classes_of(query: Signatures) -> list[int]:
        """Those of 2 % or more, the rarest first."""
        pairs = zip(query.classes.tolist(), query.proportions.tolist(), strict=True)
        return sorted((c for c, share in pairs if c < len(held) and share >= LEAST), key=lambda c: held[c])

    ways: dict[str, Callable[[Signatures], Terms]] = {
        "only the rarest of its classes": lambda q: Terms(only=(classes_of(q)[0],)),
        "only the one in the middle": lambda q: Terms(only=(classes_of(q)[len(classes_of(q)) // 2],)),
        "only the most common": lambda q: Terms(only=(classes_of(q)[-1],)),
        "without the most common class of all": lambda q: Terms(without=(most,)),
        "weight 2 for its most common class": lambda q: Terms(weights={classes_of(q)[-1]: 2}),
        "weight 0 for its most common class": lambda q: Terms(weights={classes_of(q)[-1]: 0}),
    }
    calls: dict[str, Callable[[Signatures], Callable[[], object]]] = {
        name: lambda q, make=make: _call(searcher, q, make(q)) for name, make in ways.items()
    }
    calls["the 100 nearest histograms pass (keep)"] = lambda q: (
        lambda: searcher.search(q, 20, threads=1, keep=100)
    )
    labels = [([most], None), ([int(np.argsort(-held)[3])], None)]
    calls["two classes in words (find)"] = lambda q: (
        lambda: searcher._find(labels, LEAST, [int(np.argsort(-held)[5])], 0.01, 0, 20, 1)
    )
    rows = []
    for name, call in calls.items():
        own, whole = [], []
        for i in range(len(queries)):
            query = queries[i]
            mine, plain = call(query), _call(searcher, query, None)
            times = [(_time(mine), _time(plain)) for _ in range(CALLS)]
            own.append(statistics.median(one for one, _ in times) * 1e3)
            whole.append(statistics.median(one for _, one in times) * 1e3)
        ratio = statistics.median(b / a for a, b in zip(own, whole, strict=True))
        rows.append(
            [name, f"{statistics.median(own):.3f}", f"{statistics.median(whole):.3f}", f"{ratio:.2f}"]
        )
    print(table(["search", "ms", "whole photo, ms", "times as fast"], rows))


def _call(searcher: Searcher, query: Signatures, terms: Terms | None) -> Callable[[], object]:
    return lambda: searcher.search(query, 20, None, threads=1, terms=terms)


def _time(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--index", type=Path, help="an index of WANG with the feature deep")
    parser.add_argument("--sheets", type=Path, help="a folder for contact sheets")
    parser.add_argument("--speed", action="store_true", help="measure times, not precision")
    options = parser.parse_args()
    if options.speed:
        speed(bases(options.folder)["deep"])
        return
    dataset = wang(options.folder)
    with tempfile.TemporaryDirectory() as scratch:
        index = (
            Index.open(options.index) if options.index else Index.build(dataset.folder, scratch + "/index")
        )
        precision(index, dataset, options.sheets)


if __name__ == "__main__":
    main()
