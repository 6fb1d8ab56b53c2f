# SPDX-License-Identifier: MIT
"""Extractor: images -> Signatures, one network and several features in one pass (Fig. 3, Algorithm 1)."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from semcbir._checks import check_integer
from semcbir.errors import ImageError
from semcbir.features import Feature, LocalFeatures, extract_features, parse_features
from semcbir.images import as_image, display_path, load_image
from semcbir.models.registry import resolve
from semcbir.recipe import Recipe
from semcbir.segmentation import Segmenter
from semcbir.segmentation.runtime import DEVICES
from semcbir.signature import Signatures, build_signatures
from semcbir.threads import check_threads

Image = npt.NDArray[np.uint8]
ImageSource = str | os.PathLike[str] | Image
Item = TypeVar("Item")
Out = TypeVar("Out")

LONG_SIDE = 512
"""Default bound on an image's longer side, in pixels."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """An image as the system sees it.

    - ``image``: RGB uint8 (H, W, 3), bounded
    - ``label_map``: uint8 or uint16 (H, W), at the image's resolution
    - ``features``: per feature name its keypoints and descriptors
    """

    image: Image
    label_map: npt.NDArray[Any]
    features: dict[str, LocalFeatures]


Extracted = dict[str, Signatures] | ImageError
"""What a stream yields for an image: a batch of one per feature name, or why there is none."""


class Extractor:
    """Turns images (paths or RGB uint8 arrays (H, W, 3)) into signatures.

    ``model`` is a segmentation model (an ONNX file with its card beside it, a card, or a registered name),
    ``features`` one or more of kaze, surf, sift, hog (names, or objects with parameters), ``long_side`` the
    bound in pixels on the longer side, ``device`` "auto", "cuda" or "cpu", ``threads`` how many images are
    worked on at once (None: every usable CPU).

    The network itself is loaded when it is first needed, or by ``load``; then a model that is unusable or
    does not fit its card raises ModelError, and a device that is not to be had DeviceError. Raises ModelError
    at once for a model or card that is not there, ValueError or TypeError for a wrong argument.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        features: str | Iterable[str | Feature] = "kaze",
        *,
        long_side: int | None = LONG_SIDE,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.features = parse_features(features)
        self.long_side = None if long_side is None else check_integer("long_side", long_side, 1, 65536)
        self.threads = check_threads(threads)
        if device not in DEVICES:
            raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
        self.device = device
        self.model_path, self.card = resolve(model)
        self.model = model
        self.recipe = Recipe(self.card.preprocessing_dict(), self.features, self.long_side)

    @cached_property
    def segmenter(self) -> Segmenter:
        """The network for a single image: it may use every thread."""
        return Segmenter(self.model, device=self.device, threads=self.threads)

    @cached_property
    def _stream_segmenter(self) -> Segmenter:
        # On the CPU many images at once, a thread each, beat many threads on one image.
        if self.threads == 1 or self.device == "cuda":
            return self.segmenter
        return Segmenter(self.model, device=self.device, threads=1)

    def load(self) -> None:
        """Load the network and try it on a blank image. Raises ModelError or DeviceError where it fails."""
        self._stream_segmenter.segment([np.zeros((32, 32, 3), np.uint8)])

    def analyse(self, image: ImageSource) -> Analysis:
        """Segment an image and find its local features, the two at the same time.

        Raises ImageError where the file cannot be read.
        """
        pixels = self._pixels(image)
        segmenter = self.segmenter
        with ThreadPoolExecutor(1) as beside:
            features = beside.submit(extract_features, pixels, self.features)
            (label_map,) = segmenter.segment([pixels])
            return Analysis(pixels, label_map, features.result())

    def extract(self, images: Iterable[ImageSource], feature: str | None = None) -> Signatures:
        """Return the signatures of ``images`` for one feature (None: the first), in their order.

        Raises ImageError for the first image that cannot be read.
        """
        return self.extract_all(images)[self.recipe.feature(feature).name]

    def extract_all(self, images: Iterable[ImageSource]) -> dict[str, Signatures]:
        """Return the signatures of ``images`` per feature name, from one pass over each image.

        Raises ImageError for the first image that cannot be read.
        """
        sources = [images] if isinstance(images, (str, os.PathLike, np.ndarray)) else list(images)
        if len(sources) == 1:
            return self.signatures_of(self.analyse(sources[0]))
        found: list[dict[str, Signatures]] = []
        for extracted in self.stream(sources):
            if isinstance(extracted, ImageError):
                raise extracted
            found.append(extracted)
        return {feature.name: self._join(feature.name, found) for feature in self.features}

    def stream(self, images: Iterable[ImageSource]) -> Iterator[Extracted]:
        """Yield what ``extract_all`` would, an image at a time and in order, with bounded memory.

        An image that cannot be read yields its ImageError and the stream goes on.
        """
        segmenter = self._stream_segmenter
        with _one_opencv_thread(), ThreadPoolExecutor(self.threads) as pool:
            if segmenter.device == "cpu":
                yield from _ordered_map(pool, self._extract_one, images, 16 * self.threads)
            else:
                # The device works on a batch here while the pool prepares the next ones.
                size = segmenter.batch_size
                prepared = _ordered_map(pool, self._prepare, images, 2 * size + 2 * self.threads)
                while batch := list(itertools.islice(prepared, size)):
                    yield from self._segment_batch(segmenter, batch)

    def _extract_one(self, image: ImageSource) -> Extracted:
        prepared = self._prepare(image)
        if isinstance(prepared, ImageError):
            return prepared
        pixels, features = prepared
        (label_map,) = self._stream_segmenter.segment([pixels])
        return self.signatures_of(Analysis(pixels, label_map, features))

    def _prepare(self, image: ImageSource) -> tuple[Image, dict[str, LocalFeatures]] | ImageError:
        try:
            pixels = self._pixels(image)
            return pixels, extract_features(pixels, self.features)
        except ImageError as error:
            return error
        except (cv2.error, MemoryError) as error:
            # One image that a library chokes on must not end a run over many.
            name = "array" if isinstance(image, np.ndarray) else display_path(image)
            reason = f"no features can be found in it ({error})"
            failed = ImageError(f"{name}: {reason}", reason=reason, transient=isinstance(error, MemoryError))
            failed.__cause__ = error
            return failed

    def _segment_batch(
        self, segmenter: Segmenter, batch: Sequence[tuple[Image, dict[str, LocalFeatures]] | ImageError]
    ) -> Iterator[Extracted]:
        good = [prepared for prepared in batch if not isinstance(prepared, ImageError)]
        label_maps = iter(segmenter.segment([pixels for pixels, _ in good]))
        for prepared in batch:
            if isinstance(prepared, ImageError):
                yield prepared
            else:
                yield self.signatures_of(Analysis(prepared[0], next(label_maps), prepared[1]))

    def _pixels(self, image: ImageSource) -> Image:
        if isinstance(image, np.ndarray):
            return as_image(image, self.long_side)
        return load_image(image, self.long_side)

    def signatures_of(self, analysis: Analysis) -> dict[str, Signatures]:
        """Return an analysed image's signature per feature name, as batches of one (Algorithm 1, Fig. 4)."""
        return {
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

    def _join(self, name: str, found: Sequence[dict[str, Signatures]]) -> Signatures:
        if found:
            return Signatures.concatenate([one[name] for one in found], ids=np.arange(len(found)))
        recipe = self.recipe.for_feature(name)
        return Signatures.empty(recipe.n_classes, recipe.feature().dim, recipe)


def _ordered_map(
    pool: ThreadPoolExecutor, function: Callable[[Item], Out], items: Iterable[Item], window: int
) -> Iterator[Out]:
    """Map over ``items`` on ``pool``, in order, with at most ``window`` results and calls in flight."""
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


@contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own below a pool that already fills the CPUs."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
