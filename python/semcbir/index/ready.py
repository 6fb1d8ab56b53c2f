# SPDX-License-Identifier: MIT
"""Getting ready: from what a user names, an index or a folder of photos, to an index to search."""

from __future__ import annotations

import os
import random
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from semcbir._files import PathLike, absolute, display_path
from semcbir._validate import counted, listed, shown
from semcbir.errors import ImageError, IndexLockedError, RecipeMismatchError
from semcbir.extractor import Extractor
from semcbir.images.find import find_images
from semcbir.images.limits import MAX_PIXELS
from semcbir.index.create import is_building
from semcbir.index.database import FOLDER_INDEX, is_index
from semcbir.index.index import Index, OnProgress
from semcbir.index.place import index_place, own_place
from semcbir.index.report import Report
from semcbir.index.roots import Roots

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
"""Seconds between looks at an index that another process is making."""


@dataclass(frozen=True, eq=False)
class Ready:
    """An index that is ready to search.

    ``extractor`` makes queries for it; ``report`` is what was done to bring it up to date, None if nothing
    had to be or could be; ``stale`` says what is not up to date, and why, if anything is not; ``made`` says
    that it is new.
    """

    index: Index
    extractor: Extractor
    report: Report | None = None
    stale: str | None = None
    made: bool = False


def open_place(place: Index | PathLike, name: str) -> Index:
    """Return ``place`` if it is an Index, or else the index there (``index_place``), opened."""
    return place if isinstance(place, Index) else Index.open(index_place(check_place(name, place), name))


def check_place(name: str, place: PathLike) -> Path:
    """Return the absolute path of an index or a folder; TypeError or ValueError if ``place`` is no path."""
    if not isinstance(place, (str, os.PathLike)):
        raise TypeError(f"{name}: expected an Index, or the path of one or of a folder, got {shown(place)}")
    return absolute(place, name)


def ready_index(
    place: PathLike,
    *,
    model: PathLike | None = None,
    encoder: PathLike | None = None,
    features: str | Iterable[str] | None = None,
    feature: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    max_pixels: int | None = MAX_PIXELS,
    on_progress: OnProgress = None,
) -> Ready:
    """Open the index at ``place`` to be searched.

    An index is opened as it is. A folder's own index is brought up to date, unless that is impossible now; if
    there is none yet, it is made with ``model``, ``encoder`` (of feature "deep") and ``features`` (None:
    ``feature``, or the defaults). While another process makes it, this waits, and warns once: what is in it
    so far is no answer.

    Raises ImageError if there are no photos to make it of, RecipeMismatchError if the index holds other
    ``features``, ValueError if it lacks ``feature``, the one to compare by, or has no use for ``encoder``,
    and the errors of ``Index.build``, ``Index.open`` and ``Index.extractor``.
    """
    path = absolute(place, "place")
    pause = _FIRST_PAUSE
    while True:
        try:
            return _ready(path, model, encoder, features, feature, device, threads, max_pixels, on_progress)
        except _BeingMadeError:
            if pause == _FIRST_PAUSE:
                what = f"another process is indexing {display_path(path)}; waiting until it has finished"
                warnings.warn(what, RuntimeWarning, stacklevel=2)
        # Many may wait: not all of them at the same moments.
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(2 * pause, _LONGEST_PAUSE)


class _BeingMadeError(Exception):
    """Another process is making the index, and has not read all photos yet."""


def _ready(
    path: Path,
    model: PathLike | None,
    encoder: PathLike | None,
    features: str | Iterable[str] | None,
    feature: str | None,
    device: str,
    threads: int | None,
    max_pixels: int | None,
    on_progress: OnProgress,
) -> Ready:
    if not is_index(path) and not is_index(path / FOLDER_INDEX) and path.is_dir():
        _require_photos(path)
        _require_one_of(features, feature)
        try:
            index = Index.build(
                path,
                own_place(path),
                model=model,
                features=features or feature,
                encoder=encoder,
                device=device,
                threads=threads,
                max_pixels=max_pixels,
                on_progress=on_progress,
            )
        except IndexLockedError as error:
            raise _BeingMadeError from error
        extractor = index.extractor(
            model=model, encoder=encoder, device=device, threads=threads, max_pixels=max_pixels
        )
        return Ready(index, extractor, index.report, made=True)
    index = Index.open(index_place(path))
    _require_features(index, features)
    index.recipe.feature(feature)
    extractor = index.extractor(
        model=model, encoder=encoder, device=device, threads=threads, max_pixels=max_pixels
    )
    if is_index(path):
        return Ready(index, extractor, stale=stale_words(index))
    return _refreshed(index, path, extractor, on_progress)


