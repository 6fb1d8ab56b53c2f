# SPDX-License-Identifier: MIT
"""What all methods share that take local features, and the registry of all baselines."""

from __future__ import annotations

import os
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from made_features import features_of, made_features
from semcbir.baselines import (
    BASELINES,
    VLAD,
    Aggregator,
    BoVW,
    Fisher,
    NGrams,
    Phrases,
    PixelDescriptor,
    Whitened,
)
from semcbir.baselines.libraries import one_thread
from semcbir.baselines.normalising import powered, rooted, shares, unit
from semcbir.errors import SemcbirError
from semcbir.features.base import LocalFeatures

METHODS = [BoVW(6), BoVW(6, tf_idf=True), NGrams(5), Phrases(5), VLAD(4), VLAD(4, intra=True), Fisher(3)]
IDS = [f"{method.name}{number}" for number, method in enumerate(METHODS)]
TRAINING = made_features((30, 0, 45, 1, 60, 25))

each = pytest.mark.parametrize("method", METHODS, ids=IDS)


@each
def test_images_without_keypoints_have_the_null_vector(method: Aggregator) -> None:
    fitted = method.fit(TRAINING)
    vectors = fitted.vectors([TRAINING[1], TRAINING[0]])
    assert vectors.shape == (2, fitted.dim)
    assert vectors.dtype == np.float32
    assert not vectors[0].any()
    assert np.linalg.norm(vectors[1]) == pytest.approx(1, abs=1e-6)


@each
def test_one_keypoint_is_enough(method: Aggregator) -> None:
    fitted = method.fit(TRAINING)
    (vector,) = fitted.vectors([TRAINING[3]])
    assert np.isfinite(vector).all()
    # A bigram takes two; a word that all training images with keypoints have is not all there is.
    assert vector.any() == (not isinstance(method, NGrams))


@each
def test_no_image_at_all(method: Aggregator) -> None:
    fitted = method.fit(TRAINING)
    assert fitted.vectors([]).shape == (0, fitted.dim)
    assert fitted.vectors([]).dtype == np.float32


@each
def test_images_come_from_anywhere_and_do_not_change_each_other(method: Aggregator) -> None:
    fitted = method.fit(tuple(TRAINING))
    together = fitted.vectors(TRAINING)
    assert np.array_equal(fitted.vectors(iter(TRAINING)), together)
    alone = np.concatenate([fitted.vectors([image]) for image in TRAINING])
    assert np.array_equal(alone, together)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).vectors(TRAINING), together)


@each
def test_the_order_of_keypoints_does_not_matter(method: Aggregator) -> None:
    fitted = method.fit(TRAINING)
    image, order = TRAINING[2], np.random.default_rng(0).permutation(len(TRAINING[2]))
    turned = LocalFeatures(image.keypoints[order], image.descriptors[order])
    np.testing.assert_allclose(fitted.vectors([turned]), fitted.vectors([image]), atol=1e-6)


@each
def test_a_seed_decides(method: Aggregator) -> None:
    fewer = type(method)(**{**vars(method), "samples": 40})
    vectors = fewer.fit(TRAINING).vectors(TRAINING)
    assert np.array_equal(fewer.fit(TRAINING).vectors(TRAINING), vectors)
    other = type(method)(**{**vars(fewer), "seed": 1}).fit(TRAINING).vectors(TRAINING)
    assert other.shape != vectors.shape or not np.array_equal(other, vectors)


@each
def test_a_seed_decides_what_is_learnt_of_all_descriptors_too(method: Aggregator) -> None:
    first, second = (
        type(method)(**{**vars(method), "seed": seed}).fit(TRAINING).vectors(TRAINING) for seed in (0, 3)
    )
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    code = """
import hashlib
from made_features import made_features
from semcbir.baselines import VLAD, BoVW, Fisher
images = made_features((700,) * 6, dim=24)
for method in (BoVW(60), VLAD(8), Fisher(6)):
    print(hashlib.sha256(method.fit(images).vectors(images).tobytes()).hexdigest())
"""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **dict.fromkeys(names, threads), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "3")
    ]
    assert len(said[0].split()) == 3
    assert said[0] == said[1]


