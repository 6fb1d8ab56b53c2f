# SPDX-License-Identifier: MIT
"""Planning: compare the files of a root with the catalogue, and decide what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from semcbir._files import display_path
from semcbir.errors import ImageError, IndexStorageError
from semcbir.images.find import find_images
from semcbir.index.catalog import Catalog
from semcbir.index.claims import claim
from semcbir.index.moves import recognise, size_and_mtime
from semcbir.index.part import Part, require_apart, require_own
from semcbir.index.roots import Root, parents
from semcbir.index.rows import ImageRow
from semcbir.index.tasks import Plan, Task
from semcbir.index.vanished import MANY, Surroundings, is_there

_SETTLED = ("indexed", "skipped")
"""States of a row that stays as it is if its file does."""


def plan_refresh(
    catalog: Catalog, folders: Iterable[Path], *, retry: bool = False, within: Path | None = None
) -> list[Plan]:
    """Plan to bring every root up to date, after making ``folders`` roots too.

    ``retry``: files that were skipped are read again, though unchanged. ``within``: only roots that are this
    folder, or lie in it.

    Raises IndexStorageError if no root is there at all.
    """
    folders = list(folders)
    require_apart(catalog, folders)
    roots = claim(catalog, folders)
    chosen = roots if within is None else roots.inside(within)
    plans = [_plan_root(catalog, root, retry) for root in chosen]
    if plans and all(plan.absent for plan in plans):
        missing = ", ".join(display_path(plan.root.folder) for plan in plans)
        images = " with its images" if any(plan.root.lost for plan in plans) else ""
        raise IndexStorageError(
            f"no folder of index {display_path(catalog.folder)} is there{images}: {missing}; if one moved, "
            "say where with `semcbir info INDEX --root NEW`; `semcbir remove INDEX FOLDER` takes its images "
            "out"
        )
    recognise(catalog, plans, adding=False)
    return plans


def plan_add(catalog: Catalog, paths: Iterable[Path]) -> list[Plan]:
    """Plan to add the files among ``paths``, and the images below the folders among them.

    Images that were removed by hand come back; nothing is taken out.
    """
    chosen = list(paths)
    folders = [path for path in chosen if path.is_dir()]
    files = set(chosen).difference(folders)
    require_apart(catalog, folders)
    require_own(catalog, files)
    roots = claim(catalog, folders, [path for path in chosen if path in files])
    placed = [(path in files, place) for path in chosen if (place := roots.place(path))]
    covered = {os.fspath(named) for is_file, (_, named) in placed if not is_file}
    within: dict[Root, dict[Path, None]] = {}
    for _, (root, named) in placed:
        if covered.isdisjoint(parents(os.fspath(named))):
            within.setdefault(root, {})[named] = None
    plans = [_plan_paths(catalog, root, named) for root, named in within.items()]
    recognise(catalog, plans, adding=True)
    return plans


def _plan_paths(catalog: Catalog, root: Root, paths: Iterable[Path]) -> Plan:
    plan = Plan(root)
    known = catalog.images_below(root.id)
    for path in paths:
        files = _images_below(catalog, plan, path) if path.is_dir() else [path]
        for file in files:
            _look_at(plan, file, known.pop(root.relative(file), None), revive=True)
    return plan


def _images_below(catalog: Catalog, plan: Plan, folder: Path) -> list[Path]:
    found = find_images(
        folder,
        [catalog.folder],
        on_error=lambda place, _: plan.unreadable.append(place),
        on_unread=lambda kind: plan.ignored.update((kind,)),
    )
    part = Part.of_index(catalog)
    return found if part is None else [file for file in found if part.has(plan.root.relative(file))]


def _plan_root(catalog: Catalog, root: Root, retry: bool) -> Plan:
    """Plan to bring all of ``root`` up to date with its folder; ``vanished`` says which images stay."""
    plan = Plan(root, retry=retry)
    if root.lost or not os.path.isdir(root.folder):  # noqa: PTH112 - false for every error
        plan.missing, plan.absent = [root.folder], True
        return plan
    known = catalog.images_below(root.id)
    settled = sum(row.state in _SETTLED for row in known.values())
    files: list[Path] = []
    if root.scanned:
        try:
            files = _images_below(catalog, plan, root.folder)
        except ImageError:
            plan.unreadable.append(root.folder)
            return plan
    for file in files:
        _look_at(plan, file, known.pop(root.relative(file), None), revive=False)
    lost = _look_for(plan, {key: row for key, row in known.items() if row.state in _SETTLED})
    own = Path(os.path.realpath(catalog.folder)).is_relative_to(root.real)
    if root.scanned and not files and len(lost) == settled >= MANY and not own:
        plan.missing.append(root.folder)
        return plan
    stay = Surroundings(root).out_of_sight(lost)
    plan.missing += stay
    plan.gone += lost.keys() - set().union(*stay.values())
    return plan


def _look_for(plan: Plan, rows: Mapping[bytes, ImageRow]) -> dict[int, Path]:
    """Look at the files of ``rows``, which no scan found; return those that are not there, by id."""
    lost = {}
    closed = {os.fspath(folder) for folder in plan.unreadable}
    for relative, row in rows.items():
        file = plan.root.file(relative)
        if not closed.isdisjoint(parents(os.fspath(file))):
            continue
        there = is_there(file)
        if there:
            # Single files may have been added under names that a scan skips.
            _look_at(plan, file, row, revive=False)
        elif there is None:
            plan.unreadable.append(file.parent)
            closed.add(os.fspath(file.parent))
        else:
            lost[row.id] = file
    return lost


def _look_at(plan: Plan, file: Path, row: ImageRow | None, *, revive: bool) -> None:
    try:
        size, mtime_ns = size_and_mtime(file.stat())
    except OSError:
        return  # It vanished after it was listed: the next refresh settles it.
    if row is not None:
        same = (row.size, row.mtime_ns) == (size, mtime_ns)
        if row.state == "removed" and not revive:
            plan.left_out += 1
            return
        if same and row.state in _SETTLED and not ((revive or plan.retry) and row.state == "skipped"):
            plan.unchanged += row.state == "indexed"
            return
        if same and row.stored:
            plan.returned.append(row.id)
            return
    relative = plan.root.relative(file)
    plan.tasks.append(Task(plan.root.id, relative, file, size, mtime_ns, row))
