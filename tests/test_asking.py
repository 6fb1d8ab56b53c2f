# SPDX-License-Identifier: MIT
"""Searches that ask for classes: in Python and from the command line, by the names of the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands import Run, one_line
from semcbir import Index, explain, search
from semcbir.cli.asking import asked_lines
from semcbir.explanation import remark
from semcbir.terms import Terms


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog,kaze")


def most(index: Index, image: int) -> list[str]:
    """The classes of an image, the largest first."""
    shares = index.signatures("hog").histograms()[image]
    return [index.recipe.classes[label] for label in np.argsort(-shares) if shares[label] > 0]


def test_classes_are_asked_for_by_name(index: Index):
    signatures, classes = index.signatures("hog")[:], index.recipe.classes
    query = signatures[0]
    name = most(index, 0)[0]
    label = classes.index(name)
    searcher = index.searcher("hog")
    for asked, terms, epsilon in (
        ({"only": name}, Terms(only=(label,)), None),
        ({"only": [name], "min_share": 0.9}, Terms(only=(label,), min_share=0.9), None),
        ({"without": name, "max_share": 0.5}, Terms(without=(label,), max_share=0.5), 0.9),
        ({"weights": {name: 4}}, Terms(weights={label: 4.0}), 0.9),
    ):
        (found,) = search(query, index, 12, feature="hog", **asked)
        expected = searcher.search(query, 12, epsilon, terms=terms)
        ids = expected.ids[0][expected.ids[0] >= 0].tolist()
        assert [hit.id for hit in found] == ids
        assert [hit.distance for hit in found] == expected.distances[0][: len(ids)].tolist()
        assert (found.kept, found.epsilon) == (expected.kept[0], epsilon)
        assert [hit.penalized for hit in found] == [rank >= found.kept for rank in range(len(ids))]
    # An epsilon that is given holds beside it.
    (both,) = search(query, index, 12, 0.1, feature="hog", only=name)
    assert both.epsilon == 0.1
    assert both.kept <= search(query, index, 12, feature="hog", only=name)[0].kept
    # Names may come from a generator.
    assert search(query, index, 12, feature="hog", only=(one for one in [name])) == search(
        query, index, 12, feature="hog", only=name
    )


def test_so_many_pass(index: Index):
    for query in index.signatures("hog")[:3]:
        (found,) = search(query, index, 12, feature="hog", keep=5)
        assert found.kept >= 5
        passing = [hit.histogram_distance for hit in found if not hit.penalized]
        assert max(passing) == pytest.approx(found.epsilon, rel=1e-6)
        assert search(query, index, 12, found.epsilon, feature="hog")[0] == found


def test_what_cannot_be_asked_is_said(index: Index):
    classes = index.recipe.classes
    query = index.signatures("hog")[0]
    absent = next(name for name in classes if name not in most(index, 0))
    with pytest.raises(ValueError, match="only: expected the name of a class or a group, got 'unicorn'"):
        search(query, index, only="unicorn")
    for argument, value in (("only", absent), ("weights", {absent: 2})):
        with pytest.raises(
            ValueError, match=rf"{argument}: expected a class that the query has \({most(index, 0)[0]} \d+%"
        ):
            search(query, index, **{argument: value})
    search(query, index, without=absent)  # it need not have that
    with pytest.raises(ValueError, match="keep: expected it, or an epsilon, not both"):
        search(query, index, epsilon=0.5, keep=3)
    with pytest.raises(ValueError, match="weights: expected classes of only"):
        search(query, index, only=most(index, 0)[0], weights={absent: 1})


def test_the_command_asks_for_classes(run: Run, index: Index, photo_folder: Path):
    photo = photo_folder / "beach" / "0.jpg"
    first, *_ = most(index, 0)
    record = index.find(photo)
    assert record is not None
    command = ["search", photo, index.path, "--feature", "hog", "-k", "12"]
    ran = run(*command, "--only", first.upper())
    expected = search(photo, index, 12, feature="hog", only=first)
    assert ran.code == 0
    assert f"{expected.kept} of 12 images hold 2 % or more of {first.upper()}" in ran.err
    assert ran.out.count("penalised") == sum(hit.penalized for hit in expected)
    found = run(*command, "--without", first, "--weights", f"{most(index, 0)[-1]}=3", "--json").json
    hits = search(photo, index, 12, feature="hog", without=first, weights={most(index, 0)[-1]: 3})
    assert [hit["id"] for hit in found["hits"]] == [hit.id for hit in hits]
    assert (found["only"], found["without"], found["keep"]) == (None, [first], None)
    assert found["weights"] == {most(index, 0)[-1]: 3.0}
    ran = run(*command, "--keep", "4")
    came = search(photo, index, 12, feature="hog", keep=4)
    said = f"{came.kept} of 12 images pass the semantic filter, whose epsilon came to {came.epsilon:.3g}"
    assert said in ran.err
    for options, code, message in (
        (["--only", "unicorn"], 1, "--only: expected the name of a class or a group, got 'unicorn'"),
        (["--only", ""], 2, "--only: expected names joined by commas"),
        (["--weights", first], 2, "--weights: expected CLASS=NUMBER (horse=2), or some joined by commas"),
        (["--weights", f"{first}=-1"], 2, "--weights: expected CLASS=NUMBER"),
        (["--keep", "0"], 2, "--keep: expected an integer from 1"),
        (["--keep", "3", "--epsilon", "0.5"], 2, "--keep: expected --keep or --epsilon, not both"),
    ):
        ran = run(*command, *options)
        assert (ran.code, ran.out, one_line(ran.err)) == (code, "", True), options
        assert message in ran.err


def test_an_explanation_splits_what_a_search_asked_for(index: Index):
    record = next(iter(index))
    query = next(one.path for one in index if one.id != record.id)
    shown = index.signatures("hog", ids=[index[query].id])
    names = [index.recipe.classes[label] for label in shown.classes[np.argsort(-shown.proportions)]]
    for asked in (
        {"only": names[0]},
        {"weights": {names[0]: 3, names[-1]: 0}},
        {"only": names[0], "weights": {names[0]: 2}},
    ):
        found = explain(query, record.id, index, "hog", **asked)
        (hits,) = search(index.extractor().extract([query], "hog"), index, 12, feature="hog", **asked)
        assert found.distance == next(hit.distance for hit in hits if hit.id == record.id)
        assert sum(row.squared_distance for row in found.rows) == pytest.approx(found.distance**2, rel=1e-5)
        weights = {row.name: row.weight for row in found.rows}
        plain = {row.name: row.squared_distance for row in explain(query, record.id, index, "hog").rows}
        for row in found.rows:
            assert row.squared_distance == row.weight * plain[row.name]
        assert weights[names[0]] == asked.get("weights", {}).get(names[0], 1)
    words = {remark(row) for row in explain(query, record.id, index, "hog", only=names[0]).rows}
    assert any(word.endswith("does not count") for word in words)
    at = explain(query, record.id, index, "hog", region=(3, 3))
    assert sum(row.weight for row in at.rows) == 1
    box = explain(query, record.id, index, "hog", region=(0, 0, 20, 30))
    assert box.query_analysis.label_map.shape[0] <= 31
    hits = search(query, index, 12, feature="hog", region=(0, 0, 20, 30))
    assert box.distance == next(hit.distance for hit in hits if hit.id == record.id)
    with pytest.raises(ValueError, match="only: expected the name of a class"):
        explain(query, record.id, index, "hog", only="unicorn")


def test_options_that_are_given_again_count_together(index: Index, run: Run) -> None:
    several = next(image for image in range(len(index)) if len(most(index, image)) > 1)
    query, place, held = index[several].path, index.path, most(index, several)[:2]
    together = run("search", query, place, "--only", ",".join(held), "--json").json
    assert run("search", query, place, "--only", held[0], "--only", held[1], "--json").json == together
    assert together["only"] == held
    weights = [f"{name}={number}" for number, name in enumerate(held, 2)]
    together = run("search", query, place, "--weights", ",".join(weights), "--json").json
    assert run("search", query, place, *(f"--weights={one}" for one in weights), "--json").json == together
    assert together["weights"] == dict(zip(held, (2, 3), strict=True))
    apart = run("search", query, place, "--without", held[0], "--without", held[1], "--json").json
    assert apart == run("search", query, place, "--without", ",".join(held), "--json").json
    assert apart["without"] == held


def test_the_sheet_says_what_was_asked_for() -> None:
    also, unlike = [Path("a/b.jpg"), Path("c.jpg")], [Path("d.jpg")]
    assert asked_lines(None, None, None, None, None, None, None, None) == ""
    only, without, weights, box = ("bus", "road"), ("person",), {"sky": 0.5}, (0, 1, 20, 30)
    assert (
        asked_lines(only, without, weights, None, box, also, unlike, ["date:2019"])
        == "the part 0,1,20,30; only bus, road; without person; weights sky 0.5; also like b.jpg, c.jpg; "
        "unlike d.jpg; among date:2019"
    )
    assert asked_lines(("=bus",), None, None, (3, 4), None, None, None, None) == "the class at 3,4"
