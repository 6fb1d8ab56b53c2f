# SPDX-License-Identifier: MIT
"""Descriptors of pixels: colour histograms, CEDD and hashes by their definitions, on odd images too."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semcbir.baselines import BASELINES, CEDD, ColourHistogram, DHash, PHash, PixelDescriptor
from semcbir.baselines.cedd import COLOURS, TEXTURES, colours

KINDS = [kind() for kind in BASELINES.values() if issubclass(kind, PixelDescriptor)]
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (7, 300), (33, 40), (80, 80), (120, 90)]

each = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


def photo(*shape: int, seed: int = 0) -> np.ndarray:
    """A picture with colours and edges of several sizes, and pure colours."""
    rng = np.random.default_rng(seed)
    height, width = shape
    coarse = rng.integers(0, 256, (-(-height // 9), -(-width // 9), 3))
    image = np.repeat(np.repeat(coarse, 9, axis=0), 9, axis=1)[:height, :width]
    image = np.clip(image + rng.integers(-20, 21, image.shape), 0, 255).astype(np.uint8)
    image[rng.random((height, width)) < 0.1] = rng.choice([0, 85, 255], 3)
    return image


def plain(colour: Any, shape: tuple[int, int] = (30, 20)) -> np.ndarray:
    return np.full((*shape, 3), colour, np.uint8)


@each
def test_images_of_any_size(kind: PixelDescriptor) -> None:
    images = [photo(*shape) for shape in SHAPES]
    vectors = kind.describe_many(iter(images))
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(SHAPES), kind.dim)
    assert np.isfinite(vectors).all()
    for image, vector in zip(images, vectors, strict=True):
        assert np.array_equal(kind.describe(image), vector)
        assert np.array_equal(kind.describe(np.asfortranarray(image)), vector)
    assert kind.describe_many([]).shape == (0, kind.dim)


@pytest.mark.parametrize("kind", [ColourHistogram(), ColourHistogram(7, 2, 5), CEDD()])
def test_histograms_have_the_length_1(kind: PixelDescriptor) -> None:
    vectors = kind.describe_many([*map(plain, (0, 255, [255, 0, 0])), photo(50, 70)])
    assert (vectors >= 0).all()
    np.testing.assert_allclose((vectors.astype(np.float64) ** 2).sum(axis=1), 1, rtol=1e-6)


@each
@pytest.mark.parametrize(
    ("bad", "error", "said"),
    [
        ([[1]], TypeError, "expected an RGB image as a uint8 array, got list"),
        (np.zeros((4, 4, 3)), TypeError, "expected an RGB image of dtype uint8, got float64"),
        (np.zeros((4, 4), np.uint8), ValueError, r"shape \(height, width, 3\), got shape \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"shape \(height, width, 3\), got shape \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"shape \(height, width, 3\), got shape \(0, 4, 3\)"),
    ],
)
def test_what_is_no_image(kind: PixelDescriptor, bad: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^image: .*{said}"):
        kind.describe(bad)
    with pytest.raises(error, match=rf"^images\[1\]: .*{said}"):
        kind.describe_many([photo(5, 5), bad])


@each
def test_one_image_is_not_several(kind: PixelDescriptor) -> None:
    with pytest.raises(TypeError, match=r"^images: expected several images, got one; pass \[image\]"):
        kind.describe_many(photo(5, 5))
    with pytest.raises(TypeError, match=r"^images: expected images as arrays, got None"):
        kind.describe_many(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: ColourHistogram(0), ValueError, "hues: expected an integer from 1 to 256, got 0"),
        (lambda: ColourHistogram(1, 257), ValueError, "saturations: expected .* to 256, got 257"),
        (lambda: ColourHistogram(values=1.5), TypeError, "values: expected an integer .*, got 1.5"),
        (lambda: PHash(1), ValueError, "side: expected an integer from 2 to 64, got 1"),
        (lambda: DHash(65), ValueError, "side: expected an integer from 2 to 64, got 65"),
    ],
)
def test_parameters_out_of_range(make: Callable[[], Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^{said}$"):
        make()


# --- colours ------------------------------------------------------------------------------------------------


def hsv(pixel: np.ndarray) -> tuple[Fraction, Fraction, Fraction]:
    """Hue in [0, 1), saturation and value in [0, 1], exactly."""
    red, green, blue = (Fraction(int(channel), 255) for channel in pixel)
    top, low = max(red, green, blue), min(red, green, blue)
    if top == low:
        return Fraction(0), Fraction(0), top
    spread = top - low
    if top == red:
        sixths = ((green - blue) / spread) % 6
    elif top == green:
        sixths = 2 + (blue - red) / spread
    else:
        sixths = 4 + (red - green) / spread
    return sixths / 6, spread / top, top


@pytest.mark.parametrize("kind", [ColourHistogram(), ColourHistogram(5, 4, 7), ColourHistogram(1, 1, 256)])
def test_a_colour_histogram_is_what_plain_loops_give(kind: ColourHistogram) -> None:
    image = photo(20, 30)
    counts = np.zeros((kind.hues, kind.saturations, kind.values))
    for pixel in image.reshape(-1, 3):
        hue, saturation, value = hsv(pixel)
        counts[
            floor(hue * kind.hues + Fraction(1, 2)) % kind.hues,
            min(kind.saturations - 1, floor(saturation * kind.saturations)),
            floor(value * 255 / 256 * kind.values),
        ] += 1
    np.testing.assert_allclose(kind.describe(image), np.sqrt(counts.ravel() / 600), rtol=1e-6)


def bins(kind: ColourHistogram, colour: Any) -> tuple[int, ...]:
    """The one bin of a plain colour: of its hue, saturation and value."""
    (place,) = np.flatnonzero(kind.describe(plain(colour)))
    return tuple(map(int, np.unravel_index(place, (kind.hues, kind.saturations, kind.values))))


def test_bins_of_plain_colours() -> None:
    kind = ColourHistogram()
    assert bins(kind, [255, 0, 0]) == (0, 2, 2)
    assert bins(kind, [255, 0, 40]) == (0, 2, 2)  # a red on the other side of the circle's start
    assert bins(kind, [255, 255, 0]) == (3, 2, 2)
    assert bins(kind, [0, 255, 0]) == (6, 2, 2)
    assert bins(kind, [0, 0, 100]) == (12, 2, 1)
    assert bins(kind, [0, 0, 0]) == (0, 0, 0)


def test_greys_are_in_the_bins_without_saturation() -> None:
    kind = ColourHistogram()
    assert [bins(kind, grey)[:2] for grey in (0, 60, 128, 255)] == [(0, 0)] * 4
    colour = kind.describe(photo(40, 40)).reshape(18, 3, 3)
    assert np.count_nonzero(colour[1:]) > 20


# --- CEDD ---------------------------------------------------------------------------------------------------


def cedd_bins(image: np.ndarray) -> np.ndarray:
    """What CEDD sees, without the root: shares (6, 24)."""
    return CEDD().describe(image).reshape(len(TEXTURES), len(COLOURS)).astype(np.float64) ** 2


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ([0, 0, 0], "black"),
        ([128, 128, 128], "grey"),
        ([255, 255, 255], "white"),
        ([255, 0, 0], "pure red"),
        ([255, 128, 0], "pure orange"),
        ([255, 255, 0], "pure yellow"),
        ([0, 255, 0], "pure green"),
        ([0, 255, 255], "pure cyan"),
        ([0, 0, 255], "pure blue"),
        ([255, 0, 255], "pure magenta"),
        ([255, 165, 165], "light red"),
        ([0, 0, 90], "dark blue"),
    ],
)
def test_plain_colours_have_their_names_and_no_edge(colour: Any, name: str) -> None:
    found = cedd_bins(plain(colour))
    assert found[0, COLOURS.index(name)] > 0.95
    assert not found[1:].any()


def test_a_colour_between_two_is_shared() -> None:
    (found,) = colours(np.array([[255.0, 0, 127.5]]))  # half way from magenta to red
    assert found[COLOURS.index("pure red")] == pytest.approx(0.5)
    assert found[COLOURS.index("pure magenta")] == pytest.approx(0.5)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("quarters", "names"),
    [
        ([[0, 0], [255, 255]], ["horizontal"]),
        ([[0, 255], [0, 255]], ["vertical"]),
        ([[0, 255], [255, 0]], ["non-directional"]),
        ([[0, 100], [100, 200]], ["45 degrees"]),
        ([[100, 200], [0, 100]], ["135 degrees"]),
        ([[255, 0], [0, 0]], ["non-directional"]),  # 45 degrees have .71 of its strength
        ([[200, 100], [60, 60]], ["non-directional", "45 degrees"]),  # .99
        ([[100, 100], [106, 106]], ["none"]),  # a strength of 12
        ([[100, 100], [107, 107]], ["horizontal"]),  # of 14
    ],
)
def test_textures_of_blocks(quarters: list[list[int]], names: list[str]) -> None:
    image = np.repeat(np.tile(np.array(quarters, np.uint8), (40, 40))[:, :, None], 3, axis=2)
    expected = np.array([name in names for name in TEXTURES]) / len(names)
    np.testing.assert_allclose(cedd_bins(image).sum(axis=1), expected, atol=1e-6)


def cedd_by_loops(image: np.ndarray) -> np.ndarray:
    """CEDD of an image of 80 x 80, a block and a filter at a time."""

    def ramp(x: float, low: float, high: float) -> float:
        return min(1.0, max(0.0, (x - low) / (high - low)))

    found = np.zeros((6, 24))
    for top in range(0, 80, 2):
        for left in range(0, 80, 2):
            a, b, c, d = (image[top + y, left + x].astype(float) for y in (0, 1) for x in (0, 1))
            g = [0.299 * q[0] + 0.587 * q[1] + 0.114 * q[2] for q in (a, b, c, d)]
            strengths = {
                "non-directional": abs(2 * g[0] - 2 * g[1] - 2 * g[2] + 2 * g[3]),
                "horizontal": abs(g[0] + g[1] - g[2] - g[3]),
                "vertical": abs(g[0] - g[1] + g[2] - g[3]),
                "45 degrees": abs(2**0.5 * (g[0] - g[3])),
                "135 degrees": abs(2**0.5 * (g[1] - g[2])),
            }
            most = max(strengths.values())
            least = {"non-directional": 0.68}
            kinds = [name for name, value in strengths.items() if value >= least.get(name, 0.98) * most]
            r, green, blue = (a + b + c + d) / 4
            value, chroma = max(r, green, blue), max(r, green, blue) - min(r, green, blue)
            saturation = chroma / value if value else 0
            shares = dict.fromkeys(COLOURS, 0.0)
            lit, clear = ramp(value / 255, 0.05, 0.3), ramp(saturation, 0.05, 0.3)
            bright = ramp(value / 255, 0.7, 0.85)
            shares["black"] = 1 - lit
            shares["grey"] = lit * (1 - clear) * (1 - bright)
            shares["white"] = lit * (1 - clear) * bright
            if chroma:
                degrees = float(60 * 6 * np_hue(r, green, blue, value, chroma))
                light, deep = ramp(value / 255, 0.4, 0.7), ramp(saturation, 0.4, 0.7)
                places = [0, 30, 60, 120, 180, 240, 300, 360]
                hues = ["red", "orange", "yellow", "green", "cyan", "blue", "magenta", "red"]
                for low in range(7):
                    if places[low] <= degrees < places[low + 1]:
                        share = (degrees - places[low]) / (places[low + 1] - places[low])
                        for hue, part in ((hues[low], 1 - share), (hues[low + 1], share)):
                            shares[f"light {hue}"] += lit * clear * part * light * (1 - deep)
                            shares[f"pure {hue}"] += lit * clear * part * light * deep
                            shares[f"dark {hue}"] += lit * clear * part * (1 - light)
            for kind in kinds if most >= 14 else ["none"]:
                found[TEXTURES.index(kind)] += list(shares.values())
    return found / found.sum()


def np_hue(red: float, green: float, blue: float, value: float, chroma: float) -> float:
    """The hue in [0, 1) of a colour that is no grey."""
    if value == red:
        return (green - blue) / chroma % 6 / 6
    return (2 + (blue - red) / chroma) / 6 if value == green else (4 + (red - green) / chroma) / 6


def test_cedd_is_what_plain_loops_give() -> None:
    image = photo(80, 80)
    np.testing.assert_allclose(cedd_bins(image), cedd_by_loops(image), atol=1e-6)


def test_cedd_of_grey_pictures_has_no_hue() -> None:
    image = np.repeat(photo(60, 60)[:, :, :1], 3, axis=2)
    assert not cedd_bins(image)[:, 3:].any()
    assert cedd_bins(photo(60, 60))[:, 3:].sum() > 0.3


# --- hashes -------------------------------------------------------------------------------------------------


def grey_pixels(image: np.ndarray, width: int, height: int) -> np.ndarray:
    small = Image.fromarray(image).convert("L").resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(small, np.float64)


@pytest.mark.parametrize("side", [8, 5])
def test_the_perceptual_hash_by_its_definition(side: int) -> None:
    n = 4 * side
    frequency, place = np.arange(n)[:, None], np.arange(n)
    cosines = np.cos(np.pi * frequency * (2 * place + 1) / (2 * n))
    for seed in range(3):
        image = photo(90, 120, seed=seed)
        low = (cosines @ grey_pixels(image, n, n) @ cosines.T)[:side, :side]
        found = PHash(side).describe(image)
        assert found.tolist() == (low > np.median(low)).ravel().astype(float).tolist()
        assert set(found) == {0, 1}


@pytest.mark.parametrize("side", [8, 5])
def test_the_difference_hash_by_its_definition(side: int) -> None:
    for seed in range(3):
        image = photo(90, 120, seed=seed)
        small = grey_pixels(image, side + 1, side)
        expected = (small[:, 1:] > small[:, :-1]).ravel().astype(float)
        assert DHash(side).describe(image).tolist() == expected.tolist()
        assert 0 < expected.sum() < side**2


@pytest.mark.parametrize("kind", [PHash(), DHash()])
def test_the_square_of_l2_is_the_hamming_distance(kind: PixelDescriptor) -> None:
    import imagehash

    images = photo(60, 80), photo(60, 80, seed=1)
    hashes = [getattr(imagehash, kind.name)(Image.fromarray(image)) for image in images]
    first, second = kind.describe_many(images)
    assert ((first - second) ** 2).sum() == hashes[0] - hashes[1] > 0