def threads() -> list[int]:
    """How many threads each library that has some takes now."""
    import threadpoolctl

    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


def test_one_thread_and_then_the_others_again() -> None:
    import threadpoolctl

    with threadpoolctl.threadpool_limits(2):
        before = threads()
        with pytest.raises(RuntimeError), one_thread():
            assert set(threads()) == {1}
            raise RuntimeError
        assert threads() == before
        assert 2 in before


@pytest.mark.parametrize(
    ("where", "name", "learn"),
    [
        ("sklearn.cluster.MiniBatchKMeans", "fit", lambda: VLAD(4).fit(TRAINING)),
        ("sklearn.mixture.GaussianMixture", "fit", lambda: Fisher(3).fit(TRAINING)),
        ("numpy.linalg", "eigh", lambda: Fisher(3, axes=4).fit(TRAINING)),
        ("numpy.linalg", "svd", lambda: Whitened(2).fit(np.eye(5, 8))),
    ],
)
def test_learning_takes_one_thread(
    where: str, name: str, learn: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import threadpoolctl

    seen = []
    place = pkgutil.resolve_name(where)
    plain = getattr(place, name)

    def noting(*arguments: Any, **options: Any) -> Any:
        seen.append(set(threads()))
        return plain(*arguments, **options)

    monkeypatch.setattr(place, name, noting)
    with threadpoolctl.threadpool_limits(2):
        learn()
    assert seen == [{1}]


# --- root, power, length ------------------------------------------------------------------------------------


def test_root_by_hand() -> None:
    found = rooted(np.array([[1, 3, 0, 12], [0, 0, 0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0.25, np.sqrt(3) / 4, 0, np.sqrt(12) / 4], [0] * 4])
    assert np.linalg.norm(found[0]) == pytest.approx(1)


def test_the_root_of_negative_numbers_is_signed() -> None:
    found = rooted(np.array([[-1, 3]], np.float32))
    np.testing.assert_allclose(found, [[-0.5, np.sqrt(0.75)]])


@each
@pytest.mark.parametrize("signed", [False, True])
def test_root_is_the_same_as_rooted_descriptors(method: Aggregator, signed: bool) -> None:
    images = made_features((30, 0, 45), signed=signed)
    assert (images[0].descriptors < 0).any() == signed
    by_hand = [features_of(rooted(image.descriptors), image.keypoints) for image in images]
    root = type(method)(**{**vars(method), "root": True})
    found, expected = root.fit(images).vectors(images), method.fit(by_hand).vectors(by_hand)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    plain = method.fit(images).vectors(images)
    assert found.shape != plain.shape or not np.allclose(found, plain, atol=1e-3)


def test_normalisations_leave_null_vectors_alone() -> None:
    vectors = np.array([[3.0, -4.0], [0.0, 0.0]])
    np.testing.assert_allclose(unit(vectors), [[0.6, -0.8], [0, 0]])
    np.testing.assert_allclose(shares(vectors), [[3 / 7, -4 / 7], [0, 0]])
    np.testing.assert_allclose(powered(vectors, 0.5), [[3**0.5, -2], [0, 0]])
    assert powered(vectors, 1) is vectors


# --- what is refused ----------------------------------------------------------------------------------------

GOOD = TRAINING[0]


@pytest.mark.parametrize(
    ("bad", "error", "said"),
    [
        (GOOD, TypeError, "expected the LocalFeatures of several images, got those of one"),
        (3, TypeError, "expected the LocalFeatures of images, got 3"),
        ([GOOD, "x"], TypeError, r"\[1\]: expected LocalFeatures, got 'x'"),
        (
            [LocalFeatures(GOOD.keypoints, GOOD.descriptors.astype(np.float64))],  # type: ignore[arg-type]
            TypeError,
            r"\[0\].descriptors: expected a float32 array \(n, D\), got float64",
        ),
        (
            [LocalFeatures(GOOD.keypoints.astype(int), GOOD.descriptors)],  # type: ignore[arg-type]
            TypeError,
            r"\[0\].keypoints: expected a float32 array \(n, 2\), got int64",
        ),
        (
            [LocalFeatures(GOOD.keypoints, GOOD.descriptors[0])],
            ValueError,
            r"\[0\].descriptors: expected shape \(n, D\), got \(6,\)",
        ),
        (
            [LocalFeatures(GOOD.keypoints[1:], GOOD.descriptors)],
            ValueError,
            r"keypoints \(n, 2\) and descriptors \(n, D\), got \(29, 2\) and \(30, 6\)",
        ),
        (
            [LocalFeatures(np.zeros((30, 3), np.float32), GOOD.descriptors)],
            ValueError,
            r"got \(30, 3\) and \(30, 6\)",
        ),
        (
            [GOOD, features_of(np.zeros((2, 5)))],
            ValueError,
            r"\[1\]: expected descriptors of length 6, got 5",
        ),
        ([features_of([[np.nan] * 6])], ValueError, r"\[0\].descriptors: expected finite numbers, got nan"),
        (
            [features_of([[0] * 6], [[np.inf, 0]])],
            ValueError,
            r"\[0\].keypoints: expected finite numbers, got inf",
        ),
    ],
)
def test_what_is_not_local_features(bad: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match="^training" + (said if said.startswith("\\[") else ".*" + said)):
        VLAD(4).fit(bad)
    with pytest.raises(error, match="^images" + (said if said.startswith("\\[") else ".*" + said)):
        VLAD(4).fit(TRAINING).vectors(bad)


def test_descriptors_of_no_length() -> None:
    empty = LocalFeatures(np.zeros((2, 2), np.float32), np.zeros((2, 0), np.float32))
    with pytest.raises(ValueError, match=r"training\[0\]: expected descriptors of length at least 1, got 0"):
        BoVW(2).fit([empty])


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (BoVW(), "at least 1000 descriptors for 1000 words, got 3"),
        (NGrams(4), "at least 4 descriptors for 4 words, got 3"),
        (Phrases(4), "at least 4 descriptors for 4 words, got 3"),
        (VLAD(4), "at least 4 descriptors for 4 words, got 3"),
        (Fisher(4), "at least 4 descriptors for 4 components, got 3"),
        (Fisher(2, axes=4), "at least 4 descriptors for 4 principal axes, got 3"),
    ],
)
def test_fewer_descriptors_than_words(method: Aggregator, said: str) -> None:
    images = [features_of(np.arange(10).reshape(2, 5)), features_of(np.ones((1, 5)))]
    with pytest.raises(ValueError, match=f"^training: expected {said}$"):
        method.fit(images)
    with pytest.raises(
        ValueError, match="training: expected the LocalFeatures of at least one image, got none"
    ):
        method.fit([])
    with pytest.raises(ValueError, match="got 0$"):
        method.fit([features_of(np.empty((0, 5)))])


