# SPDX-License-Identifier: MIT
"""Extractor: images -> Signatures, one model and several features in one pass (Fig. 3, Algorithm 1)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from semcbir._validate import check_choice, check_instance, check_integer, check_many, shown
from semcbir.building import build_grid_signatures, build_signatures
from semcbir.encoding.encoder import Encoder
from semcbir.encoding.grid import Grid
from semcbir.errors import ImageError, SemcbirError
from semcbir.features import (
    Deep,
    Feature,
    LocalFeature,
    LocalFeatures,
    extract_features,
    parse_features,
)
from semcbir.features.opencv_threads import one_opencv_thread
from semcbir.images.given import KINDS, ImageSource, check_image, is_image, read_noted
from semcbir.images.limits import MAX_PIXELS
from semcbir.inference.failures import asked, failed
from semcbir.inference.photo_model import Output, PhotoModel
from semcbir.inference.runtime import DEVICES
from semcbir.networks.card import with_inference
from semcbir.networks.names import resolve
from semcbir.networks.packaged import DEFAULT
from semcbir.networks.specs import InferenceSpec
from semcbir.recipe import MAX_LONG_SIDE, Recipe
from semcbir.segmentation.segmenter import Segmenter
from semcbir.signatures import Signatures
from semcbir.threads import check_threads, ordered_map
from semcbir.weighting import weighted_as

Image = npt.NDArray[np.uint8]
Item = TypeVar("Item")
Out = TypeVar("Out")

LONG_SIDE = 512
"""Default bound on an image's longer side, in pixels."""

_BATCHES = 4
"""Batches given to a GPU at a time, so that images of one canvas size fill most of them."""

_OUTPUTS = 2**29
"""The most bytes of network output for these batches; at most three times as much is held."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """An image as semcbir sees it.

    - ``image``: RGB uint8 (H, W, 3), its longer side bounded
    - ``label_map``: uint8 or uint16 (H, W), at the image's resolution
    - ``features``: per feature name its keypoints and descriptors; of feature "deep" the encoder's grid
    - ``damage``: what is wrong with its file, whose other parts these are; None if nothing is
    """

    image: Image
    label_map: npt.NDArray[Any]
    features: dict[str, LocalFeatures | Grid]
    damage: str | None = None

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        damage = "" if self.damage is None else f", damage={self.damage!r}"
        return f"Analysis({height} x {width} pixels, features={','.join(self.features)!r}{damage})"


class Extraction(dict[str, Signatures]):
    """An image's signatures: a batch of one per feature name. ``damage`` is as in Analysis."""

    def __init__(self, signatures: Mapping[str, Signatures], damage: str | None = None) -> None:
        super().__init__(signatures)
        self.damage = damage


@dataclass(frozen=True, eq=False)
class _Prepared:
    """An image ready for the models: what was given, pixels, local features, what is damaged, canvases."""

    source: ImageSource
    image: Image
    features: dict[str, LocalFeatures]
    damage: str | None
    canvases: list[npt.NDArray[Any]]


Extracted = Extraction | ImageError
"""What a stream yields for an image: a batch of one per feature name, or the error."""


