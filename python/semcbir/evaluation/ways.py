# SPDX-License-Identifier: MIT
"""The ways of ranking that an evaluation compares: features of networks, whole or in part, smoothed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from semcbir._validate import counted, shown
from semcbir.errors import ImageError
from semcbir.evaluation.collect import Gathered, OnProgress, collect
from semcbir.evaluation.datasets import Dataset, DatasetError
from semcbir.evaluation.measuring import Way, by_signatures
from semcbir.evaluation.parts import Grids, LabelMaps, LocalParts, Part, SignatureParts, key_of, versions
from semcbir.evaluation.rankings import Bools, Integers, Truth
from semcbir.evaluation.rows import class_rows, whole_rows
from semcbir.evaluation.store import Arrays, Store
from semcbir.extractor import LONG_SIDE
from semcbir.features import Deep, Feature, LocalFeature, parse_features
from semcbir.searcher import Searcher
from semcbir.signatures import Signatures, with_ids
from semcbir.smoothing import SmoothedSearcher
from semcbir.threads import check_threads

FEATURES = "deep,kaze,surf,hog,sift"


@dataclass(frozen=True)
class Settings:
    """What is compared.

    ``models`` are segmentation models (as ``Extractor`` takes one), ``features`` and ``weighting`` as
    ``Index.build`` takes them; ``smooth`` adds searches that smooth with as many neighbours, ``parts`` the
    class rows and the whole rows of deep features alone. ``baselines`` are names of
    ``semcbir.baselines.BASELINES``, each of every local feature among ``features`` where it takes such;
    ``classifiers`` networks as ``Classifier`` takes them; ``whiten`` adds their vectors whitened to as many
    numbers; ``words`` is the size of vocabularies and mixtures (None: each baseline's own); ``root``
    square-roots descriptors first, as RootSIFT does.
    """

    models: tuple[str | os.PathLike[str] | None, ...] = (None,)
    features: str | tuple[Feature, ...] = FEATURES
    encoder: str | None = None
    weighting: str | None = None
    long_side: int | None = LONG_SIDE
    device: str = "auto"
    threads: int | None = None
    smooth: int | None = None
    parts: bool = False
    baselines: tuple[str, ...] = ()
    classifiers: tuple[str | os.PathLike[str], ...] = ()
    whiten: int | None = None
    words: int | None = None
    root: bool = False

    def parsed(self) -> tuple[Feature, ...]:
        """Return the features themselves; errors as ``parse_features``."""
        return parse_features(self.features, encoder=self.encoder, weighting=self.weighting)


@dataclass(frozen=True, eq=False)
class Material:
    """What was worked out for the photos of a data set.

    - ``dataset``: the data set without the photos that cannot be read
    - ``truth``: which are searched and asked
    - ``database``, ``queries``: the places of their photos among ``items``
    - ``paths``, ``contents``, ``items``: of each photo its file, what stands for its bytes, and its arrays by
      the key of the part
    - ``unreadable``: those that cannot be read, and why
    """

    dataset: Dataset
    truth: Truth
    database: Integers
    queries: Integers
    paths: list[Path]
    contents: list[bytes]
    items: list[dict[str, Arrays]]
    unreadable: dict[Path, str] = field(default_factory=dict)

    def asking(self, chosen: Bools) -> Material:
        """Return what is left if only the ``chosen`` queries, bool (q,), are asked."""
        return replace(self, truth=self.truth[chosen], queries=self.queries[chosen])

    def of(self, part: SignatureParts, threads: int | None = None) -> tuple[Signatures, Signatures]:
        """Return the signatures that are searched, with ids from 0, and those of the queries."""
        everything = part.joined([one[part.key] for one in self.items], threads)
        images, queries = everything[self.database], everything[self.queries]
        return with_ids(images, np.arange(len(images))), with_ids(queries, np.arange(len(queries)))


def gather(
    dataset: Dataset,
    parts: Sequence[Part],
    store: Store,
    settings: Settings,
    on_progress: OnProgress | None = None,
) -> Material:
    """Work out ``parts`` of all photos of ``dataset``, or find them in ``store``.

    Distractors that cannot be read are left out, and so are photos of a data set that may lack some; of
    another one DatasetError says how many cannot be read.
    """
    paths = sorted({*dataset.database, *dataset.queries}, key=os.fsencode)
    threads = check_threads(settings.threads)
    there: dict[Path, int] = {}
    gathered: list[Gathered] = []
    unreadable: dict[Path, ImageError] = {}
    # Closed in any case, so that what is done is kept while the store is open.
    with closing(
        collect(paths, parts, store, long_side=settings.long_side, threads=threads, on_progress=on_progress)
    ) as found:
        for path, one in zip(paths, found, strict=True):
            if isinstance(one, ImageError):
                unreadable[path] = one
            else:
                there[path] = len(gathered)
                gathered.append(one)
    own = set() if dataset.may_lack else set(dataset.paths)
    if missed := [error for path, error in unreadable.items() if path in own]:
        raise DatasetError(
            f"{counted(len(missed), 'photo')} of {dataset.name} cannot be read, such as {missed[0]}"
        ) from missed[0]
    dataset = dataset.without(unreadable)
    return Material(
        dataset,
        dataset.truth(),
        np.array([there[path] for path in dataset.database], np.int64),
        np.array([there[path] for path in dataset.queries], np.int64),
        list(there),
        [one.content for one in gathered],
        [one.items for one in gathered],
        {path: error.reason for path, error in unreadable.items()},
    )


def signature_parts(settings: Settings) -> list[tuple[str, SignatureParts]]:
    """Return the parts that make the signatures of each feature and network, and the name of each pair.

    Errors as those of ``parse_features``, ModelError for a model that is missing.
    """
    features = settings.parsed()
    networks = [LabelMaps(model, settings.device, settings.long_side) for model in settings.models]
    titles = told_apart("models", [(network.name, network.model) for network in networks])
    described: dict[str, LocalParts | Grids] = {}
    for feature in features:
        if isinstance(feature, Deep):
            described[feature.name] = Grids(feature, settings.device, settings.long_side)
        else:
            assert isinstance(feature, LocalFeature)
            described[feature.name] = LocalParts(feature, settings.long_side)
    weighted = f", {settings.weighting}" if settings.weighting else ""
    return [
        (
            feature.name + weighted + ("" if len(networks) == 1 else f", {title}"),
            SignatureParts(network, described[feature.name], feature),
        )
        for network, title in zip(networks, titles, strict=True)
        for feature in features
    ]


def told_apart(argument: str, models: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Return names for models, given by name and by what their numbers depend on, that tell them apart.

    ValueError, about the ``argument``, if a model is there twice.
    """
    names = [name for name, _ in models]
    digests = [key_of(card)[:8] for _, card in models]
    both = list(zip(names, digests, strict=True))
    if len(set(both)) < len(both):
        twice = next(one for one in both if both.count(one) > 1)
        raise ValueError(f"{argument}: expected each model once, got {shown(twice[0])} twice")
    return [f"{name} {digest}" if names.count(name) > 1 else name for name, digest in both]


WayAt = Callable[[float], Way]
"""A way of ranking by the epsilon of its filter."""


def signature_ways(
    material: Material, parts: Sequence[tuple[str, SignatureParts]], settings: Settings
) -> Iterator[WayAt]:
    """Yield the ways that semcbir ranks, the searcher of one after the other."""
    for name, part in parts:
        images, queries = material.of(part, settings.threads)
        yield _way_at(name, images, queries, settings, Searcher(images))
        if settings.smooth:
            smooth = SmoothedSearcher(Searcher(images), images, settings.smooth, images.__getitem__)
            yield _way_at(f"{name}, smoothed {settings.smooth}", images, queries, settings, smooth)
        if settings.parts and part.whole:
            for what, rows in (("class rows", class_rows), ("whole row", whole_rows)):
                some = rows(images)
                at = _way_at(f"{name}, {what}", some, rows(queries), settings, Searcher(some))
                yield partial(_without_default, at)  # no search does that


def _way_at(
    name: str, images: Signatures, queries: Signatures, settings: Settings, searcher: Searcher
) -> WayAt:
    return lambda epsilon: by_signatures(name, images, queries, epsilon, settings.threads, searcher=searcher)


def _without_default(at: WayAt, epsilon: float) -> Way:
    return replace(at(epsilon), default=None)


def describe(settings: Settings, parts: Sequence[tuple[str, SignatureParts]]) -> dict[str, Any]:
    """Return what the figures depend on, as plain values for JSON."""
    return {
        "long_side": settings.long_side,
        "devices": sorted(
            {part.needs[0].device for _, part in parts if isinstance(part.needs[0], LabelMaps)}
        ),
        "smooth": settings.smooth,
        "baselines": list(settings.baselines),
        "words": settings.words,
        "root": settings.root,
        "whiten": settings.whiten,
        "libraries": versions("scikit-learn", "scipy", "imagehash"),
        "ways": {name: part.full_recipe.to_dict() for name, part in parts},
    }
