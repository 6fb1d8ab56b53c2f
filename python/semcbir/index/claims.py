# SPDX-License-Identifier: MIT
"""Claims: which root holds a folder or a file, as folders are added, forgotten, nested and moved.

A folder below a scanned root belongs to it; a folder around other roots takes over their images; a folder
below a forgotten root takes its images from there. An image keeps its id on all these ways. If two images
turn out to be the same file, one of them is superseded: its id stays reserved, and it is never found again.
A lost root takes no part: the folder that is now where it was is another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from semcbir._files import display_path
from semcbir.images.find import find_images
from semcbir.index.catalog import Catalog
from semcbir.index.moves import has_image_of
from semcbir.index.roots import Root, Roots, outermost, read_roots
from semcbir.index.rows import ImageRow
from semcbir.index.whereabouts import stored_place


def claim(catalog: Catalog, folders: Iterable[Path], files: Iterable[Path] = ()) -> Roots:
    """Make the index follow ``folders`` and hold the single ``files``, in one commit; return its roots.

    Roots that have come to be the same folder, or one inside another, become one.
    """
    known = _standing(catalog)
    new = [folder for folder in outermost(folders) if not _followed(known, folder)]
    lone = [file for file in files if known.place(file) is None]
    if new or lone or any(_outer(known, root) for root in known):
        with catalog.changes():
            _claim_folders(catalog, new)
            _unite(catalog)
            _claim_files(catalog, lone)
    return Roots(read_roots(catalog))


def rebase(catalog: Catalog, new: Path, old: Path | None) -> None:
    """Store that the root at ``old`` (None: the only one) is now at ``new``; ValueError as in ``Index``."""
    roots = read_roots(catalog)
    chosen = [root for root in roots if old in (None, root.folder)]
    if old is not None:  # Another root may be where a lost one was.
        chosen = [root for root in chosen if root.lost] or chosen
    if len(chosen) != 1:
        known = ", ".join(display_path(root.folder) for root in roots)
        came = "none" if old is None else display_path(old)
        raise ValueError(f"old: expected one of the index's folders ({known}), got {came}")
    root = Root(chosen[0].id, new, chosen[0].state)
    others = [other for other in _standing(catalog) if other.id != root.id]
    if any(_way(root, other) is not None or _way(other, root) is not None for other in others):
        raise ValueError(f"new: expected a folder apart from the index's other ones, got {display_path(new)}")
    if not _is_at_home(catalog, root):
        raise ValueError(
            f"new: expected a folder with images of the one that moved, got {display_path(new)} without any"
        )
    every = Roots(other for other in _standing(catalog, forgotten=True) if other.id != root.id)
    with catalog.changes():
        if not root.scanned:
            _leave_deeper(catalog, chosen[0])
        catalog.move_root(root.id, *stored_place(new, catalog.folder))
        _take_over(catalog, every, root, moved=True)


def _is_at_home(catalog: Catalog, root: Root) -> bool:
    """Return whether images of ``root`` are in its folder, even under other names, or it has none."""
    images = catalog.indexed_below(root.id)
    if not images or any(root.file(path).exists() for _, path in images):
        return True
    return root.scanned and has_image_of(catalog, root.id, find_images(root.folder, [catalog.folder]))


def _leave_deeper(catalog: Catalog, root: Root) -> None:
    """Give what a root of single files has in sub-folders, from when it was scanned, to a forgotten root."""
    deeper = [(row.id, path) for path, row in catalog.images_below(root.id).items() if b"/" in path]
    if deeper:
        place = stored_place(root.folder, catalog.folder)
        catalog.hand_over(catalog.add_root(*place, "forgotten"), deeper)


def _standing(catalog: Catalog, *, forgotten: bool = False) -> Roots:
    """Return the roots whose folders are known to be theirs; missing ones are too."""
    roots = read_roots(catalog, forgotten=forgotten)
    return Roots(root for root in roots if not (root.lost and os.path.isdir(root.folder)))  # noqa: PTH112


def _followed(roots: Roots, folder: Path) -> bool:
    return any(root.scanned for root in roots.around(os.fspath(folder), os.path.realpath(folder)))


def _way(outer: Root, inner: Root) -> bytes | None:
    """Return the name of the folder of ``inner`` in ``outer``, or None if it is not in there."""
    return outer.way_to(os.fspath(inner.folder), inner.real)


def _outer(roots: Roots, root: Root) -> Root | None:
    """Return the scanned root that holds the folder of ``root``, if there is one."""
    for other in roots.around(os.fspath(root.folder), root.real):
        if not other.scanned or other.id == root.id:
            continue
        # Of two scanned roots that are one folder, the older one stays.
        if other.real != root.real or not root.scanned or other.id < root.id:
            return other
    return None


def _unite(catalog: Catalog) -> None:
    """Let scanned roots absorb the roots that have come to lie inside them."""
    roots = _standing(catalog)
    for root in roots:
        outer = _outer(roots, root)
        while outer is not None and (above := _outer(roots, outer)) is not None:
            outer = above
        if outer is not None and (way := _way(outer, root)) is not None:
            _absorb(catalog, outer, root, way)


def _claim_folders(catalog: Catalog, folders: Iterable[Path]) -> None:
    """Make roots of folders of which none lies in another, nor in a scanned root."""
    every = _standing(catalog, forgotten=True)
    for folder in folders:
        _take_over(catalog, every, _become_root(catalog, every, folder, "scanned"))


def _claim_files(catalog: Catalog, files: Iterable[Path]) -> None:
    """Make sure that roots hold these files."""
    known = _standing(catalog)
    folders: dict[str, Path] = {}
    for file in files:
        if known.place(file) is None:
            folders.setdefault(os.path.realpath(file.parent), file.parent)
    every = _standing(catalog, forgotten=True) if folders else known
    for folder in folders.values():
        _take_over(catalog, every, _become_root(catalog, every, folder, "files"))


def _become_root(catalog: Catalog, every: Roots, folder: Path, state: str) -> Root:
    """Make ``folder`` a root in this state: a known one (even forgotten) or a new one."""
    real = os.path.realpath(folder)
    here = [root for root in every.around(os.fspath(folder), real) if root.real == real]
    if not here:
        return Root(catalog.add_root(*stored_place(folder, catalog.folder), state), folder, state)
    root = min(here, key=lambda root: (root.state == "forgotten", root.id))
    catalog.set_root_state(root.id, state)
    return Root(root.id, root.folder, state)


def _take_over(catalog: Catalog, every: Roots, root: Root, *, moved: bool = False) -> None:
    """Give ``root`` the images in its folder of other roots: those inside it, and unscanned ones above it.

    ``moved`` is true if ``root`` has just come here: then its own images go before those known here.
    """
    if root.scanned:
        for other in every:
            if other.id != root.id and (way := _way(root, other)) is not None:
                _absorb(catalog, root, other, way, moved=moved)
    for other in every.around(os.fspath(root.folder), root.real):
        way = _way(other, root)
        if other.id == root.id or other.scanned or way is None:
            continue
        skip = len(way) + 1 if way else 0
        images = {path[skip:]: row for path, row in catalog.images_below(other.id, way).items()}
        if not root.scanned:
            images = {path: row for path, row in images.items() if b"/" not in path}
        _hand_over(catalog, root, images, moved=moved)


def _absorb(catalog: Catalog, root: Root, other: Root, way: bytes, *, moved: bool = False) -> None:
    """Give all images of ``other``, which lies in ``root`` at ``way``, to ``root``; drop ``other``."""
    start = way + b"/" if way else b""
    images = {start + path: row for path, row in catalog.images_below(other.id).items()}
    _hand_over(catalog, root, images, moved=moved)
    catalog.drop_root(other.id)


def _hand_over(catalog: Catalog, root: Root, images: Mapping[bytes, ImageRow], *, moved: bool) -> None:
    """Give ``images`` of another root to ``root``, by their paths there.

    Of two that are one file, the one that can be found stays, else the older one; if ``root`` has ``moved``
    here, its own.
    """
    twins = {path: twin for path in images if (twin := catalog.image_at(root.id, path))}
    kept: dict[bytes, ImageRow] = {}
    for path, row in images.items():
        twin = twins.get(path)
        if twin and (moved or _first(twin) < _first(row)):
            catalog.supersede(row.id, root.id)
            continue
        if twin:
            catalog.supersede(twin.id, root.id)
        kept[path] = row
    catalog.hand_over(root.id, ((row.id, path) for path, row in kept.items()))


def _first(row: ImageRow) -> tuple[bool, int]:
    return row.state != "indexed", row.id
