# SPDX-License-Identifier: MIT
"""Images found by the classes that they show, against the definition in float64."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from commands import Run, one_line
from core_reference import Columns, make_columns, with_removed, with_ties
from semcbir import FoundImage, FoundImages, Index, _core, find
from semcbir.pictures.found import found_sheet
from semcbir.results import MAX_HITS

C = 9
Asked = list[tuple[list[int], float | None]]


def expected(
    images: Columns, asked: Asked, min_share: float, barred: list[int], max_share: float
) -> list[tuple[float, float, int, list[float]]]:
    """Every image that shows what is asked, in order: distance, minus the least share, id, shares."""
    shares, _ = images.dense(C)
    found = []
    for row, key in zip(shares, images.ids.tolist(), strict=True):
        sums = [0.0] * len(asked)
        for i, (labels, _) in enumerate(asked):
            for label in labels:
                sums[i] += row[label]
        floors = [min(min_share, 1.0 if share is None else share) for _, share in asked]
        if key < 0 or any(row[label] > max_share for label in barred):
            continue
        if any(not sum_ >= floor for sum_, floor in zip(sums, floors, strict=True)):
            continue
        distance, least = 0.0, 1.0
        for sum_, (_, share) in zip(sums, asked, strict=True):
            if share is None:
                least = min(least, sum_)
            else:
                distance += abs(sum_ - share)
        found.append((distance, -least, key, sums))
    return sorted(found)


labels = st.sets(st.integers(0, C - 1), max_size=3).map(sorted)
shares = st.sampled_from([0.0, 0.01, 0.02, 0.1, 0.25, 0.5, 1.0])


@settings(deadline=None, max_examples=200)
@given(
    asked=st.lists(st.tuples(labels, st.none() | shares), max_size=3),
    min_share=shares,
    barred=labels,
    max_share=shares,
    seed=st.integers(0, 50),
    first=st.sampled_from([0, 1, 7, 100]),
    k=st.sampled_from([0, 1, 5, 200]),
    threads=st.sampled_from([1, 2, 7]),
)
def test_images_are_found_as_it_is_defined(
    asked: Asked, min_share, barred, max_share, seed, first, k, threads
):
    images = with_removed(with_ties(make_columns(seed, 40, C, 2, values=seed % 3 * 2), 3), 7)
    searcher = _core.Searcher([one.segment for one in images.cut([[], [5], [0, 50, 51]][seed % 3])], 2)
    ids, distances, found, total = searcher.find(asked, min_share, barred, max_share, first, k, threads)
    best = expected(images, asked, min_share, barred, max_share)
    assert total == len(best)
    part = best[first : first + k]
    assert ids.tolist() == [key for _, _, key, _ in part]
    assert distances.tolist() == [distance for distance, _, _, _ in part]
    assert found.tolist() == [sums for _, _, _, sums in part]


def test_more_images_than_one_task_looks_at():
    n = 150_000
    rng = np.random.default_rng(1)
    proportions = rng.integers(1, 50, n) / np.float32(64)
    images = Columns(
        np.arange(0, 2 * n + 1, 2),
        np.tile(np.array([1, 4], np.uint16), n),
        np.stack([proportions, 1 - proportions], 1).ravel().astype(np.float32),
        np.zeros((2 * n, 1), np.float32),
        rng.permutation(n),
    )
    searcher = _core.Searcher([images.segment], 1)
    order = np.lexsort((images.ids, -proportions))
    for threads in (1, 2, 7):
        ids, _, _, total = searcher.find([([1], None)], 0.5, [], 0.0, 100, 30, threads)
        np.testing.assert_array_equal(ids, images.ids[order[100:130]])
        assert total == np.count_nonzero(proportions >= 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([([2, 1], None)], 0.0, [], 0.0, 0, 1, 1), "needed: expected labels that ascend"),
        (([([1], 2.0)], 0.0, [], 0.0, 0, 1, 1), "shares: expected 0 to 1"),
        (([([1], np.nan)], 0.0, [], 0.0, 0, 1, 1), "shares: expected 0 to 1"),
        (([], 0.0, [3, 3], 0.0, 0, 1, 1), "barred: expected labels that ascend"),
        (([], 2.0, [], 0.0, 0, 1, 1), "shares: expected 0 to 1"),
        (([], 0.0, [], 0.0, -1, 1, 1), "first: expected at least 0, got -1"),
        (([], 0.0, [], 0.0, 0, -1, 1), "k: expected at least 0, got -1"),
        (([], 0.0, [], 0.0, 0, 1, 0), "threads"),
    ],
)
def test_the_core_refuses_what_cannot_be_asked(arguments: tuple[object, ...], message: str):
    searcher = _core.Searcher([make_columns(1, 4, C, 2).segment], 2)
    with pytest.raises(ValueError, match=message):
        searcher.find(*arguments)


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Index:
    return Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")


def test_photos_are_found_by_names(index: Index):
    classes, signatures = index.recipe.classes, index.signatures()
    shown = signatures.histograms()
    label = int(np.argmax((shown >= 0.02).sum(axis=0)))
    name = classes[label]
    found = find(index, name, min_share=0.02)
    order = np.lexsort((signatures.ids, -shown[:, label].astype(np.float64)))
    wanted = [int(signatures.ids[i]) for i in order if shown[i, label] >= 0.02]
    assert [one.id for one in found] == wanted[:20]
    assert (found.total, found.page, found.pages) == (len(wanted), 1, -(-len(wanted) // 20))
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    assert found[0].shares == {name: float(shown[order[0], label])}
    assert found[0].path == index[found[0].id].path
    assert found[:2] == (found[0], found[1])
    # Pages go on where the one before ended.
    pages = [find(index, name, k=2, page=page) for page in (1, 2, 3)]
    assert [one.id for page in pages for one in page] == wanted[:6]
    assert [one.rank for one in pages[1]] == [3, 4]
    assert repr(pages[1]) == f"FoundImages(2 images of {len(wanted)}, page 2 of {-(-len(wanted) // 2)})"
    # A share that is asked for goes before more of the others.
    near = find(index, shares={name: 0.3}, k=100)
    off = [one.distance for one in near]
    assert off == sorted(off)
    assert off[0] == abs(near[0].shares[name] - 0.3)
    # What is left out, and conditions.
    assert not {one.id for one in find(index, without=name, max_share=0, k=100)} & set(wanted)
    assert [one.id for one in find(index, name, where=f"ids:{wanted[1]}")] == [wanted[1]]
    assert len(find(index.path, name, where="ids:1000")) == 0


def test_groups_count_as_one_class(index: Index, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("semcbir.terms.known_groups", lambda classes: {"pair": (0, 1)})
    found = find(index, "pair", k=100, min_share=0)
    shown = index.signatures().histograms()[:, :2].astype(np.float64).sum(axis=1)
    assert [one.shares["pair"] for one in found] == sorted(shown.tolist(), reverse=True)
    assert isinstance(found, FoundImages)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "only: expected a name of a class, got none, neither in without nor in shares"),
        ({"only": "unicorn"}, "only: expected the name of a class or a group, got 'unicorn'"),
        ({"without": "unicorn"}, "without: expected the name of a class or a group, got 'unicorn'"),
        ({"shares": {"unicorn": 0.5}}, "shares: expected the name of a class or a group, got 'unicorn'"),
        ({"shares": {"sky": 2}}, "shares: expected numbers from 0 to 1, got 2.0"),
        ({"only": "sky", "k": 0}, "k: expected"),
        ({"only": "sky", "page": 0}, "page: expected"),
        ({"only": "sky", "min_share": 2}, "min_share: expected a number from 0 to 1, got 2.0"),
        ({"only": "sky", "where": "colour:red"}, "where: expected folder:PATH"),
    ],
)
def test_what_cannot_be_found_is_said(index: Index, asked: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        find(index, **asked)
    with pytest.raises(TypeError, match="shares: expected a mapping"):
        find(index, shares=[("sky", 1)])


def test_one_name_is_asked_for_once(index: Index):
    name = index.recipe.classes[0]
    with pytest.raises(ValueError, match="shares: expected names that are not in only"):
        find(index, name, shares={name: 0.5})


def test_words_on_the_command_line(index: Index, run: Run):
    name = index.recipe.classes[int(np.argmax((index.signatures().histograms() >= 0.02).sum(axis=0)))]
    word = name.replace(" ", "_")
    found = find(index, name, k=3)
    code, out, err = run("find", str(index.path), word, "-k", "3")
    assert code == 0
    assert [int(line.split()[1]) for line in out.splitlines()[1:]] == [one.id for one in found]
    assert err == f"semcbir: page 1 of {found.pages}, {found.total} of {len(index)} photos\n"
    code, out, err = run("find", str(index.path), f"{word}:30%", "--json")
    assert code == 0
    assert '"total"' in out
    for words, message in (
        (f"{word}:x", f"expected a share from 0 to 1 or from 0% to 100% (sky:40%), got '{word}:x'"),
        (" ", "expected names of classes, such as sea or animal, got none"),
        (":1", "expected CLASS, -CLASS or CLASS:SHARE, got ':1'"),
    ):
        code, out, err = run("find", str(index.path), words)
        assert (code, out) == (2, "")
        assert one_line(err)
        assert message in err


def test_what_is_found_can_be_acted_on(index: Index, run: Run, tmp_path: Path):
    name = index.recipe.classes[int(np.argmax((index.signatures().histograms() >= 0.02).sum(axis=0)))]
    word, place = name.replace(" ", "_"), str(index.path)
    found = find(index, name, k=3)
    paths = [str(one.path) for one in found]
    assert run("find", place, word, "-k", "3", "--paths")[1] == "".join(f"{path}\n" for path in paths)
    assert run("find", place, word, "-n", "3", "-0")[1] == "".join(f"{path}\0" for path in paths)
    rows = run("find", place, word, "-k", "3", "--csv")[1].splitlines()
    assert rows[0] == f"rank,id,path,{word}"
    assert rows[1].startswith(f"1,{found[0].id},{paths[0]},")
    assert float(rows[1].rsplit(",", 1)[1]) == found[0].shares[name]
    code, _, _ = run("find", place, word, "-k", "3", "--copy", str(tmp_path / "picked"))
    assert code == 0
    assert sorted(one.name for one in (tmp_path / "picked").iterdir()) == [
        f"{one.rank:03}_{one.path.name}" for one in found
    ]
    code, out, err = run("find", place, word, "--csv", "--json")
    assert (code, out) == (2, "")
    assert "expected one of --json, --paths, -0, --csv, --terminal, got --json and --csv" in err
    code, out, err = run("find", place, word, "--where", "ids:999")
    assert (code, out) == (0, "")
    assert err == f"semcbir: no photo in {place} shows that\n"


def test_what_is_easily_got_wrong_is_said(index: Index, run: Run, photo_folder: Path):
    place, name = str(index.path), index.recipe.classes[0].replace(" ", "_")
    for arguments, code, message in (
        (
            [place, "sea", "-person"],
            2,
            'no such option: -p; what is left out follows another word in the same quotes ("sea -person"), '
            "or --without; see `semcbir find -h`",
        ),
        ([place, f"{name} {name}:40%"], 2, f"WORDS: expected each class once, got '{name}' twice"),
        ([place, f"{name} -{name}"], 2, f"WORDS: expected each class once, got '{name}' twice"),
        ([place, "sky:140%"], 2, "WORDS: expected a share from 0 to 1 or from 0% to 100% (sky:40%)"),
        ([place, "qqqq"], 1, "got 'qqqq'; `semcbir info --classes` lists what photos show"),
        ([place, name, "--page", "99"], 2, "--page: expected an integer from 1 to 1, got 99"),
        (["sea", str(photo_folder)], 2, "expected words, got a folder; did you mean: semcbir find "),
    ):
        got, out, err = run("find", *arguments)
        assert (got, out) == (code, ""), arguments
        assert message in err
        assert one_line(err)


def test_a_sheet_of_what_is_found(index: Index, run: Run, tmp_path: Path):
    name = index.recipe.classes[int(np.argmax((index.signatures().histograms() >= 0.02).sum(axis=0)))]
    word, place, picture = name.replace(" ", "_"), str(index.path), tmp_path / "found.png"
    found = find(index, word, k=6)
    code, _, _ = run("find", place, word, "-k", "6", "--sheet", str(picture))
    with Image.open(picture) as saved:
        assert (code, saved.height) == (0, found_sheet(found, "").height)
        assert np.array_equal(saved, found_sheet(found, f"photos that show {word}"))
    code, _, _ = run("find", place, word, "--where", "ids:999", "--sheet", str(picture))
    with Image.open(picture) as saved:
        assert code == 0
        assert saved.height < found_sheet(found, "").height, "nothing is found"
    picture.write_bytes(b"mine")
    code, _, err = run("find", place, word, "--sheet", str(picture))
    assert (code, picture.read_bytes()) == (1, b"mine")
    assert "is there already" in err


def test_a_sheet_shows_each_photo_in_its_place(photo_folder: Path):
    paths = sorted(photo_folder.rglob("*.*"))[:6]
    images = [FoundImage(rank, rank, path, {"sea": 0.1 * rank}, 0.0) for rank, path in enumerate(paths, 1)]

    def pixels(images: list[FoundImage], title: str = "sea", total: int = 6) -> np.ndarray:
        return np.asarray(found_sheet(FoundImages(images, total), title))

    whole = pixels(images)
    assert pixels(images[:5]).shape[0] < whole.shape[0]
    assert found_sheet(FoundImages(images, 6), "", columns=6).height == pixels(images[:5]).shape[0]
    for other in (
        pixels(images[::-1]),
        pixels(images, title="sand"),
        pixels(images, total=60),
        pixels([replace(images[0], path=photo_folder / "gone.jpg"), *images[1:]]),
        pixels([replace(images[0], shares={"sea": 0.7}), *images[1:]]),
        pixels([replace(images[0], rank=7), *images[1:]]),
    ):
        assert other.shape == whole.shape
        assert not np.array_equal(other, whole)
    assert (
        pixels([replace(images[0], path=Path("gone"))] * (MAX_HITS + 1)).shape
        == pixels([replace(images[0], path=Path("gone"))] * MAX_HITS).shape
    )
    with pytest.raises(ValueError, match="columns: expected an integer from 1 to 50, got 0"):
        found_sheet(FoundImages([], 0), "", columns=0)


def test_words_that_nothing_is_called(index: Index, run: Run):
    place, name = str(index.path), index.recipe.classes[0].replace(" ", "_")
    for arguments in (("unicorn",), (f"{name} -unicorn",), ("unicorn:0.5",), (name, "--without", "unicorn")):
        code, out, err = run("find", place, *arguments)
        assert (code, out) == (1, "")
        assert err.startswith("semcbir: error: WORDS: expected the name of a class or a group, got 'unicorn'")
    other = index.recipe.classes[1].replace(" ", "_")
    left = run("find", place, name, "--without", other, "--json")
    assert left == run("find", place, f"{name} -{other}", "--json")
