# SPDX-License-Identifier: MIT
"""Extractor: images -> Signatures, one model and several features in one pass (Fig. 3, Algorithm 1)."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt

from semcbir._files import reason
from semcbir._validate import check_choice, check_instance, check_integer, check_many, shown
from semcbir.building import build_signatures
from semcbir.errors import ImageError, SemcbirError
from semcbir.features import Feature, LocalFeatures, extract_features, parse_features
from semcbir.features.opencv_threads import one_opencv_thread
from semcbir.images.given import KINDS, ImageSource, check_image, describe, is_image, read_noted
from semcbir.images.limits import MAX_PIXELS
from semcbir.inference.network import PhotoError
from semcbir.inference.photo_model import Output, blame
from semcbir.inference.runtime import DEVICES
from semcbir.networks.card import with_inference
from semcbir.networks.names import resolve
from semcbir.networks.published import DEFAULT
from semcbir.networks.specs import InferenceSpec
from semcbir.recipe import MAX_LONG_SIDE, Recipe
from semcbir.segmentation.segmenter import LabelMap, Segmenter
from semcbir.signatures import Signatures
from semcbir.threads import check_threads

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
    - ``features``: per feature name its keypoints and descriptors
    - ``damage``: what is wrong with its file, whose other parts these are; None if nothing is
    """

    image: Image
    label_map: npt.NDArray[Any]
    features: dict[str, LocalFeatures]
    damage: str | None = None


class Extraction(dict[str, Signatures]):
    """An image's signatures: a batch of one per feature name. ``damage`` is as in Analysis."""

    def __init__(self, signatures: Mapping[str, Signatures], damage: str | None = None) -> None:
        super().__init__(signatures)
        self.damage = damage


@dataclass(frozen=True, eq=False)
class _Prepared:
    """An image ready for the network: what was given, pixels, features, what is damaged, canvas."""

    source: ImageSource
    image: Image
    features: dict[str, LocalFeatures]
    damage: str | None
    canvas: npt.NDArray[Any]


Extracted = Extraction | ImageError
"""What a stream yields for an image: a batch of one per feature name, or the error."""


class Extractor:
    """Turns images into signatures.

    An image is the path of its file, the bytes of such a file, an RGB uint8 array (H, W, 3), or an image of
    Pillow's, which is treated like a file of the same content (EXIF orientation, transparency, 16 bits).

    ``model`` is a segmentation model: an ONNX file with its card beside it, a card, a name that ``semcbir
    models list`` shows, or None for the model that ships with the package. ``features`` are one or more of
    kaze, surf, sift, hog (names, or objects with parameters); ``long_side`` is the bound in pixels on the
    longer side; ``device`` is "auto", "cuda" or "cpu"; ``threads`` is how many images are processed at once
    (None: every usable CPU); ``inference`` is how they go through a model that gives logits (see Segmenter);
    ``max_pixels`` is the limit on what is decoded (see ``load_image``; None: no limit).

    A missing model or card raises ModelError at once, a wrong argument ValueError or TypeError. The model is
    loaded when it is first needed, or by ``load``; only then does a model that is unusable or does not fit
    its card raise ModelError, and an unavailable device DeviceError.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        features: str | Iterable[str | Feature] = "kaze",
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
        loaded = ("segmenter", "_stream_segmenter")
        return {name: value for name, value in vars(self).items() if name not in loaded}

    def load(self) -> None:
        """Load the model and try it on a blank image. Raises ModelError or DeviceError if that fails."""
        self._stream_segmenter.segment([np.zeros((24, 32, 3), np.uint8)])

    def analyse(self, image: ImageSource) -> Analysis:
        """Segment an image and find its local features, both at the same time.

        Raises ImageError if the file cannot be read, or if the model or a feature fails on this image alone,
        TypeError or ValueError for what is not an image.
        """
        check_image("image", image)
        pixels, damage = self._pixels(image)
        segmenter = self.segmenter
        with ThreadPoolExecutor(1) as beside:
            features = beside.submit(self._features, image, pixels)
            label_map = _labelled(segmenter, image, lambda: segmenter.segment([pixels])[0])
            return Analysis(pixels, label_map, features.result(), damage)

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
                yield from self._stream_batches(pool, segmenter, images)
            else:
                yield from _ordered_map(pool, self._extract_one, images, 16 * self.threads)

    def _stream_batches(
        self, pool: ThreadPoolExecutor, segmenter: Segmenter, images: Iterable[ImageSource]
    ) -> Iterator[Extracted]:
        """Stream with a GPU: it always has its next batches while the pool prepares and finishes others."""
        most = _BATCHES * segmenter.batch_size
        prepare, finish = partial(self._prepare_canvas, segmenter), partial(self._finish, segmenter)
        with ThreadPoolExecutor(1) as device:
            window = 2 * most + 2 * self.threads
            with closing(_ordered_map(pool, prepare, images, window)) as prepared:
                chunks = iter(lambda: list(itertools.islice(prepared, _chunk(segmenter))), [])
                for done in _ordered_map(device, partial(_run, segmenter), chunks, 2):
                    yield from _ordered_map(pool, finish, done, most)

    def _prepare_canvas(self, segmenter: Segmenter, image: ImageSource) -> _Prepared | ImageError:
        prepared = self._prepare(image)
        if isinstance(prepared, ImageError):
            return prepared
        try:
            return _Prepared(image, *prepared, segmenter.lay(prepared[0]))
        except (cv2.error, MemoryError) as error:
            return _failed(image, "it cannot be laid out for the model", error)

    def _finish(self, segmenter: Segmenter, done: tuple[_Prepared | ImageError, Output | None]) -> Extracted:
        prepared, output = done
        if isinstance(prepared, ImageError) or output is None:
            return cast(ImageError, prepared)
        try:
            label_map = _labelled(
                segmenter, prepared.source, lambda: _label_map(segmenter, prepared.image, output)
            )
        except ImageError as error:
            return error
        return self.signatures_of(Analysis(prepared.image, label_map, prepared.features, prepared.damage))

    def _extract_one(self, image: ImageSource) -> Extracted:
        prepared = self._prepare(image)
        if isinstance(prepared, ImageError):
            return prepared
        pixels, features, damage = prepared
        segmenter = self._stream_segmenter
        try:
            label_map = _labelled(segmenter, image, lambda: segmenter.segment([pixels])[0])
        except ImageError as error:
            return error
        return self.signatures_of(Analysis(pixels, label_map, features, damage))

    def _prepare(self, image: ImageSource) -> tuple[Image, dict[str, LocalFeatures], str | None] | ImageError:
        try:
            pixels, damage = self._pixels(image)
            return pixels, self._features(image, pixels), damage
        except ImageError as error:
            return error

    def _features(self, image: ImageSource, pixels: Image) -> dict[str, LocalFeatures]:
        """Return the features of ``image``, whose pixels are ``pixels``; ImageError if a library fails."""
        try:
            return extract_features(pixels, self.features)
        except SemcbirError:
            raise  # a feature that is not available here
        except Exception as error:  # libraries raise what they like; one image must not end a run over many
            raise _failed(image, "no features can be found in it", error) from error

    def _pixels(self, image: ImageSource) -> tuple[Image, str | None]:
        return read_noted(image, self.long_side, self.max_pixels)

    def signatures_of(self, analysis: Analysis) -> Extraction:
        """Return an analysed image's signature per feature name, as batches of one (Algorithm 1, Fig. 4)."""
        check_instance("analysis", analysis, Analysis)
        found = {
            feature.name: build_signatures(
                [analysis.label_map],
                [analysis.features[feature.name].keypoints],
                [analysis.features[feature.name].descriptors],
                n_classes=self.recipe.n_classes,
                void=self.recipe.void,
                recipe=self.recipe.for_feature(feature.name),
                threads=1,
            )
            for feature in self.features
        }
        return Extraction(found, analysis.damage)

    def _join(self, name: str, found: Sequence[dict[str, Signatures]]) -> Signatures:
        if found:
            return Signatures.concatenate([one[name] for one in found], ids=np.arange(len(found)))
        recipe = self.recipe.for_feature(name)
        kind = recipe.feature()
        return Signatures.empty(recipe.n_classes, kind.dim, recipe, whole=kind.whole_row)


