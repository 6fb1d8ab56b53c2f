# SPDX-License-Identifier: MIT
"""Targets: the index that a user names by itself or by its folder of photos, and what was done to it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from semcbir._files import absolute, display_path
from semcbir.cli.console import SKIPPED, note
from semcbir.cli.progress import RunMeter
from semcbir.cli.text import left_out_lines, run_text, trouble_lines
from semcbir.errors import SemcbirError
from semcbir.threads import check_threads

if TYPE_CHECKING:
    from semcbir.extractor import Extractor
    from semcbir.index.index import Index
    from semcbir.index.report import Report


def open_index(place: Path) -> Index:
    """Open the index at ``place``, which may be a folder of photos with its own index."""
    _import_numpy()
    from semcbir.index.ready import open_place

    return open_place(place, "place")


def ready_index(
    target: Path,
    model: str | None,
    encoder: str | None,
    features: str | None,
    feature: str | None,
    device: str,
    threads: int | None,
    max_pixels: int,
) -> tuple[Index, Extractor, int]:
    """Return the index to search, an extractor, and the exit code; a folder's own index is refreshed."""
    _import_numpy()
    from semcbir.index import ready as getting_ready

    require_feature(target, feature)
    with RunMeter() as meter:
        ready = getting_ready.ready_index(
            target,
            model=model,
            encoder=encoder,
            features=features,
            feature=feature,
            device=device,
            threads=threads,
            max_pixels=max_pixels,
            on_progress=meter,
        )
    if ready.stale:
        note(ready.stale)
    code = _note_run(ready.index, ready.report, meter.seconds) if ready.report else 0
    if ready.made and (features or feature or model or encoder):
        held, where = " and ".join(ready.index.features), display_path(ready.index.path)
        named = {"model": model, "encoder": encoder}
        with_these = "".join(f", {kind} {display_path(name)}" for kind, name in named.items() if name)
        note(f"the folder's index holds {held}{with_these} from now on; delete {where} to choose again")
    return ready.index, ready.extractor, code


def require_feature(target: Path, feature: str | None) -> None:
    """Raise ValueError if there is an index at ``target`` and it lacks ``feature`` (None: any will do)."""
    held: list[str] = []
    if feature is not None:
        from semcbir.index.catalog import read
        from semcbir.index.place import index_place
        from semcbir.index.snapshot import read_recipe

        # Other problems are left to who opens the index.
        with suppress(SemcbirError, OSError, ValueError), read(index_place(target, "target")) as catalog:
            held = [one.name for one in read_recipe(catalog).features]
    if held and feature not in held:
        raise ValueError(
            f"feature: this index holds {' and '.join(held)}; you asked for {feature}, which another index "
            f"can hold: `semcbir index FOLDER -o INDEX --features {feature}`"
        )


def open_models_ahead(
    target: Path, model: str | None, encoder: str | None, device: str, threads: int | None
) -> None:
    """Start to open the models that an index holds, while this thread imports what else a search needs.

    Those that ``model`` and ``encoder`` replace are left out. Nothing is opened ahead for a GPU, which the
    whole process has to wait for. Errors are left to those who use the models.
    """
    _import_numpy()
    from semcbir.index.model_place import ENCODER, MODEL, has_model
    from semcbir.index.place import index_place
    from semcbir.inference.ahead import open_ahead
    from semcbir.inference.runtime import cuda_visible

    if device == "cuda" or (device == "auto" and cuda_visible()):
        return
    with suppress(SemcbirError, OSError, ValueError):
        folder = index_place(target, "target")
        opening = False
        for place, named in ((MODEL, model), (ENCODER, encoder)):
            if named is None and has_model(folder, place):
                open_ahead(folder / place.file, place.kind.load(folder / place.card), check_threads(threads))
                opening = True
        if opening:
            import onnxruntime  # noqa: F401 - the sessions wait for it, and meanwhile their files are read


def _import_numpy() -> None:
    """Import NumPy from here and not from a module that a module imports, where it takes twice as long.

    Python 3.11 to 3.13 give frames memory in blocks. A call that does not fit into one gets a block of its
    own, and gives it back when it ends: 30 ms in all where NumPy makes its types at such a depth.
    """
    import numpy  # noqa: F401


def _note_run(opened: Index, report: Report, seconds: float) -> int:
    """Write what a run changed, if anything, to stderr; return the exit code."""
    changed = report.added or report.updated or report.removed or report.moved or report.skipped
    if changed:
        note(run_text(opened, report, seconds))
    if changed or not len(opened):
        for line in left_out_lines(report, opened.path):
            note(line)
    for line in trouble_lines(report, opened.path):
        note(line)
    return SKIPPED if report.skipped or report.missing or report.unreadable else 0


def rebase(opened: Index, root: str) -> None:
    """Carry out ``--root NEW`` or ``--root OLD=NEW``; either folder's name may contain "="."""
    cuts = [place for place, char in enumerate(root) if char == "="]
    for cut in cuts:
        if root[:cut] and absolute(root[:cut]) in opened.roots:
            if not root[cut + 1 :]:
                raise ValueError(f"--root: expected OLD=NEW, got no NEW in {display_path(root)}")
            _moved(opened, root[cut + 1 :], root[:cut])
            return
    if not root:
        raise ValueError("--root: expected NEW or OLD=NEW, got nothing")
    if len(opened.roots) == 1 and (not cuts or absolute(root).is_dir()):
        _moved(opened, root)
        return
    known = ", ".join(map(display_path, opened.roots)) or "none"
    if cuts:
        old = display_path(root[: cuts[0]])
        raise ValueError(f"--root: '{old}' is none of the index's folders, which are: {known}")
    raise ValueError(
        f"--root: expected OLD=NEW, where OLD is one of the index's folders ({known}), "
        f"got {display_path(root)}"
    )


def _moved(opened: Index, new: str, old: str | None = None) -> None:
    """Tell the index, and say how many of its photos are not where it looks for them now."""
    try:
        opened.rebase(new, old)
    except ValueError as error:
        raise ValueError(f"--root: {str(error).partition(': ')[2]}") from None
    if missing := sum(not record.path.exists() for record in opened):
        note(f"warning: {missing} of {len(opened)} images are not there; is it the right folder?")
