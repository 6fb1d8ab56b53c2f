# SPDX-License-Identifier: MIT
"""The names of classes and groups that a shell completes, after a comma too; silent about errors."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semcbir.index.catalog import read
from semcbir.index.place import index_place
from semcbir.networks import groups
from semcbir.networks.cache import parse_name
from semcbir.networks.groups import ClassNames, known_groups
from semcbir.networks.packaged import DEFAULT

_CARD = Path(groups.__file__).with_name("shipped") / f"{DEFAULT}.json"
"""Read without what checks cards, which loads NumPy."""
_PLAIN = re.compile(r"[\w.-]+")
"""Names that every shell takes as they are; others, of an index that came from anywhere, are not offered."""


class Item(NamedTuple):
    """A completion, as the parsing library has them."""

    value: str
    type: str = "plain"
    help: str | None = None


def completer(option: str) -> Callable[[Any, str], list[Item]]:
    """Return what completes the value of ``option``, one of a command that names classes."""

    def complete(context: Any, incomplete: str) -> list[Item]:
        # An option without its value, which is what is completed, leaves arguments unassigned.
        places = [context.params.get("target"), *reversed(context.args)]
        found = filter(None, map(_of_index, filter(None, places)))
        classes = next(found, None) or _of_model(context.params.get("model"))
        values = completed(incomplete, list(known_groups(classes)), classes, weights=option == "weights")
        return [Item(_head(option, incomplete) + value) for value in values]

    return complete


def _head(option: str, incomplete: str) -> str:
    """Return the ``--only=`` before the value, which zsh and fish want back; bash splits it off."""
    word = os.environ.get("_TYPER_COMPLETE_ARGS", "").rpartition(" ")[2]
    return f"--{option}=" if word == f"--{option}={incomplete}" else ""


def completed(
    incomplete: str, of_groups: Sequence[str], classes: Sequence[str], *, weights: bool = False
) -> list[str]:
    """Return what ``incomplete`` may become: its last name completed, those before it as they are.

    Spaces become underscores, which mean the same, and names that are there already are left out. ``=``
    before a name, of a class alone, leaves groups out; for ``weights`` it follows the name.
    """
    before, comma, last = incomplete.rpartition(",")
    sign = "=" if last.startswith("=") else ""
    begun = last[len(sign) :]
    if "=" in begun:
        return []  # a weight's number
    given = {_spelt(name.strip().lstrip("=").split("=")[0]) for name in before.split(",")}
    names = dict.fromkeys(map(_spelt, classes if sign else [*of_groups, *classes]))
    return [
        f"{before}{comma}{sign}{begun}{name[len(begun) :]}{'=' if weights else ''}"
        for name in names
        if name.startswith(_spelt(begun)) and name not in given and _PLAIN.fullmatch(name)
    ]


def _spelt(name: str) -> str:
    """Return a name as it is completed."""
    return re.sub(r"[\s-]", "_", name).lower()


def _of_index(target: object) -> Sequence[str]:
    """Return the classes of an index with its groups, none if it cannot be read."""
    try:
        with read(index_place(Path(str(target)))) as catalog:
            classes = _texts(json.loads(catalog.meta("recipe"))["model"]["classes"])
            return ClassNames(classes, json.loads(catalog.meta("groups") or "{}"))
    except Exception:  # nobody asked for it to be opened
        return []


def _of_model(model: object) -> Sequence[str]:
    """Return the classes of a published model by its name, or else those of the model that ships."""
    try:
        if model:
            return list(parse_name(str(model))[0].card.classes)  # type: ignore[union-attr]
    except Exception:  # a file, an encoder, or no model at all
        pass
    try:
        return _texts(json.loads(_CARD.read_text("utf-8"))["classes"])
    except Exception:  # this copy comes without a model
        return []


def _texts(classes: Iterable[object]) -> list[str]:
    return [name for name in classes if isinstance(name, str)]
