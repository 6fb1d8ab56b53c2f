# SPDX-License-Identifier: MIT
"""The numbers on a label map: where their discs stand, and that none hides another."""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from semcbir.pictures.draw import INK
from semcbir.pictures.explanation import _number_regions
from semcbir.pictures.numbers import RADIUS, NumberPlace, number_places

LABELS = np.array([*range(40), 65535])


def layout(rng: np.random.Generator) -> tuple[Any, tuple[int, int]]:
    """A label map of wide and of tiny regions, many of them close together, and the size it is drawn in."""
    height, width = rng.integers(1, 513, 2)
    label_map = np.full((height, width), rng.choice(LABELS), np.uint16)
    crowd = rng.uniform(0, [width, height])
    for _ in range(rng.integers(0, 60)):
        side = rng.choice([1, 2, 5, 20, 150], 2)
        middle = crowd + rng.normal(0, rng.choice([2, 15, 200]), 2)
        left, top = np.clip(middle, 0, [width - 1, height - 1]).astype(int)
        label_map[top : top + side[1], left : left + side[0]] = rng.choice(LABELS)
    scale = min(440 / width, 330 / height)
    return label_map, (max(1, round(width * scale)), max(1, round(height * scale)))


def numbered(rng: np.random.Generator, most: int = 30) -> dict[int, int]:
    labels = rng.permutation(LABELS)[: rng.integers(1, most + 1)]
    return {int(label): number for number, label in enumerate(labels, 1)}


def discs(places: list[NumberPlace], size: tuple[int, int]) -> np.ndarray:
    """How many discs cover each pixel of a picture, and of a margin of 30 pixels around it."""
    covered = np.zeros((size[1] + 60, size[0] + 60), int)
    for place in places:
        x, y = place.centre[0] + 30, place.centre[1] + 30
        one = Image.new("L", covered.shape[::-1], 0)
        ImageDraw.Draw(one).ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=1)
        covered += np.asarray(one)
    return covered


def crossed(one: NumberPlace, other: NumberPlace) -> bool:
    """Whether the lines of two numbers meet, by solving for the point where they do."""
    if one.spot == one.centre or other.spot == other.centre:
        return False
    a, b, c, d = (np.array(point) for point in (one.spot, one.centre, other.spot, other.centre))
    matrix = np.stack([b - a, c - d], axis=1)
    if abs(np.linalg.det(matrix)) < 1e-9:
        return False
    along = np.linalg.solve(matrix, c - a)
    return bool((along > 1e-9).all() and (along < 1 - 1e-9).all())


@pytest.mark.parametrize("seed", range(10))
def test_no_two_discs_overlap_and_all_lie_in_the_picture(seed: int) -> None:
    for part in range(30):
        rng = np.random.default_rng([seed, part])
        label_map, size = layout(rng)
        numbers = numbered(rng)
        places = number_places(label_map, numbers, size)
        covered = discs(places, size)
        assert covered.max(initial=0) <= 1
        assert covered[30:-30, 30:-30].sum() == covered.sum()
        shown = [place.number for place in places]
        assert len(set(shown)) == len(shown)
        there = {number for label, number in numbers.items() if (label_map == label).any()}
        assert set(shown) <= there
        if min(size) > 150:  # there is room
            assert there & set(range(1, 9)) <= set(shown)
        for place in places:
            column, row = (np.array(place.spot) * label_map.shape[::-1] / size).astype(int)
            assert numbers[int(label_map[row, column])] == place.number
        assert not any(crossed(one, other) for one, other in combinations(places, 2))
        assert places == number_places(label_map.copy(), dict(reversed(numbers.items())), size)


def test_what_is_drawn_are_these_discs() -> None:
    label_map, size = np.zeros((330, 440), np.uint8), (440, 330)
    label_map[100:102, 300:302], label_map[102:104, 302:304] = 1, 2
    overlay = Image.new("RGB", size, (255, 255, 255))
    numbers = {0: 1, 1: 2, 2: 3}
    _number_regions(overlay, label_map, numbers)
    inked = (np.asarray(overlay) != 255).any(axis=2)
    covered = discs(number_places(label_map, numbers, size), size)[30:-30, 30:-30]
    assert covered.max() == 1
    assert inked[covered == 1].mean() > 0.8  # the rest is the digit
    assert (np.asarray(overlay) == INK).all(axis=2)[covered == 1].mean() > 0.6
    assert inked[covered == 0].sum() < 2 * 3 * 30  # the lines


def test_neighbouring_specks_have_discs_of_their_own_and_lines_that_do_not_cross() -> None:
    for seed in range(100):
        rng = np.random.default_rng(seed)
        label_map = np.zeros((330, 440), np.uint8)
        x, y = rng.integers(20, 400), rng.integers(20, 300)
        numbers = {0: 1}
        for label in range(1, 5):
            left, top = np.clip(np.array([x, y]) + rng.integers(-12, 13, 2), 0, [437, 327])
            label_map[top : top + 3, left : left + 3] = label
        numbers |= {label: label + 1 for label in range(1, 5) if (label_map == label).any()}
        places = number_places(label_map, numbers, (440, 330))
        assert len(places) == len(numbers)
        lines = [place for place in places if place.spot != place.centre]
        assert len(lines) == len(numbers) - 1
        assert not any(crossed(one, other) for one, other in combinations(lines, 2))
        for place in lines:
            assert np.linalg.norm(np.subtract(place.spot, place.centre)) < 100


def test_a_number_stands_on_its_class_where_that_is_wide() -> None:
    label_map = np.zeros((330, 440), np.uint8)
    label_map[:, 220:] = 1
    label_map[160:164, 100:104] = 2
    places = number_places(label_map, {0: 1, 1: 2, 2: 3}, (440, 330))
    assert [place.number for place in places] == [1, 2, 3]
    assert places[1].centre == places[1].spot
    assert 230 < places[1].centre[0] < 430
    assert places[2].spot == pytest.approx((102, 162), abs=2)
    assert places[2].centre == pytest.approx((128, 136), abs=2)
    assert places[2] == dataclasses.replace(places[2], number=3)


def test_small_classes_beyond_the_eighth_have_no_number() -> None:
    label_map = np.zeros((330, 440), np.uint8)
    for label in range(1, 15):
        label_map[20 * label : 20 * label + 3, 200:203] = label
    shown = number_places(label_map, {label: label + 1 for label in range(15)}, (440, 330))
    assert [place.number for place in shown] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("size", [(440, 1), (1, 330), (440, 20), (20, 20), (1, 1)])
def test_a_picture_narrower_than_a_disc_has_none(size: tuple[int, int]) -> None:
    label_map = np.zeros((size[1], size[0]), np.uint16)
    assert number_places(label_map, {0: 1}, size) == []
    assert number_places(label_map, {7: 1}, size) == []


def test_a_strip_shows_as_many_as_it_has_room_for() -> None:
    label_map = np.repeat(np.arange(8)[None], 21, axis=0).repeat(10, axis=1).astype(np.uint8)
    shown = number_places(label_map, {label: label + 1 for label in range(8)}, (80, 21))
    assert [place.number for place in shown] == [1, 2, 3]
