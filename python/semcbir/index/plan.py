# SPDX-License-Identifier: MIT
"""Planning: compare the files of a root with the catalogue, and decide what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from semcbir._files import display_path
from semcbir.errors import IndexStorageError
from semcbir.images.find import find_images
from semcbir.index.catalog import Catalog
from semcbir.index.roots import Root, claim_file, claim_folder, holding, outermost, read_roots
from semcbir.index.rows import ImageRow

_SETTLED = ("indexed", "skipped")
"""States of a row that stays as it is if its file does."""
_LARGEST = 2**63 - 1  # SQLite's; files can carry stranger times


@dataclass(frozen=True)
class Task:
    """A file to read. ``known`` is its row if the catalogue has one."""

    root: int
    relative: bytes
    path: Path
    size: int
    mtime_ns: int
    known: ImageRow | None


@dataclass
class Plan:
    """What brings (part of) a root up to date.

    Files to read, ids of files that are gone, ids of files that came back unchanged, and how many images stay
    as they are. ``missing`` is true if the whole root is not there; nothing is planned for it then.
    """

    root: Root
    tasks: list[Task] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)
    unchanged: int = 0
    missing: bool = False
    unreadable: list[Path] = field(default_factory=list)


def plan_refresh(catalog: Catalog, folders: Iterable[Path]) -> list[Plan]:
    """Plan to bring every root up to date, after making ``folders`` roots too.

    Raises IndexStorageError if no root is there at all.
    """
    for folder in outermost(folders):
        claim_folder(catalog, folder)
    plans = [_plan_root(catalog, root) for root in read_roots(catalog)]
    if plans and all(plan.missing for plan in plans):
        missing = ", ".join(display_path(plan.root.folder) for plan in plans)
        raise IndexStorageError(
            f"no folder of index {display_path(catalog.folder)} is there, or has any image left: "
            f"{missing}; if one moved, say where with `semcbir info INDEX --root NEW`"
        )
    return plans


def plan_add(catalog: Catalog, paths: Iterable[Path]) -> list[Plan]:
    """Plan to add the files among ``paths``, and the images below the folders among them.

    Images that were removed by hand come back; nothing is taken out.
    """
    chosen = list(paths)
    folders = [path for path in chosen if path.is_dir()]
    for folder in outermost(folders):
        claim_folder(catalog, folder)
    for path in chosen:
        if path not in folders:
            claim_file(catalog, path)
    roots = read_roots(catalog)
    by_root: dict[Root, list[Path]] = {}
    for path in chosen:
        root = holding(roots, path)
        if root is not None and path in outermost([path, *folders]):
            by_root.setdefault(root, []).append(path)
    return [_plan_paths(catalog, root, within) for root, within in by_root.items()]


def _plan_paths(catalog: Catalog, root: Root, paths: Iterable[Path]) -> Plan:
    plan = Plan(root)
    known = catalog.images_below(root.id)
    for path in paths:
        files = [path]
        if path.is_dir():
            files = find_images(
                path, [catalog.folder], on_error=lambda folder, _: plan.unreadable.append(folder)
            )
        for file in files:
            _look_at(plan, file, known.pop(root.relative(file), None), revive=True)
    return plan


def _plan_root(catalog: Catalog, root: Root) -> Plan:
    """Plan to bring all of ``root`` up to date with its folder.

    A root is missing if its folder is not there, or if it held images and now has none: an unmounted disk
    must not empty an index. Images in folders that cannot be read stay.
    """
    plan = Plan(root)
    known = catalog.images_below(root.id)
    settled = sum(row.state in _SETTLED for row in known.values())
    if not root.folder.is_dir():
        plan.missing = True
        return plan
    files = []
    if root.scanned:
        files = find_images(
            root.folder, [catalog.folder], on_error=lambda folder, _: plan.unreadable.append(folder)
        )
    for file in files:
        _look_at(plan, file, known.pop(root.relative(file), None), revive=False)
    for relative, row in known.items():
        file = root.file(relative)
        if row.state not in _SETTLED or any(file.is_relative_to(folder) for folder in plan.unreadable):
            continue
        # Single files may have been added under names that a scan skips.
        if file.is_file():
            _look_at(plan, file, row, revive=False)
        else:
            plan.gone.append(row.id)
    if root.scanned and settled and len(plan.gone) == settled and not files:
        return Plan(root, missing=True)
    return plan


def _look_at(plan: Plan, file: Path, row: ImageRow | None, *, revive: bool) -> None:
    try:
        status = file.stat()
    except OSError:
        return  # It vanished after it was listed: the next refresh settles it.
    mtime_ns = max(-_LARGEST, min(status.st_mtime_ns, _LARGEST))
    if row is not None:
        same = (row.size, row.mtime_ns) == (status.st_size, mtime_ns)
        if row.state == "removed" and not revive:
            return
        if same and row.state in _SETTLED and not (revive and row.state == "skipped"):
            plan.unchanged += row.state == "indexed"
            return
        if same and row.stored:
            plan.returned.append(row.id)
            return
    relative = os.fsencode(file.relative_to(plan.root.folder).as_posix())
    plan.tasks.append(Task(plan.root.id, relative, file, status.st_size, mtime_ns, row))
