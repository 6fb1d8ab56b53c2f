# SPDX-License-Identifier: MIT
"""The ways of ranking that an evaluation compares: features of networks, whole or in part, smoothed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from semcbir.errors import ImageError
from semcbir.evaluation.collect import Gathered, OnProgress, collect
from semcbir.evaluation.datasets import Dataset, DatasetError
from semcbir.evaluation.measuring import Way, by_signatures
from semcbir.evaluation.parts import Grids, LabelMaps, LocalParts, Part, SignatureParts
from semcbir.evaluation.rankings import Bools, Integers, Truth
from semcbir.evaluation.rows import class_rows, whole_rows
from semcbir.evaluation.store import Arrays, Store
from semcbir.extractor import LONG_SIDE
from semcbir.features import Deep, Feature, LocalFeature, parse_features
from semcbir.searcher import Searcher
from semcbir.signatures import Signatures
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
    numbers; ``root`` square-roots descriptors first, as RootSIFT does.
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
    root: bool = False

    def parsed(self) -> tuple[Feature, ...]:
        """Return the features themselves; errors as ``parse_features``."""
        return parse_features(self.features, encoder=self.encoder, weighting=self.weighting)


@dataclass(frozen=True, eq=False)
class Material:
    """What was worked out for the photos of a data set.

    - ``truth``: which are searched and asked
    - ``searched``: the files that are searched, by id
    - ``database``, ``queries``: the places of their photos among ``items``
    - ``paths``, ``contents``, ``items``: of each photo its file, what stands for its bytes, and its arrays by
      the key of the part
    - ``unreadable``: the distractors that were left out
    """

    truth: Truth
    searched: list[Path]
    database: Integers
    queries: Integers
    paths: list[Path]
    contents: list[bytes]
    items: list[dict[str, Arrays]]
    unreadable: list[Path] = field(default_factory=list)

    def asking(self, chosen: Bools) -> Material:
        """Return what is left if only the ``chosen`` queries, bool (q,), are asked."""
        return replace(self, truth=self.truth[chosen], queries=self.queries[chosen])

    def of(self, part: SignatureParts) -> tuple[Signatures, Signatures]:
        """Return the signatures that are searched, with ids from 0, and those of the queries."""
        everything = part.joined([one[part.key] for one in self.items])
        chosen = everything[self.database]
        return _numbered(chosen), _numbered(everything[self.queries])


def _numbered(signatures: Signatures) -> Signatures:
    return Signatures._unchecked(**{**vars(signatures), "ids": np.arange(len(signatures))})


def gather(
    dataset: Dataset,
    parts: Sequence[Part],
    store: Store,
    settings: Settings,
    on_progress: OnProgress | None = None,
) -> Material:
    """Work out ``parts`` of all photos of ``dataset``, or find them in ``store``.

    Raises DatasetError if one of its photos cannot be read; distractors that cannot be are left out.
    """
    paths = sorted({*dataset.database, *dataset.queries}, key=os.fsencode)
    own = set(dataset.paths)
    threads = check_threads(settings.threads)
    found = collect(
        paths, parts, store, long_side=settings.long_side, threads=threads, on_progress=on_progress
    )
    there: dict[Path, int] = {}
    gathered: list[Gathered] = []
    unreadable = []
    for path, one in zip(paths, found, strict=True):
        if not isinstance(one, ImageError):
            there[path] = len(gathered)
            gathered.append(one)
        elif path in own:
            raise DatasetError(f"a photo of {dataset.name} cannot be read: {one}") from one
        else:
            unreadable.append(path)
    database = [path for path in dataset.database if path in there]
    return Material(
        dataset.truth(database),
        database,
        np.array([there[path] for path in database], np.int64),
        np.array([there[path] for path in dataset.queries], np.int64),
        list(there),
        [one.content for one in gathered],
        [one.items for one in gathered],
        unreadable,
    )


def signature_parts(settings: Settings) -> list[tuple[str, SignatureParts]]:
    """Return the parts that make the signatures of each feature and network, and the name of each pair.

    Errors as those of ``parse_features``, ModelError for a model that is missing.
    """
    features = settings.parsed()
    networks = [LabelMaps(model, settings.device, settings.long_side) for model in settings.models]
    described: dict[str, LocalParts | Grids] = {}
    for feature in features:
        if isinstance(feature, Deep):
            described[feature.name] = Grids(feature, settings.device, settings.long_side)
        else:
            assert isinstance(feature, LocalFeature)
            described[feature.name] = LocalParts(feature, settings.long_side)
    return [
        (
            feature.name if len(networks) == 1 else f"{feature.name}, {network.name}",
            SignatureParts(network, described[feature.name], feature),
        )
        for network in networks
        for feature in features
    ]


def signature_ways(
    material: Material, parts: Sequence[tuple[str, SignatureParts]], settings: Settings, epsilon: float
) -> Iterator[Way]:
    """Yield the ways that semcbir ranks, one after the other: few signatures are in memory at a time."""
    for name, part in parts:
        images, queries = material.of(part)
        yield by_signatures(name, images, queries, epsilon, settings.threads)
        if settings.smooth:
            smooth = SmoothedSearcher(Searcher(images), images, settings.smooth, images.__getitem__)
            yield by_signatures(
                f"{name}, smoothed {settings.smooth}",
                images,
                queries,
                epsilon,
                settings.threads,
                searcher=smooth,
            )
        if settings.parts and part.whole:
            for what, rows in (("class rows", class_rows), ("whole row", whole_rows)):
                way = by_signatures(f"{name}, {what}", rows(images), rows(queries), epsilon, settings.threads)
                yield Way(way.name, way.rank, None)  # no search does that


def describe(settings: Settings, parts: Sequence[tuple[str, SignatureParts]]) -> dict[str, Any]:
    """Return what the figures depend on, as plain values for JSON."""
    return {
        "long_side": settings.long_side,
        "device": settings.device,
        "smooth": settings.smooth,
        "root": settings.root,
        "whiten": settings.whiten,
        "ways": {name: part.full_recipe.to_dict() for name, part in parts},
    }
