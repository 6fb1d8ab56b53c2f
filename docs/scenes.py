# SPDX-License-Identifier: MIT
"""A painter of landscapes: fractal noise on planes in perspective, and what stands on them."""

from __future__ import annotations

import cv2
import numpy as np

WIDTH, HEIGHT = 480, 320
W, H = 2 * WIDTH, 2 * HEIGHT  # painted at twice the size, which smooths every edge
X, Y = np.meshgrid(np.arange(W, dtype=np.float32), np.arange(H, dtype=np.float32))

Rng, Array = np.random.Generator, np.ndarray
Colour = tuple[float, float, float] | Array
Two = tuple[Colour, Colour]
Points = Array | list[tuple[float, float]]


def mix(a: Colour | float, b: Colour | float, share: Array | float) -> Array:
    """``a`` where ``share`` is 0 and ``b`` where it is 1; a share per pixel gives a colour per pixel."""
    a, b, share = np.float32(a), np.float32(b), np.clip(np.float32(share), 0, 1)
    return a + (b - a) * (share[..., None] if share.ndim == 2 else share)


def fractal(rng: Rng, u: Array, v: Array, octaves: int = 6, pixel: Array | float = 0) -> Array:
    """Noise of several scales at (u, v), about -1 to 1; scales finer than ``pixel``, a pixel's size, fade."""
    total = np.zeros(u.shape, np.float32)
    for octave in range(octaves):
        lattice = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
        at = [c * np.float32(2**octave / 64) + np.float32(rng.random()) for c in (u, v)]
        at = [64 * (c - np.floor(c)) for c in at]
        layer = cv2.remap(lattice, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
        total += layer * np.clip(1.5 - 2**octave * pixel, 0, 1) * 0.55**octave
    return total


class Scene:
    """A picture in the making: RGB float (H, W, 3) from 0 to 1, painted from the back to the front."""

    def __init__(self, rng: Rng, horizon: float, haze: Colour) -> None:
        self.rng, self.horizon, self.haze = rng, int(horizon * H), np.float32(haze)
        self.image = np.zeros((H, W, 3), np.float32)

    def at(self, x: float, up: float, z: float) -> tuple[float, float]:
        """Where a point is seen: ``x`` aside, ``up`` high and ``z`` away, in heights of the camera."""
        near = H - self.horizon
        return W / 2 + near * x / z, self.horizon + near * (1 - up) / z

    def blend(self, share: Array, colour: Colour, top: int = 0, left: int = 0) -> None:
        """Mix ``colour`` (one, or one per pixel) into the picture from row ``top`` and column ``left``."""
        part = self.image[top : top + share.shape[0], left : left + share.shape[1]]
        part[:] = mix(part, colour, share)

    def sky(self, zenith: Colour, cover: float) -> None:
        """A sky down to the horizon, clouds over the share ``cover`` of it."""
        y = Y[: self.horizon + 1] / self.horizon
        self.image[: len(y)] = mix(zenith, self.haze, y**1.3)
        z = 1 / (1.25 - y)
        u, seed = 1.6 * (X[: len(y)] - W / 2) / H * z, self.rng.integers(2**31)
        field, above = (fractal(np.random.default_rng(seed), u, 2.2 * z + d, 7, z * z / H) for d in (0, 0.16))
        thick = np.clip(2.2 * (field + 2 * cover - 1), 0, 1)
        light = 0.75 + 0.8 * (field - above) - 0.25 * thick
        self.blend(thick * np.sqrt(1.4 - y), mix((0.62, 0.67, 0.75), (1, 1, 1), light))

    def ground(self, top: int, colours: Two, relief: float = 0.25, stretch: float = 1) -> None:
        """Land or sea below row ``top``: patches of two colours, finer noise for light, haze afar."""
        z = (H - self.horizon) / (Y[top:] - self.horizon + 2)
        u, v, pixel = 3 * (X[top:] - W / 2) / H * z / stretch, 3 * z, 3 * z * z / H
        colour = mix(*colours, 0.5 + 0.8 * fractal(self.rng, u / 3, v, 4, pixel))
        light = 1 + relief * fractal(self.rng, u, v, 8, pixel)
        self.image[top:] = mix(colour * light[..., None], self.haze, 0.75 * (1 - np.exp(-z / 40)))

    def ridge(self, base: float, height: float, far: float, colours: Two, snow: float = 9) -> None:
        """Hills ``height`` rows high over row ``base``, ``far`` the share of haze, ``snow`` its lower end."""
        size = max(height, 60)
        line = fractal(self.rng, X[:1] / size / 1.6, 0 * X[:1], 7)
        level = base - height * np.clip(0.62 + 0.45 * line, 0.02, 1.3)
        top = int(level.min())
        x, y = X[top : int(base)], Y[top : int(base)]
        u, v = (x + 0.5 * y) / size * 2.2, (y - level) / size * 1.4
        relief = -np.abs(fractal(self.rng, u, v, 7))
        light = np.clip(0.5 + 5 * (relief - np.roll(relief, 7, axis=1)), 0, 1)
        patch = fractal(self.rng, u, v, 4)
        white = (base - y) / height + 0.16 * patch + 0.2 * (light - 0.5) - snow
        colour = mix(mix(*colours, 0.5 + patch), (0.97, 0.98, 1), 12 * white)
        colour *= mix((0.5, 0.55, 0.68), (1.1, 1.06, 1), light)
        hazy = mix(colour, self.haze, far * (1 + 0.5 * (y - level) / height))
        self.blend(np.clip(y - level, 0, 1), hazy, top)

    def shadow(self, x: float, y: float, rx: float, ry: float, depth: float = 0.5) -> None:
        """A soft shadow, an ellipse on the ground."""
        rows = slice(max(int(y - 2 * ry), 0), int(y + 2 * ry))
        share = np.exp(-((((X[rows] - x) / rx) ** 2 + ((Y[rows] - y) / ry) ** 2) ** 1.5))
        self.image[rows] *= (1 - depth * share)[..., None]

    def polygon(self, points: Points, colour: Colour) -> None:
        """A flat shape."""
        cv2.fillPoly(self.image, [np.int32(points)], np.float64(colour).tolist())

    def strip(self, left: float, right: float, near: float, far: float, colour: Colour) -> None:
        """A flat strip on the ground, from ``near`` to ``far`` away."""
        corners = (left, near), (right, near), (right, far), (left, far)
        self.polygon([self.at(x, 0, z) for x, z in corners], colour)

    def dots(self, points: Array, sizes: Array, colours: Array, blades: bool = False) -> None:
        """Discs, or blades of grass that stand on the points."""
        leans = self.rng.normal(0, 0.35, len(points)) * sizes
        for (x, y), size, lean, colour in zip(points.tolist(), sizes, leans, colours.tolist(), strict=True):
            start = int(x), int(y)
            if blades:
                cv2.line(self.image, start, (int(x + lean), int(y - size)), colour, 1 + int(size > 22))
            else:
                cv2.circle(self.image, start, max(int(size), 1), colour, -1)

    def scatter(self, n: int, top: float, size: float, colours: list[Colour], blades: bool = False) -> None:
        """``n`` blades or blossoms over the ground below row ``top``, larger the nearer, far ones first."""
        near = np.sort(self.rng.random(n)) ** 1.6
        points = np.stack([self.rng.random(n) * W, top + (H + 10 - top) * near], 1)
        picked = np.float32(colours)[self.rng.integers(len(colours), size=n)]
        picked = picked * self.rng.uniform(0.7, 1.2, (n, 1))
        self.dots(points, size * (0.08 + near) * self.rng.uniform(0.6, 1.2, n), picked, blades)

    def tree(
        self, x: float, y: float, size: float, colour: Colour, far: float = 0, fir: bool = False
    ) -> None:
        """A tree ``size`` rows high that stands at (x, y), lit from the upper left."""
        rng, n = self.rng, int(250 + 16 * size)
        if far < 0.3:
            self.shadow(x + 0.3 * size, y, 0.55 * size, 0.07 * size)
        trunk = np.float32([(-0.035, 0), (0.035, 0), (0.012, -0.5), (-0.012, -0.5)]) * size + (x, y)
        self.polygon(trunk, mix((0.25, 0.19, 0.14), self.haze, far))
        if fir:
            t = rng.random(n) ** 0.6
            tier = (t * 7) % 1
            across = rng.uniform(-1, 1, n) * (0.05 + 0.26 * t) * (0.45 + 0.55 * tier)
            points = np.stack([across, -1 + 0.92 * t + 0.04 * np.abs(across)], 1)
            light = 0.75 - 1.3 * across - 0.45 * (tier < 0.25) + rng.normal(0, 0.14, n)
        else:
            angle, radius = rng.uniform(0, 2 * np.pi, 30), np.sqrt(rng.random(30))
            clumps = np.stack([0.3 * radius * np.cos(angle), 0.23 * radius * np.sin(angle) - 0.66], 1)
            around = rng.normal(0, 0.05, (n, 2))
            points = clumps[rng.integers(30, size=n)] + around
            light = 0.2 - (points + 4 * around) @ (0.63, 0.81) + rng.normal(0, 0.15, n)
        order = np.argsort(light + rng.normal(0, 0.15, n))
        leaves = mix(np.float32(colour) * np.clip(light, 0.22, 1.7)[:, None], self.haze, far)
        self.dots((points * size + (x, y))[order], np.full(n, size / 110 + 0.8), leaves[order])

    def quad(self, texture: Array, corners: Points) -> None:
        """A texture stretched over four corners, clockwise from the upper left."""
        h, w = texture.shape[:2]
        start = np.clip(np.min(corners, 0), 0, (W, H)).astype(int)
        size = np.clip(np.max(corners, 0), 0, (W, H)).astype(int) - start
        if size.min() > 0:
            square = np.float32([(0, 0), (w, 0), (w, h), (0, h)])
            warp = cv2.getPerspectiveTransform(square, np.float32(corners - start))
            share = cv2.warpPerspective(np.ones((h, w), np.float32), warp, size.tolist())
            face = cv2.warpPerspective(texture, warp, size.tolist(), borderMode=cv2.BORDER_REPLICATE)
            self.blend(share, face, start[1], start[0])

    def finished(self) -> Array:
        """The picture as a camera would give it, RGB uint8 (HEIGHT, WIDTH, 3): glow, vignette, grain."""
        image = cv2.resize(np.clip(self.image, 0, 1), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        glow = cv2.GaussianBlur(image, (0, 0), 12)
        image = 0.9 * image + 0.14 * glow**2
        y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
        image *= (1.03 - 0.1 * (x * x + y * y))[..., None]
        image += self.rng.normal(0, 0.007, image.shape[:2])[..., None]
        return np.uint8(255 * np.clip(image, 0, 1))
