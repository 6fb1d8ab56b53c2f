# SPDX-License-Identifier: MIT
"""find(): images by the classes that they show, without a query's photo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex, overload

from semcbir._files import PathLike
from semcbir._validate import as_integer, as_number, check_instance, check_integer, check_many, counted, shown
from semcbir.index.index import Index
from semcbir.index.where import Where, parse_where
from semcbir.query import open_searched
from semcbir.searcher import check_k
from semcbir.terms import MAX_SHARE, MIN_SHARE, Names, Terms, labels_named, names_given
from semcbir.threads import check_threads

MAX_PAGE = 2**31 - 1


@dataclass(frozen=True)
class FoundImage:
    """An image that shows what was asked.

    ``rank`` counts from 1, over all pages; ``shares`` says how much of it each name is that was asked for, of
    the labelled pixels, in [0, 1]; ``distance`` is the sum of the differences from the shares that were asked
    for, 0 if none were.
    """

    rank: int
    id: int
    path: Path
    shares: Mapping[str, float]
    distance: float


class FoundImages(Sequence[FoundImage]):
    """A page of the images that show what was asked, best first, as a sequence.

    ``total`` is how many there are on all pages, ``page`` and ``pages`` count from 1.
    """

    def __init__(self, images: Sequence[FoundImage], total: int, page: int = 1, size: int = 20) -> None:
        many = check_many("images", images, "found images")
        if wrong := [image for image in many if not isinstance(image, FoundImage)]:
            check_instance("images", wrong[0], FoundImage)
        self._images: tuple[FoundImage, ...] = tuple(many)
        self.total = check_integer("total", total, 0)
        self.page = check_integer("page", page, 1)
        self.pages = max(1, -(-self.total // check_integer("size", size, 1)))

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[FoundImage]:
        return iter(self._images)

    @overload
    def __getitem__(self, key: SupportsIndex) -> FoundImage: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[FoundImage, ...]: ...
    def __getitem__(self, key: SupportsIndex | slice) -> FoundImage | tuple[FoundImage, ...]:
        if isinstance(key, slice):
            return self._images[key]
        position = as_integer("key", key, "a position or a slice")
        if not -len(self) <= position < len(self):
            raise IndexError(f"key: expected a position below {len(self)}, got {shown(position)}")
        return self._images[position]

    def __repr__(self) -> str:
        return f"FoundImages({counted(len(self), 'image')} of {self.total}, page {self.page} of {self.pages})"


def find(
    index: Index | PathLike,
    only: Names = None,
    without: Names = None,
    shares: Mapping[str, float] | None = None,
    k: int = 20,
    page: int = 1,
    *,
    where: Where | None = None,
    min_share: float = MIN_SHARE,
    max_share: float = MAX_SHARE,
    threads: int | None = None,
) -> FoundImages:
    """Find the images of ``index`` that show classes, such as the sea and mountains but no people.

    ``only`` are the names that an image has to show, at least ``min_share`` each; ``without`` those of which
    it may show ``max_share`` at most, class by class; ``shares`` says how much of it a name should be: 0.4,
    say, is best met by 40 %, and what shows less than ``min_share`` and less than was asked is not found.
    Names are classes of the index's network and groups, whose classes count together: see ``labels_named``.
    At least one name is needed.

    Best are those with the smallest sum of differences from ``shares`` (eq. 1 over what was asked), then
    those of which the least of the other names is largest, then the smallest ids. ``k`` images are on each
    ``page``, from 1 on. ``where`` restricts them as in ``Index.select``. The network does not run.

    Raises IndexStorageError for a path that is neither an index nor a folder, and TypeError or ValueError for
    a wrong argument, such as a class that there is not.
    """
    k, page = check_k(k), check_integer("page", page, 1, MAX_PAGE)
    threads = check_threads(threads)
    conditions = None if where is None else parse_where(where)
    names, barred = names_given("only", only), names_given("without", without)
    wanted = _check_shares(shares)
    if not (names or barred or wanted):
        raise ValueError("only: expected a name of a class, got none, neither in without nor in shares")
    if twice := [name for name in names if name in wanted]:
        raise ValueError(f"shares: expected names that are not in only, got {shown(twice[0])}")
    limits = Terms(min_share=min_share, max_share=max_share)
    opened = open_searched(index, (), None)
    classes = opened.classes
    asked: dict[str, tuple[tuple[int, ...], float | None]] = {
        name: (labels_named("only", name, classes), None) for name in names
    }
    asked |= {name: (labels_named("shares", name, classes), share) for name, share in wanted.items()}
    left_out = sorted({label for name in barred for label in labels_named("without", name, classes)})
    ids, distances, shown_shares, total = opened.searcher(where=conditions)._find(
        [(list(labels), share) for labels, share in asked.values()],
        limits.min_share,
        left_out,
        limits.max_share,
        (page - 1) * k,
        min(k, max(1, len(opened))),
        threads,
    )
    records = opened.records(ids.tolist())
    images = [
        FoundImage(
            (page - 1) * k + place + 1,
            record.id,
            record.path,
            dict(zip(asked, map(float, shown_shares[place]), strict=True)),
            float(distances[place]),
        )
        for place, record in enumerate(records)
    ]
    return FoundImages(images, total, page, k)


def _check_shares(shares: Mapping[str, float] | None) -> dict[str, float]:
    if shares is None:
        return {}
    check_instance("shares", shares, Mapping, "a mapping of names to numbers")
    found = {}
    for name, share in shares.items():
        value = as_number("shares", share, "numbers from 0 to 1")
        if not 0 <= value <= 1:
            raise ValueError(f"shares: expected numbers from 0 to 1, got {value}")
        found[name] = value
    return found
