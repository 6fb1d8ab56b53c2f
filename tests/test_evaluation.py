# SPDX-License-Identifier: MIT
"""Data sets, figures over a whole database, and the command that prints them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from made_signatures import made_signatures, with_whole_rows
from semcbir import ImageError, Index, Searcher, Signatures, search
from semcbir.evaluation.__main__ import main
from semcbir.evaluation.datasets import Dataset, DatasetError, by_folder, wang, with_distractors
from semcbir.evaluation.finding import find_originals
from semcbir.evaluation.measuring import DISTRACTOR, MODES, Scores, evaluate, labels_by_id, measure
from semcbir.evaluation.metrics import PROTOCOLS, judge
from semcbir.evaluation.rows import class_rows, rows_of, whole_rows
from semcbir.evaluation.tables import markdown
from semcbir.features import Deep
from tiny_models import tiny_encoder

SHADES = [(0, 0, 40), (0, 0, 200), (0, 200, 0), (200, 0, 0), (40, 40, 40)]


@pytest.fixture(scope="module")
def wang_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1000 pictures of 16 x 24 pixels under Wang's names; two classes in a row are of one colour."""
    folder = tmp_path_factory.mktemp("wang")
    noise = np.random.default_rng(0).integers(0, 50, (20, 16, 24, 3), np.uint8)
    for label in range(10):
        for copy in range(100):
            picture = noise[copy % 20] + np.array(SHADES[label // 2], np.uint8)
            (folder / f"{100 * label + copy}.jpg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
    return folder


@pytest.fixture
def three_kinds(photo_folder: Path) -> Dataset:
    paths = sorted(path for path in photo_folder.rglob("*") if path.is_file())
    kinds = ("beach", "meadow", "town")
    return Dataset(
        "kinds", photo_folder, tuple(paths), np.array([kinds.index(p.parent.name) for p in paths]), kinds
    )


def test_wang_is_a_hundred_of_each_class_in_a_row(wang_like: Path):
    dataset = wang(wang_like)
    assert dataset.name == "wang"
    assert [path.name for path in dataset.paths] == [f"{number}.jpg" for number in range(1000)]
    assert dataset.class_names[dataset.labels[0]] == "africans"
    assert dataset.class_names[dataset.labels[399]] == "buses"
    assert dataset.class_names[dataset.labels[999]] == "food"
    assert np.bincount(dataset.labels).tolist() == [100] * 10


def test_a_folder_that_is_not_wang(wang_like: Path, tmp_path: Path):
    folder = tmp_path / "wang"
    with pytest.raises(ImageError, match="wang"):
        wang(folder)
    folder.mkdir()
    with pytest.raises(DatasetError, match=r"1000 images of Wang; 1000 are missing, such as 0\.jpg"):
        wang(folder)
    shutil.copytree(wang_like, folder, dirs_exist_ok=True)
    (folder / "1000.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"and no others, got 1 more, such as .*1000\.jpg"):
        wang(folder)
    (folder / "1000.jpg").unlink()
    (folder / "57.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 are missing, such as 57\.jpg"):
        wang(folder)


def empty_images(folder: Path, *names: str) -> Path:
    """Files that have images' names, which is all that a data set looks at."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return folder


def test_a_folder_s_classes_are_the_folders_directly_below_it(tmp_path: Path):
    names = ("b/1.jpg", "b/2/deep/er.png", "a/x/1.jpg", "a/y/1.jpg", "a/x/2.TIF", "Z/0.bmp", "Z/1.bmp")
    root = empty_images(tmp_path / "set", *names, "b/notes.txt", "none/notes.txt", "notes.txt")
    dataset = by_folder(str(root))
    assert (dataset.name, dataset.folder) == ("folder", root)
    assert dataset.class_names == ("Z", "a", "b")
    files = [path.relative_to(root).as_posix() for path in dataset.paths]
    found = dict(zip(files, dataset.labels.tolist(), strict=True))
    assert found == {name: "Zab".index(name[0]) for name in names}
    assert dataset.labels.dtype == np.int64
    assert dataset.folders == (root,)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "a sub-folder of images for each class, got no image"),
        (("a/1.jpg", "a/2.jpg", "3.jpg"), r"for each class, got 1 image beside them, such as 3\.jpg"),
        (("a/1.jpg", "a/2.jpg", "b/1.jpg"), "at least two images of each class, got one in b$"),
        (("a/1.jpg", "b/1.jpg", "c/1.jpg"), "got one in a and in 2 others"),
    ],
)
def test_a_folder_that_is_no_data_set(names: tuple[str, ...], message: str, tmp_path: Path):
    (tmp_path / "set").mkdir()
    with pytest.raises(DatasetError, match=message):
        by_folder(empty_images(tmp_path / "set", *names))


def test_distractors_are_images_that_are_not_in_the_data_set(tmp_path: Path):
    dataset = by_folder(empty_images(tmp_path / "set", "a/1.jpg", "a/2.jpg"))
    more = empty_images(tmp_path / "more", "1.jpg", "x/2.jpg", "notes.txt")
    other = empty_images(tmp_path / "other", "1.jpg")
    both = with_distractors(dataset, [more, str(other)])
    assert both.folders == (dataset.folder, more, other)
    assert both.distractors == (more / "1.jpg", more / "x" / "2.jpg", other / "1.jpg")
    assert (both.paths, both.labels.tolist()) == (dataset.paths, [0, 0])
    assert with_distractors(dataset, []).distractors == ()

    with pytest.raises(ImageError, match="none"):
        with_distractors(dataset, [tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="expected a folder of images, got none in .*empty"):
        with_distractors(dataset, [tmp_path / "empty"])


def test_distractors_that_overlap_are_refused(tmp_path: Path):
    dataset = by_folder(empty_images(tmp_path / "set", "a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"))
    more = empty_images(tmp_path / "more", "1.jpg")
    link = tmp_path / "link"
    link.symlink_to(dataset.folder)
    for folder, count in ((dataset.folder, 4), (dataset.folder / "b", 2), (tmp_path, 4), (link, 4)):
        with pytest.raises(DatasetError, match=rf"images that are not in .*set, got {count} images of those"):
            with_distractors(dataset, [folder])
    with pytest.raises(DatasetError, match=r"images that are not in .*more, got 1 image of those in .*more"):
        with_distractors(dataset, [more, more])
    (more / "2.jpg").symlink_to(dataset.paths[0])
    with pytest.raises(DatasetError, match=r"got 1 image of those in .*more, such as .*2\.jpg"):
        with_distractors(dataset, [more])


def on_a_line(places: list[float]) -> Signatures:
    """Images of one class whose distances are those of ``places`` on a line."""
    n = len(places)
    return Signatures.from_dense(np.array(places).reshape(n, 1, 1), np.ones((n, 1)))


def test_distractors_take_ranks_and_are_never_asked():
    # Two of class 0 with a distractor between them, then two of class 1 with nothing between them.
    signatures = on_a_line([0, 1, 2, 10, 11, 20])
    labels = np.array([0, DISTRACTOR, 0, 1, 1, DISTRACTOR])
    scores = measure(Searcher(signatures), signatures, labels)
    # Ranks of the other one of the class: 2, 2 (after the distractor between), 1, 1; p@20 is over R = 1 rank.
    assert scores.protocols["none"]["ap"] == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)
    assert scores.protocols["none"]["p@20 out"] == pytest.approx((0 + 0 + 1 + 1) / 4)
    assert scores.protocols["none"]["p@20 in"] == pytest.approx((1 / 2 + 1 / 2 + 1 + 1) / 4)
    without = labels != DISTRACTOR
    alone = measure(Searcher(signatures[without]), signatures[without], labels[without])
    assert alone.protocols["none"]["ap"] == 1


def test_kept_pairs_count_the_whole_database():
    histograms = np.eye(2)[[0, 0, 1, 0, 1]]
    signatures = Signatures.from_dense(np.ones((5, 2, 1)) * histograms[:, :, None], histograms)
    labels = np.array([0, 0, DISTRACTOR, DISTRACTOR, DISTRACTOR])
    scores = measure(Searcher(signatures), signatures, labels)
    assert scores.kept_pairs == pytest.approx(2 / 4)  # of the four others, the two with the query's class
    assert scores.penalised_relevant == 0


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
def test_measure_is_the_mean_over_all_queries(duplicates: bool):
    signatures = made_signatures(130, n_classes=6, dim=3, duplicates=duplicates)
    labels = np.random.default_rng(5).permutation(130) % 4
    scores = measure(Searcher(signatures), signatures, labels, epsilon=1.2)
    for mode, figures in plain_scores(signatures, labels, 1.2).items():
        got = {name: scores.protocols[mode][name] for name in figures}
        assert got == pytest.approx(figures, abs=1e-9), mode

    histograms = signatures.histograms().astype(np.float64)
    kept = np.abs(histograms[:, None] - histograms[None]).sum(2) <= 1.2
    others = ~np.eye(130, dtype=bool)
    relevant = (labels[:, None] == labels[None]) & others
    per_query = [np.mean(~row[same]) for row, same in zip(kept, relevant, strict=True)]
    assert scores.kept_pairs == pytest.approx(kept[others].mean())
    assert scores.penalised_relevant == pytest.approx(np.mean(per_query))
    assert 0.1 < scores.kept_pairs < 0.9


def test_evaluate_judges_by_the_files_classes(three_kinds: Dataset, tiny_model: Path, tmp_path: Path):
    index = Index.build(three_kinds.folder, tmp_path / "index", model=tiny_model, features="kaze,hog")
    scores = evaluate(index, three_kinds)
    assert list(scores) == ["kaze", "hog"]
    for name, one in scores.items():
        expected = measure(index.searcher(name), index.signatures(name), np.repeat([0, 1, 2], 4))
        assert one == expected
        assert one.protocols["last"]["ap"] > 0.8  # the three kinds are easy to tell apart


def test_distractors_of_an_index_and_its_labels(three_kinds: Dataset, tiny_model: Path, tmp_path: Path):
    town = three_kinds.folder / "town"
    others = town.rename(tmp_path / "town")
    (others / "broken.jpg").write_bytes(b"")
    dataset = with_distractors(by_folder(three_kinds.folder), [others])
    index = Index.build(dataset.folders, tmp_path / "index", model=tiny_model, features="hog")
    labels = labels_by_id(index, dataset)
    expected = {"beach": 0, "meadow": 1, "town": DISTRACTOR}
    assert labels.tolist() == [expected[record.path.parent.name] for record in index]
    assert np.bincount(labels + 1).tolist() == [4, 4, 4]
    assert evaluate(index, dataset)["hog"] == measure(index.searcher(), index.signatures(), labels)


def test_smoothed_scores_are_those_of_searches_that_smooth(
    three_kinds: Dataset, tiny_model: Path, tmp_path: Path
):
    index = Index.build(three_kinds.folder, tmp_path / "index", model=tiny_model, features="hog,kaze")
    scores = evaluate(index, three_kinds, smooth=2)
    assert list(scores) == ["hog", "hog, smoothed 2", "kaze", "kaze, smoothed 2"]
    assert scores["kaze"] == evaluate(index, three_kinds)["kaze"]
    labels = labels_by_id(index, three_kinds)
    ids = np.array([record.id for record in index])
    for feature in index.features:
        for mode, epsilon in (("none", None), ("last", 0.9)):
            found = search([record.path for record in index], index, 12, epsilon, feature=feature, smooth=2)
            rankings = [
                judge(np.array([hit.id for hit in hits]), hits.kept, ids[labels == label], int(query))
                for hits, label, query in zip(found, labels, ids, strict=True)
            ]
            got = scores[f"{feature}, smoothed 2"].protocols[mode]
            for name, protocol in PROTOCOLS.items():
                assert got[name] == np.mean([protocol(ranking) for ranking in rankings]), (
                    feature,
                    mode,
                    name,
                )


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
    index = Index.build(three_kinds.folder, tmp_path / "index", model=tiny_model, features=[encoder, "hog"])
    scores = evaluate(index, three_kinds, parts=True)
    assert list(scores) == ["deep", "deep, class rows", "deep, whole row", "hog"]
    assert [one.default for one in scores.values()] == ["none", None, None, "last"]
    assert evaluate(index, three_kinds, 0.5)["hog"].default is None
    # The same ranking as that of an index whose whole rows, or class rows, count for nothing.
    for share, title in ((0, "deep, class rows"), (1, "deep, whole row")):
        feature = Deep(encoder.path, whole_share=share)
        other = Index.build(three_kinds.folder, tmp_path / str(share), model=tiny_model, features=feature)
        got = evaluate(other, three_kinds)["deep"].protocols["none"]
        assert got == pytest.approx(scores[title].protocols["none"])


def test_evaluate_wants_exactly_the_data_sets_images(three_kinds: Dataset, tiny_model: Path, tmp_path: Path):
    index = Index.build(three_kinds.folder, tmp_path / "index", model=tiny_model, features="hog")
    fewer = Dataset("kinds", three_kinds.folder, three_kinds.paths[1:], three_kinds.labels[1:], ())
    with pytest.raises(DatasetError, match=r"only images of kinds, got .*0\.jpg"):
        evaluate(index, fewer)
    three_kinds.paths[0].write_bytes(b"")
    index.refresh()
    with pytest.raises(DatasetError, match=r"all 12 images of kinds; 1 are missing, such as .*0\.jpg"):
        evaluate(index, three_kinds)


def figures(value: float) -> Scores:
    one = {name: value + 0.01 * place for place, name in enumerate(PROTOCOLS)}
    return Scores(
        {mode: {k: v + i / 10 for k, v in one.items()} for i, mode in enumerate(MODES)}, 0.063, 0.541
    )


def test_tables_name_feature_protocol_and_mode():
    text = markdown({"kaze": figures(0.5), "hog": figures(0.25)}, 0.9)
    assert text.splitlines() == [
        "|  | ap none | ap last | ap drop | ap@100 none | ap@100 last | ap@100 drop "
        "| paper none | paper last | paper drop |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| kaze | 0.500 | 0.600 | 0.700 | 0.510 | 0.610 | 0.710 | 0.560 | 0.660 | 0.760 |",
        "| hog | 0.250 | 0.350 | 0.450 | 0.260 | 0.360 | 0.460 | 0.310 | 0.410 | 0.510 |",
        "",
        "| query out / in | p@20 none | p@20 last | p@20 drop | p@100 none | p@100 last | p@100 drop |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| kaze | 0.520 / 0.530 | 0.620 / 0.630 | 0.720 / 0.730 "
        "| 0.540 / 0.550 | 0.640 / 0.650 | 0.740 / 0.750 |",
        "| hog | 0.270 / 0.280 | 0.370 / 0.380 | 0.470 / 0.480 "
        "| 0.290 / 0.300 | 0.390 / 0.400 | 0.490 / 0.500 |",
        "",
        "The filter at 0.9 keeps 6.3% of the pairs and penalises 54.1% of the relevant images.",
    ]


def test_the_default_search_is_bold():
    scores = {
        "deep": replace(figures(0.5), default="none"),
        "kaze": replace(figures(0.25), default="last"),
        "hog": figures(0.1),
    }
    lines = markdown(scores, 0.9).splitlines()
    assert lines[2].startswith("| deep | **0.500** | 0.600 | 0.700 | **0.510** |")
    assert lines[3].startswith("| kaze | 0.250 | **0.350** | 0.450 | 0.260 | **0.360** |")
    assert lines[8].startswith("| deep | **0.520 / 0.530** | 0.620 / 0.630 |")
    assert "**" not in lines[4]
    assert lines[-1] == "Bold: a search that is not told otherwise, with or without smoothing."


def test_the_command_measures_a_folder_with_distractors(
    photo_folder: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    town = (photo_folder / "town").rename(tmp_path / "town")
    command = ["folder", str(photo_folder), "--distractors", str(town), "--model", str(tiny_model)]
    command += ["--features", "hog", "--weighting", "share", "--smooth", "3"]
    assert main([*command, "--json", str(tmp_path / "figures.json")]) == 0
    said = capsys.readouterr().out
    assert "| hog, smoothed 3 | " in said
    assert said.endswith("The database holds 12 images: 8 queries and 4 distractors.\n")
    written = json.loads((tmp_path / "figures.json").read_text())
    assert (written["dataset"], written["images"], written["distractors"]) == ("folder", 12, 4)
    assert written["recipe"]["features"][0]["weighting"] == "share"
    assert list(written["scores"]) == ["hog", "hog, smoothed 3"]
    assert written["scores"]["hog"]["default"] == "last"

    assert main([*command[:3], str(photo_folder / "beach"), *command[4:]]) == 1
    assert "distractors: expected images that are not in" in capsys.readouterr().err


def test_the_command_prints_tables_and_writes_json(
    wang_like: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    command = ["wang", str(wang_like), "--model", str(tiny_model), "--features", "hog"]
    command += ["--index", str(tmp_path / "index"), "--json", str(tmp_path / "figures.json")]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert first.startswith("|  | ap none | ap last |")
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["dataset"] == "wang"
    assert written["images"] == 1000
    assert written["epsilon"] == 0.9
    scores = written["scores"]["hog"]
    assert set(scores["protocols"]) == set(MODES)
    assert all(set(one) == set(PROTOCOLS) for one in scores["protocols"].values())
    # Every colour is two classes: half of what passes the filter is relevant.
    assert scores["protocols"]["drop"]["p@100 in"] == pytest.approx(0.5, abs=0.1)

    # The index is there now: nothing is read again, and the figures are the same.
    assert main([*command, "--threads", "1"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--epsilon", "-1"], "epsilon: expected a number of 0 or more"),
        (["--features", "kaze,brisk"], "brisk"),
        (["--model", "nowhere.onnx"], "nowhere.onnx"),
        (["--features", "hog", "--smooth", "-1"], "smooth: expected an integer from 0 to 1000"),
        (["--features", "hog", "--encoder", "efficientnet-lite0"], "encoder: expected feature deep"),
        (["--features", "hog", "--distractors", "nowhere"], "nowhere: there is no such folder"),
    ],
)
def test_what_is_wrong_is_one_line(
    change: list[str], message: str, wang_like: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["wang", str(wang_like), "--model", str(tiny_model), *change]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.strip().splitlines()[-1]
    assert last.startswith("semcbir.evaluation: error: ")
    assert message in last


def test_it_runs_as_a_module(tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "semcbir.evaluation",
        "wang",
        str(tmp_path / "none"),
        "--model",
        "m.onnx",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("semcbir.evaluation: error: ")
    assert len(run.stderr.splitlines()) == 1
    command[3] = "corel"
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "invalid choice: 'corel'" in run.stderr


FIRST_MEASURED = {
    "kaze": (0.606, 0.886),
    "surf": (0.588, 0.872),
    "hog": (0.608, 0.886),
    "sift": (0.593, 0.882),
}
"""``ap last`` and ``paper drop`` on Wang with the same network, measured by another program."""


@pytest.mark.slow
def test_figures_on_wang(wang_dir: Path, ade_model: Path, tmp_path: Path):
    dataset = wang(wang_dir)
    index = Index.build(wang_dir, tmp_path / "index", model=ade_model, features=FIRST_MEASURED)
    scores = evaluate(index, dataset)
    got = {
        name: (one.protocols["last"]["ap"], one.protocols["drop"]["paper"]) for name, one in scores.items()
    }
    for name, expected in FIRST_MEASURED.items():
        assert got[name] == pytest.approx(expected, abs=0.03), name
    one = scores["kaze"]
    assert one.kept_pairs == pytest.approx(0.063, abs=0.01)
    assert one.penalised_relevant == pytest.approx(0.54, abs=0.03)


@pytest.mark.slow
def test_figures_of_the_default_search_on_wang(wang_dir: Path, tmp_path: Path):
    dataset = wang(wang_dir)
    index = Index.build(wang_dir, tmp_path / "index")
    scores = evaluate(index, dataset, smooth=10, parts=True)
    figures = {name: one.protocols["none"] for name, one in scores.items()}
    assert figures["deep"]["ap"] >= 0.9
    assert figures["deep"]["p@20 in"] >= 0.96
    assert figures["deep, class rows"]["ap"] >= 0.85
    assert figures["deep, smoothed 10"]["ap"] >= 0.95
    found = find_originals(index)["deep"]
    for kind in ("halved", "mirrored", "JPEG 20", "brighter by 40", "gamma 1.5"):
        assert found[kind].first == 1, kind
    assert found["cut to 80 %"].first >= 0.95
