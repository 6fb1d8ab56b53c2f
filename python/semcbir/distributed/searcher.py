# SPDX-License-Identifier: MIT
"""Searcher over the parts of an index on many machines: an actor for each part, an exact merge here."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from semcbir._columns import as_column
from semcbir._files import PathLike, display_path
from semcbir._fork import Lock
from semcbir._validate import as_number, check_instance, counted, shown
from semcbir.distributed.gathering import search_all
from semcbir.distributed.session import Session, at_home, quiet
from semcbir.distributed.shard import Shard
from semcbir.errors import SemcbirError, ShardsMissingError
from semcbir.index.arguments import check_paths
from semcbir.index.catalog import read
from semcbir.index.class_names import read_class_names
from semcbir.index.lookup import Record
from semcbir.index.merge_plan import Source, missing_words, plan_merge
from semcbir.searcher import Epsilon, Neighbors, Penalized, check_comparable, check_search
from semcbir.signatures import Signatures
from semcbir.terms import Terms
from semcbir.threads import check_threads

_LARGE = 50_000
SECONDS = 60.0
"""How long shards that were lost are waited for, by default."""


class Searcher:
    """Searches the parts of an index, each in a process of a Ray cluster, as one.

    Ids, order and distances are, bit for bit, those of a search in the index that ``Index.merge`` makes of
    the parts. The folders ``parts`` must be readable where the processes run, and here. ``feature`` (None:
    the first) is what is compared; ``address`` is the cluster's (None: the one of RAY_ADDRESS, or else one
    that is started on this machine); ``threads`` is what each process may use.

    A process that is lost is started again, on another machine if its own is gone, and asked again. Where
    that has not worked after ``timeout`` seconds, ShardsMissingError says which parts do not answer.

    Raises ImageError, IndexStorageError, RecipeMismatchError and ValueError as ``Index.merge`` does,
    SemcbirError without Ray or its cluster.
    """

    def __init__(
        self,
        parts: PathLike | Iterable[PathLike],
        feature: str | None = None,
        *,
        address: str | None = None,
        threads: int | None = None,
        timeout: float = SECONDS,
    ) -> None:
        chosen = check_paths("parts", parts)
        if not chosen:
            raise ValueError("parts: expected at least one index, got none")
        self._threads, self._timeout = check_threads(threads), check_timeout(timeout)
        plan = plan_merge(chosen)
        if missing := plan.missing_parts():
            raise ValueError(f"parts: expected all of them, {missing_words(missing)}")
        self.recipe = plan.recipe.for_feature(feature)
        with read(plan.sources[0].folder) as catalog:
            self.classes = read_class_names(catalog, plan.recipe)
        self._length = plan.images
        self._sources = plan.sources
        self._session = Session(address)
        self._actors: list[Any] = []
        try:
            with quiet():
                # What a shard is made from goes with each call, since it may have been started again.
                self._held = [self._session.ray.put(source) for source in plan.sources]
                self._actors = [self._actor() for _ in plan.sources]
                self._ask("folder")
        except BaseException:
            self.close()
            raise

    def _actor(self) -> Any:
        ray = self._session.ray
        remote = ray.remote(
            num_cpus=0, scheduling_strategy="SPREAD", max_restarts=-1, max_task_retries=-1, max_concurrency=4
        )(_Actor)
        return remote.remote(self.recipe.feature().name, self._session.home)

    def __len__(self) -> int:
        """Return how many images can be found."""
        return self._length

    def __repr__(self) -> str:
        parts = counted(len(self._sources), "part")
        return f"Searcher({counted(len(self), 'image')} in {parts}, feature={self.recipe.feature().name!r})"

    @property
    def parts(self) -> tuple[Path, ...]:
        """The folders of the parts."""
        return tuple(source.folder for source in self._sources)

    def search(
        self,
        queries: Signatures,
        k: int = 20,
        epsilon: Epsilon = "auto",
        penalized: Penalized = "last",
        *,
        terms: Terms | None = None,
        keep: int | None = None,
    ) -> Neighbors:
        """Find the ``k`` nearest images of each query, as ``semcbir.Searcher.search`` does.

        Raises its errors, and ShardsMissingError.
        """
        check_instance("queries", queries, Signatures)
        self._check_alike(queries)
        asked = check_search(k, epsilon, penalized, self._threads, terms, keep, self.recipe)
        return search_all(self._ask, queries, asked, terms)

    def _check_alike(self, queries: Signatures) -> None:
        feature = self.recipe.feature()
        sizes = self.recipe.n_classes, feature.dim, feature.whole_row
        check_comparable(queries, "queries", *sizes, self.recipe)

    def signatures(self, ids: Iterable[SupportsIndex]) -> Signatures:
        """Return a copy of the signatures with these ids, in their order; ValueError for an unknown one."""
        wanted = as_column("ids", ids, np.int64, 1)
        found: list[Signatures] = [part for part in self._ask("signatures", np.unique(wanted)) if len(part)]
        if not found:
            _require_known(wanted, ())
            feature = self.recipe.feature()
            return Signatures.empty(self.recipe.n_classes, feature.dim, self.recipe, whole=feature.whole_row)
        joined = Signatures.concatenate(found)
        place = {int(key): number for number, key in enumerate(joined.ids)}
        _require_known(wanted, place)
        return joined[[place[int(key)] for key in wanted]]

    def records(self, ids: Iterable[SupportsIndex]) -> list[Record]:
        """Return the records of the images with these ids, in their order; ValueError for an unknown one."""
        wanted = as_column("ids", ids, np.int64, 1)
        found = {record.id: record for part in self._ask("records", wanted) for record in part}
        _require_known(wanted, found)
        return [found[int(key)] for key in wanted]

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of every shard. Raises ShardsMissingError, or what a shard raises."""
        if not self._actors:
            raise ValueError("the searcher is closed; make another one")
        ray = self._session.ray
        sent = [ray.put(argument) if _is_large(argument) else argument for argument in arguments]
        deadline = time.monotonic() + self._timeout
        with quiet():
            answers = [
                actor.ask.remote(source, method, *sent)
                for actor, source in zip(self._actors, self._held, strict=True)
            ]
            ray.wait(answers, num_returns=len(answers), timeout=self._timeout)
            return self._answers(answers, deadline)

    def _answers(self, answers: Sequence[Any], deadline: float) -> list[Any]:
        ray, found, missing, why = self._session.ray, [], [], ""
        for source, answer in zip(self._sources, answers, strict=True):
            try:
                found.append(ray.get(answer, timeout=max(0.0, deadline - time.monotonic())))
            except ray.exceptions.GetTimeoutError:
                missing.append(source.folder)
                why = why or f"no answer within {self._timeout:g} s"
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                missing.append(source.folder)
                why = why or _cause(error)
        if missing:
            few = ", ".join(map(display_path, missing[:5]))
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise ShardsMissingError(
                f"{len(missing)} of {len(answers)} parts do not answer: {few}{more} ({why})", missing
            )
        return found

    def close(self) -> None:
        """End the processes; doing so again changes nothing."""
        for actor in self._actors:
            self._session.ray.kill(actor)
        self._actors = []
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Actor:
    """A shard in a process of its own."""

    def __init__(self, feature: str, home: str) -> None:
        at_home(home)
        self._feature = feature
        self._shard: Shard | None = None
        self._opening = Lock()

    def ask(self, source: Source, method: str, *arguments: Any) -> Any:
        """Call a method of the shard, which is opened first if it is not."""
        with self._opening:
            if self._shard is None:
                self._shard = Shard(source, self._feature)
        return getattr(self._shard, method)(*arguments)


def _require_known(wanted: npt.NDArray[np.int64], known: Container[int]) -> None:
    for key in map(int, wanted):
        if key not in known:
            raise ValueError(f"ids: expected ids of the index, got {shown(key)}")


def _is_large(argument: Any) -> bool:
    """Return whether Ray should send something once to each machine, and not with each call."""
    return isinstance(argument, Signatures) and argument.centroids.nbytes > _LARGE


def check_timeout(timeout: float) -> float:
    """Return ``timeout`` as a float; TypeError or ValueError unless it is a number above 0."""
    seconds = as_number("timeout", timeout, "seconds, a number above 0")
    if not seconds > 0:
        raise ValueError(f"timeout: expected seconds, a number above 0, got {shown(timeout)}")
    return seconds


def _cause(error: Exception) -> str:
    """Return the first line that says why an actor cannot be."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, SemcbirError):
        return str(cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if "semcbir.errors." in line]
    return said[-1].partition(": ")[2] if said else (lines[0] if lines else type(error).__name__)