class Extractor:
    """Turns images into signatures.

    An image is the path of its file, the bytes of such a file, an RGB uint8 array (H, W, 3), or an image of
    Pillow's, which is treated like a file of the same content (EXIF orientation, transparency, 16 bits).

    ``model`` is a segmentation model: an ONNX file with its card beside it, a card, a name that ``semcbir
    models list`` shows, or None for the model that ships with the package. ``features`` are one or more of
    deep, kaze, surf, sift, hog: names, or objects with parameters, such as ``KAZE(weighting="share")``, whose
    rows count by their class's share of the photo (see ``weighted``); None: deep. ``long_side`` is the bound
    in pixels on the longer side; ``device`` is "auto", "cuda" or "cpu"; ``threads`` is how many images are
    processed at once (None: every usable CPU); ``inference`` is how they go through a model that gives logits
    (see Segmenter); ``max_pixels`` is the limit on what is decoded (see ``load_image``; None: no limit).

    A missing model or card raises ModelError at once, a wrong argument ValueError or TypeError. The model is
    loaded when it is first needed, or by ``load``; only then does a model that is unusable or does not fit
    its card raise ModelError, and an unavailable device DeviceError.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        features: str | Iterable[str | Feature] | None = None,
        *,
        long_side: int | None = LONG_SIDE,
        device: str = "auto",
        threads: int | None = None,
        inference: InferenceSpec | str | None = None,
        max_pixels: int | None = MAX_PIXELS,
    ) -> None:
        self.features = parse_features(features)
        if long_side is not None:
            long_side = check_integer("long_side", long_side, 1, MAX_LONG_SIDE)
        self.long_side = long_side
        self.max_pixels = None if max_pixels is None else check_integer("max_pixels", max_pixels, 1)
        self.threads = check_threads(threads)
        self.device = check_choice("device", device, DEVICES)
        self.model_path, card = resolve(model)
        self.card = with_inference(card, inference)
        self.model = DEFAULT if model is None else model
        self.inference = inference
        self.recipe = Recipe(self.card.preprocessing_dict(), self.features, self.long_side)

    def __repr__(self) -> str:
        features = ",".join(feature.name for feature in self.features)
        model = os.fspath(self.model)
        return f"Extractor({model!r}, {features!r}, long_side={self.long_side}, device={self.device!r})"

    @cached_property
    def segmenter(self) -> Segmenter:
        """The segmenter for a single image: it may use every thread."""
        many: Segmenter | None = self.__dict__.get("_stream_segmenter")
        # A second copy of the network would only take memory; but a tuned one computes a batch per image.
        if many is not None and not many.tuned and (many.device == "cuda" or self.threads == 1):
            return many
        return self._segmenter(self.threads, tune=False)

    @cached_property
    def _stream_segmenter(self) -> Segmenter:
        one: Segmenter | None = self.__dict__.get("segmenter")
        if one is not None and one.device == "cpu" and self.threads == 1:
            return one
        # On the CPU, many images at once, one thread each, are faster than many threads on one image.
        return self._segmenter(1, tune=True)

    def _segmenter(self, threads: int, *, tune: bool) -> Segmenter:
        return Segmenter(self.model, device=self.device, threads=threads, inference=self.inference, tune=tune)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled and copied: everything but the loaded model, which is then loaded again."""
        loaded = ("segmenter", "_encoders", "_stream_segmenter", "_stream_encoders")
        return {name: value for name, value in vars(self).items() if name not in loaded}

    @cached_property
    def _encoders(self) -> dict[str, Encoder]:
        """The encoder of each deep feature, by the feature's name, for a single image."""
        many: dict[str, Encoder] | None = self.__dict__.get("_stream_encoders")
        if many is not None and self.threads == 1 and not any(one.tuned for one in many.values()):
            return many
        return self._encoders_of(self.threads, tune=False)

    @cached_property
    def _stream_encoders(self) -> dict[str, Encoder]:
        one: dict[str, Encoder] | None = self.__dict__.get("_encoders")
        if one is not None and self.threads == 1 and all(each.device == "cpu" for each in one.values()):
            return one
        return self._encoders_of(1, tune=True)

    def _encoders_of(self, threads: int, *, tune: bool) -> dict[str, Encoder]:
        return {
            feature.name: Encoder(feature.path, device=self.device, threads=threads, tune=tune)
            for feature in self.features
            if isinstance(feature, Deep)
        }

    def load(self) -> None:
        """Load the models and try them on a blank image. Raises ModelError or DeviceError if that fails."""
        for model in (self._stream_segmenter, *self._stream_encoders.values()):
            model.try_blank()

    def analyse(self, image: ImageSource) -> Analysis:
        """Segment an image and find its features, all at the same time.

        Raises ImageError if the file cannot be read, or if the model or a feature fails on this image alone,
        TypeError or ValueError for what is not an image.
        """
        check_image("image", image)
        pixels, damage = self._pixels(image)
        with ThreadPoolExecutor(2) as beside:
            features = beside.submit(self._features, image, pixels)
            grids = beside.submit(self._grids, image, pixels)  # loads the encoders with the first photo
            segmenter = self.segmenter
            label_map = asked(segmenter, image, lambda: segmenter.segment([pixels])[0])
            found: dict[str, LocalFeatures | Grid] = {**features.result(), **grids.result()}
            return Analysis(pixels, label_map, found, damage)

    def extract(self, images: Iterable[ImageSource], feature: str | None = None) -> Signatures:
        """Return the signatures of ``images`` for one feature (None: the first), in their order.

        Raises ImageError for the first image that cannot be read, ValueError for a feature that this
        extractor does not compute.
        """
        name = self.recipe.feature(feature).name
        return self.extract_all(images)[name]

    def extract_all(self, images: Iterable[ImageSource]) -> dict[str, Signatures]:
        """Return the signatures of ``images`` per feature name, from one pass over each image.

        Raises ImageError for the first image that cannot be read.
        """
        sources = [images] if is_image(images) else check_many("images", images, f"images, each {KINDS}")
        for source in sources:
            check_image("images", source)
        if len(sources) == 1:
            return self.signatures_of(self.analyse(sources[0]))
        found: list[Extraction] = []
        for extracted in self.stream(sources):
            if isinstance(extracted, ImageError):
                raise extracted
            found.append(extracted)
        return {feature.name: self._join(feature.name, found) for feature in self.features}

    def stream(self, images: Iterable[ImageSource]) -> Iterator[Extracted]:
        """Yield what ``extract_all`` would return, one image at a time and in order, with bounded memory.

        An image that cannot be read, or that the model or a feature fails on, yields its ImageError, and the
        stream goes on. A model that fails on a blank image too raises ModelError.
        """
        if is_image(images) or not isinstance(images, Iterable):
            raise TypeError(f"images: expected an iterable of images, got {shown(images)}")
        return self._stream(images)

    def _stream(self, images: Iterable[ImageSource]) -> Iterator[Extracted]:
        segmenter = self._stream_segmenter
        with one_opencv_thread(), ThreadPoolExecutor(self.threads) as pool:
            if segmenter.batches:
                models = [segmenter, *self._stream_encoders.values()]
                yield from self._stream_batches(pool, models, images)
            else:
                yield from ordered_map(pool, self._extract_one, images, 16 * self.threads)

    def _stream_batches(
        self, pool: ThreadPoolExecutor, models: Sequence[PhotoModel], images: Iterable[ImageSource]
    ) -> Iterator[Extracted]:
        """Stream with a GPU: it always has its next batches while the pool prepares and finishes others.

        ``models`` are the segmenter and the encoders.
        """
        segmenter = models[0]
        most = _BATCHES * segmenter.batch_size
        prepare = partial(self._prepare_canvases, models)
        with ThreadPoolExecutor(1) as device:
            window = 2 * most + 2 * self.threads
            with closing(ordered_map(pool, prepare, images, window)) as prepared:
                chunks = iter(lambda: list(itertools.islice(prepared, _chunk(segmenter))), [])
                for done in ordered_map(device, partial(_run, models), chunks, 2):
                    yield from ordered_map(pool, self._finish, done, most)

    def _prepare_canvases(self, models: Sequence[PhotoModel], image: ImageSource) -> _Prepared | ImageError:
        prepared = self._prepare(image)
        if isinstance(prepared, ImageError):
            return prepared
        try:
            return _Prepared(image, *prepared, [model.lay(prepared[0]) for model in models])
        except (cv2.error, MemoryError) as error:
            return failed(image, "it cannot be laid out for the model", error)

    def _finish(self, done: tuple[_Prepared | ImageError, Sequence[Output]]) -> Extracted:
        prepared, outputs = done
        if isinstance(prepared, ImageError):
            return prepared
        segmenter, source, image = self._stream_segmenter, prepared.source, prepared.image
        try:
            label_map = asked(segmenter, source, lambda: segmenter.label_map(image, _sound(outputs[0])))
            grids = {
                name: asked(encoder, source, partial(_grid_of, encoder, image, output))
                for (name, encoder), output in zip(self._stream_encoders.items(), outputs[1:], strict=True)
            }
        except ImageError as error:
            return error
        features: dict[str, LocalFeatures | Grid] = {**prepared.features, **grids}
        return self.signatures_of(Analysis(image, label_map, features, prepared.damage))

    def _extract_one(self, image: ImageSource) -> Extracted:
        prepared = self._prepare(image)
        if isinstance(prepared, ImageError):
            return prepared
        pixels, features, damage = prepared
        segmenter = self._stream_segmenter
        try:
            label_map = asked(segmenter, image, lambda: segmenter.segment([pixels])[0])
            grids = _grids(self._stream_encoders, image, pixels)
        except ImageError as error:
            return error
        return self.signatures_of(Analysis(pixels, label_map, {**features, **grids}, damage))

    def _prepare(self, image: ImageSource) -> tuple[Image, dict[str, LocalFeatures], str | None] | ImageError:
        try:
            pixels, damage = self._pixels(image)
            return pixels, self._features(image, pixels), damage
        except ImageError as error:
            return error

    def _features(self, image: ImageSource, pixels: Image) -> dict[str, LocalFeatures]:
        """Return the local features of an image with these ``pixels``; ImageError if a library fails."""
        local = [feature for feature in self.features if isinstance(feature, LocalFeature)]
        try:
            return extract_features(pixels, local) if local else {}
        except SemcbirError:
            raise  # a feature that is not available here
        except Exception as error:  # libraries raise what they like; one image must not end a run over many
            raise failed(image, "no features can be found in it", error) from error

    def _grids(self, image: ImageSource, pixels: Image) -> dict[str, Grid]:
        return _grids(self._encoders, image, pixels)

    def _pixels(self, image: ImageSource) -> tuple[Image, str | None]:
        return read_noted(image, self.long_side, self.max_pixels)

    def signatures_of(self, analysis: Analysis) -> Extraction:
        """Return an analysed image's signature per feature name, as batches of one (Algorithm 1, Fig. 4)."""
        check_instance("analysis", analysis, Analysis)
        found = {feature.name: self._signature_of(analysis, feature) for feature in self.features}
        return Extraction(found, analysis.damage)

    def _signature_of(self, analysis: Analysis, feature: Feature) -> Signatures:
        found = analysis.features[feature.name]
        recipe = self.recipe.for_feature(feature.name)
        settings: dict[str, Any] = {"n_classes": recipe.n_classes, "void": recipe.void, "recipe": recipe}
        settings["threads"] = 1
        if isinstance(found, Grid):
            built = build_grid_signatures([analysis.label_map], [found], **settings)
        else:
            points, descriptors = found.keypoints, found.descriptors
            built = build_signatures([analysis.label_map], [points], [descriptors], **settings)
        return weighted_as(feature, built, recipe, threads=1)

    def _join(self, name: str, found: Sequence[dict[str, Signatures]]) -> Signatures:
        if found:
            return Signatures.concatenate([one[name] for one in found], ids=np.arange(len(found)))
        recipe = self.recipe.for_feature(name)
        feature = recipe.feature()
        return Signatures.empty(recipe.n_classes, feature.dim, recipe, whole=feature.whole_row)


