# SPDX-License-Identifier: MIT
"""Ways of ranking that semantic signatures are compared with: ``semcbir.baselines`` on a data set.

What is learnt without labels (vocabularies, mixtures, axes) is learnt from all photos of the data set that
are searched, distractors aside. SVMs, which learn labels, never see the query: where queries are searched
too, those of even place in their class are ranked by what the odd ones teach, and the other way round.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from semcbir._validate import listed, shown
from semcbir.baselines import BASELINES, Aggregator, Classifier, PixelDescriptor, SvmRanking, Whitened
from semcbir.errors import ImageError
from semcbir.evaluation.collect import collect
from semcbir.evaluation.measuring import Way, by_distances, by_signatures
from semcbir.evaluation.parts import LocalParts, Part, Photo, decides
from semcbir.evaluation.rankings import NOWHERE, Floats, Integers, Truth
from semcbir.evaluation.rows import one_row
from semcbir.evaluation.store import Arrays, Store
from semcbir.evaluation.ways import Material, Settings
from semcbir.features import LocalFeature, LocalFeatures
from semcbir.inference.failures import asked
from semcbir.networks.names import resolve_encoder
from semcbir.threads import check_threads

OnLearning = Callable[[str], None]
Vectors: TypeAlias = npt.NDArray[np.float32]


class PixelParts(Part):
    """The vector of a baseline that takes pixels: float32 (D,)."""

    def __init__(self, descriptor: PixelDescriptor, long_side: int | None) -> None:
        self.descriptor = descriptor
        self.long_side = long_side

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The baseline and the size of the photo."""
        one = self.descriptor
        return {"pixels": {"name": one.name, **asdict(one)}, "long_side": self.long_side}

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Describe the photo."""
        return (self.descriptor.describe(photo.pixels),)


class ClassifierParts(Part):
    """A classification network's vector: float32 (D,)."""

    def __init__(self, model: str | os.PathLike[str], device: str, long_side: int | None) -> None:
        self.model = model
        self.device = device
        self.long_side = long_side
        _, card = resolve_encoder(model, argument="classifier")
        self.name = card.name
        self.card = card.preprocessing_dict()

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The network, the device and the size of the photo."""
        return {"vector": self.card, "device": self.device, "long_side": self.long_side}

    @cached_property
    def classifier(self) -> Classifier:
        """The network, one thread a call: photos come from many."""
        return Classifier(self.model, "l2", device=self.device, threads=1, tune=True)

    def load(self) -> None:
        """Load the network and try it on a blank image."""
        self.classifier.try_blank()

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Describe the photo."""
        pixels = photo.pixels
        return (asked(self.classifier, photo.path, lambda: self.classifier.describe(pixels)),)


def check_baselines(names: Sequence[str]) -> None:
    """Raise ValueError for a name that is none of a baseline."""
    if unknown := [name for name in names if name not in BASELINES]:
        raise ValueError(f"baselines: expected some of {listed(BASELINES)}, got {shown(unknown[0])}")


def compared_parts(settings: Settings) -> list[tuple[str, PixelParts | ClassifierParts]]:
    """Return the parts that baselines need beside local features, and the name of each.

    ValueError for an unknown baseline, ModelError for a network that is missing.
    """
    check_baselines(settings.baselines)
    kinds = [BASELINES[name] for name in settings.baselines]
    pixels: list[tuple[str, PixelParts | ClassifierParts]] = [
        (kind.name, PixelParts(kind(), settings.long_side))
        for kind in kinds
        if issubclass(kind, PixelDescriptor)
    ]
    networks = [ClassifierParts(one, settings.device, settings.long_side) for one in settings.classifiers]
    return [*pixels, *((one.name, one) for one in networks)]


def compared_ways(
    material: Material,
    parts: Sequence[tuple[str, PixelParts | ClassifierParts]],
    settings: Settings,
    store: Store,
    on_learning: OnLearning | None = None,
) -> Iterator[Way]:
    """Yield the ways that the baselines of ``settings`` rank.

    A network's vectors are ranked by L2, as the paper does it, by cosine, and by SVMs; with ``whiten`` there
    are also those of whitened vectors, of local features' too. ``on_learning`` is told what is learnt next.

    Errors as those of the baselines: too few photos or descriptors, libraries that are missing.
    """
    for name, part in parts:
        vectors = np.array([one[part.key][0] for one in material.items])
        if not isinstance(part, ClassifierParts):
            yield _by_vectors(name, vectors, material, settings)
            continue
        yield _by_vectors(f"{name}, L2", vectors, material, settings)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = (vectors / np.where(norms == 0, 1, norms)).astype(np.float32)
        yield _by_vectors(f"{name}, cosine", unit, material, settings)
        yield from _whitened(name, unit, material, settings)
        yield _by_svm(f"{name}, SVM", unit, material, on_learning)
    for kind in (BASELINES[name] for name in settings.baselines):
        if not issubclass(kind, Aggregator):
            continue
        for feature in settings.parsed():
            if isinstance(feature, LocalFeature):
                part_of = LocalParts(feature, settings.long_side)
                name = f"{kind.name} of {feature.name}"
                method = kind(root=settings.root)
                vectors = _aggregated(name, method, part_of, material, settings, store, on_learning)
                yield _by_vectors(name, vectors, material, settings)
                yield from _whitened(name, vectors, material, settings)


