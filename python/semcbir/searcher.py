# SPDX-License-Identifier: MIT
"""Searcher: exact top-k search with semantic filter and signature distance in one call (Sect. 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from semcbir import _core
from semcbir._validate import as_number, check_choice, check_instance, check_integer, counted
from semcbir.features import Feature
from semcbir.recipe import Recipe, require_same
from semcbir.signatures import Signatures, check_batches, ids_repeat
from semcbir.terms import CoreTerms, Terms
from semcbir.threads import check_threads

Penalized = Literal["last", "drop"]
Epsilon = float | Literal["auto"] | None
"""The filter's threshold (eq. 1); "auto": what the feature has; None: no filter."""
_EPSILONS = 'a number of 0 or more, "auto", or None for no filter'
MAX_K = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Neighbors:
    """What ``Searcher.search`` found for q queries, nearest first.

    - ``ids``: int64 (q, k); -1 where fewer than k images remain
    - ``distances``: float32 (q, k), L2 between signatures; inf where ids is -1
    - ``histogram_distances``: float32 (q, k), eq. 1, in [0, 2]; inf where ids is -1
    - ``kept``: int64 (q,), how many of all images pass the filter; hits from column ``kept`` on are penalised
    - ``epsilons``: float64 (q,), the filter's threshold of each query; inf where there was no filter
    """

    ids: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    histogram_distances: npt.NDArray[np.float32]
    kept: npt.NDArray[np.int64]
    epsilons: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        queries, k = self.ids.shape
        return f"Neighbors({queries} {'query' if queries == 1 else 'queries'}, k={k})"


