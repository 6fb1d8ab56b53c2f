# SPDX-License-Identifier: MIT
"""Feed a target of targets.py with damaged inputs: seeded mutations, or libFuzzer by way of atheris.

python fuzz/run.py segment --count 2000 --seed 1
python fuzz/run.py image --atheris -- -max_total_time=600 corpus/
"""

from __future__ import annotations

import argparse
import logging
import random
import signal
import sys
import traceback
import warnings
from pathlib import Path

from mutations import mutated
from targets import TARGETS, Target

SECONDS = 20
"""How long a single input may take."""


def main() -> int:
    """Run the target that the command line names; the exit status is 1 if an input broke it."""
    parser = argparse.ArgumentParser(description="Feed a part of semcbir with damaged inputs.")
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--count", type=int, default=2000, help="how many inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="where failing inputs go")
    parser.add_argument("--input", type=Path, help="run this one file, and nothing else")
    parser.add_argument("--atheris", action="store_true", help="let libFuzzer choose; the rest goes to it")
    options, rest = parser.parse_known_args()
    warnings.simplefilter("ignore")
    logging.disable()
    target = TARGETS[options.target]
    if options.input:
        target.run(options.input.read_bytes())
        return 0
    if options.atheris:
        return _with_atheris(target, [word for word in rest if word != "--"])
    return _with_mutations(options.target, target, options.count, options.seed, options.keep)


def _with_mutations(name: str, target: Target, count: int, seed: int, keep: Path) -> int:
    seeds = list(target.seeds())
    failed = 0
    for number in range(count):
        rng = random.Random(f"{name} {seed} {number}")
        data, what = mutated(rng, rng.choice(seeds))
        try:
            _within(SECONDS, target, data)
        except Exception:
            failed += 1
            keep.mkdir(parents=True, exist_ok=True)
            path = keep / f"{name}-{seed}-{number}"
            path.write_bytes(data)
            print(f"{path}: {'; '.join(what)}\n{traceback.format_exc()}", file=sys.stderr)
    print(f"{name}: {count} inputs, {failed} failures")
    return 1 if failed else 0


def _within(seconds: int, target: Target, data: bytes) -> None:
    if not hasattr(signal, "alarm"):
        target.run(data)
        return

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        target.run(data)
    finally:
        signal.alarm(0)


def _with_atheris(target: Target, arguments: list[str]) -> int:
    import atheris  # type: ignore[import-not-found]

    atheris.instrument_all()
    corpus = next((Path(word) for word in arguments if not word.startswith("-")), None)
    if corpus:
        corpus.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(target.seeds()):
            (corpus / f"seed-{number}").write_bytes(data)
    atheris.Setup([sys.argv[0], *arguments], target.run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
