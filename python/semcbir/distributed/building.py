# SPDX-License-Identifier: MIT
"""Indexing on the machines of a Ray cluster: a task for each part, then one index of the parts."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from semcbir._files import PathLike, absolute, display_path
from semcbir._validate import check_call, check_integer
from semcbir.distributed.session import Session, at_home, quiet
from semcbir.errors import IndexLockedError, IndexStorageError, SemcbirError
from semcbir.index.arguments import check_folders
from semcbir.index.create import require_room
from semcbir.index.database import is_index
from semcbir.index.index import Index
from semcbir.index.part import MOST
from semcbir.index.report import Progress, Report
from semcbir.threads import check_threads

_PARTS_A_PLACE = 4
"""Parts for each task that can run at a time: where one takes longer, others go elsewhere."""
_RETRIES = 20
"""How often a part is begun again whose worker or machine was lost; what it had committed stays."""
_LOCKED = 120.0
"""Seconds in which a former worker on a part, cut off from the cluster, must have ended."""


def index_on_ray(
    folders: PathLike | Iterable[PathLike],
    path: PathLike,
    *,
    address: str | None = None,
    parts: int | None = None,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Index:
    """Index every image below ``folders`` on a Ray cluster into a new index at ``path``.

    The index is the one that ``Index.build`` makes, to the bit. The folders, and that of ``path``, must be
    the same on all machines. Each of ``parts`` parts (None: four for each task that can run at a time) is a
    task of ``threads`` threads (None: all of the smallest machine), on a GPU each where there are any; it is
    kept in ``PATH.parts`` until all are merged. A part whose worker or machine is lost is begun again, and
    goes on from its last commit; so does a run that was interrupted and is started again.

    ``address`` is the cluster's (None: that of RAY_ADDRESS, or else one is started on this machine);
    ``options`` are those of ``Index.build``. Raises its errors, IndexStorageError if ``path`` is an index
    already, and SemcbirError without Ray or its cluster.
    """
    folder = absolute(path)
    check_call("on_progress", on_progress)
    places = [str(root) for root in check_folders("folders", folders)]
    if not places:
        raise ValueError("folders: expected at least one folder, got none")
    if parts is not None:
        parts = check_integer("parts", parts, 1, MOST)
    if threads is not None:
        threads = check_threads(threads)
    beside = folder.with_name(folder.name + ".parts")
    held = _parts_of(beside)
    if held is None and is_index(folder):
        raise IndexStorageError(
            f"{display_path(folder)} is an index already; `semcbir refresh` brings it up to date"
        )
    if held is None and os.path.lexists(beside) and not (beside.is_dir() and not any(beside.iterdir())):
        raise IndexStorageError(
            f"{display_path(beside)} is there already, where the parts of the index would go; "
            "choose another name for the index"
        )
    reports: list[Report] = []
    if not is_index(folder):  # else a run was interrupted while it merged
        require_room(folder)
        try:
            with Session(address) as session, quiet():
                run = _Run(session, places, beside, parts, threads, options)
                reports = run.carry_out(on_progress)
                held = run.parts
        except BaseException:
            _forget_unbegun(beside)
            raise
    made = _places(beside, held or 0)
    index = Index.merge(made, folder)
    for part in made:
        shutil.rmtree(part)
    (beside / _COUNT).unlink()
    with contextlib.suppress(OSError):  # something else may have been put there
        beside.rmdir()
    index.report = _joined(reports) if reports else Report(added=len(index))
    return index


class _Run:
    """Tasks for all parts, and how far they are."""

    def __init__(
        self,
        session: Session,
        folders: list[str],
        beside: Path,
        parts: int | None,
        threads: int | None,
        options: dict[str, Any],
    ) -> None:
        self._ray = session.ray
        self._home = session.home
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cpus = [int(node.get("CPU", 0)) for node in nodes]
        self._gpus = int(sum(node.get("GPU", 0) for node in nodes))
        self._threads = threads or max(1, min((count for count in cpus if count), default=1))
        slots = self._gpus or sum(count // self._threads for count in cpus)
        if slots < 1:
            raise SemcbirError(
                f"threads: expected as many as a machine of the cluster has, got {self._threads}"
            )
        held = _parts_of(beside)
        if parts is not None and held not in (None, parts):
            raise IndexStorageError(
                f"{display_path(beside)} holds an interrupted run over {held} parts, got {parts}; "
                "give that number, or delete it"
            )
        self.parts = parts or held or _PARTS_A_PLACE * slots
        beside.mkdir(parents=True, exist_ok=True)
        if held is None:
            (beside / _COUNT).write_text(str(self.parts), encoding="ascii")
        self._folders, self._beside, self._options = folders, beside, options
        self._known: dict[str, tuple[int, int, int]] = {}

    def carry_out(self, on_progress: Callable[[Progress], None] | None) -> list[Report]:
        """Build all parts; return what was done for each."""
        ray = self._ray
        tally = ray.remote(num_cpus=0, max_restarts=-1)(_Tally).remote()
        task = ray.remote(
            num_cpus=0 if self._gpus else self._threads,
            num_gpus=1 if self._gpus else 0,
            max_retries=_RETRIES,
            scheduling_strategy="SPREAD",
        )(_build_part)
        waiting = [
            task.remote(
                self._folders,
                str(place),
                f"{place.name}/{self.parts}",
                self._options | {"threads": self._threads},
                self._home,
                tally,
            )
            for place in _places(self._beside, self.parts)
        ]
        reports: list[Report] = []
        try:
            while waiting:
                ready, waiting = ray.wait(waiting, timeout=0.5)
                for one in ready:
                    reports.append(_got(ray, one))
                if on_progress:
                    self._tell(tally, on_progress)
        finally:
            for one in waiting:
                ray.cancel(one, force=True)
        return reports

    def _tell(self, tally: Any, on_progress: Callable[[Progress], None]) -> None:
        # What was heard once stays: a tally that was lost with its machine is told of parts in work alone.
        # A part that goes on has only what is left of it to do.
        with contextlib.suppress(self._ray.exceptions.RayError):
            noted = self._ray.get(tally.noted.remote(), timeout=5)
            for part, (done, total, skipped) in noted.items():
                _, most, _ = self._known.get(part, (0, 0, 0))
                most = max(most, total)
                self._known[part] = most - (total - done), most, skipped
        columns = zip((0, 0, 0), *self._known.values(), strict=True)
        done, total, skipped = map(sum, columns)
        if total:
            # Parts are of about one size, and say how many photos they have when they are begun.
            on_progress(Progress(done, round(total * self.parts / len(self._known)), skipped))


_COUNT = ".parts"
"""Beside the parts, hidden from their `*`: of how many they are."""


def _parts_of(beside: Path) -> int | None:
    """Return of how many parts an interrupted run is, None if there is none."""
    try:
        return int((beside / _COUNT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _forget_unbegun(beside: Path) -> None:
    """Leave nothing of a run of which no part was begun."""
    with contextlib.suppress(OSError):
        if [one.name for one in beside.iterdir()] == [_COUNT]:
            (beside / _COUNT).unlink()
            beside.rmdir()


def _places(beside: Path, parts: int) -> list[Path]:
    """Return where so many parts go."""
    return [beside / str(number) for number in range(1, parts + 1)]


def _got(ray: Any, answer: Any) -> Report:
    try:
        report: Report = ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise SemcbirError(f"a part was lost too often: {first}; start it again, and it goes on") from None
    return report


class _Tally:
    """How far each part is."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[int, int, int]] = {}

    def note(self, part: str, done: int, total: int, skipped: int) -> None:
        """Note how far a part is."""
        self._parts[part] = done, total, skipped

    def noted(self) -> dict[str, tuple[int, int, int]]:
        """Return how far each part is that was begun: images done, of how many, and skipped."""
        return self._parts


def _build_part(
    folders: list[str], place: str, part: str, options: dict[str, Any], home: str, tally: Any
) -> Report:
    """Build a part, in a worker."""
    at_home(home)
    since = [0.0]

    def note(progress: Progress) -> None:
        now = time.monotonic()
        if now - since[0] >= 0.5 or progress.done == progress.total:
            since[0] = now
            tally.note.remote(part, progress.done, progress.total, progress.skipped)

    deadline = time.monotonic() + _LOCKED
    while True:
        try:
            return Index.build(folders, place, part=part, on_progress=note, **options).report
        except IndexLockedError:
            # A worker that was given up, but lives: it ends when it notices, or with its machine.
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def _joined(reports: Iterable[Report]) -> Report:
    """Return what was done for all parts together."""
    whole = Report()
    for report in reports:
        for name, value in vars(report).items():
            held = getattr(whole, name)
            # Each part looks at all folders, and at all files that are not read.
            if isinstance(value, dict):
                held |= {kind: max(held.get(kind, 0), count) for kind, count in value.items()}
            elif name in ("missing", "unreadable"):
                setattr(whole, name, list(dict.fromkeys([*held, *value])))
            else:
                setattr(whole, name, held + value)
    return whole
