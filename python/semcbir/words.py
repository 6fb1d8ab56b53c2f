# SPDX-License-Identifier: MIT
"""The words of ``semcbir find``: names of classes, with a share, or a minus before them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_WORD = re.compile(r"(-?)([^:]+)(?::(.*))?", re.DOTALL)


@dataclass
class Words:
    """What words ask for: classes to show, classes to leave out, and shares of classes."""

    only: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)


def parse_words(texts: Iterable[str]) -> Words:
    """Parse words such as ``sea mountain -person sky:40%``, in one text or several. Raises ValueError."""
    words = Words()
    for text in texts:
        for word in text.split():
            found = _WORD.fullmatch(word)
            if found is None:
                raise ValueError(f"expected CLASS, -CLASS or CLASS:SHARE, got {word!r}")
            minus, name, share = found.groups()
            if share is not None:
                words.shares[name] = _share(share, word, bool(minus))
            else:
                (words.without if minus else words.only).append(name)
    names = [*words.only, *words.without, *words.shares]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"expected each class once, got {twice[0]!r} twice")
    if not (words.only or words.without or words.shares):
        raise ValueError("expected names of classes, such as sea or animal, got none")
    return words


def check_words(words: Words, classes: Sequence[str]) -> None:
    """Raise ValueError, with the nearest names, for a word that neither a class nor a group is called."""
    from semcbir.terms import labels_named

    for name in (*words.only, *words.without, *words.shares):
        try:
            labels_named("WORDS", name, classes)
        except ValueError as error:
            more = "" if "did you mean" in str(error) else "; `semcbir info --classes` lists what photos show"
            raise ValueError(f"{error}{more}") from None


def _share(text: str, word: str, minus: bool) -> float:
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if minus or not 0 <= share <= 1:
        raise ValueError(f"expected a share from 0 to 1 or from 0% to 100% (sky:40%), got {word!r}")
    return share
