# SPDX-License-Identifier: MIT
"""Child processes and what they inherit: pools of OpenCV, onnxruntime and the core, locks, settings."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from made_signatures import assert_same
from semcbir import Extractor, Index, Signatures, search
from semcbir._fork import Lock
from semcbir.features.opencv_threads import _blocks, one_opencv_thread
from semcbir.images import chatter, pillow
from semcbir.images.budget import Budget
from semcbir.images.decode import load_image
from semcbir.index import inspection
from semcbir.inference import runtime, watchdog

TIME = 60.0
METHODS = multiprocessing.get_all_start_methods()
needs_fork = pytest.mark.skipif("fork" not in METHODS, reason="needs fork")


def in_child(method: str, work: Callable[[], Any]) -> Any:
    """What ``work`` returns in a child process; fails if that takes too long."""
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, work))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forking with threads: that is the point
        process.start()
    sender.close()
    try:
        assert receiver.poll(TIME), "the child hangs"
        answer = receiver.recv()
        process.join(TIME)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
    return answer


def _answer(sender: Any, work: Callable[[], Any]) -> None:
    sender.send(work())
    sender.close()


def _extracted(extractor: Extractor, photos: list[Path]) -> list[Signatures]:
    return [extractor.extract(photos[:1]), extractor.extract(photos), extractor.extract(photos[:1])]


def _found(index: Index, photo: Path) -> list[tuple[int, float]]:
    return [(hit.id, hit.distance) for hit in search(photo, index)]


def opencvs_pool_at_rest(threads: int = 3) -> None:
    """Let OpenCV start threads; they then wait for work, as after a search."""
    cv2.setNumThreads(threads)
    picture = np.random.default_rng(0).integers(0, 255, (300, 300), np.uint8)
    cv2.KAZE_create().detectAndCompute(picture, None)
    threading.Event().wait(0.2)


@pytest.fixture(autouse=True)
def _opencv_as_before() -> Any:
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@pytest.fixture
def photos(made_photos: Path) -> list[Path]:
    return sorted(made_photos.rglob("*.jpg"))[:5]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["tiny", "default"])
def test_children_extract_after_their_parent_did(
    method: str, kind: str, photos: list[Path], tiny_model: Path
) -> None:
    extractor = Extractor(tiny_model if kind == "tiny" else None, ["kaze", "sift"], threads=2)
    expected = _extracted(extractor, photos)
    opencvs_pool_at_rest()
    for mine, theirs in zip(expected, in_child(method, partial(_extracted, extractor, photos)), strict=True):
        assert_same(mine, theirs)
        assert theirs.recipe == mine.recipe
    assert_same(_extracted(extractor, photos)[1], expected[1])


@pytest.mark.parametrize("method", METHODS)
def test_children_search_after_their_parent_did(
    method: str, made_photos: Path, photos: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    index = Index.build(made_photos, tmp_path / "index", model=tiny_model, threads=2)
    expected = _found(index, photos[0])
    opencvs_pool_at_rest()
    assert in_child(method, partial(_found, index, photos[0])) == expected


@needs_fork
def test_a_child_forked_in_the_middle_of_a_stream(photos: list[Path], tiny_model: Path) -> None:
    extractor = Extractor(tiny_model, threads=2)
    expected = _extracted(extractor, photos)[1]
    opencvs_pool_at_rest(3)
    with closing(extractor.stream(photos * 20)) as stream:  # type: ignore[type-var]
        next(stream)
        assert cv2.getNumThreads() == 1
        found, threads = in_child(
            "fork", partial(_extract_and_count, Extractor(tiny_model, threads=2), photos)
        )
        assert cv2.getNumThreads() == 1
    assert_same(found, expected)
    assert (threads, cv2.getNumThreads()) == (3, 3)


def _extract_and_count(extractor: Extractor, photos: list[Path]) -> tuple[Signatures, int]:
    return extractor.extract(photos), cv2.getNumThreads()


@needs_fork
def test_a_child_does_not_wait_for_memory_that_its_parents_threads_hold() -> None:
    budget = Budget(100)
    with budget.holding(80):
        assert in_child("fork", partial(_hold, budget))


def _hold(budget: Budget) -> bool:
    with budget.holding(80):
        return True


@needs_fork
def test_locks_that_the_parents_threads_hold_are_free_in_a_child() -> None:
    locks = [
        chatter._installing, pillow._lift.lock, _blocks.lock, runtime._opening, runtime._warned_lock,
        watchdog._making, inspection._lock, Lock(),
    ]  # fmt: skip
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            held.set()
            done.wait(TIME)

    def take() -> int:
        for lock in (*locks, pillow._lift.lock):
            with lock:
                pass
        return len(locks)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(TIME)
        assert in_child("fork", take) == len(locks)
    finally:
        done.set()
        holder.join(TIME)
    for lock in locks:  # and the parent's were not touched
        with lock:
            pass


@needs_fork
def test_a_lock_that_the_forking_thread_holds_is_left_in_both_processes() -> None:
    lock = Lock()

    def leave() -> str:
        lock.__exit__()
        with lock:
            return "left"

    with lock:
        assert in_child("fork", leave) == "left"
    with lock:
        pass


@needs_fork
def test_a_child_has_pillows_limit_although_its_parent_had_lifted_it(photos: list[Path]) -> None:
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None

    def limits() -> tuple[int | None, int | None, int | None]:
        first = Image.MAX_IMAGE_PIXELS
        load_image(photos[0])
        with pillow.pillow_limit_lifted(before + 1):
            within = Image.MAX_IMAGE_PIXELS
        return first, within, Image.MAX_IMAGE_PIXELS

    with pillow.pillow_limit_lifted(before + 1):
        assert Image.MAX_IMAGE_PIXELS is None
        assert in_child("fork", limits) == (before, None, before)
    assert before == Image.MAX_IMAGE_PIXELS


def test_pillows_limit_stays_lifted_until_the_last_picture_beyond_it_is_done() -> None:
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None
    first, second, small = (pillow.pillow_limit_lifted(before + more) for more in (1, 2, 0))
    with small:
        assert before == Image.MAX_IMAGE_PIXELS
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS is None
    second.__exit__(None, None, None)
    assert before == Image.MAX_IMAGE_PIXELS
    with pillow.pillow_limit_lifted(before + 1):
        Image.MAX_IMAGE_PIXELS = before + 5  # the program's own
    try:
        assert before + 5 == Image.MAX_IMAGE_PIXELS
    finally:
        Image.MAX_IMAGE_PIXELS = before


@needs_fork
def test_a_session_with_threads_is_made_anew_in_a_child_and_only_there(tiny_model: Path) -> None:
    from semcbir.segmentation.segmenter import Segmenter

    picture = np.zeros((40, 50, 3), np.uint8)
    for threads, anew in ((1, False), (2, True)):
        segmenter = Segmenter(tiny_model, threads=threads, device="cpu")
        expected = segmenter.segment([picture])[0]

        def work(segmenter: Segmenter = segmenter, expected: Any = expected) -> tuple[bool, bool]:
            before = segmenter._network._session
            same = bool(np.array_equal(segmenter.segment([picture])[0], expected))
            again = segmenter._network._session
            segmenter.segment([picture])
            return same and segmenter._network._session is again, again is not before

        assert in_child("fork", work) == (True, anew)
        before = segmenter._network._session
        segmenter.segment([picture])
        assert segmenter._network._session is before


@needs_fork
def test_a_forked_child_cannot_use_the_gpu_of_its_parent(tiny_model: Path, monkeypatch: Any) -> None:
    from semcbir import DeviceError
    from semcbir.segmentation.segmenter import Segmenter

    segmenter = Segmenter(tiny_model, device="cpu")
    monkeypatch.setattr(segmenter._network, "device", "cuda")
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(DeviceError, match="forked child process cannot use the GPU.*'spawn' or 'forkserver'"):
        segmenter.segment([np.zeros((40, 50, 3), np.uint8)])


def test_overlapping_streams_leave_opencv_as_it_was(photos: list[Path], tiny_model: Path) -> None:
    cv2.setNumThreads(3)
    extractor = Extractor(tiny_model, threads=2)
    first, second = extractor.stream(photos * 8), extractor.stream(photos * 8)
    next(first)
    next(second)
    assert cv2.getNumThreads() == 1
    first.close()  # type: ignore[attr-defined]
    assert cv2.getNumThreads() == 1  # the second is under way
    next(second)
    second.close()  # type: ignore[attr-defined]
    assert cv2.getNumThreads() == 3


def test_many_streams_at_once_leave_opencv_as_it_was() -> None:
    cv2.setNumThreads(3)

    def enter_and_leave() -> None:
        for _ in range(200):
            with one_opencv_thread():
                assert cv2.getNumThreads() == 1

    threads = [threading.Thread(target=enter_and_leave) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cv2.getNumThreads() == 3


@pytest.mark.parametrize("threads", [1, 4])
def test_a_number_of_threads_that_the_caller_sets_meanwhile_stays(threads: int) -> None:
    cv2.setNumThreads(threads)
    with one_opencv_thread():
        cv2.setNumThreads(2)
    assert cv2.getNumThreads() == 2
    cv2.setNumThreads(threads)
    with one_opencv_thread():
        pass
    assert cv2.getNumThreads() == threads


def test_a_pickled_index_is_opened_as_it_is_by_then(
    photo_folder: Path, photos: list[Path], tiny_model: Path, tmp_path: Path
) -> None:
    index = Index.build(photo_folder, tmp_path / "index", model=tiny_model)
    data = pickle.dumps(index)
    search(photos[0], index)
    assert pickle.dumps(index) == data  # the model and the searchers that it has by now stay behind
    again = pickle.loads(data)
    assert (again.path, len(again), again.report) == (index.path, 12, index.report)
    assert _found(again, photos[0]) == _found(index, photos[0])
    Index.open(index.path).remove(index.find(photo_folder / photos[0].parent.name / photos[0].name).id)  # type: ignore[union-attr]
    assert (len(pickle.loads(data)), len(index)) == (11, 12)


def loaded_with(**settings: str) -> dict[str, str]:
    """What GNU's OpenMP says of its settings in a process that imports semcbir, and what that keeps."""
    code = "import os, semcbir; print('kept', os.environ.get('OMP_WAIT_POLICY'))"
    others = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**others, "OMP_DISPLAY_ENV": "verbose", **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    said = dict(re.findall(r"(\w+) = '?(\w+)", done.stderr))
    if "OMP_WAIT_POLICY" not in said:
        pytest.skip("the core was built without GNU's OpenMP")
    kept = done.stdout.split()[1]
    return {"policy": said["OMP_WAIT_POLICY"], "spins": said["GOMP_SPINCOUNT"], "kept": kept}


def test_threads_of_the_core_sleep_while_they_wait():
    assert loaded_with() == {"policy": "PASSIVE", "spins": "0", "kept": "None"}
    assert loaded_with(OMP_WAIT_POLICY="active")["policy"] == "ACTIVE"
    assert loaded_with(GOMP_SPINCOUNT="77")["spins"] == "77"
