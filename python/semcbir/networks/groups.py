# SPDX-License-Identifier: MIT
"""Groups of classes: names for what several classes of a network have in common, such as all animals."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path

_FILE = Path(__file__).with_name("groups.json")


@functools.cache
def groups() -> dict[str, frozenset[str]]:
    """Return the members of each group by its name: plain names of classes of all published taxonomies."""
    fields = json.loads(_FILE.read_text(encoding="utf-8"))
    return {name: frozenset(map(plain_name, members)) for name, members in fields["groups"].items()}


def plain_name(name: str) -> str:
    """Return a name as names are compared: "Potted_Plant" and "potted  plant" are the same."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def known_groups(classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the groups of which a network knows a class, with the labels of those, ascending."""
    plain = [plain_name(name) for name in classes]
    found = {
        group: tuple(label for label, name in enumerate(plain) if name in members)
        for group, members in groups().items()
    }
    return {group: labels for group, labels in found.items() if labels}
