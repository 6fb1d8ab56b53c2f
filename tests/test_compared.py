# SPDX-License-Identifier: MIT
"""Baselines on a data set: what they learn from, what is kept, and that an SVM never sees its query."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from semcbir import load_image
from semcbir.baselines import CEDD, BoVW, ColourHistogram, DHash, PHash, SvmRanking
from semcbir.errors import ModelError
from semcbir.evaluation.compared import UNUSED, compared_parts, compared_ways, folds
from semcbir.evaluation.datasets import Dataset, with_distractors
from semcbir.evaluation.evaluate import Evaluation, evaluate
from semcbir.evaluation.layouts import by_folder
from semcbir.evaluation.measuring import measure
from semcbir.evaluation.rankings import NOWHERE, Truth
from semcbir.evaluation.rows import one_row
from semcbir.evaluation.store import Store
from semcbir.evaluation.ways import Material, Settings, gather, told_apart
from semcbir.features import HOG, Deep, extract_features
from tiny_models import tiny_encoder


@pytest.fixture
def kinds(photo_folder: Path) -> Dataset:
    return by_folder(photo_folder)


def run(dataset: Dataset, model: Path, folder: Path, **settings: object) -> Evaluation:
    with Store(folder) as store:
        return evaluate(dataset, Settings((model,), "hog", **settings), store)


def ap_by_hand(vectors: np.ndarray, labels: np.ndarray) -> list[float]:
    """Average precision of each image as a query, by L2, equal distances by place."""
    found = []
    for query, vector in enumerate(vectors.astype(np.float64)):
        order = np.argsort(((vectors - vector) ** 2).sum(axis=1), kind="stable")
        hits = labels[order[order != query]] == labels[query]
        found.append(float(np.mean([hits[: rank + 1].mean() for rank in np.flatnonzero(hits)])))
    return found


def test_pixels_rank_by_l2(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    scores = run(kinds, tiny_model, tmp_path, baselines=("colour", "dhash")).scores
    assert list(scores) == ["hog", "colour", "dhash"]
    assert list(scores["colour"].values) == ["none"]
    assert scores["colour"].default is None
    vectors = np.array([ColourHistogram().describe(load_image(path)) for path in kinds.queries])
    labels = kinds.truth().wanted
    np.testing.assert_allclose(scores["colour"].values["none"]["ap"], ap_by_hand(vectors, labels))
    assert scores["colour"].kept.tolist() == [1] * 12


def test_vocabularies_are_learnt_from_what_is_searched_and_kept(
    kinds: Dataset, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("sklearn")
    town = (kinds.folder / "town").rename(tmp_path / "town")
    dataset = with_distractors(by_folder(kinds.folder), [town])
    found = run(dataset, tiny_model, tmp_path, baselines=("bovw",), words=20, whiten=4)
    assert list(found.scores) == ["hog", "bovw of hog, 20 words", "bovw of hog, 20 words, whitened 4"]
    features = [
        extract_features(load_image(path), [HOG()])["hog"] for path in dataset.queries
    ]  # not the distractors'
    fitted = BoVW(words=20).fit(features)
    every = [extract_features(load_image(path), [HOG()])["hog"] for path in dataset.database]
    vectors = fitted.vectors(every)
    truth = dataset.truth()
    expected = []
    for query, label in zip(truth.queries, truth.wanted, strict=True):
        order = np.argsort(((vectors - vectors[query].astype(np.float64)) ** 2).sum(axis=1), kind="stable")
        hits = truth.classes[order[order != query]] == label
        expected.append(float(np.mean([hits[: rank + 1].mean() for rank in np.flatnonzero(hits)])))
    np.testing.assert_allclose(found.scores["bovw of hog, 20 words"].values["none"]["ap"], expected)

    def never(*_: object) -> None:
        raise AssertionError("learnt again")

    monkeypatch.setattr(BoVW, "fit", never)
    again = run(dataset, tiny_model, tmp_path, baselines=("bovw",), words=20)
    name = "bovw of hog, 20 words"
    assert again.scores[name].means() == found.scores[name].means()
    alone = run(by_folder(kinds.folder), tiny_model, tmp_path, baselines=("bovw",), words=20)
    assert alone.distractors == 0  # which teach nothing
    with pytest.raises(AssertionError, match="learnt again"):  # with other descriptors
        run(dataset, tiny_model, tmp_path, baselines=("bovw",), words=20, root=True)
    with pytest.raises(AssertionError, match="learnt again"):
        run(dataset, tiny_model, tmp_path, baselines=("bovw",), words=21)
    dataset.paths[0].unlink()
    with pytest.raises(AssertionError, match="learnt again"):  # from other photos
        run(by_folder(kinds.folder), tiny_model, tmp_path, baselines=("bovw",), words=20)


def test_a_network_ranks_by_l2_cosine_and_svms(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    learnt: list[str] = []
    with Store(tmp_path) as store:
        settings = Settings((tiny_model,), "hog", classifiers=(encoder,))
        found = evaluate(kinds, settings, store, on_learning=learnt.append)
    names = [name for name in found.scores if name != "hog"]
    assert [name.partition(", ")[2] for name in names] == ["L2", "cosine", "SVM"]
    assert learnt == [names[2]]
    parts = compared_parts(settings)
    with Store(tmp_path) as store:
        material = gather(kinds, [parts[0][1]], store, settings)
    vectors = np.array([one[parts[0][1].key][0] for one in material.items])
    labels = kinds.truth().wanted
    np.testing.assert_allclose(found.scores[names[0]].values["none"]["ap"], ap_by_hand(vectors, labels))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found.scores[names[1]].values["none"]["ap"], ap_by_hand(unit, labels))


def test_an_svm_has_not_seen_its_query(
    kinds: Dataset, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("sklearn")
    seen: list[np.ndarray] = []
    asked: list[np.ndarray] = []
    fit = SvmRanking.fit

    def spy(self: SvmRanking, vectors: np.ndarray, labels: np.ndarray) -> object:
        seen.append(vectors)
        fitted = fit(self, vectors, labels)
        plain = fitted.decisions

        def decisions(queries: np.ndarray) -> np.ndarray:
            if len(queries) < len(kinds.paths):  # else all images, which are ranked
                asked.append(queries)
                for query in queries:
                    assert not (vectors == query).all(axis=1).any()
            return plain(queries)

        object.__setattr__(fitted, "decisions", decisions)
        return fitted

    monkeypatch.setattr(SvmRanking, "fit", spy)
    encoder = tiny_encoder(tmp_path / "encoder.onnx")
    run(kinds, tiny_model, tmp_path, classifiers=(encoder,))
    assert [len(vectors) for vectors in seen] == [6, 6]
    assert sum(map(len, asked)) == 12


def test_an_svm_has_not_seen_a_copy_of_its_query_either(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    shutil.copy(kinds.paths[0], kinds.paths[0].with_name("copy.jpg"))
    found = run(
        by_folder(kinds.folder), tiny_model, tmp_path, classifiers=(tiny_encoder(tmp_path / "e.onnx"),)
    )
    assert found.same == 2
    truth = Truth(np.array([0, 0, 0, 1, 1]), np.arange(5), np.array([0, 0, 0, 1, 1]))
    halves, queries = folds(made_of(truth, [b"a", b"b", b"a", b"c", b"d"]))
    assert halves.tolist() == queries.tolist() == [0, 1, 0, 0, 1]


def made_of(truth: Truth, contents: list[bytes], outside: Sequence[bytes] = ()) -> Material:
    """Photos that are searched, by content, and queries that are not."""
    n = len(contents)
    strangers = iter(range(n, n + len(outside)))
    queries = [next(strangers) if query == NOWHERE else query for query in truth.queries.tolist()]
    dataset = Dataset("made", Path(), (), np.empty(0, np.int64), ())
    return Material(dataset, truth, np.arange(n), np.array(queries), [], [*contents, *outside], [])


def test_folds_halve_every_class():
    truth = Truth(np.array([0, 1, 0, -1, 1, 0]), np.array([0, 4, NOWHERE]), np.array([0, 1, 1]))
    contents = [bytes([number]) for number in range(6)]
    halves, queries = folds(made_of(truth, contents, [b"else"]))
    assert halves.tolist() == [0, 0, 1, 0, 1, 0]
    assert queries.tolist() == [0, 1, NOWHERE]
    # A query that is not searched, but has the bytes of an image that is.
    halves, queries = folds(made_of(truth, contents, [contents[2]]))
    assert halves.tolist() == [0, 0, UNUSED, 0, 1, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"whiten": 12, "baselines": ("bovw",)}, "whiten: expected at most 11, .* got 12"),
        ({"whiten": 5, "classifiers": (4,)}, "whiten: expected at most 4"),
    ],
)
def test_too_little_to_learn_from_is_said_before_the_work(
    settings: dict[str, object], message: str, kinds: Dataset, tiny_model: Path, tmp_path: Path
):
    if "classifiers" in settings:
        settings["classifiers"] = (tiny_encoder(tmp_path / "encoder.onnx"),)
        dim = compared_parts(Settings((tiny_model,), "hog", **settings))[0][1].dim
        settings["whiten"], message = dim + 1, f"whiten: expected at most {min(dim, 11)}"
    with pytest.raises(ValueError, match=message):
        run(kinds, tiny_model, tmp_path, **settings)


def test_svms_need_two_classes(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    for kind in ("meadow", "town"):
        (kinds.folder / kind).rename(tmp_path / kind)
    with pytest.raises(ValueError, match="classifiers: expected two classes with two photos each"):
        run(by_folder(kinds.folder), tiny_model, tmp_path, classifiers=(tiny_encoder(tmp_path / "e.onnx"),))


def test_models_of_one_name_are_told_apart(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    for folder in ("one", "two"):
        shutil.copytree(tiny_model.parent, tmp_path / folder)
    one, two = (tmp_path / folder / tiny_model.name for folder in ("one", "two"))
    twice = "models: expected each model once, got 'tiny"
    with Store(tmp_path) as store, pytest.raises(ValueError, match=twice):
        evaluate(kinds, Settings((one, two), "hog"), store)
    card = (two.parent / f"{two.stem}.json").read_text()
    changed = json.loads(card)
    changed["input"]["colour"] = "BGR"  # the same file, and other numbers
    (two.parent / f"{two.stem}.json").write_text(json.dumps(changed))
    with Store(tmp_path) as store:
        names = list(evaluate(kinds, Settings((one, two), "hog"), store).scores)
    assert len(set(names)) == 2
    assert all(re.fullmatch(r"hog, tiny.* [0-9a-f]{8}", name) for name in names)
    assert told_apart("models", [("net", {}), ("other", {})]) == ["net", "other"]


def test_one_row_signatures_rank_by_l2_even_null_vectors():
    vectors = np.array([[0, 0], [3, 4], [1, 0], [0, 0]], np.float32)
    signatures = one_row(vectors)
    from semcbir import Searcher

    found = Searcher(signatures).search(signatures, 4, None)
    np.testing.assert_array_equal(found.ids[0], [0, 3, 2, 1])
    np.testing.assert_allclose(found.distances[0], [0, 0, 1, 5])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"baselines": ("bovw", "sift")}, ValueError, "baselines: expected some of 'bovw', .* got 'sift'"),
        ({"baselines": ("cedd", "cedd")}, ValueError, "baselines: expected each once, got 'cedd' twice"),
        ({"baselines": ("cedd",), "root": True}, ValueError, "root: expected baselines of local features"),
        ({"words": 10}, ValueError, "words: expected baselines of local features"),
        ({"baselines": ("dhash",), "whiten": 4}, ValueError, "whiten: expected baselines .* or classifiers"),
        ({"parts": True}, ValueError, "parts: expected feature deep among the features"),
        ({"classifiers": ("nowhere.onnx",)}, ModelError, "nowhere"),
    ],
)
def test_wrong_baselines_are_refused_before_the_work(
    settings: dict[str, object],
    error: type[Exception],
    message: str,
    kinds: Dataset,
    tiny_model: Path,
    tmp_path: Path,
):
    with pytest.raises(error, match=message):
        run(kinds, tiny_model, tmp_path, **settings)


def test_baselines_without_local_features_are_refused(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    deep = (Deep(tiny_encoder(tmp_path / "encoder.onnx")),)
    with Store(tmp_path) as store, pytest.raises(ValueError, match="baselines: expected a local feature"):
        evaluate(kinds, Settings((tiny_model,), deep, baselines=("vlad",)), store)


def test_a_baseline_that_cannot_learn_is_left_out(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    with Store(tmp_path) as store:
        settings = Settings((tiny_model,), "surf", baselines=("bovw", "vlad", "colour"))
        found = evaluate(kinds, settings, store)
    assert list(found.scores) == ["surf", "colour", "vlad of surf"]
    assert list(found.unlearnt) == ["bovw of surf"]
    assert "descriptors for 1000 words, got" in found.unlearnt["bovw of surf"]
    assert found.to_dict()["could not learn"] == found.unlearnt


def test_words_are_a_mixture_s_components(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    found = run(kinds, tiny_model, tmp_path, baselines=("fisher", "vlad"), words=3, root=True)
    assert list(found.scores) == ["hog", "fisher of hog, 3 components, root", "vlad of hog, 3 words, root"]


def test_measuring_a_way_of_the_baselines_alone(kinds: Dataset, tiny_model: Path, tmp_path: Path):
    settings = Settings((tiny_model,), "hog", baselines=("colour", "cedd", "phash", "dhash"))
    parts = compared_parts(settings)
    with Store(tmp_path) as store:
        material = gather(kinds, [part for _, part in parts], store, settings)
        ways = list(compared_ways(material, parts, settings, store))
    assert [way.name for way in ways] == ["colour", "cedd", "phash", "dhash"]
    for way, kind in zip(ways, (ColourHistogram, CEDD, PHash, DHash), strict=True):
        vectors = np.array([kind().describe(load_image(path)) for path in kinds.queries])
        by_hand = ap_by_hand(vectors, material.truth.wanted)
        np.testing.assert_allclose(measure(way, material.truth, 3).values["none"]["ap"], by_hand)
