# SPDX-License-Identifier: MIT
"""Hit and Results: what a search found, and how a notebook shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex, overload

from semcbir._files import PathLike, absolute
from semcbir._validate import as_integer, as_number, check_instance, check_integer, check_many, counted, shown

MAX_HITS = 200
"""The most hits that a sheet or notebook shows; with more, a picture helps nobody."""


@dataclass(frozen=True)
class Hit:
    """An image that a search found.

    ``rank`` counts from 1; ``distance`` is the L2 distance between the signatures; ``histogram_distance`` is
    eq. 1, in [0, 2]; ``penalized`` is true if the semantic filter ranked it after the others.
    """

    rank: int
    id: int
    path: Path
    distance: float
    histogram_distance: float
    penalized: bool


class Results(Sequence[Hit]):
    """The hits of one query, nearest first, as a sequence.

    ``kept`` is how many images of the whole index pass the semantic filter, whose bound is ``epsilon`` (None:
    there was no filter). ``query`` is the file that the hits are like, None if the query was no path; it is
    shown, and not compared. A notebook shows the query and the hits as pictures.
    """

    query: Path | None = None

    def __init__(
        self,
        hits: Iterable[Hit],
        kept: int,
        epsilon: float | None = None,
        *,
        query: PathLike | None = None,
    ) -> None:
        many = check_many("hits", hits, "hits")
        if wrong := [hit for hit in many if not isinstance(hit, Hit)]:
            check_instance("hits", wrong[0], Hit)
        self._hits: tuple[Hit, ...] = tuple(many)
        self.kept = check_integer("kept", kept, 0)
        self.epsilon = None if epsilon is None else _check_bound(epsilon)
        self.query = None if query is None else absolute(query, "query")

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, key: SupportsIndex) -> Hit: ...
    @overload
    def __getitem__(self, key: slice) -> Results: ...
    def __getitem__(self, key: SupportsIndex | slice) -> Hit | Results:
        if isinstance(key, slice):
            return Results(self._hits[key], self.kept, self.epsilon, query=self.query)
        position = as_integer("key", key, "a position or a slice")
        if not -len(self) <= position < len(self):
            raise IndexError(f"key: expected a position below {len(self)}, got {shown(position)}")
        return self._hits[position]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Results) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        return self._hits, self.kept, self.epsilon

    def __repr__(self) -> str:
        passing = "1 image passes the filter" if self.kept == 1 else f"{self.kept} images pass the filter"
        return f"Results({counted(len(self), 'hit')}, {'no filter' if self.epsilon is None else passing})"

    def _repr_html_(self) -> str:
        return results_html(self)


def _check_bound(epsilon: float) -> float:
    what = "a number of 0 or more, or None"
    bound = as_number("epsilon", epsilon, what)
    if not bound >= 0:
        raise ValueError(f"epsilon: expected {what}, got {bound}")
    return bound


def kept_words(results: Results) -> str:
    """Return a phrase: how many images of the index pass the filter; "" if there was none."""
    if results.epsilon is None:
        return ""
    images = "image of the index passes" if results.kept == 1 else "images of the index pass"
    return f"{results.kept} {images} the semantic filter"


def penalised_words(results: Results, count: int | None = None, asked: str = "") -> str:
    """Return a phrase for what stands between kept and penalised hits: which photos are penalised, and why.

    ``count`` is how many they are in the whole index, None if that is not known; ``asked`` is what photos
    were asked to hold, such as "2 % of bus".
    """
    one = "s" if count == 1 else ""
    why = [f"hold{one} less than {asked}"] if asked else []
    if results.epsilon is not None:
        why.append(f"share{one} too little with the query (epsilon {results.epsilon:.3g})")
    if not why:
        why = [f"hold{one} too little of the classes asked for"]
    photos = "photos" if count is None else counted(count, "photo")
    return f"below: {photos} that {' or '.join(why)}"


def distance_words(distance: float) -> str:
    """Return a distance with as many digits as are useful."""
    # Distances of KAZE and SURF are around 1, those of SIFT in the hundreds.
    return f"{distance:.4f}" if distance < 100 else f"{distance:.1f}"


def results_html(results: Results) -> str:
    """Return the query, if it is a file, and at most MAX_HITS hits as HTML with inline thumbnails."""
    from semcbir.pictures.html import photo_figure, row  # Pillow, for notebooks only

    asked = "" if results.query is None else photo_figure(results.query, "<b>query</b>")
    tiles = "".join(_html_tile(hit) for hit in results[:MAX_HITS])
    said = [kept_words(results)]
    if len(results) > MAX_HITS:
        said.append(f"the first {MAX_HITS} of {len(results)} hits are shown")
    return f'<div><div style="margin:4px 0">{"; ".join(filter(None, said))}</div>{row(asked + tiles)}</div>'


def _html_tile(hit: Hit) -> str:
    from semcbir.pictures.html import ALARM, photo_figure

    mark = f' <b style="color:{ALARM}">penalised</b>' if hit.penalized else ""
    numbers = f"d {distance_words(hit.distance)} h {hit.histogram_distance:.3f}"
    return photo_figure(hit.path, f"<b>{hit.rank}</b>{mark} {numbers}", faded=hit.penalized)