def _chunk(model: PhotoModel) -> int:
    """Return how many images to send to a GPU at a time: whole batches, at least one."""
    fitting = _OUTPUTS // (model.output_bytes * model.batch_size)
    return model.batch_size * max(1, min(_BATCHES, fitting))


def _run(
    models: Sequence[PhotoModel], chunk: Sequence[_Prepared | ImageError]
) -> list[tuple[_Prepared | ImageError, Sequence[Output]]]:
    """Return the models' outputs for each image of ``chunk``, none for those that could not be read."""
    good = [prepared for prepared in chunk if isinstance(prepared, _Prepared)]
    images = [one.image for one in good]
    runs = [model.run(images, [one.canvases[number] for one in good]) for number, model in enumerate(models)]
    outputs = iter(zip(*runs, strict=True))
    return [(one, next(outputs) if isinstance(one, _Prepared) else ()) for one in chunk]


def _sound(output: Output) -> npt.NDArray[Any]:
    """Return a model's output; raises it if it is an error."""
    if isinstance(output, BaseException):
        raise output
    return output


def _grid_of(encoder: Encoder, image: Image, output: Output) -> Grid:
    return encoder.grid(image, _sound(output))


def _grids(encoders: Mapping[str, Encoder], image: ImageSource, pixels: Image) -> dict[str, Grid]:
    """Return the grid that each encoder gives for ``image``, whose pixels are ``pixels``."""

    def encode(encoder: Encoder) -> Grid:
        return encoder.encode([pixels])[0]

    return {name: asked(encoder, image, partial(encode, encoder)) for name, encoder in encoders.items()}
