# SPDX-License-Identifier: MIT
"""search(): from a photo to the images most like it (Fig. 1)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import cast, overload

import numpy as np

from semcbir._files import PathLike
from semcbir._validate import check_many
from semcbir.expansion import check_expand, expanded
from semcbir.images.given import KINDS, ImageSource, check_image, is_image, read_image
from semcbir.index.database import is_index
from semcbir.index.index import Index
from semcbir.index.ready import check_place, ready_index
from semcbir.index.where import Where, parse_where
from semcbir.recipe import require_same
from semcbir.regions import Box, Point, Region, check_region, signatures_of_part
from semcbir.results import Hit, Results
from semcbir.searcher import (
    Epsilon,
    Neighbors,
    Penalized,
    check_epsilon,
    check_k,
    check_keep,
    check_penalized,
)
from semcbir.several import at_length_one, check_weights, mean_signature, pairs_of
from semcbir.signatures import Signatures
from semcbir.smoothing import check_smooth
from semcbir.terms import (
    MAX_SHARE,
    MIN_SHARE,
    Names,
    has_directions,
    named_terms,
    names_given,
    require_classes,
)

Query = ImageSource | Signatures
"""A photo (a path, an encoded file, an RGB uint8 array (H, W, 3), a Pillow image), or ready signatures."""

Several = Sequence[tuple[Query, float]]
"""Photos with weights, which are one query together."""


@overload
def search(  # type: ignore[overload-overlap]
    query: ImageSource | Several,
    index: Index | PathLike,
    k: int = ...,
    epsilon: Epsilon = ...,
    penalized: Penalized = ...,
    feature: str | None = ...,
    smooth: int | None = ...,
    *,
    only: Names = ...,
    without: Names = ...,
    weights: Mapping[str, float] | None = ...,
    keep: int | None = ...,
    expand: int = ...,
    where: Where | None = ...,
    region: Region | None = ...,
    min_share: float = ...,
    max_share: float = ...,
) -> Results: ...
@overload
def search(
    query: Signatures | Iterable[Query],
    index: Index | PathLike,
    k: int = ...,
    epsilon: Epsilon = ...,
    penalized: Penalized = ...,
    feature: str | None = ...,
    smooth: int | None = ...,
    *,
    only: Names = ...,
    without: Names = ...,
    weights: Mapping[str, float] | None = ...,
    keep: int | None = ...,
    expand: int = ...,
    where: Where | None = ...,
    region: Region | None = ...,
    min_share: float = ...,
    max_share: float = ...,
) -> list[Results]: ...
def search(
    query: Query | Several | Iterable[Query],
    index: Index | PathLike,
    k: int = 20,
    epsilon: Epsilon = "auto",
    penalized: Penalized = "last",
    feature: str | None = None,
    smooth: int | None = None,
    *,
    only: Names = None,
    without: Names = None,
    weights: Mapping[str, float] | None = None,
    keep: int | None = None,
    expand: int = 0,
    where: Where | None = None,
    region: Region | None = None,
    min_share: float = MIN_SHARE,
    max_share: float = MAX_SHARE,
) -> Results | list[Results]:
    """Find the ``k`` images of ``index`` that are most like ``query``.

    ``query`` is a photo (a path, the bytes of an image file, an RGB uint8 array (H, W, 3), or an image of
    Pillow's), a Signatures batch, or an iterable of these. A list of (photo, weight) pairs is one query: the
    weighted mean of their signatures, row by row, so that images are ranked by the weighted sum of their
    squared distances; weights below 0 ask for what is unlike a photo. See ``mean_signature``; signatures
    whose rows are weighted by share are then made as long as a photo's again, which changes no order.

    ``index`` is an Index, the path of one, or a folder of photos, as on the command line: its own index in
    ``FOLDER/.semcbir`` is made with the default model, or brought up to date, first; a RuntimeWarning says if
    that cannot be done now. To search often, open an Index once.

    Images whose semantic histogram is farther than ``epsilon`` from the query's (eq. 1) are ranked
    last, or left out with ``penalized="drop"``; the others are ranked by L2 distance between signatures of
    ``feature`` (None: the index's first), ties by id. ``epsilon`` "auto" is 0.9 for local features; None: no
    filter.

    ``only``, one name of a class or several, compares these classes' parts of the signatures alone, each by
    its direction (at length 1) where the feature weights its rows by share, as ``deep`` does; images
    of which they are less than ``min_share`` together are penalised, and epsilon "auto" is no filter.
    ``without`` leaves out images of which one of its classes is more than ``max_share``. ``weights`` says how
    many times the squared differences of a class count; 0 strikes it out. Names are those of the index's
    network (``index.classes``) and of groups, such as "animal": see ``labels_named``; what ``only``
    and ``weights`` name, every query has to have. ``keep`` goes in the place of epsilon: so many images,
    those with the nearest histograms, and others as near, pass the filter, and ``Results.epsilon`` is what
    that came to. Distances are those of ``Terms``.

    ``region`` is a part of the query, which then is one photo: ``(x, y)``, whose class is compared alone, as
    if ``only`` named it; or a box ``(x0, y0, x1, y1)`` of the pixels from x0 to x1 - 1 and y0 to y1 - 1, of
    which the query is then made, from the labels and features that they have in the whole photo. Pixels are
    those of the photo as it is shown.

    ``expand`` averages a query with so many of its nearest images (3, say; at most 1000), which pass the
    filter, and searches again: see ``semcbir.expansion``. ``where`` restricts what is found to images in a
    folder, of a name or date: see ``Index.select``. What does not meet it is not there, for ``keep`` and
    ``expand``, too.

    ``smooth`` compares smoothed signatures: those of the query and of every image are first averaged with
    their ``smooth`` (10, say; at most 1000) nearest images of the index, as ``smoothed`` does it. Distances
    are then between averages; the semantic filter stays with the images' own histograms. The first such
    search compares every image with every other, and an Index that is kept keeps the outcome in memory,
    until it changes.

    Returns Results for one photo; for a batch or an iterable, a list with Results for each image.

    Raises ImageError for a photo that cannot be read, RecipeMismatchError for signatures made differently
    from the index's, IndexStorageError for a path that is neither an index nor a folder, ModelError if the
    model cannot be found, and TypeError or ValueError for a wrong argument, such as a class that there is not
    or that a query does not have.
    """
    check_k(k)
    check_epsilon(epsilon)
    check_penalized(penalized)
    if smooth is not None:
        check_smooth("smooth", smooth)
    if keep is not None:
        check_keep(keep, epsilon)
    expand = check_expand(expand)
    conditions = None if where is None else parse_where(where)
    only, without = names_given("only", only), names_given("without", without)
    single, pairs = is_image(query), pairs_of(query)
    mean = None if pairs is None else check_weights([weight for _, weight in pairs])
    queries = _check_queries(query if pairs is None else [photo for photo, _ in pairs])
    part = None if region is None else _check_part(region, query, only)
    opened = open_searched(index, queries, feature)
    classes = opened.classes
    named_terms(classes, only, without, weights, min_share, max_share)  # wrong names come before long work
    if part is not None:
        photo = cast("ImageSource", query)
        signatures, name = signatures_of_part(opened.extractor(), photo, part, feature)
        only = only if name is None else [f"={name}"]
    else:
        signatures = _signatures(queries, opened, feature)
    if mean is not None:
        signatures = _mean(signatures, mean)
    if not len(signatures):
        return []
    unit = has_directions(opened.recipe, feature)
    terms = named_terms(classes, only, without, weights, min_share, max_share, unit)
    require_classes(signatures, classes, only, weights)
    searcher = opened.searcher(feature, smooth=smooth, where=conditions)
    if terms.only and keep is None and epsilon == "auto":
        epsilon = None
    if expand:
        nearest = searcher.search(signatures, expand, epsilon, "drop", terms=terms, keep=keep)
        signatures = expanded(signatures, nearest.ids, lambda ids: opened.signatures(feature, ids=ids))
    size = min(k, max(1, len(opened)))
    neighbors = searcher.search(signatures, size, epsilon, penalized, terms=terms, keep=keep)
    paths = [path for one in queries for path in _paths(one)]
    results = [_results(opened, neighbors, i, paths[i]) for i in range(len(signatures))]
    return results[0] if single or mean is not None else results


def _mean(signatures: Signatures, weights: list[float]) -> Signatures:
    """Return the mean of photos' signatures, weighted, which is one query."""
    if len(signatures) != len(weights):
        raise ValueError("query: expected signatures of one image beside a weight, got several")
    return at_length_one(mean_signature(signatures, weights))


def _check_part(region: Region, query: object, only: Sequence[str]) -> Point | Box:
    """Return a region, checked. Raises ValueError beside several photos, or beside names for a pixel."""
    part = check_region(region)
    if not is_image(query):
        raise ValueError("region: expected one photo as the query, got several, or signatures")
    if only and isinstance(part, Point):
        raise ValueError("region: expected a box beside only, got a pixel, whose class is compared alone")
    return part


def _check_queries(query: object) -> list[Query]:
    what = f"{KINDS}, a Signatures or several of these"
    if isinstance(query, Signatures):
        return [query]
    queries: list[Query] = [query] if is_image(query) else check_many("query", query, what)
    for one in queries:
        if not isinstance(one, Signatures):
            check_image("query", one)
    return queries


def open_searched(index: Index | PathLike, queries: Sequence[Query], feature: str | None) -> Index:
    """Open ``index``; the index of a folder of photos is brought up to date."""
    if isinstance(index, Index):
        return index
    place = check_place("index", index)
    if not is_index(place):
        for query in queries:  # One that cannot be read must fail before any long work.
            if not isinstance(query, Signatures):
                read_image(query, 64)
    ready = ready_index(place, feature=feature)
    if ready.stale:
        warnings.warn(ready.stale, RuntimeWarning, stacklevel=3)
    return ready.index


def _signatures(queries: Sequence[Query], index: Index, feature: str | None) -> Signatures:
    """Return all queries as one batch in their order; photos among them are extracted in one go."""
    recipe = index.recipe.for_feature(feature)
    photos = [query for query in queries if not isinstance(query, Signatures)]
    for query in queries:
        if isinstance(query, Signatures):
            require_same(recipe, query.recipe, "the query's signatures")
    made = iter(index.extractor().extract(photos, feature) if photos else ())
    parts = [query if isinstance(query, Signatures) else next(made) for query in queries]
    if not parts:
        kind = recipe.feature()
        return Signatures.empty(recipe.n_classes, kind.dim, recipe, whole=kind.whole_row)
    return Signatures.concatenate(parts, ids=np.arange(sum(map(len, parts))))


def _paths(query: Query) -> list[PathLike | None]:
    """Return the path of a query for each of its images, None where there is none."""
    if isinstance(query, Signatures):
        return [None] * len(query)
    return [query if isinstance(query, (str, os.PathLike)) else None]


def _results(index: Index, neighbors: Neighbors, query: int, path: PathLike | None) -> Results:
    ids, epsilon = neighbors.ids[query], float(neighbors.epsilons[query])
    kept = int(neighbors.kept[query])
    hits = [
        Hit(rank + 1, record.id, record.path, float(distance), float(histogram_distance), rank >= kept)
        for rank, (record, distance, histogram_distance) in enumerate(
            zip(
                index.records(int(key) for key in ids[ids >= 0]),
                neighbors.distances[query],
                neighbors.histogram_distances[query],
                strict=False,
            )
        )
    ]
    return Results(hits, kept, None if epsilon == np.inf else epsilon, query=path)
