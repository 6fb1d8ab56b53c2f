# SPDX-License-Identifier: MIT
"""``semcbir evaluate``: tables, files, the paper's figures, comparisons, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from PIL import Image

from commands import Run, one_line
from semcbir.evaluation import comparison, paper, plots
from semcbir.evaluation.datasets import Dataset
from semcbir.evaluation.evaluate import Evaluation
from semcbir.evaluation.measuring import MODES, Scores
from semcbir.evaluation.metrics import MEASURES
from semcbir.evaluation.rankings import Truth
from semcbir.evaluation.tables import class_table, file_name, interval_table, markdown, size_line

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


def figures(value: float, queries: int = 4, modes: tuple[str, ...] = MODES) -> Scores:
    """Every query has the same scores: ``value``, .01 more for each measure, .1 for each mode."""
    values = {
        mode: {name: np.full(queries, value + 0.01 * place + i / 10) for place, name in enumerate(MEASURES)}
        for i, mode in enumerate(modes)
    }
    return Scores(values, np.full(queries, 0.063), np.full(queries, 0.541))


def place(name: str) -> float:
    return 0.01 * list(MEASURES).index(name)


def test_tables_name_feature_measure_and_mode():
    lines = markdown({"kaze": figures(0.3), "hog": figures(0.1)}, 0.9).splitlines()
    assert lines[0] == (
        "|  | ap none | ap last | ap drop | ap@100 none | ap@100 last | ap@100 drop "
        "| paper none | paper last | paper drop |"
    )
    at = 0.3 + place("ap@100")
    expected = f"| kaze | 0.300 | 0.400 | 0.500 | {at:.3f} | {at + 0.1:.3f} | {at + 0.2:.3f} | "
    assert lines[2].startswith(expected)
    out, into = (0.1 + place(f"p@20 {where}") for where in ("out", "in"))
    assert lines[8].startswith(f"| hog | {out:.3f} / {into:.3f} | {out + 0.1:.3f} / {into + 0.1:.3f} |")
    assert (
        lines[-1] == "The filter at 0.9 keeps 6.3% of the pairs and penalises 54.1% of the relevant images."
    )


def test_the_default_search_is_bold_and_what_is_not_measured_is_empty():
    scores = {
        "deep": replace(figures(0.5), default="none"),
        "kaze": replace(figures(0.25), default="last"),
        "hog": figures(0.1),
        "colour": figures(0.2, modes=("none",)),
    }
    lines = markdown(scores, 0.9).splitlines()
    assert lines[2].startswith("| deep | **0.500** | 0.600 | 0.700 |")
    assert lines[3].startswith("| kaze | 0.250 | **0.350** | 0.450 |")
    assert "**" not in lines[4]
    assert lines[5].startswith("| colour | 0.200 |  |  |")
    assert lines[-1] == "Bold: a search that is not told otherwise, with or without smoothing."
    table = interval_table(scores).splitlines()
    assert table[2] == ("| deep | 0.500 (0.500 to 0.500) | 0.600 (0.600 to 0.600) | 0.700 (0.700 to 0.700) |")
    assert table[5] == "| colour | 0.200 (0.200 to 0.200) |  |  |"


def test_classes_have_their_own_means():
    scores = replace(figures(0.5), usual="last")
    scores.values["last"]["ap"][:] = [0.1, 0.3, 0.6, 0.8]
    table = class_table({"kaze": scores}, np.array([2, 2, 0, 0]), ("a", "b", "c"))
    assert table.splitlines()[::2] == ["| ap | a | c |", "| kaze, last | 0.700 | 0.200 |"]


def test_what_was_searched_is_said():
    assert size_line(1, 2, 0) == "1 query in a database of 2 images."
    assert size_line(8, 12, 4, 0, 5, 1) == (
        "8 queries in a database of 12 images, 4 distractors among them; 5 photos with the same bytes as "
        "another, 1 distractor with those of a photo that has a class."
    )
    assert size_line(8, 12, 4, 1, 3) == (
        "8 queries in a database of 12 images, 4 distractors among them; "
        "left out: 1 query to which nothing is relevant; 3 photos with the same bytes as another."
    )


def test_names_of_ways_make_names_of_files():
    assert file_name("deep, smoothed 10") == "deep-smoothed-10"
    assert file_name("../x/y") == "..-x-y"


@pytest.mark.parametrize("number", [3, 4])
@pytest.mark.parametrize("dataset", ["wang", "msrc-v1", "msrc-v2", "linnaeus"])
def test_the_paper_s_figures_stand_beside_ours(number: int, dataset: str):
    rows = [
        line.split(" | ") for line in paper.table(number, dataset, {"hog": figures(0.5)}).splitlines()[4:]
    ]
    assert [row[0] for row in rows] == ["| hog, no filter", "| hog, filter"]
    without, with_filter = (float(row[1]) for row in rows)
    assert without <= with_filter
    assert rows[0][2] == f"{0.5 + place('paper'):.3f} none"
    assert rows[1][3] == "0.700 drop / 0.600 last |"


def test_figures_of_the_paper_s_tables():
    """Some, copied by hand from the paper."""
    three = paper.table(3, "wang", {name: figures(0.5) for name in ("kaze", "surf", "hog")})
    published = [line.split(" | ")[1] for line in three.splitlines()[4:]]
    assert published == ["0.73", "0.74", "0.71", "0.84", "0.84", "0.83"]
    assert "| Jitesh Pradhan | 0.81 |" in paper.table(5, "wang", {})
    six = paper.table(6, "linnaeus", {"bovw": figures(0.2, modes=("none",))})
    assert "| ResNet | 0.69 |" in six
    assert "| VLAD | - |" in six
    assert f"| bovw |  | {0.2 + place('paper'):.3f} | 0.200 |" in six


@pytest.mark.parametrize(
    ("number", "dataset", "message"),
    [
        (2, "wang", "table: expected 3, 4, 5 or 6, got 2"),
        (5, "msrc-v1", "table 5 has figures of wang, expected one of these data sets, got msrc-v1"),
        (3, "folder", "folder"),
    ],
)
def test_tables_that_there_are_not(number: int, dataset: str, message: str):
    with pytest.raises(ValueError, match=message):
        paper.check(number, dataset)


def test_tables_of_features_that_are_not_measured():
    with pytest.raises(ValueError, match="figures of deep, sift; the paper's 4 has those of 'kaze'"):
        paper.check(4, "wang", ["deep", "sift"])
    paper.check(4, "wang", ["deep", "surf"])
    paper.check(6, "wang", ["deep"])


def test_the_command_measures_a_folder_with_distractors(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    town = (photo_folder / "town").rename(tmp_path / "town")
    (town / "broken.png").write_bytes(b"no")
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "hog", "--no-cache"]
    ran = run(
        *command, "--distractors", town, "--weighting", "share", "--smooth", 3, "--out", tmp_path / "out"
    )
    assert ran.code == 3  # a distractor was skipped
    assert f"left out: {town / 'broken.png'}: " in ran.err
    assert "| hog, share, smoothed 3 | " in ran.out
    assert "8 queries in a database of 12 images, 4 distractors among them.\n\n" in ran.out
    assert ran.out.endswith(f"Photos: {photo_folder}; distractors: {town}\n")
    written = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert (written["dataset"], written["images"], written["distractors"]) == ("folder", 12, 4)
    assert (written["folder"], written["distractor folders"]) == (str(photo_folder), [str(town)])
    assert list(written["unreadable"]) == [str(town / "broken.png")]
    assert written["made"]["ways"]["hog, share"]["features"][0]["weighting"] == "share"
    assert list(written["scores"]) == ["hog, share", "hog, share, smoothed 3"]
    assert written["scores"]["hog, share"]["default"] == "last"
    assert written["queries"][0] == "beach/0.jpg"

    ran = run(*command, "--distractors", photo_folder / "beach")
    assert (ran.code, ran.out, one_line(ran.err)) == (1, "", True)
    assert "--distractors: expected images that are not in" in ran.err


def test_everything_is_written_and_the_second_time_nothing_is_computed(
    run: Run, wang_like: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SEMCBIR_CACHE", str(tmp_path / "cache"))
    command = ["evaluate", "wang", wang_like, "--model", tiny_model, "--features", "hog"]
    command += ["--table", "3", "--table", "3"]
    command += ["--sweep", "0.2,1.5", "--device", "cpu", "-o", tmp_path / "out"]
    first = run(*command)
    assert first.code == 0
    assert first.out.startswith("Table 3: HRNet-W48 trained on MSeg\n\n|  | paper |")
    assert first.out.count("Table 3") == 1
    assert "| hog, filter | 0.83 |" in first.out
    assert "| ap last / drop | epsilon 0.2 | epsilon 0.9 | epsilon 1.5 |" in first.out
    assert (tmp_path / "out" / "results.md").read_text() == first.out
    written = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert (written["images"], written["epsilon"], len(written["queries"])) == (1000, 0.9, 1000)
    scores = written["scores"]["hog"]
    assert set(scores["figures"]) == set(MODES)
    assert all(set(one) == set(MEASURES) for one in scores["figures"].values())
    # Every colour is two classes: half of what passes the filter is relevant.
    assert scores["figures"]["drop"]["p@100 in"]["mean"] == pytest.approx(0.5, abs=0.1)
    with (tmp_path / "out" / "figures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11 * 3 * len(MEASURES)  # all queries and ten classes
    whole = next(
        row for row in rows if row["class"] == "" and row["measure"] == "ap" and row["mode"] == "last"
    )
    figure = scores["figures"]["last"]["ap"]
    assert float(whole["mean"]) == pytest.approx(figure["mean"], abs=1e-6)
    assert float(whole["low"]) == pytest.approx(figure["low"], abs=1e-6)
    with Image.open(tmp_path / "out" / "worst-hog.jpg") as sheet:
        assert sheet.width > 1000

    assert (tmp_path / "cache" / "evaluation" / "items.sqlite").is_file()
    monkeypatch.setattr("semcbir.evaluation.parts.extract_features", None)
    monkeypatch.setattr("semcbir.evaluation.parts.Segmenter", None)
    assert run(*command, "--threads", "1").out == first.out
    some = run(*command, "--queries", 'food, "buses"').out
    assert "The paper's figures are of queries of all classes; ours are of some." in some
    assert "200 queries in a database of 1000 images" in some


def test_plots_are_drawn_where_matplotlib_is(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "hog,kaze"]
    command += ["--cache", tmp_path / "kept", "--sweep", "0.5,1"]
    monkeypatch.setattr(plots, "available", lambda: False)
    ran = run(*command, "-o", tmp_path / "plain")
    assert ran.code == 0
    assert 'without plots: plots need matplotlib: pip install "semcbir[eval]"' in ran.err
    assert not list((tmp_path / "plain").glob("*.svg"))
    pytest.importorskip("matplotlib")
    monkeypatch.undo()
    names = {"classes", "confusion-hog", "confusion-kaze", "epsilon", "precision-recall"}
    for folder in ("one", "two"):
        assert run(*command, "-o", tmp_path / folder).code == 0
        assert {path.stem for path in (tmp_path / folder).glob("*.svg")} == names
    for name in names:  # the same figures, the same bytes
        one, two = ((tmp_path / folder / f"{name}.svg").read_bytes() for folder in ("one", "two"))
        assert one == two
        assert b"<svg" in one


def test_two_runs_are_compared(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path):
    for name in ("hog", "kaze"):
        command = [
            "evaluate",
            "folder",
            photo_folder,
            "--model",
            tiny_model,
            "--features",
            name,
            "--no-cache",
        ]
        assert run(*command, "-o", tmp_path / name).code == 0
    hog, kaze = (tmp_path / name / "figures.json" for name in ("hog", "kaze"))
    ran = run("evaluate", "compare", hog, kaze)
    assert ran.code == 0
    assert ran.out.splitlines()[2].startswith("| hog / kaze, none | ap | ")
    same = run("evaluate", "compare", hog, hog).out.splitlines()[2]
    assert same.endswith("| +0.0000 (+0.0000 to +0.0000) | 1.0000 |")
    data = json.loads(hog.read_text())
    others = {name: data[name][1:] for name in ("queries", "wanted")}
    (scores,) = data["scores"].values()
    fewer = {
        mode: {name: values[1:] for name, values in measures.items()}
        for mode, measures in scores["values"].items()
    }
    other = {**data, **others, "scores": {"hog": {**scores, "values": fewer}}}
    (tmp_path / "other.json").write_text(json.dumps(other))
    refused = run("evaluate", "compare", hog, tmp_path / "other.json")
    assert (refused.code, one_line(refused.err)) == (1, True)
    assert "two runs with the same queries" in refused.err
    others = tmp_path / "others.json"
    others.write_text(json.dumps({**data, "images": 99, "distractors": 87}))
    said = run("evaluate", "compare", hog, others).out.splitlines()[-1]
    assert (
        said
        == "Beware: the databases differ, 12 images with 0 distractors and 99 images with 87 distractors."
    )
    (tmp_path / "none.json").write_text(json.dumps({**data, "scores": {"x": scores, "y": scores}}))
    assert (
        "a way of ranking in common, got none" in run("evaluate", "compare", hog, tmp_path / "none.json").err
    )


def test_ways_and_modes_are_compared_by_name(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path):
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "hog,kaze"]
    assert run(*command, "--baselines", "colour", "--no-cache", "-o", tmp_path / "out").code == 0
    file = tmp_path / "out" / "figures.json"
    values = {name: one["values"] for name, one in json.loads(file.read_text())["scores"].items()}

    def rows(*options: str) -> list[list[str]]:
        ran = run("evaluate", "compare", file, *options)
        assert ran.code == 0, ran.err
        return [line.strip("| ").split(" | ") for line in ran.out.splitlines()[2:]]

    found = rows("--way", "hog, drop", "--against", "colour", "--measures", "ndcg,ap@100")
    assert [row[:2] for row in found] == [
        ["hog, drop / colour, none", "ndcg"],
        ["hog, drop / colour, none", "ap@100"],
    ]
    ours, theirs = (np.mean(values[way][mode]["ndcg"]) for way, mode in (("hog", "drop"), ("colour", "none")))
    assert found[0][2:4] == [f"{ours:.4f}", f"{theirs:.4f}"]
    # A way stands for its usual mode; with two files the same name is looked for in both.
    assert rows("--way", "kaze", "--against", "kaze, none")[0][0] == "kaze, last / kaze, none"
    assert [row[0] for row in rows(str(file), "--way", "kaze")] == ["kaze, last"] * 3
    assert len(rows(str(file))) == 3 * (3 + 3 + 1)
    for options, message in (
        ([], "--way: expected --way and --against, of the one file or of two, got no --way and --against"),
        (
            ["--way", "kaze"],
            "--way: expected --way and --against, of the one file or of two, got no --against",
        ),
        (["--way", "x", "--against", "kaze"], "--way: expected one of 'hog', 'kaze', 'colour', 'hog, none'"),
        (["--way", "kaze", "--against", "x"], "--against: expected one of 'hog'"),
        ([str(file), "--measures", "map"], "--measures: expected some of 'ap'"),
    ):
        ran = run("evaluate", "compare", file, *options)
        assert (ran.code, ran.out, one_line(ran.err)) == (1, "", True)
        assert message in ran.err


SOUND = {
    "dataset": "x",
    "queries": ["a", "b"],
    "wanted": [0, 0],
    "images": 2,
    "distractors": 0,
    "scores": {"hog": {"usual": "none", "values": {"none": {"ap": [1, 0.5]}}}},
}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        "{}",
        "nonsense",
        "[" * 100_000,
        json.dumps({**SOUND, "queries": [], "wanted": []}),
        json.dumps({**SOUND, "wanted": [0]}),
        json.dumps({**SOUND, "images": "many"}),
        json.dumps({**SOUND, "scores": [1]}),
        json.dumps({**SOUND, "scores": {}}),
        json.dumps({**SOUND, "scores": {"hog": {}}}),
        json.dumps({**SOUND, "scores": {"hog": {"usual": "last", "values": {"none": {"ap": [1, 0.5]}}}}}),
        json.dumps({**SOUND, "scores": {"hog": {"usual": "none", "values": {"none": {"ap": [1]}}}}}),
        json.dumps({**SOUND, "scores": {"hog": {"usual": "none", "values": {"none": {"ap": [1, None]}}}}}),
        json.dumps({**SOUND, "scores": {"hog": {"usual": "none", "values": {"none": {"ap": ["x", 1]}}}}}),
        json.dumps({**SOUND, "scores": {"hog": {"usual": [], "values": {"none": {"ap": [1, 0.5]}}}}}),
    ],
)
def test_figures_that_are_none_are_refused(run: Run, content: str, tmp_path: Path):
    (tmp_path / "figures.json").write_text(json.dumps(SOUND))
    assert run("evaluate", "compare", tmp_path / "figures.json", tmp_path / "figures.json").code == 0
    (tmp_path / "figures.json").write_text(content)
    ran = run("evaluate", "compare", tmp_path / "figures.json", tmp_path / "figures.json")
    assert (ran.code, one_line(ran.err)) == (1, True)
    assert "expected figures of an evaluation" in ran.err


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--epsilon", "-1"], 2, "--epsilon: expected a number of 0 or more"),
        (["--epsilon", "0.5,0.6"], 2, "--epsilon: expected one number, got 2"),
        (["--sweep", "0.5,x"], 2, "--sweep: expected a number of 0 or more"),
        (["--sweep", "auto"], 2, "--sweep: expected a number of 0 or more, or some joined by commas"),
        (["--epsilon", "none"], 2, "--epsilon: expected a number of 0 or more"),
        (["--epsilon", "inf"], 2, "--epsilon: expected a number of 0 or more"),
        (["--features", "kaze,brisk"], 2, "brisk"),
        (["--model", "nowhere.onnx"], 1, "nowhere.onnx"),
        (["--smooth", "-1"], 2, "--smooth: expected an integer from 1 to 1000"),
        (["--features", "hog", "--encoder", "efficientnet-lite0"], 1, "--encoder: expected feature deep"),
        (["--distractors", "nowhere"], 1, "nowhere: there is no such folder"),
        (["--table", "7"], 2, "--table: expected 3, 4, 5 or 6, got '7'"),
        (["--queries", "cats"], 1, "--queries: expected some of 'africans'"),
        (["--queries", ""], 2, "--queries: expected names joined by commas, got ''"),
        (["--queries", "a,,b"], 2, "--queries: expected names joined by commas"),
        (["--queries", 'a,"b'], 2, "--queries: expected names joined by commas"),
        (["--baselines", ""], 2, "--baselines: expected names joined by commas, got ''"),
        (["--baselines", "cedd,cedd"], 1, "--baselines: expected each once, got 'cedd' twice"),
        (["--whiten", "3"], 1, "--whiten: expected baselines of local features"),
        (["--root"], 1, "--root: expected baselines of local features"),
        (["--words", "1"], 2, "--words: expected an integer from 2"),
        (["--words", "3"], 1, "--words: expected baselines of local features"),
        (["--parts"], 1, "--parts: expected feature deep among the features"),
        (["--features", "sift", "--table", "3"], 1, "--table: expected one with figures of sift"),
    ],
)
def test_what_is_wrong_is_one_line(
    run: Run, change: list[str], code: int, message: str, wang_like: Path, tiny_model: Path
):
    ran = run(
        "evaluate", "wang", wang_like, "--model", tiny_model, "--features", "hog", "--no-cache", *change
    )
    assert (ran.code, ran.out, one_line(ran.err)) == (code, "", True)
    assert message in ran.err


def test_a_folder_that_is_not_the_data_set(run: Run, photo_folder: Path, tmp_path: Path):
    for name in ("wang", "msrc-v1", "msrc-v2", "linnaeus"):
        ran = run("evaluate", name, photo_folder)
        assert (ran.code, ran.out, one_line(ran.err)) == (1, "", True), name
        ran = run("evaluate", name, tmp_path / "none")
        assert (ran.code, one_line(ran.err)) == (1, True)
        assert "there is no such folder" in ran.err


def test_a_table_without_figures_of_the_data_set_is_refused_before_the_work(
    run: Run, photo_folder: Path, tmp_path: Path
):
    ran = run("evaluate", "folder", photo_folder, "--table", "3", "--cache", tmp_path / "kept")
    assert (ran.code, one_line(ran.err)) == (1, True)
    assert "--table: the paper's table 3 has figures of msrc-v1, " in ran.err
    assert not (tmp_path / "kept").exists()


def test_names_of_folders_are_shown_whatever_they_are(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    (photo_folder / "town").rename(photo_folder / os.fsdecode(b"t\xff|\n$x$"))
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "hog", "--no-cache"]
    ran = run(*command, "-o", tmp_path / "out")
    assert ran.code == 0
    assert "| ap | beach | meadow | t\\xff\\|\\n$x$ |" in ran.out
    assert (tmp_path / "out" / "results.md").read_text(encoding="utf-8") == ran.out
    with (tmp_path / "out" / "figures.csv").open(newline="", encoding="utf-8") as file:
        assert {row["class"] for row in csv.DictReader(file)} == {"", "beach", "meadow", "t\\xff|\\n$x$"}
    assert len(json.loads((tmp_path / "out" / "figures.json").read_text())["classes"]) == 3
    assert comparison.read(tmp_path / "out" / "figures.json").usual == {"hog": "last"}


def test_work_is_kept_when_a_photo_cannot_be_read(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    (photo_folder / "town" / "zz.jpg").write_bytes(b"no image")
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "hog"]
    ran = run(*command, "--cache", tmp_path)
    assert (ran.code, one_line(ran.err)) == (3, True)
    assert f"left out: {photo_folder / 'town' / 'zz.jpg'}: " in ran.err
    assert "12 queries in a database of 12 images." in ran.out
    with sqlite3.connect(tmp_path / "items.sqlite") as kept:
        assert kept.execute("SELECT count(*) FROM items").fetchone()[0] >= 12


def test_a_published_data_set_must_be_whole(run: Run, wang_like: Path, tiny_model: Path, tmp_path: Path):
    shutil.copytree(wang_like, tmp_path / "wang")
    for name in ("7.jpg", "8.jpg"):
        (tmp_path / "wang" / name).write_bytes(b"no image")
    ran = run("evaluate", "wang", tmp_path / "wang", "--model", tiny_model, "--features", "hog", "--no-cache")
    assert (ran.code, ran.out, one_line(ran.err)) == (1, "", True)
    assert "2 photos of wang cannot be read, such as " in ran.err


@pytest.mark.parametrize("place", ["", "results", "beach", "../link/results", "town/../x"])
def test_results_are_not_written_among_the_photos(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path, place: str
):
    (photo_folder.parent / "link").symlink_to(photo_folder)
    before = sorted(photo_folder.rglob("*"))
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "hog", "--no-cache"]
    ran = run(*command, "-o", photo_folder / place)
    assert (ran.code, ran.out, one_line(ran.err)) == (1, "", True)
    assert f"--out: expected a folder outside of {photo_folder}, whose photos are measured" in ran.err
    assert sorted(photo_folder.rglob("*")) == before


def test_results_replace_older_results_and_nothing_else(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--cache", tmp_path / "kept"]
    out = tmp_path / "out" / "below"
    assert run(*command, "--features", "hog,kaze", "-o", out).code == 0
    assert (out / "worst-kaze.jpg").exists()
    assert run(*command, "--features", "hog", "-o", out).code == 0
    assert not (out / "worst-kaze.jpg").exists()
    assert (out / "worst-hog.jpg").exists()
    (out / "notes.txt").write_text("mine")
    files = {path: path.read_bytes() for path in out.iterdir()}
    ran = run(*command, "--features", "kaze", "-o", out)
    assert (ran.code, ran.out, one_line(ran.err)) == (1, "", True)
    assert "--out: expected a new folder, an empty one, or one of older results, got" in ran.err
    assert ran.err.rstrip().endswith("with notes.txt in it")
    assert {path: path.read_bytes() for path in out.iterdir()} == files
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "results.md").write_text("mine")  # a name of ours is not enough
    ran = run(*command, "--features", "kaze", "-o", mine)
    assert (ran.code, ran.out) == (1, "")
    assert [path.name for path in mine.iterdir()] == ["results.md"]
    (tmp_path / "file").write_text("")
    ran = run(*command, "--features", "kaze", "-o", tmp_path / "file")
    assert (ran.code, ran.out, one_line(ran.err)) == (1, "", True)


def test_a_baseline_that_cannot_learn_leaves_the_rest(
    run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path
):
    pytest.importorskip("sklearn")
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "surf", "--no-cache"]
    ran = run(*command, "--baselines", "bovw,colour")
    assert ran.code == 3
    assert "| colour | " in ran.out
    assert "Left out: bovw of surf (training: expected at least 1000 descriptors" in ran.out
    assert "left out: bovw of surf: training: expected at least 1000 descriptors" in ran.err


def test_figures_as_json(run: Run, photo_folder: Path, tiny_model: Path, tmp_path: Path):
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "hog", "--no-cache"]
    written = run(*command, "--json", "--epsilon", "0.7", "-o", tmp_path / "out").json
    assert written == json.loads((tmp_path / "out" / "figures.json").read_text())
    scores = written["scores"]["hog"]
    assert (scores["default"], scores["usual"]) == (None, "last")  # by default it is 0.9
    assert "| hog, last | " in (tmp_path / "out" / "results.md").read_text()


def test_a_class_may_have_any_name(run: Run, photo_folder: Path, tiny_model: Path):
    (photo_folder / "town").rename(photo_folder / " town, old")
    command = ["evaluate", "folder", photo_folder, "--model", tiny_model, "--features", "hog", "--no-cache"]
    ran = run(*command, "--queries", 'beach, " town, old"')
    assert "8 queries in a database of 12 images" in ran.out


@pytest.mark.parametrize("ways", [3, 30])
def test_plots_of_many_ways_and_classes(ways: int, tmp_path: Path):
    pytest.importorskip("matplotlib")
    classes = 100
    wanted = np.repeat(np.arange(classes), 2)
    names = tuple(f"class {label}" for label in range(classes))
    paths = tuple(Path(f"/photos/{number}.jpg") for number in range(len(wanted)))
    dataset = Dataset("folder", Path("/photos"), paths, wanted, names)
    one = replace(
        figures(0.5, len(wanted)),
        curves={mode: np.full((classes + 1, 101), 0.5) for mode in MODES},
        confusion={mode: np.full((classes, classes + 1), 0.01) for mode in MODES},
    )
    scores = {f"way {number}": one for number in range(ways)}
    truth = Truth(wanted, np.arange(len(wanted)), wanted)
    found = Evaluation(dataset, 0.9, truth, paths, paths, scores)
    for file in plots.write(found, tmp_path):
        size = ElementTree.parse(file).getroot().attrib
        assert all(float(size[side].removesuffix("pt")) <= 72 * 20 for side in ("width", "height")), file


def test_what_figures_rest_on_is_said(tmp_path: Path, tiny_model: Path, run: Run) -> None:
    """Short classes, classes without queries, a single class, photos that cannot be read."""
    folder = tmp_path / "set"
    for name, count in (("a", 3), ("b", 4), ("one", 1)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            shade = (40 * number + 10, 200 if name == "a" else 10, 30)
            Image.new("RGB", (50, 40), shade).save(folder / name / f"{number}.png")
    (folder / "b" / "text.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = ("--features", "hog", "--model", tiny_model, "--cache", tmp_path / "cache")
    ran = run("evaluate", "folder", folder, *arguments, "--out", out)
    said = (out / "results.md").read_text()
    assert ran.out.startswith(said.rstrip("\n"))
    assert (
        "For 7 of the queries fewer than 100 images are of their class, for 7 fewer than 20: p@100, ap@100 "
        "and p@20 then look at as many first images as there are." in said
    )
    assert "No queries of one." in said
    assert "Left out, since they cannot be read: " in said
    assert "text.jpg." in said
    assert "All images are of one class" not in said
    for name in ("b", "one"):
        shutil.rmtree(folder / name)
    alone = run("evaluate", "folder", folder, *arguments).out
    assert "All images are of one class, so every ranking has the same figures." in alone
    assert "No queries of" not in alone
    compared = run("evaluate", "compare", out, out, "--way", "hog")
    assert compared.code == 0
    assert compared.out == run("evaluate", "compare", out / "figures.json", out, "--way", "hog").out
