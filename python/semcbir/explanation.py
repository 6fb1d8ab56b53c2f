# SPDX-License-Identifier: MIT
"""explain(): what two images share and how they differ, class by class."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir._files import PathLike, display_path, expanded, short_name
from semcbir._validate import check_instance, shown
from semcbir.errors import ImageError
from semcbir.extractor import Analysis, Extractor
from semcbir.images.given import ImageSource, check_image
from semcbir.index.arguments import check_key
from semcbir.index.index import Index
from semcbir.index.lookup import Record
from semcbir.index.ready import open_place
from semcbir.recipe import Recipe
from semcbir.regions import Region, check_region, part_of
from semcbir.results import Hit, distance_words
from semcbir.searcher import Searcher
from semcbir.signatures import Signatures
from semcbir.terms import Names, Terms, has_directions, named_terms, names_given, require_classes

if TYPE_CHECKING:
    from semcbir.pictures.colours import Colour

WHOLE_IMAGE = "whole image"
"""What the whole row is called."""


@dataclass(frozen=True)
class ClassShare:
    """What one class adds to the distance between a query q and a hit x.

    ``label`` and ``name`` say which class; ``query_proportion`` and ``hit_proportion`` are P_c of Fig. 4;
    ``histogram_term`` is |P_c(q) - P_c(x)|, the class's part of eq. 1; ``squared_distance`` is
    ||S_c(q) - S_c(x)||^2 times ``weight``, how many times the class counts (1, if nothing was asked), and
    ``share`` its part of the sum over all classes, 0 if that sum is 0. ``shared`` is true if both images have
    the class. ``query_keypoints`` and ``hit_keypoints`` say how many keypoints
    lie on it: without any, its vector is null. The *whole row* has the label n_classes, the name "whole
    image" and no proportion.
    """

    label: int
    name: str
    query_proportion: float
    hit_proportion: float
    histogram_term: float
    squared_distance: float
    share: float
    shared: bool
    query_keypoints: int
    hit_keypoints: int
    weight: float = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Why an image of an index is as far from a query as it is.

    ``rows`` has a row for each class that either image has, the largest share of the squared distance
    first, ties by label. ``distance`` and ``histogram_distance`` are those of ``search``. ``hit`` is the
    image's record in the index; ``hit_analysis`` is None if its file can no longer be read (the numbers come
    from the index). ``recipe`` holds the feature and the class names. ``query_path`` is None unless the
    query is a path. A notebook shows both photos, their label maps, and a table of the classes.
    """

    rows: tuple[ClassShare, ...]
    distance: float
    histogram_distance: float
    hit: Record
    query_path: Path | None
    query_analysis: Analysis
    hit_analysis: Analysis | None
    recipe: Recipe

    def __repr__(self) -> str:
        classes = f"{len(self.rows)} classes"
        distances = f"distance={self.distance:.4f}, histogram_distance={self.histogram_distance:.4f}"
        return f"Explanation({display_path(self.hit.path)!r}, {distances}, {classes})"

    def _repr_html_(self) -> str:
        return explanation_html(self)


