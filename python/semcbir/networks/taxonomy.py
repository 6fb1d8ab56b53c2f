# SPDX-License-Identifier: MIT
"""Taxonomies: the lists of classes that published networks tell apart, in the order of their channels."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).with_name("taxonomies")


@dataclass(frozen=True, kw_only=True)
class Taxonomy:
    """A list of classes, channel by channel, with where it is from and what its names may be used for."""

    name: str
    source: str
    licence: str
    notes: str
    classes: tuple[str, ...]


@functools.cache
def taxonomy(name: str) -> Taxonomy:
    """Read the taxonomy called ``name`` (``cocostuff_171``, say), which ships with the package."""
    fields = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Taxonomy(**{**fields, "classes": tuple(fields["classes"])})
