# SPDX-License-Identifier: MIT
"""Parts: what is worked out for each photo, each by itself, so that what is there is not worked out again.

A part knows what decides its numbers (its recipe), and which other parts it is made of.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from semcbir.building import build_grid_signatures, build_signatures
from semcbir.encoding.encoder import Encoder
from semcbir.encoding.grid import Grid
from semcbir.errors import SemcbirError
from semcbir.evaluation.store import Arrays
from semcbir.features import Deep, Feature, LocalFeature, extract_features
from semcbir.images.decode import ImageArray, load_image
from semcbir.inference.failures import asked, failed
from semcbir.inference.photo_model import PhotoModel
from semcbir.networks.names import resolve
from semcbir.recipe import FORMAT, Recipe
from semcbir.segmentation.segmenter import Segmenter
from semcbir.signatures import Signatures
from semcbir.weighting import weighted_as

_LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "pillow",
    "mahotas",
    "onnxruntime-gpu",
    "onnxruntime",
)
"""Those whose versions may change numbers."""


class Photo:
    """A photo's file, and its pixels, which are decoded when they are first needed.

    ImageError if it cannot be decoded.
    """

    def __init__(self, path: Path, long_side: int | None) -> None:
        self.path = path
        self.long_side = long_side

    @cached_property
    def pixels(self) -> ImageArray:
        """RGB uint8 (H, W, 3), the longer side bounded."""
        return load_image(self.path, self.long_side)


class Part(ABC):
    """Something that is worked out for a photo: some arrays. Threads may share it."""

    needs: Sequence[Part] = ()
    """The parts that this one is made of."""
    libraries: Sequence[str] = ()
    """Further libraries whose versions may change the numbers."""

    @property
    @abstractmethod
    def recipe(self) -> Mapping[str, Any]:
        """What decides the numbers, as plain values that JSON can hold."""

    @cached_property
    def key(self) -> str:
        """What stands for the recipe, the versions of libraries included."""
        return key_of(self.recipe, *self.libraries)

    def load(self) -> None:  # noqa: B027 (most have nothing to load)
        """Get ready before the first photo; raises what is wrong with a model."""

    @abstractmethod
    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Return the arrays of ``photo``, given those of ``needs``; ImageError if that fails."""


class ModelParts(Part):
    """A part that a model gives: of each photo by itself, one thread a call, since photos come from many."""

    def __init__(self, device: str, long_side: int | None) -> None:
        self.asked_device = device
        self.long_side = long_side

    @cached_property
    @abstractmethod
    def loaded(self) -> PhotoModel:
        """The model, loaded when it is first needed."""

    @property
    def device(self) -> str:
        """Where the model runs; for "auto" it is loaded to know, since a GPU may round otherwise."""
        return self.loaded.device if self.asked_device == "auto" else self.asked_device

    def load(self) -> None:
        """Load the model and try it on a blank image."""
        self.loaded.try_blank()


class LabelMaps(ModelParts):
    """Label maps of a segmentation model: one array, (H, W).

    ``model`` and ``device`` are as a Segmenter takes them. ModelError if the model or its card is missing.
    """

    def __init__(self, model: str | os.PathLike[str] | None, device: str, long_side: int | None) -> None:
        super().__init__(device, long_side)
        self.given = model
        _, card = resolve(model)
        self.name = card.name
        self.model = card.preprocessing_dict()

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The model, the device and the size of the photo."""
        return {"label map": self.model, "device": self.device, "long_side": self.long_side}

    @cached_property
    def loaded(self) -> Segmenter:
        """See ModelParts."""
        return Segmenter(self.given, device=self.asked_device, threads=1)

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Segment the photo."""
        pixels = photo.pixels
        return (asked(self.loaded, photo.path, lambda: self.loaded.segment([pixels])[0]),)


class LocalParts(Part):
    """Keypoints, float32 (n, 2), and their descriptors, float32 (n, D)."""

    def __init__(self, feature: LocalFeature, long_side: int | None) -> None:
        self.feature = feature.with_weighting("none")
        self.long_side = long_side

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The feature and the size of the photo."""
        return {"local features": self.feature.to_dict(), "long_side": self.long_side}

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Find the photo's features."""
        pixels = photo.pixels
        try:
            found = extract_features(pixels, [self.feature])[self.feature.name]
        except SemcbirError:
            raise  # a feature that is not available here
        except Exception as error:
            raise failed(photo.path, "no features can be found in it", error) from error
        return found.keypoints, found.descriptors


class Grids(ModelParts):
    """An encoder's grid: cells, float32 (h, w, D), and the cells' rows and columns of pixels."""

    def __init__(self, feature: Deep, device: str, long_side: int | None) -> None:
        super().__init__(device, long_side)
        self.path = feature.path
        self.card = dict(feature.encoder)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The encoder, the device and the size of the photo."""
        return {"grid": self.card, "device": self.device, "long_side": self.long_side}

    @cached_property
    def loaded(self) -> Encoder:
        """See ModelParts."""
        return Encoder(self.path, device=self.asked_device, threads=1)

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Encode the photo."""
        pixels = photo.pixels
        grid = asked(self.loaded, photo.path, lambda: self.loaded.encode([pixels])[0])
        return grid.cells, grid.rows, grid.columns


class SignatureParts(Part):
    """A signature of one feature, not weighted: its columns but for the offsets."""

    def __init__(self, labels: LabelMaps, found: LocalParts | Grids, feature: Feature) -> None:
        self.needs = (labels, found)
        self.whole = isinstance(found, Grids)
        self.feature = feature
        self.full_recipe = Recipe(labels.model, (feature,), labels.long_side)

    @property
    def recipe(self) -> Mapping[str, Any]:
        """What the label map and the features are."""
        return {"signature": [part.key for part in self.needs]}

    def compute(self, photo: Photo, needed: Sequence[Arrays]) -> Arrays:
        """Group and average (Algorithm 1)."""
        (labels,), found = needed
        settings: dict[str, Any] = {"n_classes": self.full_recipe.n_classes, "void": self.full_recipe.void}
        if self.whole:
            built = build_grid_signatures([labels], [Grid(*found)], **settings, threads=1)
        else:
            built = build_signatures([labels], [found[0]], [found[1]], **settings, threads=1)
        return built.classes, built.proportions, built.counts, built.centroids

    def joined(self, images: Sequence[Arrays], threads: int | None = None) -> Signatures:
        """Return the signatures of many photos as one batch, weighted as the feature says."""
        columns = [np.concatenate(column) for column in zip(*images, strict=True)]
        classes, proportions, counts, centroids = columns
        offsets = np.concatenate([[0], np.cumsum([len(one[0]) for one in images])])
        built = Signatures(
            offsets=offsets,
            classes=classes,
            proportions=proportions,
            counts=counts,
            centroids=centroids,
            n_classes=self.full_recipe.n_classes,
            whole=self.whole,
        )
        return weighted_as(self.feature, built, self.full_recipe, threads)


def key_of(recipe: Mapping[str, Any], *libraries: str) -> str:
    """Return what stands for ``recipe`` and for the versions of what else may change numbers."""
    plain = {"format": FORMAT, "libraries": versions(*libraries), **recipe}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


@cache
def versions(*libraries: str) -> dict[str, str]:
    """Return the versions of the libraries that every part may depend on, and of others."""
    found = {}
    for name in (*_LIBRARIES, *libraries):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # one of several that do the same
            continue
    return found