def explain(
    query: ImageSource,
    hit: Hit | SupportsIndex | PathLike,
    index: Index | PathLike,
    feature: str | None = None,
    *,
    only: Names = None,
    weights: Mapping[str, float] | None = None,
    region: Region | None = None,
    extractor: Extractor | None = None,
) -> Explanation:
    """Split the distance between ``query`` and an image of ``index`` by class.

    ``query`` is a photo as in ``search``; ``hit`` is an id, a path or a Hit of ``search``; ``index`` is an
    Index, the path of one, or a folder of photos that has its own; ``feature`` is one of the index's (None:
    the first). ``only``, ``weights`` and ``region`` are those of ``search``, whose distance is then split:
    classes that do not count have the weight 0. An ``extractor`` saves loading the model again. Signatures
    are compared as they are, never smoothed: with ``search(..., smooth=10)`` distances are others.

    Raises ImageError for a query that cannot be read, ValueError if the index does not have the hit or the
    feature, and for classes and regions as ``search`` does, IndexStorageError for a path that is not an
    index, and ModelError if the model cannot be found.
    """
    check_image("query", query)
    wanted = hit.id if isinstance(hit, Hit) else check_key("hit", hit, "an id, a path or a Hit")
    if extractor is not None:
        check_instance("extractor", extractor, Extractor, "an Extractor or None")
    part = None if region is None else check_region(region)
    names = names_given("only", only)
    opened = open_place(index, "index")
    record = _record(opened, wanted)
    recipe = opened.recipe.for_feature(feature)
    named_terms(opened.classes, names, None, weights)  # wrong names come before long work
    stored = opened.signatures(feature, ids=[record.id])
    extractor = extractor or opened.extractor()
    query_analysis = extractor.analyse(query)
    if part is not None:
        query_analysis, name = part_of(query_analysis, query, part, recipe, extractor.max_pixels)
        names = names if name is None else [f"={name}"]
    asked = extractor.signatures_of(query_analysis)[recipe.feature().name]
    require_classes(asked, opened.classes, names, weights)
    terms = named_terms(opened.classes, names, None, weights, unit_rows=has_directions(recipe))
    found = Searcher(stored).search(asked, k=1, epsilon=None, threads=1, terms=terms)
    try:
        hit_analysis = extractor.analyse(record.path)
    except ImageError:
        hit_analysis = None
    return Explanation(
        rows=_rows(asked, stored, recipe.classes, terms),
        distance=float(found.distances[0, 0]),
        histogram_distance=float(found.histogram_distances[0, 0]),
        hit=record,
        query_path=Path(expanded(query)) if isinstance(query, (str, os.PathLike)) else None,
        query_analysis=query_analysis,
        hit_analysis=hit_analysis,
        recipe=recipe,
    )


def _record(index: Index, hit: int | Path) -> Record:
    if isinstance(hit, int):
        try:
            return index.records([hit])[0]
        except KeyError:
            raise ValueError(f"id {shown(hit)} is not in index {display_path(index.path)}") from None
    record = index.find(hit)
    if record is None:
        raise ValueError(f"{display_path(hit)} is not in index {display_path(index.path)}")
    return record


def _rows(query: Signatures, hit: Signatures, names: tuple[str, ...], terms: Terms) -> tuple[ClassShare, ...]:
    of_query, of_hit = _by_class(query), _by_class(hit)
    absent = _InImage(0.0, 0, np.zeros(query.dim))
    parts = {}
    for label in sorted(of_query.keys() | of_hit.keys()):
        one, other = of_query.get(label, absent), of_hit.get(label, absent)
        weight = terms.weight(label)
        off = terms.counted(one.signature) - terms.counted(other.signature)
        squared = weight * float((off**2).sum())
        parts[label] = (one, other, squared, weight)
    whole = sum(squared for _, _, squared, _ in parts.values())
    rows = [
        ClassShare(
            label=label,
            name=names[label] if label < len(names) else WHOLE_IMAGE,
            query_proportion=one.proportion,
            hit_proportion=other.proportion,
            histogram_term=abs(one.proportion - other.proportion),
            squared_distance=squared,
            share=squared / whole if whole else 0.0,
            shared=label in of_query and label in of_hit,
            query_keypoints=one.keypoints,
            hit_keypoints=other.keypoints,
            weight=weight,
        )
        for label, (one, other, squared, weight) in parts.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.squared_distance, row.label)))


class _InImage(NamedTuple):
    """A class in an image: P_c, how many keypoints lie on it, and S_c in double."""

    proportion: float
    keypoints: int
    signature: npt.NDArray[np.float64]


def _by_class(image: Signatures) -> dict[int, _InImage]:
    """Return what each class of a batch of one is in it."""
    columns = zip(image.classes, image.proportions, image.counts, image.centroids, strict=True)
    return {int(c): _InImage(float(p), int(n), s.astype(np.float64)) for c, p, n, s in columns}


def proportions(row: ClassShare) -> tuple[float | None, float | None]:
    """Return the row's shares of the query and of the hit; None, None for the whole row, which has none."""
    if row.query_proportion == row.hit_proportion == 0:
        return None, None
    return row.query_proportion, row.hit_proportion


def remark(row: ClassShare) -> str:
    """Say in which image alone a class is, in which no keypoint lies on it, and if it counts differently."""
    sides = (
        ("query", row.query_proportion, row.query_keypoints),
        ("hit", row.hit_proportion, row.hit_keypoints),
    )
    having = [name for name, share, _ in sides if share > 0]
    without = [name for name, share, keypoints in sides if share > 0 and not keypoints]
    words = [] if row.shared or not having else [f"only in the {having[0]}"]
    if without:
        words.append("no keypoints" if without == having else f"no keypoints in the {without[0]}")
    if row.weight != 1:
        words.append(f"counts {row.weight:g} times" if row.weight else "does not count")
    return ", ".join(words)