def _chunk(segmenter: Segmenter) -> int:
    """Return how many images to send to a GPU at a time: whole batches, at least one."""
    fitting = _OUTPUTS // (segmenter.output_bytes * segmenter.batch_size)
    return segmenter.batch_size * max(1, min(_BATCHES, fitting))


def _run(
    segmenter: Segmenter, chunk: Sequence[_Prepared | ImageError]
) -> list[tuple[_Prepared | ImageError, Output | None]]:
    """Return the network's output for each image of ``chunk``, None for those that could not be read."""
    good = [prepared for prepared in chunk if isinstance(prepared, _Prepared)]
    outputs = iter(segmenter.run([one.image for one in good], [one.canvas for one in good]))
    return [(one, next(outputs) if isinstance(one, _Prepared) else None) for one in chunk]


def _label_map(segmenter: Segmenter, image: Image, output: Output) -> LabelMap:
    """Return the label map of ``image``; raises ``output`` if that is an error."""
    if isinstance(output, BaseException):
        raise output
    return segmenter.label_map(image, output)


def _labelled(segmenter: Segmenter, image: ImageSource, label: Callable[[], LabelMap]) -> LabelMap:
    """Return what ``label`` returns; ImageError if the model fails on ``image``, but not on a blank one."""
    try:
        return label()
    except PhotoError as error:
        blamed = blame(segmenter, error)
        raise _error(image, f"the model {blamed.reason}", blamed, transient=blamed.transient) from error
    except (cv2.error, MemoryError) as error:
        raise _failed(image, "the model cannot be run on it", error) from error


def _failed(image: ImageSource, what: str, error: Exception) -> ImageError:
    """Return the ImageError for an image that makes a library fail."""
    return _error(image, f"{what} ({reason(error)})", error, transient=isinstance(error, MemoryError))


def _error(image: ImageSource, why: str, cause: Exception, *, transient: bool) -> ImageError:
    error = ImageError(f"{describe(image)}: {why}", reason=why, transient=transient)
    error.__cause__ = cause
    return error


def _ordered_map(
    pool: ThreadPoolExecutor, function: Callable[[Item], Out], items: Iterable[Item], window: int
) -> Generator[Out, None, None]:
    """Map over ``items`` on ``pool``, in order, with at most ``window`` calls and results waiting."""
    pending: deque[Future[Out]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
