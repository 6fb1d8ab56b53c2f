# SPDX-License-Identifier: MIT
"""Models opened ahead: in other threads, while the caller still prepares what it will need them for.

onnxruntime opens a model without Python's lock. A command that knows its models before it has imported
everything else has them ready by then.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from semcbir._fork import in_forked_child
from semcbir.inference.model_file import ModelFile
from semcbir.inference.runtime import open_session
from semcbir.networks.card_file import Card

_Opened: TypeAlias = tuple[ModelFile, Any]
"""A file and its session."""


@dataclass(frozen=True)
class _Ahead:
    sha256: str
    threads: int
    future: Future[_Opened]


_ahead: dict[Path, _Ahead] = {}


def open_ahead(path: Path, card: Card, threads: int) -> None:
    """Start to read, check and open the model at ``path``, that of ``card``, on the CPU.

    It is for the next one who asks for this model with as many ``threads``. What is wrong with it is not
    reported here: whoever asks for it meets the same again.
    """
    pool = ThreadPoolExecutor(1, "semcbir-ahead")
    _ahead[path] = _Ahead(card.sha256, threads, pool.submit(_open, path, card, threads))
    pool.shutdown(wait=False)


def read_model(path: Path, card: Card) -> ModelFile:
    """Return ``ModelFile.read(path, card)``; what is being opened ahead is waited for and not read again."""
    ahead = _ahead.get(path)
    if ahead is not None and ahead.sha256 == card.sha256 and (opened := _opened(ahead)):
        return opened[0]
    return ModelFile.read(path, card)


def session_ahead(file: ModelFile, threads: int) -> Any:
    """Return the session of ``file`` that was opened ahead with as many ``threads``, once; None if none was.

    ``file`` is from ``read_model``.
    """
    ahead = _ahead.pop(file.path, None)
    opened = None if ahead is None or ahead.threads != threads else _opened(ahead)
    return opened[1] if opened and opened[0] is file else None


def _open(path: Path, card: Card, threads: int) -> _Opened:
    file = ModelFile.read(path, card)
    return file, open_session(file, "cpu", threads)


def _opened(ahead: _Ahead) -> _Opened | None:
    try:
        return ahead.future.result()
    except Exception:  # the same without a thread says so in the right place
        return None


_inherited: list[_Ahead] = []
"""Those of a parent process: to end their sessions would be to wait for its threads."""


def _start_anew() -> None:
    """Forget the parent's in a forked child, where the threads that open them do not exist."""
    _inherited.extend(_ahead.values())
    _ahead.clear()


in_forked_child(_start_anew)
