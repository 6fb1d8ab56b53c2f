# SPDX-License-Identifier: MIT
"""Terms: what a search asks of single classes, beside how similar images are."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from semcbir._validate import as_number, check_flag, check_instance, check_many, listed, shown
from semcbir.networks.groups import known_groups, plain_name
from semcbir.recipe import Recipe
from semcbir.signatures import Signatures

MIN_SHARE, MAX_SHARE = 0.02, 0.01
"""The least of an image that classes of ``only`` are, and the most that one of ``without`` is."""

Names = str | Iterable[str] | None
"""A name of a class or a group, several, or none."""
CoreTerms = tuple[list[tuple[int, float]], float, list[int], float, list[int], float, bool]


@dataclass(frozen=True)
class Terms:
    """What a search asks of classes, by label.

    - ``only``: the distance is that of the rows of these classes alone; images of which they are less than
      ``min_share`` together are penalised. Empty: all rows count, the whole row too
    - ``weights``: the squared differences of a class count that many times; 0 strikes it out, 1 changes
      nothing
    - ``without``: images of which one of these classes is more than ``max_share`` are left out
    - ``unit_rows``: rows of ``only`` are compared at length 1, that is, by their directions alone; null rows
      stay null

    The squared distance is the sum over the rows that count of weight times ||q_c - x_c||^2, in double, rows
    as they are stored, in the order of ``Searcher``; with weights of 1 it has the same bits. Shares are those
    of the labelled pixels, in [0, 1].
    """

    only: tuple[int, ...] = ()
    without: tuple[int, ...] = ()
    weights: Mapping[int, float] = field(default_factory=dict)
    min_share: float = MIN_SHARE
    max_share: float = MAX_SHARE
    unit_rows: bool = False

    def __post_init__(self) -> None:
        """Sort labels; raise TypeError or ValueError for what is no label, weight or share."""
        for name in ("only", "without"):
            labels = check_many(name, getattr(self, name), "labels")
            object.__setattr__(self, name, tuple(sorted({_label(name, label) for label in labels})))
        check_instance("weights", self.weights, Mapping, "a mapping")
        weights = {_label("weights", label): _weight(value) for label, value in self.weights.items()}
        object.__setattr__(self, "weights", dict(sorted(weights.items())))
        if self.only and (strange := [label for label in weights if label not in self.only]):
            raise ValueError(f"weights: expected classes of only, got {strange[0]}, which does not count")
        for name in ("min_share", "max_share"):
            object.__setattr__(self, name, _share(name, getattr(self, name)))
        check_flag("unit_rows", self.unit_rows)

    def __bool__(self) -> bool:
        """Return whether anything is asked."""
        return bool(self.only or self.without or self.weights)

    def __hash__(self) -> int:
        weights = tuple(self.weights.items())
        return hash((self.only, self.without, weights, self.min_share, self.max_share, self.unit_rows))

    def weight(self, label: int) -> float:
        """Return how many times a class counts, the whole row (label n_classes) too."""
        return self.weights.get(label, 1.0 if not self.only or label in self.only else 0.0)

    def counted(self, row: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return a class's row (D,) as it is compared: with ``unit_rows`` at length 1."""
        length = float(np.sqrt((row**2).sum())) if self.only and self.unit_rows else 1.0
        return row / length if length > 0 else row

    def core(self) -> CoreTerms | None:
        """Return the terms as the core takes them, None if nothing is asked."""
        if not self:
            return None
        if self.only:
            weights = [(label, self.weights.get(label, 1.0)) for label in self.only]
            needed, barred = list(self.only), list(self.without)
            return weights, 0.0, needed, self.min_share, barred, self.max_share, self.unit_rows
        return list(self.weights.items()), 1.0, [], 0.0, list(self.without), self.max_share, False


def has_directions(recipe: Recipe, feature: str | None = None) -> bool:
    """Return whether searches by classes compare the directions of a feature's rows alone.

    So they do where rows are as long as their class's share of the photo says: of a class alone, how large it
    is would count more than how it looks.
    """
    return recipe.feature(feature).weighting != "none"