def _by_vectors(name: str, vectors: Vectors, material: Material, settings: Settings) -> Way:
    """Rank by L2 between ``vectors``, one for each photo of the material."""
    images, queries = one_row(vectors[material.database]), one_row(vectors[material.queries])
    return by_signatures(name, images, queries, np.inf, settings.threads).only("none")


def _whitened(name: str, vectors: Vectors, material: Material, settings: Settings) -> Iterator[Way]:
    if settings.whiten is not None:
        fitted = Whitened(settings.whiten).fit(vectors[_teachers(material)])
        yield _by_vectors(f"{name}, whitened {settings.whiten}", fitted.vectors(vectors), material, settings)


def _teachers(material: Material) -> Integers:
    """Return the places of the photos that are learnt from: those searched that have a class."""
    return material.database[material.truth.classes >= 0]


def _aggregated(
    name: str,
    method: Aggregator,
    part: LocalParts,
    material: Material,
    settings: Settings,
    store: Store,
    on_learning: OnLearning | None,
) -> Vectors:
    """Return the vectors that ``method`` makes of the photos' local features, or those that are kept."""
    teachers = _teachers(material)
    contents = b"".join(sorted(material.contents[place] for place in teachers))
    recipe = {
        "vector": {"name": method.name, **asdict(method)},
        "of": part.key,
        "learnt from": hashlib.sha256(contents).hexdigest(),
    }
    key = hashlib.sha256(json.dumps(decides(recipe, "scikit-learn"), sort_keys=True).encode()).hexdigest()
    kept = store.read(key, material.contents)
    if not all(content in kept for content in material.contents):
        if on_learning:
            on_learning(name)
        features = _local_features(part, material, settings, store)
        fitted = method.fit([features[place] for place in teachers])
        made = fitted.vectors(features)
        store.write(
            key, recipe, ((content, (row,)) for content, row in zip(material.contents, made, strict=True))
        )
        return made
    return np.array([kept[content][0] for content in material.contents])


def _local_features(
    part: LocalParts, material: Material, settings: Settings, store: Store
) -> list[LocalFeatures]:
    """Return the local features of all photos, which by now are kept unless nothing needed them before."""
    threads = check_threads(settings.threads)
    found = []
    for one in collect(material.paths, [part], store, long_side=settings.long_side, threads=threads):
        if isinstance(one, ImageError):
            raise one
        found.append(LocalFeatures(*one.items[part.key]))
    return found


def _by_svm(name: str, vectors: Vectors, material: Material, on_learning: OnLearning | None) -> Way:
    """Rank by SVMs that have not learnt the query's label."""
    if on_learning:
        on_learning(name)
    truth = material.truth
    images, queries = vectors[material.database], vectors[material.queries]
    folds = _folds(truth)
    labelled = truth.classes >= 0
    fitted = {}
    for fold in np.unique(folds.of_queries):
        chosen = labelled & (folds.of_images != fold)
        fitted[int(fold)] = SvmRanking().fit(images[chosen], truth.classes[chosen])

    def distances(numbers: Integers) -> Floats:
        found = np.empty((len(numbers), len(images)))
        for fold, svm in fitted.items():
            mine = folds.of_queries[numbers] == fold
            found[mine] = svm.distances(queries[numbers[mine]], images)
        return found

    return by_distances(name, distances)


class _Folds:
    """Which half an image is in, 0 or 1, and a query; -1 for queries that are not searched."""

    def __init__(self, of_images: Integers, of_queries: Integers) -> None:
        self.of_images = of_images
        self.of_queries = of_queries


def _folds(truth: Truth) -> _Folds:
    halves = np.zeros(len(truth.classes), np.int64)
    for label in np.unique(truth.classes):
        (members,) = np.nonzero(truth.classes == label)
        halves[members] = np.arange(len(members)) % 2
    queries = np.where(truth.queries == NOWHERE, NOWHERE, halves[truth.queries])
    return _Folds(halves, queries)
