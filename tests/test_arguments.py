# SPDX-License-Identifier: MIT
"""Every argument of everything public: what it cannot take is refused at once, by name."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import semcbir
from made_signatures import made_signatures
from semcbir import (
    Deep,
    Encoder,
    EncoderCard,
    Extractor,
    FoundImages,
    Index,
    ModelCard,
    Recipe,
    Results,
    Searcher,
    Segmenter,
    SemcbirError,
    Signatures,
)
from tiny_models import tiny_encoder

WRONG: dict[str, Any] = {
    "None": None,
    "True": True,
    "3": 3,
    "3.5": 3.5,
    "-1": -1,
    "huge": 10**5000,
    "nan": math.nan,
    "1j": 1j,
    "bytes": b"x",
    "text": "",
    "list": [],
    "list of None": [None],
    "dict": {},
    "object": object(),
}
NUMBERS = {"3", "3.5", "huge"}
MANY = {"list", "dict"}

RECORDS = {
    "Analysis",
    "Duplicate",
    "DuplicateGroup",
    "ClassTotal",
    "Contents",
    "Explanation",
    "FoundImage",
    "Hit",
    "LocalFeatures",
    "Neighbors",
    "Progress",
    "Record",
    "Report",
    "Skipped",
}
"""Plain records that semcbir fills in for its users: they check nothing."""

ACCEPTED: dict[str, dict[str, set[str]]] = {
    "Index.build": {
        "model": {"None", "text"},
        "features": {"None"},
        "encoder": {"None"},
        "weighting": {"None"},
        "long_side": {"None", "3"},
        "threads": {"None", "3"},
        "inference": {"None"},
        "max_pixels": {"None", "3", "huge"},
        "part": {"None"},
        "on_progress": {"None"},
    },
    "Index.merge": {"partial": {"True"}, "on_progress": {"None"}},
    "Index.records": {"ids": {"list"}},
    "Index.signatures": {"feature": {"None"}, "ids": {"None", "list"}},
    "Index.searcher": {"feature": {"None"}, "smooth": {"None", "3"}, "where": {"None", "list"}},
    "Index.select": {"where": {"list"}},
    "Index.extractor": {
        "model": {"None", "text"},
        "encoder": {"None"},
        "threads": {"None", "3"},
        "max_pixels": {"None", "3", "huge"},
    },
    "Index.add": {"paths": {"list"}, "extractor": {"None"}, "on_progress": {"None"}},
    "Index.refresh": {"folders": {"list"}, "extractor": {"None"}, "on_progress": {"None"}},
    "Index.remove": {"images": {"list", "3", "-1", "huge"}},
    "Index.rebase": {"old": {"None"}},
    "Index.__contains__": {"image": {"3", "-1", "huge"}},
    "Index.__getitem__": {"image": {"3", "-1", "huge"}},
    "Extractor": {
        "model": {"None", "text"},
        "features": {"None"},
        "long_side": {"None", "3"},
        "threads": {"None", "3"},
        "inference": {"None"},
        "max_pixels": {"None", "3", "huge"},
    },
    "Deep": {"encoder": {"None", "text"}},
    "Deep.with_encoder": {"encoder": {"None", "text"}},
    "Deep.with_weighting": {"whole_share": {"None"}},
    "Extractor.analyse": {"image": {"bytes"}},
    "Extractor.extract": {"images": {"list", "bytes"}, "feature": {"None"}},
    "Extractor.extract_all": {"images": {"list", "bytes"}},
    "Extractor.stream": {"images": {"list", "list of None", "dict"}},
    "Segmenter": {
        "model": {"None", "text"},
        "threads": {"None", "3"},
        "inference": {"None"},
        "max_pixels": {"None", "3", "huge"},
        "tune": {"True"},
    },
    "Segmenter.segment": {"images": {"list"}},
    "Encoder": {"model": {"None", "text"}, "threads": {"None", "3"}, "tune": {"True"}},
    "Encoder.encode": {"images": {"list"}},
    "Searcher.search": {
        "k": {"3"},
        "epsilon": {"None", *NUMBERS},
        "threads": {"None", "3"},
        "terms": {"None"},
        "keep": {"None", "3"},
    },
    "histogram_distances": {"threads": {"None", "3"}},
    "Signatures": {
        "classes": {"list"},
        "n_classes": {"3"},
        "ids": {"None"},
        "recipe": {"None"},
        "whole": {"True"},
    },
    "Signatures.empty": {"n_classes": {"3"}, "dim": {"3"}, "recipe": {"None"}, "whole": {"True"}},
    "Signatures.concatenate": {"ids": {"None"}},
    "Signatures.from_dense": {"counts": {"None"}, "ids": {"None"}, "recipe": {"None"}, "whole": {"True"}},
    "Signatures.__getitem__": {"key": {"3", "-1", "huge", "list"}},
    "build_signatures": {
        "label_maps": {"list"},
        "n_classes": {"3"},
        "void": {"None", "3"},
        "ids": {"None"},
        "recipe": {"None"},
        "threads": {"None", "3"},
    },
    "build_grid_signatures": {
        "label_maps": {"list"},
        "n_classes": {"3"},
        "void": {"None", "3"},
        "whole": {"True"},
        "ids": {"None"},
        "recipe": {"None"},
        "threads": {"None", "3"},
    },
    "weighted": {"whole_share": {"None"}, "recipe": {"None"}, "threads": {"None", "3"}},
    "explain": {
        "query": {"bytes"},
        "hit": {"3", "-1", "huge"},
        "feature": {"None"},
        "only": {"None", "list"},
        "weights": {"None", "dict"},
        "region": {"None"},
        "extractor": {"None"},
    },
    "duplicates": {"distance": NUMBERS, "feature": {"None"}},
    "load_image": {"long_side": {"None", "3", "huge"}, "max_pixels": {"None", "3", "huge"}},
    "search": {
        "query": {"list", "bytes"},
        "k": {"3"},
        "epsilon": {"None", *NUMBERS},
        "feature": {"None"},
        "smooth": {"None", "3"},
        "only": {"None", "list"},
        "without": {"None", "list"},
        "weights": {"None", "dict"},
        "keep": {"None", "3"},
        "expand": {"3"},
        "where": {"None", "list"},
        "region": {"None"},
    },
    "find": {
        "only": {"None", "list"},
        "without": {"None", "list"},
        "shares": {"None", "dict"},
        "k": {"3"},
        "page": {"3"},
        "where": {"None", "list"},
        "threads": {"None", "3"},
    },
    "FoundImages": {
        "images": {"list"},
        "total": {"3", "huge"},
        "page": {"3", "huge"},
        "size": {"3", "huge"},
    },
    "FoundImages.__getitem__": {"key": {"3", "-1", "huge"}},
    "smoothed": {"k": {"3"}, "threads": {"None", "3"}},
    "smoothed_queries": {"k": {"3"}, "threads": {"None", "3"}},
    "Results": {
        "hits": {"list"},
        "kept": {"3", "huge"},
        "epsilon": {"None", *NUMBERS},
        "query": {"None"},
    },
    "Results.__getitem__": {"key": {"3", "-1", "huge"}},
    "Recipe": {"model": {"dict"}, "long_side": {"None", "3"}, "format": {"3", "huge"}},
    "Recipe.feature": {"name": {"None"}},
    "Recipe.for_feature": {"name": {"None"}},
    "ModelCard.from_dict": {"data": {"dict"}},
    "EncoderCard.from_dict": {"data": {"dict"}},
    "EncoderCard": {
        "dim": {"3"},
        "output": {"None"},
        "licence": {"text"},
        "source": {"text"},
        "notes": {"text"},
        "measured": {"dict"},
    },
    "ModelCard": {
        "groups": {"dict"},
        "masked": {"list"},
        "void": {"None", "3"},
        "inference": {"None"},
        "licence": {"text"},
        "source": {"text"},
        "notes": {"text"},
        "measured": {"dict"},
    },
    **{
        kind: {
            name: {"True"} if type(default) is bool else {"3", "3.5"} if type(default) is float else {"3"}
            for name, default in (
                (p.name, p.default) for p in inspect.signature(getattr(semcbir, kind)).parameters.values()
            )
            if type(default) in (bool, int, float)
        }
        for kind in ("HOG", "KAZE", "SIFT")
    },
    "SURF": {
        "hessian_threshold": {"None", "3", "3.5"},
        "n_octaves": {"3"},
        "n_octave_layers": {"None", "3"},
        "max_points": {"3"},
    },
}
"""Which of WRONG an argument may be after all: of the right kind, even if no such thing is there."""
CALLED = {
    "Recipe.feature": "feature",
    "Recipe.for_feature": "feature",
    "ModelCard.from_dict": "card",
    "EncoderCard.from_dict": "card",
}
"""Where a message has a better name than that of the only argument."""


class Cases:
    """Everything public by name, each with arguments that it takes."""

    def __init__(self, photos: Path, model: Path, place: Path) -> None:
        photo = photos / "beach" / "0.jpg"
        index = Index.build(photos, place, model=model, features="hog")
        extractor, segmenter = index.extractor(), Segmenter(model, threads=1)
        encoder_model = tiny_encoder(place.parent / "encoder.onnx")
        encoder = Encoder(encoder_model, threads=1)
        card, batch = extractor.card, made_signatures(4)
        searcher = Searcher(batch)
        columns = {name: getattr(batch, name) for name in ("offsets", "classes", "proportions", "counts")}
        columns |= {"centroids": batch.centroids, "n_classes": 20, "ids": None, "recipe": None}
        columns["whole"] = False
        grid = semcbir.Grid(np.ones((1, 1, 3), np.float32), np.zeros(2, np.int32), np.zeros(2, np.int32))
        on_grid = {"label_maps": [np.zeros((2, 2), int)], "grids": [grid], "n_classes": 5}
        results = semcbir.search(photo, index, k=4)
        name = index.recipe.classes[0]
        found = semcbir.find(index, without=name, max_share=1)
        image = {"label_maps": [np.zeros((2, 2), int)], "keypoints": [np.zeros((1, 2))]}
        image["descriptors"] = [np.ones((1, 3))]
        dense = {"signatures": batch.dense(), "histograms": batch.histograms()}
        build = {"folders": photos, "path": place, "model": model, "features": "hog"}
        self.calls: dict[str, tuple[Callable[..., object], dict[str, Any]]] = {
            "Index": (Index, {"path": place}),
            "Index.open": (Index.open, {"path": place}),
            "Index.build": (Index.build, build),
            "Index.merge": (Index.merge, {"parts": place, "path": place.parent / "merged"}),
            "Index.records": (index.records, {"ids": [0]}),
            "Index.find": (index.find, {"path": photo}),
            "Index.signatures": (index.signatures, {}),
            "Index.contents": (index.contents, {}),
            "Index.searcher": (index.searcher, {}),
            "Index.select": (index.select, {"where": []}),
            "Index.extractor": (index.extractor, {}),
            "Index.add": (index.add, {"paths": photo}),
            "Index.append": (index.append, {"signatures": index.signatures(ids=[0]), "paths": photo}),
            "Index.refresh": (index.refresh, {}),
            "Index.remove": (index.remove, {"images": []}),
            "Index.rebase": (index.rebase, {"new": photos}),
            "Index.__contains__": (index.__contains__, {"image": 0}),
            "Index.__getitem__": (index.__getitem__, {"image": 0}),
            "Extractor": (Extractor, {"model": model}),
            "Extractor.analyse": (extractor.analyse, {"image": photo}),
            "Extractor.extract": (extractor.extract, {"images": photo}),
            "Extractor.extract_all": (extractor.extract_all, {"images": photo}),
            "Extractor.stream": (extractor.stream, {"images": [photo]}),
            "Extractor.signatures_of": (extractor.signatures_of, {"analysis": extractor.analyse(photo)}),
            "Segmenter": (Segmenter, {"model": model}),
            "Segmenter.segment": (segmenter.segment, {"images": [np.zeros((9, 9, 3), np.uint8)]}),
            "Encoder": (Encoder, {"model": encoder_model}),
            "Encoder.encode": (encoder.encode, {"images": [np.zeros((9, 9, 3), np.uint8)]}),
            "Searcher": (Searcher, {"signatures": batch}),
            "Searcher.search": (searcher.search, {"queries": batch}),
            "histogram_distances": (semcbir.histogram_distances, {"queries": batch, "signatures": batch}),
            "Signatures": (Signatures, columns),
            "Signatures.empty": (Signatures.empty, {"n_classes": 5, "dim": 5}),
            "Signatures.concatenate": (Signatures.concatenate, {"batches": [batch]}),
            "Signatures.from_dense": (Signatures.from_dense, dense),
            "Signatures.__getitem__": (batch.__getitem__, {"key": 0}),
            "build_signatures": (semcbir.build_signatures, {**image, "n_classes": 5}),
            "build_grid_signatures": (semcbir.build_grid_signatures, on_grid),
            "Grid": (semcbir.Grid, {**vars(grid)}),
            "Grid.over": (semcbir.Grid.over, {"cells": grid.cells, "size": (2, 2)}),
            "weighted": (semcbir.weighted, {"signatures": batch}),
            "check_index": (semcbir.check_index, {"path": place}),
            "duplicates": (semcbir.duplicates, {"index": index, "distance": 0.1}),
            "explain": (semcbir.explain, {"query": photo, "hit": 0, "index": index}),
            "load_image": (semcbir.load_image, {"path": photo}),
            "search": (semcbir.search, {"query": photo, "index": index}),
            "smoothed": (semcbir.smoothed, {"signatures": batch}),
            "smoothed_queries": (semcbir.smoothed_queries, {"queries": batch, "signatures": batch}),
            "find": (semcbir.find, {"index": index, "without": name}),
            "FoundImages": (FoundImages, {"images": [], "total": 0}),
            "FoundImages.__getitem__": (found.__getitem__, {"key": 0}),
            "Results": (Results, {"hits": list(results), "kept": 4, "epsilon": 0.9, "query": photo}),
            "Results.__getitem__": (results.__getitem__, {"key": 0}),
            "Recipe": (Recipe, {**vars(index.recipe)}),
            "Recipe.from_dict": (Recipe.from_dict, {"data": index.recipe.to_dict()}),
            "Recipe.feature": (index.recipe.feature, {}),
            "Recipe.for_feature": (index.recipe.for_feature, {}),
            "Recipe.agrees": (index.recipe.agrees, {"other": index.recipe}),
            "Recipe.differences": (index.recipe.differences, {"other": index.recipe}),
            "EncoderCard": (EncoderCard, {**vars(encoder.card)}),
            "EncoderCard.from_dict": (EncoderCard.from_dict, {"data": encoder.card.to_dict()}),
            "EncoderCard.load": (EncoderCard.load, {"path": encoder_model.with_suffix(".json")}),
            "EncoderCard.save": (encoder.card.save, {"path": place / "card.json"}),
            "EncoderCard.check_file": (encoder.card.check_file, {"path": encoder_model}),
            "ModelCard": (ModelCard, {**vars(card)}),
            "ModelCard.from_dict": (ModelCard.from_dict, {"data": card.to_dict()}),
            "ModelCard.load": (ModelCard.load, {"path": model.with_suffix(".json")}),
            "ModelCard.save": (card.save, {"path": place / "card.json"}),
            "ModelCard.check_file": (card.check_file, {"path": model}),
        }
        deep = Deep(encoder_model)
        self.calls["Deep"] = (Deep, {"encoder": encoder_model})
        self.calls["Deep.with_encoder"] = (deep.with_encoder, {"encoder": encoder_model})
        self.calls["Deep.with_weighting"] = (deep.with_weighting, {"weighting": "share"})
        grey = {"grey": np.zeros((40, 40), np.uint8)}
        for name in ("HOG", "KAZE", "SIFT", "SURF"):
            kind = getattr(semcbir, name)
            self.calls[name] = (kind, {})
            self.calls[f"{name}.detect_and_compute"] = (kind().detect_and_compute, grey)
            self.calls[f"{name}.with_weighting"] = (kind().with_weighting, {"weighting": "share"})


@pytest.fixture(scope="module")
def cases(made_photos: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return Cases(made_photos, tiny_model, tmp_path_factory.mktemp("arguments") / "index")


def public() -> dict[str, inspect.Signature]:
    """Every public function, class and method that takes arguments."""
    found = {}
    for name in semcbir.__all__:
        value = getattr(semcbir, name)
        if (
            not callable(value)
            or name in RECORDS
            or (isinstance(value, type) and issubclass(value, Exception))
        ):
            continue
        found[name] = inspect.signature(value)
        if isinstance(value, type):
            for method in dir(value):
                if method.startswith("_") and method not in ("__getitem__", "__contains__"):
                    continue
                call = inspect.getattr_static(value, method)
                if isinstance(call, (staticmethod, classmethod)) or inspect.isfunction(call):
                    found[f"{name}.{method}"] = inspect.signature(getattr(value, method))
    return {
        name: signature
        for name, signature in found.items()
        if [argument for argument in signature.parameters if argument != "self"]
    }


PUBLIC = public()
NO_ENTRY = {
    *("Segmenter.lay", "Segmenter.run", "Segmenter.label_map"),  # for callers that batch: Extractor's images
    *("Encoder.lay", "Encoder.run", "Encoder.grid"),  # likewise
    *("Results.__contains__", "Results.count", "Results.index"),  # as of any sequence
    *("FoundImages.__contains__", "FoundImages.count", "FoundImages.index"),
}
ARGUMENTS = [
    (name, argument)
    for name, signature in PUBLIC.items()
    if name not in NO_ENTRY
    for argument in signature.parameters
    if argument != "self"
]


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_every_argument(name: str, argument: str, cases: Cases) -> None:
    call, arguments = cases.calls[name]
    wrong = []
    for label in WRONG.keys() - ACCEPTED.get(name, {}).get(argument, set()):
        said = refusal(call, {**arguments, argument: WRONG[label]})
        form = rf"{CALLED.get(name, argument)}(\.\w+)?: (image \d+: )?expected .+, got .+"
        if said is None or not re.fullmatch(form, said) or len(said) > 300:
            wrong.append(f"{label}: {said}")
    assert not wrong


def refusal(call: Callable[..., object], arguments: dict[str, Any]) -> str | None:
    """What is said about wrong arguments; None if they are taken."""
    try:
        call(**arguments)
    except (TypeError, ValueError, SemcbirError) as error:
        return str(error)
    return None
