# SPDX-License-Identifier: MIT
"""semcbir: semantic image retrieval, after Ouni, Royer, Chevaldonné and Dhome (ISVC 2020)."""

from __future__ import annotations

from semcbir._core import __version__
from semcbir.errors import (
    DeviceError,
    ImageError,
    IndexLockedError,
    IndexStorageError,
    ModelError,
    RecipeMismatchError,
    SemcbirError,
)
from semcbir.explaining import Explanation, explain
from semcbir.extractor import Analysis, Extractor
from semcbir.features import HOG, KAZE, SIFT, SURF, LocalFeatures
from semcbir.images import load_image
from semcbir.index import Index, Record
from semcbir.ingest import Progress, Report, Skipped
from semcbir.models.card import ModelCard
from semcbir.recipe import Recipe
from semcbir.searcher import Neighbors, Searcher, histogram_distances
from semcbir.searching import Hit, Results, search
from semcbir.segmentation import Segmenter
from semcbir.signature import Signatures, build_signatures
from semcbir.storage.checking import check_index

__all__ = [
    "HOG",
    "KAZE",
    "SIFT",
    "SURF",
    "Analysis",
    "DeviceError",
    "Explanation",
    "Extractor",
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
    "build_signatures",
    "check_index",
    "explain",
    "histogram_distances",
    "load_image",
    "search",
]