class Searcher:
    """Searches a batch of signatures, or several batches as one, exactly.

    Order: kept images by (squared distance in double, id), then the penalised ones likewise. The ids, order
    and bits are the same for any batch of queries, number of threads, instruction set and number of batches.
    The arrays are used where they are, without a copy. A Searcher pickles with its signatures; one that
    ``Index.searcher`` returned does not: pickle the Index.

    Raises ValueError if batches differ in classes, descriptor length or whole rows, or share an id,
    RecipeMismatchError if they were made in different ways.
    """

    _given: Sequence[Signatures] = ()
    """What it was made from, unless that is an index."""

    def __init__(self, signatures: Signatures | Iterable[Signatures]) -> None:
        batches = check_batches("signatures", signatures)
        if ids_repeat(np.concatenate([batch.ids for batch in batches])):
            raise ValueError("signatures: expected each id once over all batches, got one again")
        self._setup(batches, [batch.ids for batch in batches])
        self._given = batches

    @classmethod
    def _over_segments(
        cls,
        batches: Sequence[Signatures],
        ids: Sequence[npt.NDArray[np.int64]],
        before: Callable[[], None],
        screens: Sequence[_core.SegmentScreen | None],
    ) -> Searcher:
        """Search stored segments under ``ids``, in which -1 marks an image that was removed.

        ``before`` is called before each search; it raises if the mapped values cannot be read any more.
        ``screens`` are those of earlier searchers of the same segments, None where there was none.
        """
        searcher = cls.__new__(cls)
        searcher._setup(batches, ids, screens)
        searcher._before = before
        return searcher

    def _setup(
        self,
        batches: Sequence[Signatures],
        ids: Sequence[npt.NDArray[np.int64]],
        screens: Sequence[_core.SegmentScreen | None] | None = None,
    ) -> None:
        first = batches[0]
        self.n_classes, self.dim, self.recipe = first.n_classes, first.dim, first.recipe
        self.whole = first.whole
        for batch in batches[1:]:
            self._check_alike(batch, "signatures")
        self._before: Callable[[], None] | None = None
        self._length = sum(int(np.count_nonzero(column >= 0)) for column in ids)
        self._core = _core.Searcher(
            [
                (batch.offsets, batch.classes, batch.proportions, batch.centroids, column)
                for batch, column in zip(batches, ids, strict=True)
            ],
            self.dim,
            None if screens is None else list(screens),
        )

    def __reduce__(self) -> tuple[type[Searcher], tuple[Sequence[Signatures]]]:
        if not self._given:
            raise TypeError(
                "the Searcher of an index cannot be pickled, since its signatures are files; "
                "pickle the Index and call its searcher() afterwards"
            )
        return type(self), (self._given,)

    def __copy__(self) -> Searcher:
        return self  # it never changes

    def __deepcopy__(self, _memo: object) -> Searcher:
        return self

    def __len__(self) -> int:
        """Return how many images can be found."""
        return self._length

    def __repr__(self) -> str:
        feature = f", feature={self.recipe.feature().name!r}" if self.recipe else ""
        images = counted(len(self), "image")
        whole = ", whole=True" if self.whole else ""
        return f"Searcher({images}, n_classes={self.n_classes}, dim={self.dim}{whole}{feature})"

    def search(
        self,
        queries: Signatures,
        k: int = 20,
        epsilon: Epsilon = "auto",
        penalized: Penalized = "last",
        threads: int | None = None,
        *,
        terms: Terms | None = None,
        keep: int | None = None,
    ) -> Neighbors:
        """Find the ``k`` nearest images of each query.

        Images whose histogram distance to the query (eq. 1) is above ``epsilon`` are penalised: ranked
        after all others, or left out with ``penalized="drop"``. An epsilon of 2 or more keeps every image;
        None switches the filter off; "auto" is what the feature of the images' recipe has, 0.9 without a
        recipe. ``k`` may exceed the number of images: the rest is padded.

        ``terms`` say what is asked of single classes: images that hold too little of what they name are
        penalised, too. ``keep`` goes in the place of epsilon: the so many images whose histograms are nearest
        pass the filter, and others that are equally near; epsilon becomes the distance of the last of them
        (of all there are, if these are fewer; images that ``terms`` leave out do not count).

        Raises TypeError or ValueError for a wrong argument, RecipeMismatchError if the queries' recipe is not
        the images'.
        """
        check_instance("queries", queries, Signatures)
        self._check_alike(queries, "queries")
        asked = check_search(k, epsilon, penalized, threads, terms, keep, self.recipe)
        if asked.keep is None:
            epsilons = asked.epsilons(len(queries))
        else:
            self._require_whole()
            epsilons = self._core.nearest_epsilons(
                *_histograms(queries), asked.keep, _core_terms(terms), asked.threads
            )
        return self._search(queries, asked.k, epsilons, asked.drop, asked.threads, terms)

    def _search(
        self,
        queries: Signatures,
        k: int,
        epsilons: npt.NDArray[np.float64],
        drop: bool,
        threads: int,
        terms: Terms | None,
        squared: npt.NDArray[np.float64] | None = None,
    ) -> Neighbors:
        """Search with arguments that were checked; squared distances are written to ``squared``, (q, k)."""
        self._require_whole()
        found = self._core.search(
            *_histograms(queries),
            queries.centroids,
            k,
            None,
            drop,
            threads,
            epsilons=epsilons,
            terms=_core_terms(terms),
            squared=squared,
        )
        return Neighbors(*found, epsilons)

    def _smallest_histogram_distances(
        self, queries: Signatures, m: int, threads: int, terms: Terms | None
    ) -> npt.NDArray[np.float64]:
        """Return the ``m`` smallest histogram distances of each query, as the core does."""
        self._require_whole()
        return self._core.smallest_histogram_distances(*_histograms(queries), m, _core_terms(terms), threads)

    def _require_whole(self) -> None:
        """Raise IndexStorageError if a mapped file can no longer be read."""
        if self._before:
            self._before()

    def _find(
        self,
        asked: list[tuple[list[int], float | None]],
        min_share: float,
        barred: list[int],
        max_share: float,
        first: int,
        k: int,
        threads: int,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64], int]:
        """Find images by what they show, as ``_core.Searcher.find`` does."""
        self._require_whole()
        return self._core.find(asked, min_share, barred, max_share, first, k, threads)

    def _check_alike(self, batch: Signatures, what: str) -> None:
        check_comparable(batch, what, self.n_classes, self.dim, self.whole, self.recipe)


class Asked(NamedTuple):
    """The arguments of a search, checked; ``bound`` is the threshold, None: no filter."""

    k: int
    bound: float | None
    drop: bool
    threads: int
    keep: int | None

    def epsilons(self, queries: int) -> npt.NDArray[np.float64]:
        """Return the threshold of each query; inf: no filter."""
        return np.full(queries, np.inf if self.bound is None else self.bound)


