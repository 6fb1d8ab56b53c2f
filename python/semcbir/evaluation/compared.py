# SPDX-License-Identifier: MIT
"""Ways of ranking that semantic signatures are compared with: ``semcbir.baselines`` on a data set.

What is learnt without labels (vocabularies, mixtures, axes) is learnt from the photos of the data set that
are searched, distractors aside; of more than MOST_TEACHERS, from so many spread evenly. SVMs, which learn
labels, never see the query, nor a file with its bytes: where queries are searched too, those of even place in
their class are ranked by what the odd ones teach, and the other way round.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from semcbir._core import __version__
from semcbir._validate import listed, shown
from semcbir.baselines import BASELINES, Aggregator, Classifier, PixelDescriptor, SvmRanking, Whitened
from semcbir.baselines.libraries import library
from semcbir.baselines.normalising import unit
from semcbir.errors import ImageError
from semcbir.evaluation.collect import collect
from semcbir.evaluation.measuring import Way, by_distances, by_signatures
from semcbir.evaluation.parts import LocalParts, ModelParts, Part, Photo, key_of
from semcbir.evaluation.rankings import NOWHERE, Floats, Integers, Truth
from semcbir.evaluation.rows import one_row
from semcbir.evaluation.store import Arrays, Store
from semcbir.evaluation.ways import Material, Settings, told_apart
from semcbir.features import Deep, LocalFeature, LocalFeatures
from semcbir.inference.failures import asked
from semcbir.networks.names import resolve_encoder
from semcbir.threads import check_threads

OnLearning = Callable[[str], None]
MOST_TEACHERS = 10_000
"""The most photos whose local features are in memory at once, to learn from."""

Vectors: TypeAlias = npt.NDArray[np.float32]


class PixelParts(Part):
    """The vector of a baseline that takes pixels: float32 (D,)."""

    def __init__(self, descriptor: PixelDescriptor, long_side: int | None) -> None:
        self.descriptor = descriptor
        self.long_side = long_side
        self.libraries = ("imagehash", "scipy")

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The baseline, the version of its code, and the size of the photo."""
        one = {"name": self.descriptor.name, **asdict(self.descriptor)}
        return {"pixels": one, "semcbir": __version__, "long_side": self.long_side}

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Describe the photo."""
        return (self.descriptor.describe(photo.pixels),)


class ClassifierParts(ModelParts):
    """A classification network's vector: float32 (D,)."""

    def __init__(self, model: str | os.PathLike[str], device: str, long_side: int | None) -> None:
        super().__init__(device, long_side)
        self.model = model
        _, card = resolve_encoder(model, argument="classifier")
        self.name = card.name
        self.dim = card.dim
        self.card = card.preprocessing_dict()

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The network, the device and the size of the photo."""
        return {"vector": self.card, "device": self.device, "long_side": self.long_side}

    @cached_property
    def loaded(self) -> Classifier:
        """See ModelParts."""
        return Classifier(self.model, "l2", device=self.asked_device, threads=1)

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Describe the photo."""
        pixels = photo.pixels
        return (asked(self.loaded, photo.path, lambda: self.loaded.describe(pixels)),)


@dataclass(frozen=True)
class Unlearnt:
    """A baseline that could not learn: its name, and why."""

    name: str
    reason: str


