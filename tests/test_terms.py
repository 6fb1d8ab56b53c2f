# SPDX-License-Identifier: MIT
"""What searches ask of single classes, against the definitions in float64, and how classes are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_reference import (
    LANES,
    Columns,
    histogram_distances,
    make_columns,
    squared_distances,
    with_removed,
    with_ties,
)
from made_signatures import made_signatures, numbered, with_whole_rows
from semcbir import Searcher, Signatures, _core
from semcbir.networks.groups import groups, known_groups, plain_name
from semcbir.networks.taxonomy import taxonomy
from semcbir.smoothing import SmoothedSearcher
from semcbir.terms import Terms, labels_named, named_terms

C = 9
LEVELS = _core.simd_levels()
Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]
"""Ids, distances, histogram distances and how many pass, as the core returns them."""


def at_length_1(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows (..., D) times 1 / their length, null rows as they are."""
    squares = squared_distances(np.zeros((1, rows.shape[-1])), rows.reshape(-1, 1, rows.shape[-1]))
    with np.errstate(divide="ignore"):
        scales = np.where(squares == 0, 0.0, 1.0 / np.sqrt(squares))
    return rows * scales.reshape(*rows.shape[:-1], 1)


def weighted_distances(
    q: npt.NDArray[np.float64],
    x: npt.NDArray[np.float64],
    weights: dict[int, float],
    others: float,
    unit_rows: bool = False,
) -> npt.NDArray[np.float64]:
    """Sum of weight times ||q_c - x_c||^2 (n,), entry d of each class in lane d % 16."""
    if unit_rows:
        q, x = at_length_1(q), at_length_1(x)
    lanes = np.zeros((len(x), LANES))
    for c in range(q.shape[0]):
        for d in range(q.shape[1]):
            t = q[c, d] - x[:, c, d]
            lanes[:, d % LANES] += weights.get(c, others) * (t * t)
    half = LANES // 2
    while half:
        lanes[:, :half] += lanes[:, half : 2 * half]
        half //= 2
    return lanes[:, 0]


def expected(
    images: Columns,
    queries: Columns,
    k: int,
    terms: Terms,
    drop: bool,
    epsilon: float | None,
    keep: int | None,
) -> tuple[Found, npt.NDArray[np.float64]]:
    """The search as it is defined, image by image, and the thresholds of the filter."""
    shares, signatures = images.dense(C)
    asked_shares, asked = queries.dense(C)
    n = len(queries)
    ids = np.full((n, k), -1, np.int64)
    distances = np.full((n, k), np.inf, np.float32)
    histograms = np.full((n, k), np.inf, np.float32)
    kept, epsilons = np.zeros(n, np.int64), np.full(n, np.inf if epsilon is None else epsilon)
    there = (images.ids >= 0) & ~(shares[:, terms.without] > terms.max_share).any(axis=1)
    needed = np.zeros(len(images))
    for label in terms.only:
        needed += shares[:, label]
    holds = (needed >= terms.min_share) | (not terms.only)
    weights = dict(terms.weights)
    if terms.only:
        weights = {label: weights.get(label, 1.0) for label in terms.only}
    for q in range(n):
        histogram = histogram_distances(asked_shares[q], shares)
        if keep is not None:
            near = np.sort(histogram[there])
            epsilons[q] = near[min(keep, len(near)) - 1] if len(near) else 0.0
        others, unit = (0.0, terms.unit_rows) if terms.only else (1.0, False)
        squared = weighted_distances(asked[q], signatures, weights, others, unit)
        passes = holds & ((histogram <= epsilons[q]) | (epsilons[q] >= 2))
        kept[q] = np.count_nonzero(there & passes)
        candidates = np.flatnonzero(there & (passes | (not drop)))
        order = candidates[np.lexsort((images.ids[candidates], squared[candidates], ~passes[candidates]))][:k]
        ids[q, : len(order)] = images.ids[order]
        distances[q, : len(order)] = np.sqrt(squared[order])
        histograms[q, : len(order)] = histogram[order]
    return (ids, distances, histograms, kept), epsilons


