# SPDX-License-Identifier: MIT
"""What the API and the pages say of photos, hits and explanations, as values that JSON can hold."""

from __future__ import annotations

import os
from collections.abc import Container
from typing import Any

import numpy as np

from semcbir._printable import printable
from semcbir.explanation import Explanation
from semcbir.extractor import Analysis
from semcbir.finding import FoundImages
from semcbir.index.contents import ClassTotal, Contents
from semcbir.index.index import Index
from semcbir.index.lookup import Record
from semcbir.index.report import Damaged, Skipped
from semcbir.index.roots import path_below
from semcbir.near_duplicates import DuplicateGroup
from semcbir.networks.groups import known_groups, plain_name
from semcbir.pictures.colours import Colour, picture_colours
from semcbir.results import Results
from semcbir.web.collection import Collection


def image_values(record: Record, index: Index) -> dict[str, Any]:
    """Return what is said of an image.

    ``version`` changes with its file; ``name`` is its path in the folder of the index that it is in.
    """
    path, version = os.fspath(record.path), version_of(record)
    names = (path_below(path, os.fspath(root)) for root in index.roots)
    name = next(filter(None, names), record.path.name)
    return {
        "id": record.id,
        "path": printable(path),
        "name": printable(name.replace(os.sep, "/")),
        "size": record.size,
        "version": version,
        "thumbnail": f"/thumbnails/{record.id}/{version}.webp",
    }


def part_values(collection: Collection, order: str, seed: int, offset: int, limit: int) -> dict[str, Any]:
    """Return a part of a collection, in an order."""
    ids, index = collection.order(order, seed), collection.index()
    records = collection.records(ids[offset : offset + limit].tolist())
    images = [image_values(record, index) for record in records]
    return {"total": len(ids), "offset": offset, "images": images}


def version_of(record: Record) -> str:
    """Return what changes when an image's file does, as far as the index knows."""
    return f"{record.mtime_ns or 0:x}-{record.size or 0:x}"


def results_values(collection: Collection, results: Results) -> dict[str, Any]:
    """Return the hits of a search."""
    records, index = collection.records([hit.id for hit in results]), collection.index()
    hits = [
        image_values(record, index)
        | {
            "rank": hit.rank,
            "distance": hit.distance,
            "histogram_distance": hit.histogram_distance,
            "penalized": hit.penalized,
        }
        for hit, record in zip(results, records, strict=True)
    ]
    return {"kept": results.kept, "epsilon": results.epsilon, "images": len(index), "hits": hits}


def found_values(collection: Collection, found: FoundImages) -> dict[str, Any]:
    """Return a page of photos that were found by their classes."""
    records, index = collection.records([image.id for image in found]), collection.index()
    images = [
        image_values(record, index) | {"rank": image.rank, "shares": dict(image.shares)}
        for image, record in zip(found, records, strict=True)
    ]
    return {"total": found.total, "page": found.page, "pages": found.pages, "images": images}


def class_term(name: str, groups: Container[str]) -> str:
    """Return what a search calls a class alone: "=NAME" where a group has its name too."""
    return f"={name}" if plain_name(name) in groups else name


def segments_values(
    analysis: Analysis, index: Index, size: tuple[int, int], beside: Analysis | None = None
) -> dict[str, Any]:
    """Return the classes of a photo of this height and width, the largest first, with colours.

    The colours are those of two photos that are shown together, if there is one ``beside`` it.
    """
    groups = known_groups(index.classes)
    labels, counts = np.unique(analysis.label_map, return_counts=True)
    recipe = index.recipe
    chosen = [
        (int(n), int(label)) for label, n in zip(labels, counts, strict=True) if int(label) != recipe.void
    ]
    total = sum(n for n, _ in chosen) or 1
    shown = sorted(chosen, key=lambda one: (-one[0], one[1]))
    colours = _colours(index, analysis) if beside is None else _colours(index, analysis, beside)
    height, width = size
    return {
        "width": width,
        "height": height,
        "classes": [
            {
                "label": label,
                "name": recipe.classes[label],
                "term": class_term(recipe.classes[label], groups),
                "share": n / total,
                "colour": "#{:02x}{:02x}{:02x}".format(*colours[label]),
            }
            for n, label in shown
            if label < len(recipe.classes)
        ],
    }


def _colours(index: Index, *analyses: Analysis) -> dict[int, Colour]:
    """Return the colours of all classes of photos that are shown together, in whichever order."""
    counts: dict[int, int] = {}
    for analysis in analyses:
        for label, n in zip(*np.unique(analysis.label_map, return_counts=True), strict=True):
            counts[int(label)] = counts.get(int(label), 0) + int(n)
    counts.pop(-1 if index.recipe.void is None else index.recipe.void, None)
    largest_first = sorted(counts, key=lambda label: (-counts[label], label))
    return picture_colours(largest_first, index.recipe.classes)


def explanation_values(why: Explanation) -> dict[str, Any]:
    """Return an explanation: what each class adds to the distance, the most first."""
    return {
        "distance": why.distance,
        "histogram_distance": why.histogram_distance,
        "rows": [
            {
                "label": row.label,
                "name": row.name,
                "query_share": row.query_proportion,
                "hit_share": row.hit_proportion,
                "squared_distance": row.squared_distance,
                "share": row.share,
                "weight": row.weight,
                "shared": row.shared,
            }
            for row in why.rows
        ],
    }


def skipped_values(skipped: Skipped | Damaged) -> dict[str, str]:
    """Return which file was skipped, or is damaged, and why."""
    return {"path": printable(str(skipped.path)), "reason": printable(skipped.reason)}


def contents_values(contents: Contents) -> dict[str, Any]:
    """Return which classes and groups the photos hold."""
    return {
        "images": contents.images,
        "classes": [_total_values(one) for one in contents.classes],
        "groups": [_total_values(one) for one in contents.groups],
    }


def _total_values(total: ClassTotal) -> dict[str, Any]:
    return {"name": total.name, "share": total.share, "images": total.images}


def group_values(collection: Collection, group: DuplicateGroup) -> list[dict[str, Any]]:
    """Return the photos of a group of near-duplicates, the largest file first."""
    records, index = collection.records(group.ids), collection.index()
    return [
        image_values(record, index) | {"distance": photo.distance, "changed": photo.changed}
        for photo, record in zip(group.photos, records, strict=True)
    ]