def check_search(
    k: int,
    epsilon: Epsilon,
    penalized: Penalized,
    threads: int | None,
    terms: Terms | None,
    keep: int | None,
    recipe: Recipe | None,
) -> Asked:
    """Return the arguments of ``Searcher.search`` for images of ``recipe``; TypeError or ValueError."""
    drop = check_penalized(penalized) == "drop"
    k, bound, threads = check_k(k), chosen_epsilon(epsilon, recipe), check_threads(threads)
    if terms is not None:
        check_instance("terms", terms, Terms, "Terms or None")
    return Asked(k, bound, drop, threads, None if keep is None else check_keep(keep, epsilon))


def check_comparable(
    batch: Signatures, what: str, n_classes: int, dim: int, whole: bool, recipe: Recipe | None
) -> None:
    """Raise ValueError or RecipeMismatchError unless ``batch`` can be compared with such signatures."""
    if (batch.n_classes, batch.dim) != (n_classes, dim):
        raise ValueError(
            f"{what}: expected n_classes={n_classes} and dim={dim}, got {batch.n_classes} and {batch.dim}"
        )
    if batch.whole != whole:
        raise ValueError(f"{what}: expected whole={whole}, got whole={batch.whole}")
    if batch.recipe and recipe:
        require_same(recipe, batch.recipe, what)


def _histograms(
    queries: Signatures,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16], npt.NDArray[np.float32]]:
    return queries.offsets, queries.classes, queries.proportions


def _core_terms(terms: Terms | None) -> CoreTerms | None:
    return terms.core() if terms else None


def histogram_distances(
    queries: Signatures, signatures: Signatures, threads: int | None = None
) -> npt.NDArray[np.float64]:
    """Return eq. 1 between every query and every image: float64 (q, n), in [0, 2]. Whole rows do not count.

    Raises TypeError for anything but Signatures, ValueError if the two differ in their number of classes, or
    ``threads`` is below 1.
    """
    check_instance("queries", queries, Signatures)
    check_instance("signatures", signatures, Signatures)
    if queries.n_classes != signatures.n_classes:
        raise ValueError(
            f"signatures: expected n_classes={queries.n_classes} like queries, got {signatures.n_classes}"
        )
    return _core.histogram_distances(
        (queries.offsets, queries.classes, queries.proportions),
        (signatures.offsets, signatures.classes, signatures.proportions),
        check_threads(threads),
    )


def check_k(k: int) -> int:
    """Return ``k`` as an int. Raises TypeError or ValueError unless it is an integer of at least 1."""
    return check_integer("k", k, 1, MAX_K)


def check_epsilon(epsilon: Epsilon) -> Epsilon:
    """Return ``epsilon`` as a float, None or "auto". Raises TypeError or ValueError for anything else."""
    if epsilon is None or (isinstance(epsilon, str) and epsilon == "auto"):
        return epsilon
    value = as_number("epsilon", epsilon, _EPSILONS)
    if math.isnan(value) or value < 0:
        raise ValueError(f"epsilon: expected {_EPSILONS}, got {value}")
    return value


def chosen_epsilon(epsilon: Epsilon, recipe: Recipe | None) -> float | None:
    """Return the threshold that ``epsilon`` means for signatures of ``recipe``; errors as above."""
    checked = check_epsilon(epsilon)
    if isinstance(checked, str):
        return recipe.feature().epsilon if recipe else Feature.epsilon
    return checked


def check_keep(keep: int, epsilon: Epsilon = "auto") -> int:
    """Return ``keep`` as an int. Raises TypeError or ValueError unless it is from 1 and alone."""
    if not isinstance(epsilon, str):
        raise ValueError(f"keep: expected it, or an epsilon, not both, got {keep!r} and {epsilon}")
    return check_integer("keep", keep, 1, MAX_K)


def check_penalized(penalized: str) -> str:
    """Return ``penalized``. Raises ValueError unless it is "last" or "drop"."""
    return check_choice("penalized", penalized, get_args(Penalized))
