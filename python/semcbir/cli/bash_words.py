# SPDX-License-Identifier: MIT
"""The words of a line that bash completes: it splits words at "=", and wants only the last part completed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable

_WORDS, _AT = "COMP_WORDS", "COMP_CWORD"


def join_words() -> None:
    """Put the words together that bash split; the one to complete keeps only what follows the last "=".

    ``--only=sea,sk`` comes as three words, and ``sea,sk`` is completed as the value of ``--only``. So is
    ``2,sk`` of ``--weights horse=2,sk``, where it begins a name after a comma. After ``horse=`` a number
    follows, for which there are no completions.
    """
    words, at = _split(os.environ[_WORDS]), int(os.environ[_AT])
    before, last = _glued(words[:at]), words[at] if at < len(words) else ""
    if last == "=" and before:
        last = "" if before[-1].startswith("-") else f"{before.pop()}="
    elif last and before and before[-1].endswith("="):
        option, _, _ = before.pop().partition("=")
        before += [option] if option.startswith("-") else []
    os.environ[_WORDS], os.environ[_AT] = shlex.join([*before, last]), str(len(before))


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is still open
        return line.split()


def _glued(words: Iterable[str]) -> list[str]:
    glued: list[str] = []
    for word in words:
        if glued and (word == "=" or glued[-1].endswith("=")):
            glued[-1] += word
        else:
            glued.append(word)
    return glued