def check_settings(settings: Settings) -> None:
    """Raise ValueError for a baseline that there is not, or is there twice, and for settings of nothing."""
    names, features = settings.baselines, settings.parsed()
    if unknown := [name for name in names if name not in BASELINES]:
        raise ValueError(f"baselines: expected some of {listed(BASELINES)}, got {shown(unknown[0])}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"baselines: expected each once, got {shown(twice)} twice")
    bags = [name for name in names if issubclass(BASELINES[name], Aggregator)]
    if bags and not any(isinstance(feature, LocalFeature) for feature in features):
        raise ValueError(
            f"baselines: expected a local feature (kaze, surf, hog or sift) among the features for "
            f"{bags[0]}, got {', '.join(feature.name for feature in features)}"
        )
    of_bags = "expected baselines of local features (bovw, ngrams, phrases, vlad or fisher)"
    for argument in ("root", "words"):
        if getattr(settings, argument) and not bags:
            raise ValueError(f"{argument}: {of_bags} with it, got none")
    if settings.whiten is not None and not bags and not settings.classifiers:
        raise ValueError(f"whiten: {of_bags} or classifiers with it, got none")
    if settings.parts and not any(isinstance(feature, Deep) for feature in features):
        raise ValueError("parts: expected feature deep among the features, got none")


def compared_parts(settings: Settings) -> list[tuple[str, PixelParts | ClassifierParts]]:
    """Return the parts that baselines need beside local features, and the name of each.

    Errors as ``check_settings``; ModelError for a network that is missing, SemcbirError for a library.
    """
    check_settings(settings)
    if settings.classifiers or any(BASELINES[name].takes != "pixels" for name in settings.baselines):
        library("sklearn")
    if {"phash", "dhash"} & set(settings.baselines):
        library("imagehash")
    kinds = [BASELINES[name] for name in settings.baselines]
    pixels: list[tuple[str, PixelParts | ClassifierParts]] = [
        (kind.name, PixelParts(kind(), settings.long_side))
        for kind in kinds
        if issubclass(kind, PixelDescriptor)
    ]
    networks = [ClassifierParts(one, settings.device, settings.long_side) for one in settings.classifiers]
    titles = told_apart("classifiers", [(one.name, one.card) for one in networks])
    return [*pixels, *zip(titles, networks, strict=True)]


def check_learning(truth: Truth, settings: Settings, networks: Sequence[ClassifierParts]) -> None:
    """Raise ValueError if there is too little to learn what ``settings`` ask for."""
    sizes = np.bincount(truth.classes[truth.classes >= 0])
    if networks and np.count_nonzero(sizes >= 2) < 2:
        raise ValueError(
            "classifiers: expected two classes with two photos each to search, for SVMs, "
            f"got {np.count_nonzero(sizes >= 2)}"
        )
    most = min([int(sizes.sum()) - 1, *(one.dim for one in networks)])
    if settings.whiten is not None and settings.whiten > most:
        raise ValueError(
            f"whiten: expected at most {most}, one less than there are photos to learn from and no more than "
            f"a vector has numbers, got {settings.whiten}"
        )


def compared_ways(
    material: Material,
    parts: Sequence[tuple[str, PixelParts | ClassifierParts]],
    settings: Settings,
    store: Store,
    on_learning: OnLearning | None = None,
) -> Iterator[Way | Unlearnt]:
    """Yield the ways that the baselines of ``settings`` rank, or what could not learn from these photos.

    A network's vectors are ranked by L2, as the paper does it, by cosine, and by SVMs; with ``whiten`` there
    are also those of whitened vectors, of local features' too. ``on_learning`` is told what is learnt next.

    SemcbirError for libraries that are missing.
    """
    for name, part in parts:
        vectors = np.array([one[part.key][0] for one in material.items])
        if not isinstance(part, ClassifierParts):
            yield _by_vectors(name, vectors, material, settings)
            continue
        yield _by_vectors(f"{name}, L2", vectors, material, settings)
        of_length_1 = unit(vectors).astype(np.float32)
        yield _by_vectors(f"{name}, cosine", of_length_1, material, settings)
        yield from _whitened(name, of_length_1, material, settings)
        yield _by_svm(f"{name}, SVM", of_length_1, material, on_learning)
    for kind in (BASELINES[name] for name in settings.baselines):
        if not issubclass(kind, Aggregator):
            continue
        for feature in settings.parsed():
            if isinstance(feature, LocalFeature):
                part_of = LocalParts(feature, settings.long_side)
                method, name = _method(kind, settings), _title(kind, feature, settings)
                try:
                    vectors = _aggregated(name, method, part_of, material, settings, store, on_learning)
                except ValueError as error:
                    yield Unlearnt(name, str(error))
                    continue
                yield _by_vectors(name, vectors, material, settings)
                yield from _whitened(name, vectors, material, settings)


def _method(kind: type[Aggregator], settings: Settings) -> Aggregator:
    sizes: dict[str, Any] = {} if settings.words is None else {kind.size: settings.words}
    return kind(root=settings.root, **sizes)


def _title(kind: type[Aggregator], feature: LocalFeature, settings: Settings) -> str:
    parts = [f"{kind.name} of {feature.name}"]
    if settings.words is not None:
        parts.append(f"{settings.words} {kind.size}")
    if settings.root:
        parts.append("root")
    return ", ".join(parts)


def _by_vectors(name: str, vectors: Vectors, material: Material, settings: Settings) -> Way:
    """Rank by L2 between ``vectors``, one for each photo of the material."""
    images, queries = one_row(vectors[material.database]), one_row(vectors[material.queries])
    return by_signatures(name, images, queries, np.inf, settings.threads).only("none")


def _whitened(name: str, vectors: Vectors, material: Material, settings: Settings) -> Iterator[Way]:
    if settings.whiten is not None:
        fitted = Whitened(settings.whiten).fit(vectors[_teachers(material)])
        yield _by_vectors(f"{name}, whitened {settings.whiten}", fitted.vectors(vectors), material, settings)


def _teachers(material: Material) -> Integers:
    """Return the places of the photos that are learnt from without labels: of those searched with a class."""
    every = material.database[material.truth.classes >= 0]
    count = min(len(every), MOST_TEACHERS)
    return every[np.arange(count) * len(every) // max(count, 1)]


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
        "semcbir": __version__,
        "of": part.key,
        "learnt from": hashlib.sha256(contents).hexdigest(),
    }
    key = key_of(recipe, "scikit-learn", "scipy")
    kept = store.read(key, material.contents)
    if not all(content in kept for content in material.contents):
        if on_learning:
            on_learning(name)
        fitted = method.fit(list(_local_features(part, teachers.tolist(), material, settings, store)))
        made = fitted.vectors(_local_features(part, range(len(material.paths)), material, settings, store))
        store.write(
            key, recipe, ((content, (row,)) for content, row in zip(material.contents, made, strict=True))
        )
        return made
    return np.array([kept[content][0] for content in material.contents])


def _local_features(
    part: LocalParts, places: Sequence[int], material: Material, settings: Settings, store: Store
) -> Iterator[LocalFeatures]:
    """Yield the local features of photos, which by now are kept unless nothing needed them before."""
    paths = [material.paths[place] for place in places]
    threads = check_threads(settings.threads)
    with closing(collect(paths, [part], store, long_side=settings.long_side, threads=threads)) as found:
        for one in found:
            if isinstance(one, ImageError):
                raise one
            yield LocalFeatures(*one.items[part.key])


def _by_svm(name: str, vectors: Vectors, material: Material, on_learning: OnLearning | None) -> Way:
    """Rank by SVMs that have not learnt the query's label."""
    if on_learning:
        on_learning(name)
    truth = material.truth
    images, queries = vectors[material.database], vectors[material.queries]
    of_images, of_queries = folds(material)
    decisions, predicted = {}, np.empty(len(queries), np.int64)
    for fold in np.unique(of_queries).tolist():
        chosen = (truth.classes >= 0) & (of_images != fold) & (of_images != UNUSED)
        svm = SvmRanking().fit(images[chosen], truth.classes[chosen])
        decisions[fold] = svm.decisions(images).T
        mine = of_queries == fold
        predicted[mine] = svm.decisions(queries[mine]).argmax(axis=1)

    def distances(numbers: Integers) -> Floats:
        found = np.empty((len(numbers), len(images)))
        for row, number in enumerate(numbers):
            found[row] = -decisions[int(of_queries[number])][predicted[number]]
        return found

    return by_distances(name, distances)


UNUSED = -2
"""The half of an image that has the bytes of a query which is not searched: no SVM learns from it."""


def folds(material: Material) -> tuple[Integers, Integers]:
    """Return which half each image is in, int64 (n,), and each query, (q,): 0 or 1.

    Files with the same bytes are in the same half; queries that are not searched are in NOWHERE, and all
    images but those with their bytes are learnt from.
    """
    truth = material.truth
    contents = [material.contents[place] for place in material.database]
    halves = np.zeros(len(contents), np.int64)
    for label in np.unique(truth.classes):
        members = np.flatnonzero(truth.classes == label)
        order = {content: place for place, content in enumerate(dict.fromkeys(contents[i] for i in members))}
        halves[members] = [order[contents[i]] % 2 for i in members]
    outside = truth.queries == NOWHERE
    strangers = {material.contents[place] for place in material.queries[outside]}
    if strangers:
        halves[[content in strangers for content in contents]] = UNUSED
    return halves, np.where(outside, NOWHERE, halves[truth.queries])
