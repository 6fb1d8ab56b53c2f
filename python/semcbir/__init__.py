# SPDX-License-Identifier: MIT
"""semcbir: semantic image retrieval, after Ouni, Royer, Chevaldonné and Dhome (ISVC 2020)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from semcbir._openmp import sleeping_threads

with sleeping_threads():
    from semcbir._core import __version__

if TYPE_CHECKING:
    from semcbir.building import build_grid_signatures, build_signatures
    from semcbir.encoding.encoder import Encoder
    from semcbir.encoding.grid import Grid
    from semcbir.errors import (
        DeviceError,
        ImageError,
        IndexLockedError,
        IndexStorageError,
        ModelError,
        RecipeMismatchError,
        SemcbirError,
    )
    from semcbir.explanation import Explanation, explain
    from semcbir.extractor import Analysis, Extractor
    from semcbir.features import HOG, KAZE, SIFT, SURF, Deep, LocalFeatures
    from semcbir.finding import FoundImage, FoundImages, find
    from semcbir.images.decode import load_image
    from semcbir.index.check import check_index
    from semcbir.index.contents import ClassTotal, Contents
    from semcbir.index.index import Index
    from semcbir.index.lookup import Record
    from semcbir.index.report import Progress, Report, Skipped
    from semcbir.near_duplicates import Duplicate, DuplicateGroup, duplicates
    from semcbir.networks.card import ModelCard
    from semcbir.networks.encoder_card import EncoderCard
    from semcbir.query import search
    from semcbir.recipe import Recipe
    from semcbir.results import Hit, Results
    from semcbir.searcher import Neighbors, Searcher, histogram_distances
    from semcbir.segmentation.segmenter import Segmenter
    from semcbir.signatures import Signatures
    from semcbir.smoothing import smoothed, smoothed_queries
    from semcbir.weighting import weighted

__all__ = [
    "HOG",
    "KAZE",
    "SIFT",
    "SURF",
    "Analysis",
    "ClassTotal",
    "Contents",
    "Deep",
    "DeviceError",
    "Duplicate",
    "DuplicateGroup",
    "Encoder",
    "EncoderCard",
    "Explanation",
    "Extractor",
    "FoundImage",
    "FoundImages",
    "Grid",
    "Hit",
    "ImageError",
    "Index",
    "IndexLockedError",
    "IndexStorageError",
    "LocalFeatures",
    "ModelCard",
    "ModelError",
    "Neighbors",
    "Progress",
    "Recipe",
    "RecipeMismatchError",
    "Record",
    "Report",
    "Results",
    "Searcher",
    "Segmenter",
    "SemcbirError",
    "Signatures",
    "Skipped",
    "__version__",
    "build_grid_signatures",
    "build_signatures",
    "check_index",
    "duplicates",
    "explain",
    "find",
    "histogram_distances",
    "load_image",
    "search",
    "smoothed",
    "smoothed_queries",
    "weighted",
]

_NAMES = {
    "building": ("build_grid_signatures", "build_signatures"),
    "encoding.encoder": ("Encoder",),
    "encoding.grid": ("Grid",),
    "errors": (
        "DeviceError",
        "ImageError",
        "IndexLockedError",
        "IndexStorageError",
        "ModelError",
        "RecipeMismatchError",
        "SemcbirError",
    ),
    "explanation": ("Explanation", "explain"),
    "extractor": ("Analysis", "Extractor"),
    "features": ("HOG", "KAZE", "SIFT", "SURF", "Deep", "LocalFeatures"),
    "finding": ("FoundImage", "FoundImages", "find"),
    "images.decode": ("load_image",),
    "index.check": ("check_index",),
    "index.contents": ("ClassTotal", "Contents"),
    "index.index": ("Index",),
    "index.lookup": ("Record",),
    "index.report": ("Progress", "Report", "Skipped"),
    "near_duplicates": ("Duplicate", "DuplicateGroup", "duplicates"),
    "networks.card": ("ModelCard",),
    "networks.encoder_card": ("EncoderCard",),
    "query": ("search",),
    "recipe": ("Recipe",),
    "results": ("Hit", "Results"),
    "searcher": ("Neighbors", "Searcher", "histogram_distances"),
    "segmentation.segmenter": ("Segmenter",),
    "signatures": ("Signatures",),
    "smoothing": ("smoothed", "smoothed_queries"),
    "weighting": ("weighted",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load the module of a public name when it is first used: OpenCV and the rest take a while (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
