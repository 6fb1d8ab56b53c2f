# SPDX-License-Identifier: MIT
"""The command in the process of the tests; the fixture ``run`` is in fixtures.py."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from semcbir.cli.app import app


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


def command(capsys: pytest.CaptureFixture[str]) -> Run:
    """What runs the command with the arguments it gets, and returns what that printed."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            app([os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments], "semcbir")
        return Ran(stop.value.code or 0, *capsys.readouterr())  # type: ignore[call-overload]

    return run


def one_line(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith("\n")
