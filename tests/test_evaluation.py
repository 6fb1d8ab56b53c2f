# SPDX-License-Identifier: MIT
"""Figures over a whole database: measured against the definitions, whatever the way of ranking."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from made_signatures import made_signatures, numbered, with_whole_rows
from semcbir import Index, Searcher, Signatures, search
from semcbir.evaluation import measuring
from semcbir.evaluation.datasets import Dataset, DatasetError, with_distractors
from semcbir.evaluation.evaluate import Evaluation, evaluate
from semcbir.evaluation.layouts import by_folder, wang
from semcbir.evaluation.measuring import (
    MODES,
    answerable,
    by_distances,
    by_signatures,
    measure,
    measure_signatures,
    without_query,
)
from semcbir.evaluation.metrics import MEASURES
from semcbir.evaluation.rankings import DISTRACTOR, NOWHERE, Truth, judge
from semcbir.evaluation.rows import class_rows, rows_of, whole_rows
from semcbir.evaluation.store import Store
from semcbir.evaluation.ways import Settings
from semcbir.features import Deep, parse_features
from tiny_models import tiny_encoder


def on_a_line(places: list[float]) -> Signatures:
    """Images of one class whose distances are those of ``places`` on a line."""
    n = len(places)
    return Signatures.from_dense(np.array(places).reshape(n, 1, 1), np.ones((n, 1)))


def test_distractors_take_ranks_and_are_never_asked():
    # Two of class 0 with a distractor between them, then two of class 1 with nothing between them.
    signatures = on_a_line([0, 1, 2, 10, 11, 20])
    labels = np.array([0, DISTRACTOR, 0, 1, 1, DISTRACTOR])
    scores = measure_signatures(signatures, labels).means()["none"]
    # Ranks of the other one of the class: 2, 2 (after the distractor between), 1, 1; p@20 is over R = 1 rank.
    assert scores["ap"] == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)
    assert scores["p@20 out"] == pytest.approx((0 + 0 + 1 + 1) / 4)
    assert scores["p@20 in"] == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)
    alone = measure_signatures(numbered(signatures[labels != DISTRACTOR]), labels[labels != DISTRACTOR])
    assert alone.mean("none", "ap") == 1


def test_kept_pairs_count_the_whole_database():
    histograms = np.eye(2)[[0, 0, 1, 0, 1]]
    signatures = Signatures.from_dense(np.ones((5, 2, 1)) * histograms[:, :, None], histograms)
    scores = measure_signatures(signatures, np.array([0, 0, DISTRACTOR, DISTRACTOR, DISTRACTOR]))
    assert scores.kept.tolist() == [2 / 4, 2 / 4]  # of the four others, the two with the query's class
    assert scores.penalised.tolist() == [0, 0]


def plain_scores(signatures: Signatures, labels: np.ndarray, epsilon: float) -> dict[str, dict[str, float]]:
    """A few figures straight from the definitions: dense matrices, one query at a time."""
    dense = signatures.dense().astype(np.float64).reshape(len(signatures), -1)
    histograms = signatures.histograms().astype(np.float64)
    found: dict[str, dict[str, list[float]]] = {mode: {"ap": [], "p@20 in": []} for mode in MODES}
    for query in range(len(signatures)):
        distances = ((dense - dense[query]) ** 2).sum(1)
        penalised = np.abs(histograms - histograms[query]).sum(1) > epsilon
        for mode in MODES:
            behind = np.zeros_like(penalised) if mode == "none" else penalised
            order = np.lexsort((signatures.ids, distances, behind))
            if mode == "drop":
                order = order[: np.count_nonzero(~penalised)]
            hits = labels[order] == labels[query]
            out = hits[order != query]
            n_relevant = np.count_nonzero(labels == labels[query]) - 1
            precisions = [out[: rank + 1].mean() for rank in np.flatnonzero(out)]
            found[mode]["ap"].append(sum(precisions) / n_relevant)
            depth = min(20, n_relevant + 1)
            found[mode]["p@20 in"].append(hits[:depth].sum() / depth)
    return {
        mode: {name: float(np.mean(values)) for name, values in one.items()} for mode, one in found.items()
    }


@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("entries", [10_000_000, 1000])
def test_measure_is_the_mean_over_all_queries(
    duplicates: bool, entries: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(measuring, "_ENTRIES", entries)  # all at once, or seven at a time
    signatures = numbered(made_signatures(130, n_classes=6, dim=3, duplicates=duplicates))
    labels = np.random.default_rng(5).permutation(130) % 4
    scores = measure_signatures(signatures, labels, 1.2)
    for mode, figures in plain_scores(signatures, labels, 1.2).items():
        got = {name: scores.mean(mode, name) for name in figures}
        assert got == pytest.approx(figures, abs=1e-9), mode

    histograms = signatures.histograms().astype(np.float64)
    kept = np.abs(histograms[:, None] - histograms[None]).sum(2) <= 1.2
    others = ~np.eye(130, dtype=bool)
    relevant = (labels[:, None] == labels[None]) & others
    per_query = [np.mean(~row[same]) for row, same in zip(kept, relevant, strict=True)]
    assert scores.kept.mean() == pytest.approx(kept[others].mean())
    np.testing.assert_allclose(scores.penalised, per_query)
    assert 0.1 < scores.kept.mean() < 0.9


def test_confusion_and_first_images_leave_the_query_out():
    signatures = on_a_line([0, 1, 2, 10, 11, 12, 30])
    labels = np.array([0, 0, 1, 1, 0, 1, DISTRACTOR])
    scores = measure_signatures(signatures, labels)
    found = Searcher(signatures).search(signatures[:6], 7, None).ids
    expected = [[image for image in row if image != query] for query, row in enumerate(found.tolist())]
    assert scores.first["none"][:, :6].tolist() == expected
    assert (scores.first["none"][:, 6:] == -1).all()
    shares = np.zeros((2, 3))
    for query, row in enumerate(expected):
        for image in row:
            shares[labels[query], labels[image]] += 1  # -1 is the last column
    np.testing.assert_allclose(scores.confusion["none"], shares / shares.sum(axis=1, keepdims=True))
    assert scores.curves["none"].shape == (3, measuring.RECALLS)
    weights = np.bincount(labels[:6])
    np.testing.assert_allclose(scores.curves["none"][2], weights @ scores.curves["none"][:2] / weights.sum())


def test_what_is_first_without_the_query():
    truth = Truth(np.zeros(6, np.int64), np.array([3, 5, NOWHERE, 0]), np.zeros(4, np.int64))
    ids = np.array([[3, 1, 2, 0], [1, 2, 0, 5], [4, 1, 2, 3], [0, 4, -1, -1]])
    assert without_query(ids, truth, 2).tolist() == [[1, 2], [1, 2], [4, 1], [4, -1]]
    assert without_query(ids, truth, 9).tolist() == [
        [1, 2, 0, -1],
        [1, 2, 0, -1],
        [4, 1, 2, 3],
        [4, -1, -1, -1],
    ]


def test_queries_that_are_not_searched():
    images, queries = on_a_line([0, 1, 10, 11]), on_a_line([0.4, 10.6])
    truth = Truth(np.array([0, 1, 1, 0]), np.array([NOWHERE, NOWHERE]), np.array([0, 1]))
    scores = measure(by_signatures("", images, queries, 0.9), truth, 2)
    assert scores.values["none"]["ap"].tolist() == [(1 + 2 / 4) / 2, (1 / 2 + 2 / 3) / 2]
    assert scores.kept.tolist() == [1, 1]


def test_equal_distances_rank_by_id():
    truth = Truth(np.array([0, 0, 1, 1]), np.array([1, 2]), np.array([0, 1]))
    way = by_distances("same", lambda queries: np.zeros((len(queries), 4)))
    ids, kept = way.rank["none"](np.array([0, 1]))
    assert ids.tolist() == [[0, 1, 2, 3]] * 2
    assert kept.tolist() == [4, 4]
    assert measure(way, truth, 2).values["none"]["ap"].tolist() == [1, 1 / 3]


def test_queries_to_which_nothing_is_relevant_are_left_out_and_counted():
    truth = Truth(np.array([0, 0, 1, 2, 2]), np.arange(5), np.array([0, 0, 1, 2, 2]))
    assert answerable(truth).tolist() == [True, True, False, True, True]


@pytest.fixture
def three_kinds(photo_folder: Path) -> Dataset:
    return by_folder(photo_folder)


def run(dataset: Dataset, model: Path, folder: Path, **settings: object) -> Evaluation:
    with Store(folder) as store:
        return evaluate(dataset, Settings((model,), **settings), store)


def test_evaluate_judges_by_the_files_classes(three_kinds: Dataset, tiny_model: Path, tmp_path: Path):
    index = Index.build(three_kinds.folder, tmp_path / "index", model=tiny_model, features="kaze,hog")
    found = run(three_kinds, tiny_model, tmp_path, features="kaze,hog")
    assert list(found.scores) == ["kaze", "hog"]
    for name, one in found.scores.items():
        expected = measure_signatures(numbered(index.signatures(name)), np.repeat([0, 1, 2], 4))
        assert one.means() == expected.means()
        assert one.mean("last", "ap") > 0.8  # the three kinds are easy to tell apart
        assert one.default == "last"
    assert found.asked == tuple(record.path for record in index)


def test_distractors_that_cannot_be_read_are_left_out(three_kinds: Dataset, tiny_model: Path, tmp_path: Path):
    town = (three_kinds.folder / "town").rename(tmp_path / "a town")
    (town / "0 broken.jpg").write_bytes(b"")
    dataset = with_distractors(by_folder(three_kinds.folder), [town])
    found = run(dataset, tiny_model, tmp_path, features="hog")
    assert list(found.unreadable) == [town / "0 broken.jpg"]
    assert found.distractors == 4
    assert found.truth.classes.tolist() == [DISTRACTOR] * 4 + [0] * 4 + [1] * 4
    assert found.to_dict()["unreadable"] == {
        (town / "0 broken.jpg").as_posix(): found.unreadable[town / "0 broken.jpg"]
    }
    sound = with_distractors(by_folder(three_kinds.folder), [])
    assert run(sound, tiny_model, tmp_path, features="hog").distractors == 0


def test_photos_that_cannot_be_read_are_left_out_of_one_s_own_and_refused_in_a_published_set(
    three_kinds: Dataset, tiny_model: Path, tmp_path: Path
):
    broken = three_kinds.paths[0], three_kinds.paths[5]
    for path in broken:
        path.write_bytes(b"no image")
    found = run(three_kinds, tiny_model, tmp_path, features="hog", baselines=("colour",))
    assert set(found.unreadable) == set(broken)
    assert found.asked == tuple(path for path in three_kinds.paths if path not in broken)
    assert found.searched == found.asked
    for path in broken:
        path.unlink()
    alone = run(by_folder(three_kinds.folder), tiny_model, tmp_path, features="hog", baselines=("colour",))
    assert {name: one.means() for name, one in found.scores.items()} == {
        name: one.means() for name, one in alone.scores.items()
    }
    for path in broken:
        path.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"2 photos of folder cannot be read, such as .*beach/0"):
        run(replace(three_kinds, may_lack=False), tiny_model, tmp_path, features="hog")


def test_copies_among_the_photos_are_counted(three_kinds: Dataset, tiny_model: Path, tmp_path: Path):
    first, more = three_kinds.paths[0], tmp_path / "more"
    more.mkdir()
    for name in ("x.jpg", "y.jpg"):
        shutil.copy(first, first.with_name(name))
        shutil.copy(first, more / name)
    shutil.copy(three_kinds.paths[-1], tmp_path / "own.png")
    (tmp_path / "own.png").rename(more / "own.png")
    found = run(with_distractors(by_folder(three_kinds.folder), [more]), tiny_model, tmp_path, features="hog")
    assert (found.same, found.disguised) == (7, 3)


def test_a_class_of_one_photo_is_counted(three_kinds: Dataset, tiny_model: Path, tmp_path: Path):
    for path in sorted((three_kinds.folder / "town").iterdir())[1:]:
        path.unlink()
    found = run(by_folder(three_kinds.folder), tiny_model, tmp_path, features="hog")
    assert (found.lonely, len(found.asked), len(found.truth.classes)) == (1, 8, 9)
    assert all(path.parent.name != "town" for path in found.asked)


def test_smoothed_scores_are_those_of_searches_that_smooth(
    three_kinds: Dataset, tiny_model: Path, tmp_path: Path
):
    index = Index.build(three_kinds.folder, tmp_path / "index", model=tiny_model, features="hog,kaze")
    scores = run(three_kinds, tiny_model, tmp_path, features="hog,kaze", smooth=2).scores
    assert list(scores) == ["hog", "hog, smoothed 2", "kaze", "kaze, smoothed 2"]
    plain = run(three_kinds, tiny_model, tmp_path, features="kaze").scores["kaze"]
    assert scores["kaze"].means() == plain.means()
    ids = [record.id for record in index]
    truth = three_kinds.truth()
    for feature in index.features:
        for mode, epsilon in (("none", None), ("last", 0.9)):
            found = search([record.path for record in index], index, 12, epsilon, feature=feature, smooth=2)
            order = np.array([[ids.index(hit.id) for hit in hits] for hits in found])
            judged = judge(order, np.array([hits.kept for hits in found]), truth)
            got = scores[f"{feature}, smoothed 2"].values[mode]
            for name, value in MEASURES.items():
                np.testing.assert_array_equal(got[name], value(judged), f"{feature}, {mode}, {name}")


def test_some_rows_alone():
    signatures = with_whole_rows(made_signatures(30, n_classes=5, dim=3))
    dense = signatures.dense()
    for part, kept in (
        (class_rows(signatures), slice(0, 5)),
        (whole_rows(signatures), slice(5, 6)),
        (rows_of(signatures, 2), slice(2, 3)),
    ):
        expected = np.zeros_like(dense)
        expected[:, kept] = dense[:, kept]
        np.testing.assert_array_equal(part.dense(), expected)
        np.testing.assert_array_equal(part.histograms(), signatures.histograms())
        np.testing.assert_array_equal(part.ids, signatures.ids)


def test_parts_of_deep_are_measured_alone(three_kinds: Dataset, tiny_model: Path, tmp_path: Path):
    encoder = Deep(tiny_encoder(tmp_path / "encoder.onnx"))
    both = (encoder, *parse_features("hog"))
    scores = run(three_kinds, tiny_model, tmp_path, features=both, parts=True).scores
    assert list(scores) == ["deep", "deep, class rows", "deep, whole row", "hog"]
    assert [one.default for one in scores.values()] == ["none", None, None, "last"]
    with Store(tmp_path) as store:
        other = evaluate(three_kinds, Settings((tiny_model,), "hog"), store, 0.5)
    assert (other.scores["hog"].default, other.scores["hog"].usual) == (None, "last")
    assert [one.usual for one in scores.values()] == ["none", "none", "none", "last"]
    # The same ranking as that of signatures whose whole rows, or class rows, count for nothing.
    for share, title in ((0, "deep, class rows"), (1, "deep, whole row")):
        alone = run(three_kinds, tiny_model, tmp_path, features=(Deep(encoder.path, whole_share=share),))
        assert alone.scores["deep"].mean("none", "ap") == pytest.approx(scores[title].mean("none", "ap"))


def test_several_networks_are_told_apart(
    three_kinds: Dataset, tiny_model: Path, tiny_logits_model: Path, tmp_path: Path
):
    with Store(tmp_path) as store:
        settings = Settings((tiny_model, tiny_logits_model), "hog,kaze")
        found = evaluate(three_kinds, settings, store, sweep=(2.0, 0.3))
    assert list(found.sweep) == [0.3, 0.9, 2.0]  # its own among them
    names = [name.partition(", ") for name in found.scores]
    assert [first for first, _, _ in names] == ["hog", "kaze"] * 2
    assert len({network for _, _, network in names}) == 2
    for name, one in found.scores.items():
        # At 2 everything passes, so that nothing is last and nothing is left out.
        assert found.sweep[2.0][name] == pytest.approx((one.mean("none", "ap"),) * 2)
        assert found.sweep[0.3][name][0] >= found.sweep[0.3][name][1]
        assert found.sweep[0.9][name] == (one.mean("last", "ap"), one.mean("drop", "ap"))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_figures_are_the_same_for_any_threads(
    threads: int, three_kinds: Dataset, tiny_model: Path, tmp_path: Path
):
    one = run(three_kinds, tiny_model, tmp_path / "one", features="kaze", threads=1)
    many = run(three_kinds, tiny_model, tmp_path / "many", features="kaze", threads=threads)
    assert json.dumps(one.to_dict()["scores"]) == json.dumps(many.to_dict()["scores"])


@pytest.mark.parametrize(
    ("settings", "epsilon", "message"),
    [
        ({"features": "kaze"}, -1, "epsilon: expected a number of 0 or more"),
        ({"features": "kaze,brisk"}, 0.9, "brisk"),
        ({"features": "hog", "smooth": 1001}, 0.9, "smooth: expected an integer from 0 to 1000"),
        ({"features": "hog", "encoder": "efficientnet-lite0"}, 0.9, "encoder: expected feature deep"),
        ({"features": "hog", "threads": 0}, 0.9, "threads: expected"),
    ],
)
def test_wrong_settings_are_refused(
    settings: dict[str, object],
    epsilon: float,
    message: str,
    three_kinds: Dataset,
    tiny_model: Path,
    tmp_path: Path,
):
    with Store(tmp_path) as store, pytest.raises(ValueError, match=message):
        evaluate(three_kinds, Settings((tiny_model,), **settings), store, epsilon)


FIRST_MEASURED = {
    "kaze": (0.480, 0.606, 0.419, 0.703, 0.886, 0.715, 0.798, 0.746, 0.463, 0.579, 0.444),
    "surf": (0.448, 0.588, 0.412, 0.685, 0.872, 0.692, 0.782, 0.733, 0.436, 0.567, 0.443),
    "hog": (0.474, 0.608, 0.419, 0.691, 0.886, 0.704, 0.801, 0.744, 0.459, 0.582, 0.445),
    "sift": (0.446, 0.593, 0.417, 0.682, 0.882, 0.688, 0.793, 0.741, 0.430, 0.570, 0.444),
}
"""On Wang with the same network, measured by another program: ``ap`` none, last, drop, ``paper`` none, drop,
``p@20 in`` and ``p@100 in`` none, last, drop."""


@pytest.mark.slow
def test_figures_on_wang(wang_dir: Path, ade_model: Path, tmp_path: Path):
    with Store(tmp_path) as store:
        settings = Settings((ade_model,), ",".join(FIRST_MEASURED))
        scores = evaluate(wang(wang_dir), settings, store).scores
    for name, expected in FIRST_MEASURED.items():
        one = scores[name]
        got = [one.mean(mode, "ap") for mode in MODES]
        got += [one.mean(mode, "paper") for mode in ("none", "drop")]
        got += [one.mean(mode, measure) for measure in ("p@20 in", "p@100 in") for mode in MODES]
        assert got == pytest.approx(expected, abs=0.02), name
    assert scores["kaze"].kept.mean() == pytest.approx(0.063, abs=0.01)
    assert scores["kaze"].penalised.mean() == pytest.approx(0.54, abs=0.03)