def _require_photos(folder: Path) -> None:
    # It is likely the wrong folder, and a new index takes megabytes.
    unread: list[str] = []
    if not find_images(folder, on_unread=unread.append):
        other = f" of a kind that is read here, only {counted(len(unread), 'other')}," if unread else ""
        raise ImageError(f"there are no photos{other} in {display_path(folder)}, so it gets no index")


def _require_one_of(features: str | Iterable[str] | None, feature: str | None) -> None:
    """Raise ValueError unless a new index with ``features`` has ``feature``: before it is made, not after."""
    names = _names(features)
    if names and feature is not None and feature not in names:
        raise ValueError(f"feature: expected {listed(names)}, one of the features, got {shown(feature)}")


def _names(features: str | Iterable[str] | None) -> list[str]:
    return features.split(",") if isinstance(features, str) else list(features or ())


def _require_features(index: Index, features: str | Iterable[str] | None) -> None:
    names = _names(features)
    if names and names != list(index.features):
        held = set(names) <= set(index.features)
        advice = "--feature chooses one of them" if held else "make another index with `semcbir index`"
        raise RecipeMismatchError(
            f"index {display_path(index.path)} holds the features {','.join(index.features)}, "
            f"not {','.join(names)}; leave out --features, or {advice}"
        )


def _refreshed(index: Index, folder: Path, extractor: Extractor, on_progress: OnProgress) -> Ready:
    """Bring the own index of ``folder`` up to date; if that is impossible now, it is searched as it is.

    The index came with the folder: it may not make a search look through any others.
    """
    where = display_path(index.path)
    if not os.access(index.path, os.W_OK):
        partial = " and is not complete" if is_building(index.path) else ""
        return Ready(index, extractor, stale=f"{where} cannot be written{partial}; searching it as it is")
    try:
        report = index._refresh((), extractor, on_progress, within=folder)
    except IndexLockedError as error:
        if is_building(index.path):
            raise _BeingMadeError from error
        why = f"another process is writing to {where}; searching what it holds so far"
        # Opened again: a first build may have ended after it was opened.
        return Ready(Index.open(index.path), extractor, stale=why)
    return Ready(index, extractor, report, _lost(index) or _elsewhere(index, folder))


def stale_words(index: Index) -> str | None:
    """Say what is amiss with an index that is used as it is: folders have moved, or it is not complete."""
    return _lost(index) if len(index) else _incomplete(index)


def _lost(index: Index) -> str | None:
    """Say which folders of an index have moved, nobody knows where to."""
    lost = [display_path(root.folder) for root in index._snapshot.roots if root.lost]
    if not lost:
        return None
    where = display_path(index.path)
    return (
        f"none of the photos that {where} holds of {_named(lost)} are there any more; "
        f"if they moved, say where with `semcbir info {where} --root NEW`"
    )


def _incomplete(index: Index) -> str | None:
    """Say that an index was not filled to the end, if so: that it is empty says nothing then."""
    if not is_building(index.path):
        return None
    where = display_path(index.path)
    return f"{where} is still being made, or was interrupted; `semcbir refresh {where}` completes it"


def _elsewhere(index: Index, folder: Path) -> str | None:
    """Say which folders of an index lie outside ``folder``, and were not looked through."""
    roots = Roots(index._snapshot.roots)
    if not any(root.scanned for root in roots.around(os.fspath(folder), os.path.realpath(folder))):
        return (
            f"{display_path(folder)} was removed from its index, so new photos in it are not looked for; "
            f"`semcbir index {display_path(folder)}` follows it again"
        )
    inside = set(roots.inside(folder))
    others = [display_path(root.folder) for root in index._snapshot.roots if root not in inside]
    if not others:
        return None
    return (
        f"the index of {display_path(folder)} follows other folders too, which a search does not look "
        f"through: {_named(others)}; `semcbir refresh {display_path(folder)}` does"
    )


def _named(folders: Sequence[str]) -> str:
    return ", ".join(folders[:3]) + (f" and {len(folders) - 3} more" if len(folders) > 3 else "")