def percent(value: float | None) -> str:
    """Return a share in [0, 1] as a percentage, None as ""; a tiny share above 0 is not shown as zero."""
    if value is None:
        return ""
    return "<0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"


MAX_ROWS = 30
"""The most classes in a picture's legend or a notebook's table."""
_VIEW = (260, 195)


def explanation_html(explanation: Explanation) -> str:
    """Return both photos, their label maps, and a table of at most MAX_ROWS classes as HTML.

    A class has one colour in both label maps and in the table (see ``picture_colours``).
    """
    from semcbir.pictures.html import row

    colours, on_maps = label_colours(explanation)
    analyses = explanation.query_analysis, explanation.hit_analysis
    paths = explanation.query_path, explanation.hit.path
    sides = [
        _html_side(what, path, analysis, on_maps)
        for what, path, analysis in zip(("query", "hit"), paths, analyses, strict=True)
    ]
    photos, maps = ("".join(figures) for figures in zip(*sides, strict=True))
    distances = (
        f"distance {distance_words(explanation.distance)} "
        f"({html.escape(explanation.recipe.feature().name)}), "
        f"histogram distance {explanation.histogram_distance:.4f}"
    )
    shown = explanation.rows[:MAX_ROWS]
    head = "".join(
        f'<th style="text-align:{"left" if name in ("class", "") else "right"}">{name}</th>'
        for name in ("class", "query", "hit", "histogram", "distance^2", "share", "")
    )
    table = "".join(_html_row(one, colours[one.label]) for one in shown)
    more = len(explanation.rows) - len(shown)
    return (
        f'<div>{row(photos)}{row(maps)}<div style="margin:4px 0">{distances}</div>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{table}</tbody></table>"
        f"{f'<div>and {more} more</div>' if more else ''}</div>"
    )


def label_colours(explanation: Explanation) -> tuple[dict[int, Colour], dict[int, Colour]]:
    """Return the colours of classes in a table and on label maps, where void pixels have one, too.

    Those in the table come first, then those in the label maps alone.
    """
    from semcbir.pictures.colours import VOID, picture_colours

    analyses = [explanation.query_analysis, explanation.hit_analysis]
    seen = {label for one in analyses if one for label in np.unique(one.label_map).tolist()}
    labels = [*(row.label for row in explanation.rows), *sorted(seen)]
    colours = picture_colours(labels, explanation.recipe.classes)
    void = explanation.recipe.void
    return colours, colours if void is None else {**colours, void: VOID}


def _html_side(
    what: str, path: Path | None, analysis: Analysis | None, colours: Mapping[int, Colour]
) -> tuple[str, str]:
    """Return the figures of a photo and of its label map; of the second nothing if there is none."""
    from semcbir.pictures.draw import fitted, label_overlay
    from semcbir.pictures.html import figure

    name = "" if path is None else short_name(path)
    title = "" if path is None else display_path(path)
    caption = f"<b>{what}</b> {html.escape(name)}"
    if analysis is None:
        return figure(None, caption, alt=name, title=title, box=_VIEW), ""
    photo = fitted(analysis.image, _VIEW)
    overlay = label_overlay(photo, analysis.label_map, colours)
    label_map = figure(overlay, f"label map of the {what}", alt=f"label map of the {what}", box=_VIEW)
    return figure(photo, caption, alt=name or what, title=title, box=_VIEW), label_map


def _html_row(row: ClassShare, colour: Colour) -> str:
    shares = [percent(share) for share in (*proportions(row), row.share)]
    term = "" if shares[0] == "" else f"{row.histogram_term:.4f}"
    cells = [shares[0], shares[1], term, f"{row.squared_distance:.5f}", shares[2]]
    swatch = f'<span style="display:inline-block;width:1.2em;background:rgb{colour}">&nbsp;</span>'
    numbers = "".join(f'<td style="text-align:right">{html.escape(cell)}</td>' for cell in cells)
    said = html.escape(remark(row))
    name = html.escape(display_path(row.name))
    return (
        f'<tr><td style="text-align:left">{swatch} {name}</td>{numbers}'
        f'<td style="text-align:left">{said}</td></tr>'
    )