def named_terms(
    classes: Sequence[str],
    only: Names = None,
    without: Names = None,
    weights: Mapping[str, float] | None = None,
    min_share: float = MIN_SHARE,
    max_share: float = MAX_SHARE,
    unit_rows: bool = False,
) -> Terms:
    """Return terms that name their classes as a network with these ``classes`` does: see ``labels_named``.

    A weight of a group is that of each of its classes; of names that overlap the later one counts. Raises
    TypeError or ValueError for an unknown name, and as Terms does.
    """
    chosen: dict[int, float] = {}
    alone = frozenset(_labels("only", only, classes))
    if weights is not None:
        check_instance("weights", weights, Mapping, "a mapping of names to numbers")
        for name, weight in weights.items():
            labels = labels_named("weights", name, classes)
            if alone and not alone.intersection(labels):
                raise ValueError(
                    f"weights: expected classes of only, got {shown(name)}, which does not count"
                )
            chosen |= dict.fromkeys((label for label in labels if not alone or label in alone), weight)
    return Terms(
        _labels("only", only, classes),
        _labels("without", without, classes),
        chosen,
        min_share,
        max_share,
        unit_rows,
    )


def require_classes(
    queries: Signatures,
    classes: Sequence[str],
    only: Names = None,
    weights: Mapping[str, float] | None = None,
) -> None:
    """Raise ValueError for a name of ``only`` or ``weights`` of which one of the queries has no class."""
    asked = [
        (argument, name, labels_named(argument, name, classes))
        for argument, names in (("only", only), ("weights", weights and list(weights)))
        for name in names_given(argument, names)
    ]
    if not asked:
        return
    for query in (queries[i] for i in range(len(queries))):
        shares = dict(zip(query.classes.tolist(), query.proportions.tolist(), strict=True))
        for argument, name, labels in asked:
            if shares.keys().isdisjoint(labels):
                present = sorted((-share, label) for label, share in shares.items() if label < len(classes))
                there = ", ".join(f"{classes[label]} {-share:.0%}" for share, label in present) or "none"
                raise ValueError(
                    f"{argument}: expected a class that the query has ({there}), got {shown(name)}"
                )


def names_given(argument: str, names: Names) -> list[str]:
    """Return names as a list; TypeError unless it is text, iterable or None."""
    if names is None:
        return []
    return [names] if isinstance(names, str) else check_many(argument, names, "names of classes")


def _labels(argument: str, names: Names, classes: Sequence[str]) -> tuple[int, ...]:
    return tuple(
        label for name in names_given(argument, names) for label in labels_named(argument, name, classes)
    )


def labels_named(argument: str, name: str, classes: Sequence[str]) -> tuple[int, ...]:
    """Return the labels that ``name`` stands for, ascending: those of a group, or of the class of that name.

    Spaces, hyphens, underscores and case do not matter. A group goes before a class of the same name, "=name"
    is the class alone. Raises TypeError unless it is a text, ValueError, with the nearest names, if nothing
    is called so.
    """
    check_instance(argument, name, str, "a name of a class")
    plain = plain_name(name.removeprefix("="))
    groups = known_groups(classes)
    if plain in groups and not name.startswith("="):
        return groups[plain]
    found = tuple(label for label, known in enumerate(classes) if plain_name(known) == plain)
    if found:
        return found
    known = {plain_name(one): one for one in [*groups, *classes]}
    near = difflib.get_close_matches(plain, known, n=3, cutoff=0.6)
    near = near or [one for one in known if plain and (plain in one.split() or one in plain.split())][:3]
    said = f"; did you mean {listed([known[one] for one in near])}?" if near else ""
    raise ValueError(f"{argument}: expected the name of a class or a group, got {shown(name)}{said}")


def _label(argument: str, label: object) -> int:
    if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < 2**16:
        raise ValueError(f"{argument}: expected labels from 0 to 65535, got {shown(label)}")
    return int(label)


def _weight(value: object) -> float:
    weight = as_number("weights", value, "a number of 0 or more")
    if not 0 <= weight < math.inf:
        raise ValueError(f"weights: expected a number of 0 or more, got {weight}")
    return weight


def _share(argument: str, value: object) -> float:
    share = as_number(argument, value, "a number from 0 to 1")
    if not 0 <= share <= 1:
        raise ValueError(f"{argument}: expected a number from 0 to 1, got {share}")
    return share
