# SPDX-License-Identifier: MIT
"""Draw scenes that look a little like photos, to try semcbir without any of your own.

Usage: python docs/demo.py FOLDER   (writes FOLDER/<kind>/<number>.jpg, the same pictures on every run)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from scenes import Array, H, Rng, Scene, W, X, Y, fractal, mix

PER_KIND = 4
PALE = (0.80, 0.88, 0.95)
BLUES = (0.24, 0.48, 0.82), (0.33, 0.58, 0.88), (0.18, 0.40, 0.74), (0.42, 0.62, 0.86)
BLOSSOMS = (0.95, 0.85, 0.15), (0.85, 0.12, 0.10), (0.96, 0.96, 0.94), (0.60, 0.35, 0.80)
WALLS = (0.78, 0.62, 0.44), (0.70, 0.42, 0.32), (0.82, 0.76, 0.64), (0.62, 0.60, 0.58), (0.86, 0.72, 0.48)
PAINTS = (0.65, 0.08, 0.08), (0.1, 0.2, 0.45), (0.75, 0.76, 0.78), (0.12, 0.13, 0.14), (0.9, 0.9, 0.88)
GREENS = ((0.22, 0.36, 0.10), (0.36, 0.50, 0.14))


def meadow(rng: Rng, number: int) -> Scene:
    """Grass with flowers, trees and hills under clouds."""
    scene = Scene(rng, rng.uniform(0.36, 0.5), PALE)
    scene.sky(BLUES[number], rng.uniform(0.35, 0.6))
    scene.ridge(scene.horizon + 6, rng.uniform(40, 90), 0.6, ((0.16, 0.28, 0.14), (0.24, 0.36, 0.16)))
    scene.ground(scene.horizon, GREENS)
    for x in np.sort(rng.uniform(0, W, 26)):
        scene.tree(x, scene.horizon + 8, rng.uniform(30, 60), (0.24, 0.36, 0.12), 0.3)
    scene.scatter(7000, scene.horizon + 8, 24, [*GREENS, (0.45, 0.58, 0.18)], blades=True)
    for x, down, size in zip(rng.permutation([120, 420, 830]), (30, 60, 110), (150, 220, 330), strict=True):
        leaves = rng.uniform((0.25, 0.42, 0.1), (0.4, 0.5, 0.15))
        scene.tree(x + rng.uniform(-60, 60), scene.horizon + down, size * rng.uniform(0.8, 1.1), leaves)
    scene.scatter(420, scene.horizon + 40, 7, [BLOSSOMS[number]])
    scene.scatter(1200, scene.horizon + 150, 18, [*GREENS], blades=True)
    return scene


def mountains(rng: Rng, number: int) -> Scene:
    """Snowy ranges, firs below them."""
    scene = Scene(rng, rng.uniform(0.68, 0.76), (0.76, 0.84, 0.93))
    scene.sky(BLUES[number], rng.uniform(0.25, 0.5))
    rock = ((0.36, 0.34, 0.34), (0.50, 0.46, 0.43))
    scene.ridge(scene.horizon, 360, 0.35, rock, rng.uniform(0.35, 0.5))
    scene.ridge(scene.horizon + 10, 210, 0.12, rock, rng.uniform(0.55, 0.8))
    scene.ridge(scene.horizon + 20, 70, 0.12, ((0.12, 0.22, 0.12), (0.2, 0.3, 0.14)))
    scene.ground(scene.horizon + 12, ((0.30, 0.36, 0.16), (0.45, 0.45, 0.24)))
    scene.scatter(3000, scene.horizon + 20, 22, [*GREENS, (0.5, 0.5, 0.26)], blades=True)
    for y, x in sorted(zip(rng.uniform(20, 130, 14), rng.uniform(0, W, 14), strict=True)):
        size = 60 + 1.3 * y * rng.uniform(0.8, 1.2)
        scene.tree(x, scene.horizon + y, size, (0.13, 0.27, 0.13), 0.1, fir=True)
    return scene


def beach(rng: Rng, number: int) -> Scene:
    """Sand, surf and sea."""
    scene = Scene(rng, rng.uniform(0.36, 0.46), (0.78, 0.88, 0.95))
    scene.sky(BLUES[number], rng.uniform(0.25, 0.5))
    if number % 2:
        scene.ridge(scene.horizon + 2, 60, 0.45, ((0.2, 0.3, 0.18), (0.4, 0.38, 0.28)))
    scene.ground(scene.horizon, ((0.05, 0.30, 0.48), (0.12, 0.50, 0.60)), 0.3, stretch=5)
    slope = rng.choice((-1, 1)) * rng.uniform(0.1, 0.25)
    shore = scene.horizon + 140 + slope * (X - W / 2) + 14 * fractal(rng, X / 260, Y / 900, 4)
    below = Y - shore
    scene.blend(np.clip(0.8 + below / 130, 0, 0.75) * (scene.horizon < Y), (0.30, 0.68, 0.68))
    away = below * 140 / np.maximum(Y - scene.horizon, 4)  # in rows as they are at the middle of the shore
    foam = fractal(rng, X / 40, Y / 14, 5)
    for offset, width in ((-60, 5), (-28, 7), (-4, 10)):
        scene.blend(np.clip(1.2 - np.abs(away - offset + 12 * foam) / width, 0, 0.95), (0.97, 0.98, 0.98))
    water = scene.image.copy()
    scene.ground(scene.horizon, ((0.84, 0.75, 0.57), (0.88, 0.80, 0.63)), 0.05, stretch=0.3)
    scene.image *= mix(0.72, 1, below / 50)
    scene.scatter(4000, scene.horizon + 50, 2.5, [(0.74, 0.65, 0.48), (0.92, 0.85, 0.69)])
    scene.blend(np.clip(1 - below / 4, 0, 1), water)
    for x, size in rng.uniform((0.1 * W, 25), (0.9 * W, 60), (2, 2)):
        boat = np.float32([(-30, -12), (40, -12), (25, -22), (-20, -22), (0, 100), (45, -2), (-25, -2)])
        boat = boat * (size / 100, -size / 100) + (x, scene.horizon + 4)
        scene.polygon(boat[:4], (0.25, 0.22, 0.22))
        scene.polygon(boat[4:], (0.97, 0.96, 0.94))
    return scene


def facade(rng: Rng, wall: Array, floors: int, columns: int) -> Array:
    """A house front, RGB float (34 floors, 26 columns, 3): plaster, windows with frames, doors below."""
    front = wall * (1 + 0.025 * rng.normal(size=(34 * floors, 26 * columns, 1)))
    for floor, column in np.ndindex(floors, columns):
        top, left, low = 34 * floor + 7, 26 * column + 6, floor == floors - 1
        front[top - 1 : top + 25 + low, left - 1 : left + 15] = 0.9 * wall + 0.15
        pane = np.linspace(0.8, 1.3, 22 + 4 * low)[:, None, None] * (0.20, 0.25, 0.31) * rng.uniform(0.5, 1.5)
        front[top + 1 : top + 23 + 4 * low, left + 1 : left + 13] = pane
        front[top + 1 : top + 23, left + 6 : left + 8] = 0.85
        front[top + 9 : top + 11, left + 1 : left + 13] = 0.85
    front[:5] *= 0.75
    return np.float32(front)


def car(scene: Scene, x: float, z: float, paint: Array) -> None:
    """A car seen from behind: its parts as left, low, right, high, and how much narrower they are on top."""
    foot, size = scene.at(x, 0, z), H * 0.42 / z
    scene.shadow(*foot, 0.62 * size, 0.12 * size, 0.8)
    for colour, left, low, right, high, slant in (
        ((0.05, 0.05, 0.05), -0.45, 0, -0.25, 0.25, 0),
        ((0.05, 0.05, 0.05), 0.25, 0, 0.45, 0.25, 0),
        (paint, -0.48, 0.13, 0.48, 0.5, 0.03),
        (paint * 0.9, -0.44, 0.48, 0.44, 0.82, 0.12),
        ((0.18, 0.23, 0.28), -0.39, 0.52, 0.39, 0.77, 0.09),
        ((0.8, 0.1, 0.08), -0.46, 0.36, 0.46, 0.44, 0),
        (paint, -0.32, 0.36, 0.32, 0.44, 0),
    ):
        shape = np.float32([(left, low), (right, low), (right - slant, high), (left + slant, high)])
        scene.polygon(shape * (size, -size) + foot, colour)


def town(rng: Rng, number: int) -> Scene:
    """A street between houses, with cars and trees."""
    scene = Scene(rng, rng.uniform(0.52, 0.6), PALE)
    scene.sky(BLUES[number], rng.uniform(0.3, 0.55))
    scene.ridge(scene.horizon + 4, 40, 0.5, GREENS)
    scene.ground(scene.horizon, ((0.33, 0.33, 0.35), (0.40, 0.40, 0.41)), 0.12)
    for side in (-1, 1):
        scene.strip(1.9 * side, 2 * side, 0.7, 60, (0.7, 0.69, 0.67))
        scene.strip(2 * side, 9 * side, 0.7, 60, (0.56, 0.54, 0.52))
    for z in np.arange(0.9, 30, 1.6):
        scene.strip(-0.05, 0.05, z, z + 0.7, (0.85, 0.85, 0.82))
    for z in np.arange(22, 0.5, -2.4):
        for side, light in ((-1, 0.68), (1, 1.05)):
            x, back = 3.3 * side, 7.3 * side
            floors, wall = int(rng.integers(3, 6)), np.float32(WALLS[rng.integers(len(WALLS))])
            up = 1.7 * floors
            front = mix(facade(rng, wall, floors, 4) * light, scene.haze, z / 60)
            street = (x, up, z + 2.4), (x, up, z), (x, 0, z), (x, 0, z + 2.4)
            gable = (x, up, z), (back, up, z), (back, 0, z), (x, 0, z)
            scene.quad(front, [scene.at(*corner) for corner in street])
            scene.quad(front * 0.85, [scene.at(*corner) for corner in gable])
        if z < 14 and rng.random() < 0.6:
            x, y = scene.at(rng.choice((-2.6, 2.6)), 0, z)
            scene.tree(x, y, 3 * (H - scene.horizon) / z, (0.28, 0.42, 0.14), 0.02 * z)
        if 2 < z < 16:
            car(scene, rng.choice((-1.35, 1.35)), z, np.float32(PAINTS[rng.integers(len(PAINTS))]))
    return scene


KINDS: dict[str, Callable[[Rng, int], Scene]] = {
    "beach": beach,
    "meadow": meadow,
    "mountains": mountains,
    "town": town,
}


def main() -> None:
    """Draw every scene into the folder given."""
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/demo.py FOLDER")
    for seed, (kind, draw) in enumerate(KINDS.items()):
        folder = Path(sys.argv[1]) / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(PER_KIND):
            picture = draw(np.random.default_rng([seed, number]), number).finished()
            Image.fromarray(picture).save(folder / f"{number}.jpg", quality=92)


if __name__ == "__main__":
    main()
