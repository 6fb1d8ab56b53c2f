# SPDX-License-Identifier: MIT
"""Groups of classes: names for what several classes of a network have in common, such as all animals."""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

_FILE = Path(__file__).with_name("groups.json")


class ClassNames(tuple[str, ...]):
    """The names of a network's classes in the order of their labels, with the groups that its card gives.

    ``groups`` are names of classes by the group's name.
    """

    groups: Mapping[str, tuple[str, ...]]

    def __new__(cls, classes: Iterable[str], groups: Mapping[str, Iterable[str]] | None = None) -> Self:
        """Make names with groups, which may name classes that there are not."""
        names = super().__new__(cls, classes)
        names.groups = {group: tuple(members) for group, members in (groups or {}).items()}
        return names


@functools.cache
def groups() -> dict[str, frozenset[str]]:
    """Return the members of each group by its name: plain names of classes of all published taxonomies."""
    fields = json.loads(_FILE.read_text(encoding="utf-8"))
    return {name: frozenset(map(plain_name, members)) for name, members in fields["groups"].items()}


def plain_name(name: str) -> str:
    """Return a name as names are compared: "Potted_Plant" and "potted  plant" are the same."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def known_groups(classes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the groups of which a network knows a class, with the labels of those, ascending.

    They are those of the card, if ``classes`` are ClassNames, and the others that ship.
    """
    own = classes.groups if isinstance(classes, ClassNames) else {}
    members_of = groups() | {
        plain_name(group): frozenset(map(plain_name, members)) for group, members in own.items()
    }
    labels = defaultdict(list)
    for label, name in enumerate(classes):
        labels[plain_name(name)].append(label)
    found = {
        group: tuple(sorted(label for member in members for label in labels.get(member, ())))
        for group, members in members_of.items()
    }
    return {group: labels for group, labels in found.items() if labels}