def as_signatures(columns: Columns, ids: bool = True) -> Signatures:
    rows = len(columns.classes)
    return Signatures(
        offsets=columns.offsets,
        classes=columns.classes,
        proportions=columns.proportions,
        counts=np.ones(rows, np.uint32),
        centroids=columns.centroids,
        n_classes=C,
        **({"ids": columns.ids} if ids else {}),
    )


def check(
    segments: list[Columns],
    images: Columns,
    queries: Columns,
    k: int,
    terms: Terms,
    drop: bool,
    epsilon: float | None = None,
    keep: int | None = None,
    threads: int = 1,
    screened: bool | None = None,
) -> None:
    """Compare the core with the definition, bit by bit."""
    searcher = _core.Searcher([one.segment for one in segments], images.centroids.shape[1])
    found, epsilons = expected(images, queries, k, terms, drop, epsilon, keep)
    given_epsilons = None
    if keep is not None:
        given_epsilons = searcher.nearest_epsilons(*queries.histograms, keep, terms.core(), threads)
        np.testing.assert_array_equal(given_epsilons, epsilons)
        epsilon = None
    got = searcher.search(
        *queries.query, k, epsilon, drop, threads, screened, epsilons=given_epsilons, terms=terms.core()
    )
    for name, ours, theirs in zip(("ids", "distances", "histograms", "kept"), got, found, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


shares = st.sampled_from([0.0, 0.01, 0.02, 0.1, 0.25, 1.0])
labels = st.lists(st.integers(0, C + 1), max_size=3)


@st.composite
def all_terms(draw: st.DrawFn) -> Terms:
    only = draw(labels)
    weighted = st.sampled_from(only) if only else st.integers(0, C - 1)
    weights = draw(st.dictionaries(weighted, st.sampled_from([0.0, 0.3, 1.0, 2.0, 1e6]), max_size=3))
    return Terms(tuple(only), tuple(draw(labels)), weights, draw(shares), draw(shares), draw(st.booleans()))


@settings(deadline=None, max_examples=150)
@given(
    terms=all_terms(),
    seed=st.integers(0, 50),
    dim=st.sampled_from([1, 3, 16, 17, 40]),
    k=st.sampled_from([1, 7, 100]),
    drop=st.booleans(),
    how=st.sampled_from([(None, None), (0.7, None), (1.5, None), (None, 1), (None, 9), (None, 500)]),
    threads=st.sampled_from([1, 2, 7]),
    level=st.sampled_from(LEVELS),
    screened=st.sampled_from([False, True]),
)
def test_searches_are_as_they_are_defined(terms, seed, dim, k, drop, how, threads, level, screened):
    before = _core.simd_level()
    _core.set_simd_level(level)
    try:
        images = with_removed(with_ties(make_columns(seed, 20, C, dim, values=seed % 3 * 2), 2), 7)
        queries = make_columns(seed + 1000, 3, C, dim, values=seed % 3 * 2)
        cuts = [[], [5], [0, 11, 12, 40]][seed % 3]
        # The reference has a column for every class, whatever is asked.
        known = replace(
            terms,
            only=tuple(c for c in terms.only if c < C),
            without=tuple(c for c in terms.without if c < C),
            weights={c: w for c, w in terms.weights.items() if c < C},
        )
        if bool(known.only) == bool(terms.only):
            check(images.cut(cuts), images, queries, k, known, drop, *how, threads, screened)
    finally:
        _core.set_simd_level(before)


@pytest.mark.parametrize("screened", [None, True])
@pytest.mark.parametrize(
    "terms",
    [
        Terms(only=(2,)),
        Terms(only=(0, 4), unit_rows=True),
        Terms(without=(1, 3)),
        Terms(weights={0: 0.0, 4: 3.0}),
        Terms((1, 5), (2,)),
    ],
)
def test_many_images_and_queries(terms: Terms, screened: bool | None):
    images = with_removed(make_columns(3, 900, C, 12), 11)
    queries = make_columns(4, 70, C, 12)
    for how in ((None, None), (0.9, None), (None, 20)):
        check(images.cut([300, 301]), images, queries, 20, terms, False, *how, 2, screened)


def test_weights_of_one_change_no_bit():
    images, queries = make_columns(5, 300, C, 19), make_columns(6, 5, C, 19)
    searcher = _core.Searcher([images.segment], 19)
    plain = searcher.search(*queries.query, 30, 0.9, False, 1)
    ones = Terms(weights=dict.fromkeys(range(C), 1.0)).core()
    for ours, theirs in zip(
        searcher.search(*queries.query, 30, 0.9, False, 1, terms=ones), plain, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_an_epsilon_of_two_that_keep_finds_keeps_everything():
    """Images without a class of the query's are at 2, but for rounding: all of them pass, or none."""
    images = with_removed(with_ties(make_columns(5, 20, C, 1, values=4), 2), 7)
    queries = make_columns(1005, 3, C, 1, values=4)
    terms = Terms(without=(0, 1), max_share=0.0)
    _, epsilons = expected(images, queries, 1, terms, False, None, 9)
    beyond = [histogram_distances(q, images.dense(C)[0]) for q in queries.dense(C)[0]] > epsilons[:, None]
    assert np.any(beyond & (epsilons >= 2)[:, None])
    for drop in (False, True):
        check([images], images, queries, 1, terms, drop, None, 9)


def test_shares_at_the_edge():
    """At least the one share, at most the other: float32 shares, compared in double."""
    edge = np.float32(0.02)
    proportions = [edge, np.nextafter(edge, np.float32(0)), np.nextafter(edge, np.float32(1))]
    images = Columns(
        np.arange(0, 7, 2),
        np.array([1, 2] * 3, np.uint16),
        np.array([x for p in proportions for x in (p, np.float32(1) - p)], np.float32),
        np.zeros((6, 2), np.float32),
        np.arange(3),
    )
    searcher = _core.Searcher([images.segment], 2)

    def found(terms: Terms) -> list[int]:
        ids, _, _, kept = searcher.search(*images.part(0, 1).query, 3, None, True, 1, terms=terms.core())
        assert kept[0] == np.count_nonzero(ids >= 0)
        return ids[0].tolist()

    assert found(Terms(only=(1,), min_share=float(edge))) == [0, 2, -1]
    assert found(Terms(without=(1,), max_share=float(edge))) == [0, 1, -1]
    assert found(Terms(only=(1,), min_share=0)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (
            ([(2, 1.0), (1, 1.0)], 1.0, [], 0.0, [], 1.0, False),
            "weights: expected labels that ascend, got 1 after 2",
        ),
        (([(1, 1.0), (1, 1.0)], 1.0, [], 0.0, [], 1.0, False), "weights: expected labels that ascend"),
        (([], 1.0, [3, 3], 0.0, [], 1.0, False), "needed: expected labels that ascend"),
        (([], 1.0, [], 0.0, [4, 1], 1.0, False), "barred: expected labels that ascend"),
        (([(1, -1.0)], 1.0, [], 0.0, [], 1.0, False), "weights: expected finite numbers of at least 0"),
        (([(1, np.nan)], 1.0, [], 0.0, [], 1.0, False), "weights: expected finite numbers of at least 0"),
        (([], 0.5, [], 0.0, [], 1.0, False), "others: expected 0 or 1"),
        (([], 1.0, [1], 2.0, [], 1.0, False), "shares: expected 0 to 1"),
        (([], 1.0, [1], np.nan, [], 1.0, False), "shares: expected 0 to 1"),
        (([], 1.0, [], 0.0, [], 1.0, True), "unit_rows: expected others to be 0, got 1"),
    ],
)
def test_the_core_refuses_what_are_no_terms(terms: tuple[object, ...], message: str):
    images = make_columns(1, 4, C, 2)
    searcher = _core.Searcher([images.segment], 2)
    with pytest.raises(ValueError, match=message):
        searcher.search(*images.query, 2, None, False, 1, terms=terms)
    with pytest.raises(ValueError, match=message):
        searcher.nearest_epsilons(*images.histograms, 2, terms, 1)
    with pytest.raises(ValueError, match="keep: expected at least 1, got 0"):
        searcher.nearest_epsilons(*images.histograms, 0, None, 1)
    with pytest.raises(ValueError, match="epsilon: expected at least 0, got -"):
        searcher.search(*images.query, 2, None, False, 1, epsilons=np.full(4, -1.0))
    with pytest.raises(ValueError, match="epsilons"):
        searcher.search(*images.query, 2, None, False, 1, epsilons=np.zeros(3))


def test_a_searcher_takes_terms_and_how_many_pass():
    images, queries = make_columns(7, 60, C, 6), make_columns(8, 4, C, 6)
    searcher, asked = Searcher(as_signatures(images)), as_signatures(queries, ids=False)
    terms = Terms(only=(3,), without=(5,), min_share=0.1)
    found = searcher.search(asked, 9, terms=terms, keep=12)
    by_hand, epsilons = expected(images, queries, 9, terms, False, None, 12)
    for ours, theirs in zip(
        (found.ids, found.distances, found.histogram_distances, found.kept), by_hand, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.epsilons, epsilons)
    # The filter at that epsilon is the same search.
    for q in range(4):
        same = searcher.search(asked[q], 9, float(epsilons[q]), terms=terms)
        np.testing.assert_array_equal(same.ids[0], found.ids[q])
        assert same.epsilons.tolist() == [epsilons[q]]
    assert searcher.search(asked, 9, None).epsilons.tolist() == [np.inf] * 4
    assert searcher.search(asked, 9).epsilons.tolist() == [0.9] * 4
    assert searcher.search(asked, 9, terms=Terms()).ids.tolist() == searcher.search(asked, 9).ids.tolist()
    for wrong in ({"keep": 0}, {"keep": 3, "epsilon": 0.5}, {"keep": 3, "epsilon": None}):
        with pytest.raises(ValueError, match="keep: expected"):
            searcher.search(asked, 9, **wrong)
    for wrong in ({"keep": 1.5}, {"terms": {"only": [1]}}):
        with pytest.raises(TypeError):
            searcher.search(asked, 9, **wrong)


def test_the_whole_row_counts_unless_only_classes_do():
    signatures = numbered(with_whole_rows(made_signatures(40, n_classes=5, dim=3)))
    searcher = Searcher(signatures)
    dense = signatures.dense().astype(np.float64)
    for terms, factors in (
        (Terms(only=(2,), min_share=0), [0, 0, 1, 0, 0, 0]),
        (Terms(weights={1: 4.0}), [1, 4, 1, 1, 1, 1]),
        (Terms(weights={5: 0.0}), [1, 1, 1, 1, 1, 0]),
    ):
        found = searcher.search(signatures, 40, None, terms=terms)
        squared = ((dense[:, None] - dense[None]) ** 2).sum(axis=3) @ np.array(factors, np.float64)
        order = np.take_along_axis(squared, found.ids, axis=1)
        np.testing.assert_allclose(found.distances, np.sqrt(order), rtol=1e-6, atol=1e-9)
        assert (np.diff(order, axis=1) >= -1e-12).all()


def test_searches_that_smooth_take_terms_too():
    signatures = numbered(made_signatures(40, n_classes=5, dim=3))
    smooth = SmoothedSearcher(Searcher(signatures), signatures, 3, signatures.__getitem__)
    terms = Terms(only=(2,), without=(4,), min_share=0.1)
    found = smooth.search(signatures[:6], 40, "auto", "drop", terms=terms, keep=30)
    shares = signatures.histograms()
    for q in range(6):
        ids = found.ids[q][found.ids[q] >= 0]
        assert len(ids) == found.kept[q]
        assert (shares[ids, 2] >= 0.1).all()
        assert (shares[ids, 4] <= 0.01).all()


def test_labels_may_be_of_numpy() -> None:
    asked = Terms(only=np.array([3, 1], np.uint16), without=(np.int64(2),), weights={np.int32(3): 2.0})
    assert asked == Terms(only=(1, 3), without=(2,), weights={3: 2.0})
    assert {type(label) for label in (*asked.only, *asked.without, *asked.weights)} == {int}


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"only": (-1,)}, ValueError, "only: expected labels from 0 to 65535, got -1"),
        ({"without": (2**16,)}, ValueError, "without: expected labels"),
        ({"only": "bus"}, TypeError, "only: expected labels"),
        ({"only": (True,)}, ValueError, "only: expected labels"),
        ({"weights": {1: -0.5}}, ValueError, "weights: expected a number of 0 or more, got -0.5"),
        ({"weights": {1: float("inf")}}, ValueError, "weights: expected a number of 0 or more"),
        ({"weights": {1: "2"}}, TypeError, "weights: expected a number"),
        ({"weights": [1]}, TypeError, "weights: expected a mapping"),
        ({"only": (1,), "weights": {2: 1.0}}, ValueError, "weights: expected classes of only, got 2"),
        ({"min_share": 1.5}, ValueError, "min_share: expected a number from 0 to 1, got 1.5"),
        ({"max_share": float("nan")}, ValueError, "max_share: expected a number from 0 to 1"),
    ],
)
def test_terms_that_are_none(fields: dict[str, object], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        Terms(**fields)


def test_terms_are_sorted_once():
    terms = Terms(only=(5, 1, 5), without=[3, 2], weights={5: 2, 1: 0})
    assert (terms.only, terms.without) == ((1, 5), (2, 3))
    assert [terms.weight(label) for label in (0, 1, 5)] == [0, 0, 2]
    assert [Terms(weights={1: 3}).weight(label) for label in (0, 1)] == [1, 3]
    assert terms == Terms((1, 5), (2, 3), {1: 0.0, 5: 2.0})
    assert len({terms, Terms((1, 5), (2, 3), {1: 0.0, 5: 2.0})}) == 1
    assert terms.core() == ([(1, 0.0), (5, 2.0)], 0.0, [1, 5], 0.02, [2, 3], 0.01, False)
    assert not Terms()
    assert Terms().core() is None


CLASSES = ("wall", "Building", "traffic light", "house", "animal_other", "dog", "sea", "water-other")


def test_classes_and_groups_are_called_by_name():
    assert labels_named("only", "dog", CLASSES) == (5,)
    assert labels_named("only", "Traffic_Light", CLASSES) == (2,)
    assert labels_named("only", "animal", CLASSES) == (4, 5)
    assert labels_named("only", "building", CLASSES) == (1, 3)
    assert labels_named("only", "=building", CLASSES) == (1,)
    assert labels_named("only", "water", CLASSES) == (6, 7)
    terms = named_terms(CLASSES, "dog", ["sea", "building"], {"dog": 2})
    assert terms == Terms((5,), (1, 3, 6), {5: 2.0})
    assert named_terms(CLASSES, weights={"animal": 2, "dog": 0}).weights == {4: 2.0, 5: 0.0}
    assert named_terms(CLASSES) == Terms()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dgo", r"only: expected the name of a class or a group, got 'dgo'; did you mean 'dog'\?"),
        ("light", r"got 'light'; did you mean 'traffic light'\?"),
        ("xyzzy", r"got 'xyzzy'$"),
        ("=water", r"got '=water'; did you mean 'water'"),
        ("vehicle", r"got 'vehicle'"),
        ("", r"got ''$"),
    ],
)
def test_names_that_nothing_has(name: str, message: str):
    with pytest.raises(ValueError, match=message):
        named_terms(CLASSES, only=[name])


def test_names_are_texts():
    for wrong in ({"only": 5}, {"only": [5]}, {"weights": ["dog"]}, {"weights": {5: 1.0}}):
        with pytest.raises(TypeError):
            named_terms(CLASSES, **wrong)


def test_groups_name_classes_of_published_taxonomies():
    names = ("ade20k_150", "cityscapes_19", "cocostuff_171", "mseg_194", "pascal_context_59")
    every = {plain_name(one) for name in names for one in taxonomy(name).classes}
    every |= {plain_name(one) for one in ("diningtable",)}  # of Pascal VOC
    for group, members in groups().items():
        assert members <= every, (group, members - every)
    for name in names:
        found = known_groups(taxonomy(name).classes)
        assert {"building", "plant", "vehicle"} <= set(found), name
    for name in ("ade20k_150", "cocostuff_171", "mseg_194", "pascal_context_59"):
        classes = taxonomy(name).classes
        assert {"animal", "water", "people", "sky", "indoor"} <= set(known_groups(classes)), name
        assert classes[known_groups(classes)["people"][0]] == "person"