def test_training_images_without_a_phrase() -> None:
    alone = [features_of([[number]]) for number in range(9)]
    with pytest.raises(ValueError, match="training: expected an image of at least 2 keypoints, got none"):
        NGrams(3).fit(alone)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: BoVW(1), ValueError, "words: expected an integer from 2 to 2147483647, got 1"),
        (lambda: BoVW(2.5), TypeError, "words: expected an integer .*, got 2.5"),
        (lambda: BoVW(tf_idf=1), TypeError, "tf_idf: expected True or False, got 1"),
        (lambda: BoVW(samples=999), ValueError, "samples: expected at least 1000 for 1000 words, got 999"),
        (lambda: VLAD(samples=63), ValueError, "samples: expected at least 64 for 64 words, got 63"),
        (lambda: VLAD(intra="yes"), TypeError, "intra: expected True or False, got 'yes'"),
        (lambda: VLAD(power=0), ValueError, "power: expected a number from 0.01 to 1, got 0"),
        (lambda: VLAD(power=float("nan")), ValueError, "power: expected a number from 0.01 to 1, got nan"),
        (lambda: VLAD(root=0), TypeError, "root: expected True or False, got 0"),
        (lambda: VLAD(seed=-1), ValueError, "seed: expected an integer from 0 to 4294967295, got -1"),
        (lambda: NGrams(n=1), ValueError, "n: expected an integer from 2 to 8, got 1"),
        (lambda: NGrams(phrases=0), ValueError, "phrases: expected an integer from 1 to .*, got 0"),
        (
            lambda: NGrams(1000, 7),
            ValueError,
            r"words: expected words \*\* n below 2 \*\* 63, got 1000 \*\* 7",
        ),
        (lambda: NGrams(samples=9), ValueError, "samples: expected at least 100 for 100 words, got 9"),
        (lambda: Phrases(2, 3), ValueError, "n: expected at most 2, the words there are, got 3"),
        (lambda: Fisher(0), ValueError, "components: expected an integer from 1 to .*, got 0"),
        (lambda: Fisher(axes=0), ValueError, "axes: expected an integer from 1 to .*, got 0"),
        (lambda: Fisher(samples=9), ValueError, "samples: expected at least 64 for 64 components, got 9"),
    ],
)
def test_parameters_out_of_range(make: Callable[[], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^{said}$"):
        make()


def test_options_are_keywords() -> None:
    assert BoVW(7, True) == BoVW(words=7, tf_idf=True)
    assert VLAD(7, True) == VLAD(words=7, intra=True)
    assert Fisher(7, 8) == Fisher(components=7, axes=8)
    assert NGrams(7, 3, 9) == NGrams(words=7, n=3, phrases=9)
    assert (BoVW().l2, VLAD().power, Fisher().power, Fisher().samples) == (True, 1, 0.5, 100_000)


# --- the registry, and libraries that are not there ---------------------------------------------------------


def test_baselines_by_name() -> None:
    names = ["bovw", "ngrams", "phrases", "vlad", "fisher", "colour", "cedd", "phash", "dhash"]
    assert list(BASELINES) == names
    for name, kind in BASELINES.items():
        assert kind.name == name
        assert kind.about
        assert "\n" not in kind.about
        takes = "local features" if issubclass(kind, Aggregator) else "pixels"
        assert kind.takes == takes
        assert issubclass(kind, Aggregator | PixelDescriptor)
        assert isinstance(kind(), kind)


def test_libraries_are_loaded_where_they_are_needed() -> None:
    heavy = {"sklearn", "scipy", "imagehash", "onnxruntime", "onnx", "torch"}
    made = "import sys, semcbir.baselines as b; [kind() for kind in b.BASELINES.values()]"
    code = f"{made}; print(*{heavy} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


@pytest.mark.parametrize(
    ("library", "call"),
    [
        ("scikit-learn", "VLAD(2).fit(made_features((9,)))"),
        ("scikit-learn", "Fisher(2).fit(made_features((9,)))"),
        ("scikit-learn", "SvmRanking().fit([[1.0], [2.0]], [0, 1])"),
        ("scikit-learn", "Whitened(1).fit([[1.0], [2.0]])"),
        ("imagehash", "PHash().describe(np.zeros((9, 9, 3), np.uint8))"),
        ("imagehash", "DHash().describe(np.zeros((9, 9, 3), np.uint8))"),
    ],
)
def test_a_library_that_is_missing_is_named(library: str, call: str) -> None:
    code = f"""
import sys
for name in ("sklearn", "threadpoolctl", "imagehash"):
    sys.modules[name] = None
import numpy as np
from made_features import made_features
from semcbir.baselines import *
{call}
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    said = f'{SemcbirError.__module__}.SemcbirError: {library} is not installed: pip install "semcbir[eval]"'
    assert ran.stderr.splitlines()[-1] == said


def test_a_library_that_is_broken_says_so_itself(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from semcbir.baselines.libraries import library

    (tmp_path / "imagehash.py").write_text("import something_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "imagehash", raising=False)
    with pytest.raises(ModuleNotFoundError, match="something_that_is_missing"):
        library("imagehash")
