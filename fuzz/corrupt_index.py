# SPDX-License-Identifier: MIT
"""Damage an index in every way that mutations.py knows, and use it: each time in a process of its own.

    python fuzz/corrupt_index.py INDEX PHOTO --count 5000 --seed 9

INDEX is a sound index, which is not changed: a copy beside it is. PHOTO is a query. Of each process it is
asked that it ends by itself, soon, without a traceback; and where it gave another answer than the sound
index does, that `check` says so.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import pickle
import random
import shutil
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutations import mutated
from semcbir import Index, SemcbirError, Signatures, check_index, search
from semcbir.index.catalog import LOCK

try:
    import resource
except ImportError:  # pragma: no cover -- Windows, which has no fork either
    resource = None  # type: ignore[assignment]

SECONDS = 60
"""How long a process may take, on a machine that does other things too."""
MEMORY = 8 * 2**30
"""Bytes of address space that a process may have; a traceback is what one gets for wanting more."""
BAD = ("signal", "hang", "traceback", "silent")


@dataclass(frozen=True)
class Damage:
    """One try: the number of a seed, the file that it changed, how, and what is in it now."""

    number: int
    file: str
    what: list[str]
    data: bytes


def answer(index: Path, query: Signatures | Path) -> dict[str, Any]:
    """Return all that an index says to users, in a form that can be compared."""
    opened = Index.open(index)
    found = search(query, opened, k=100, epsilon=0.9)
    hits = found if isinstance(query, Path) else found[0]
    columns = [
        getattr(opened.signatures(), name).tobytes() for name in ("ids", "offsets", "classes", "centroids")
    ]
    return {
        "hits": [
            [hit.id, str(hit.path), hit.distance, hit.histogram_distance, hit.penalized] for hit in hits
        ],
        "kept": hits.kept,
        "photos": [[record.id, str(record.path)] for record in opened],
        "skipped": [str(skipped.path) for skipped in opened.skipped],
        "roots": [str(root) for root in opened.roots],
        "signatures": hashlib.sha256(b"".join(columns)).hexdigest(),
    }


def use(index: Path, query: Signatures | Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Use a damaged index as people do: ask it, check it, and bring it up to date where it looks sound."""
    try:
        came = answer(index, query)
        said, refusal = ("same" if came == expected else "other"), ""
    except SemcbirError as error:
        came, said, refusal = {}, "refused", str(error)
        if "\n" in refusal:
            raise ValueError(f"an error of more than one line: {refusal}") from error
    problems = check_index(index)
    if any("\n" in problem for problem in problems):
        raise ValueError(f"a problem of more than one line: {problems}")
    if said == "other" and not problems:
        changed = [key for key in expected if came[key] != expected[key]]
        return {"outcome": "silent", "detail": {key: [expected[key], came[key]] for key in changed}}
    if said != "refused" and came["roots"] == expected["roots"]:
        with contextlib.suppress(SemcbirError):
            Index.open(index).refresh()
    return {"outcome": f"{said}, {'found' if problems else 'not found'} by check", "detail": refusal}


def tries(index: Path, count: int, seed: int, only: int | None) -> Iterator[Damage]:
    """Yield the damages in order; each depends on its number alone."""
    names = sorted(
        str(path.relative_to(index)) for path in index.rglob("*") if path.is_file() and path.name != LOCK
    )
    contents = {name: (index / name).read_bytes() for name in names}
    for number in range(count) if only is None else [only]:
        rng = random.Random(f"{seed} {number}")
        name = names[number % len(names)]
        data, what = mutated(rng, contents[name])
        yield Damage(number, name, what, data)


def run_one(damage: Damage, index: Path, work: Path, query: Any, expected: dict[str, Any]) -> dict[str, Any]:
    """Carry out one try in a forked process, and return what came of it."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(index, work)
    (work / damage.file).write_bytes(damage.data)
    receiver, sender = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(receiver)
        _child(sender, work, query, expected)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        written = pipe.read()
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return {"outcome": "hang" if number == signal.SIGALRM else "signal", "detail": number}
    result: dict[str, Any] = json.loads(written)
    return result


def _child(sender: int, work: Path, query: Any, expected: dict[str, Any]) -> None:
    """Use the index, write what came of it, and end: nothing of the parent's is cleaned up."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        result = use(work, query, expected)
    except BaseException:
        result = {"outcome": "traceback", "detail": traceback.format_exc()}
    os.write(sender, json.dumps(result).encode())
    os._exit(0)


def _expected(work: Path, photo: Path) -> list[tuple[Any, dict[str, Any]]]:
    """Return two queries with their answers: one that needs no model, and one that does."""
    queries = (Index.open(work).signatures()[:1], photo)
    return [(query, answer(work, query)) for query in queries]


def _in_child(work: Path, photo: Path) -> list[tuple[Any, dict[str, Any]]]:
    """Call ``_expected`` in a process of its own: one that forks must not have started threads."""
    receiver, sender = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(receiver)
        with os.fdopen(sender, "wb") as pipe:
            pickle.dump(_expected(work, photo), pipe)
        os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        queries: list[tuple[Any, dict[str, Any]]] = pickle.load(pipe)
    os.waitpid(process, 0)
    return queries


def main() -> int:
    """Run all tries and print a summary; the exit status is 1 if one of them came out badly."""
    parser = argparse.ArgumentParser(description="Use an index that is damaged in many ways.")
    parser.add_argument("index", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this number only, as a failure gives it")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    index = options.index.resolve()
    work = index.with_name(f"{index.name}-damaged-{os.getpid()}")
    try:
        shutil.copytree(index, work)
        queries = _in_child(work, options.photo.resolve())
        outcomes: Counter[str] = Counter()
        failures = 0
        for damage in tries(index, options.count, options.seed, options.only):
            query, expected = queries[damage.file.startswith("model")]
            result = run_one(damage, index, work, query, expected)
            outcomes[result["outcome"]] += 1
            failures += result["outcome"] in BAD
            if result["outcome"] in (*BAD, "refused, not found by check"):
                print(f"{damage.number}: {damage.file}: {'; '.join(damage.what)}: {result['outcome']}")
                print(result["detail"], flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for outcome, number in sorted(outcomes.items()):
        print(f"{number:6} {outcome}")
    print(f"{sum(outcomes.values())} tries, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
