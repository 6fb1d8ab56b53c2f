# SPDX-License-Identifier: MIT
"""Targets: from the place that a user names (an index or a folder of photos) to an open index."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from semcbir._files import display_path
from semcbir.cli.console import SKIPPED, note
from semcbir.cli.options import FOLDER_INDEX
from semcbir.cli.progress import RunMeter
from semcbir.cli.text import ignored_lines, run_text, trouble_lines
from semcbir.errors import IndexLockedError, IndexStorageError, RecipeMismatchError
from semcbir.index.catalog import is_index

if TYPE_CHECKING:
    from semcbir.extractor import Extractor
    from semcbir.index.index import Index
    from semcbir.index.run import Report


def open_index(place: Path) -> Index:
    """Open the index at ``place``; see ``index_place``."""
    from semcbir.index.index import Index

    return Index.open(index_place(place))


def index_place(place: Path) -> Path:
    """Return the index at ``place``, which is an index, or a folder of photos with its own index."""
    if not is_index(place) and is_index(place / FOLDER_INDEX):
        return place / FOLDER_INDEX
    if is_index(place):
        return place
    came = "is not an index" if place.exists() else "is not there"
    raise IndexStorageError(f"{display_path(place)} {came}; `semcbir index` makes an index")


def own_place(folder: Path) -> Path:
    """Return where a folder of photos keeps an index of its own."""
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise IndexStorageError(
            f"{display_path(folder)} cannot be written, so it cannot hold its index; "
            "`semcbir index FOLDER -o INDEX` makes one elsewhere"
        )
    return folder / FOLDER_INDEX


def ready_index(
    target: Path,
    model: str | None,
    features: str | None,
    device: str,
    threads: int | None,
    max_pixels: int,
) -> tuple[Index, Extractor, int]:
    """Return the index to search, an extractor, and the exit code; a folder's own index is refreshed."""
    from semcbir.index.index import Index

    code = 0
    if not is_index(target) and not is_index(target / FOLDER_INDEX) and target.is_dir():
        with RunMeter() as meter:
            opened = Index.build(
                target,
                own_place(target),
                model=model,
                features=features or "kaze",
                device=device,
                threads=threads,
                max_pixels=max_pixels,
                on_progress=meter,
            )
        code = _note_run(opened, opened.report, meter.seconds)
        return (
            opened,
            opened.extractor(model=model, device=device, threads=threads, max_pixels=max_pixels),
            code,
        )
    opened = open_index(target)
    if features and set(features.split(",")) != set(opened.features):
        raise RecipeMismatchError(
            f"index {display_path(opened.path)} holds the features {','.join(opened.features)}, "
            f"not {features}; leave out --features, or make another index with `semcbir index`"
        )
    extractor = opened.extractor(model=model, device=device, threads=threads, max_pixels=max_pixels)
    if not is_index(target):
        code = _refresh_own(opened, extractor)
    return opened, extractor, code


def _refresh_own(opened: Index, extractor: Extractor) -> int:
    """Bring a folder's own index up to date; if that is impossible now, it is searched as it is."""
    if not os.access(opened.path, os.W_OK):
        note(f"{display_path(opened.path)} cannot be written; searching it as it is")
        return 0
    try:
        with RunMeter() as meter:
            report = opened.refresh(extractor=extractor, on_progress=meter)
    except IndexLockedError:
        note(f"another process is writing to {display_path(opened.path)}; searching what it holds so far")
        return 0
    return _note_run(opened, report, meter.seconds)


def _note_run(opened: Index, report: Report, seconds: float) -> int:
    """Write what a run changed, if anything, to stderr; return the exit code."""
    if report.added or report.updated or report.removed or report.moved or report.skipped:
        note(run_text(opened, report, seconds))
        for line in ignored_lines(report):
            note(line)
    for line in trouble_lines(report, opened.path):
        note(line)
    return SKIPPED if report.skipped or report.missing or report.unreadable else 0


def rebase(opened: Index, root: str) -> None:
    """Carry out ``--root NEW`` or ``--root OLD=NEW``; either folder's name may contain "="."""
    cuts = [place for place, char in enumerate(root) if char == "="]
    for cut in cuts:
        if Path(os.path.normpath(Path(root[:cut]).absolute())) in opened.roots:
            opened.rebase(root[cut + 1 :], root[:cut])
            break
    else:
        opened.rebase(root)
