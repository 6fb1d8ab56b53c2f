# SPDX-License-Identifier: MIT
"""Seeded damage to bytes: flipped bits, numbers at their limits, pieces lost, repeated or exchanged."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

Mutation = Callable[[random.Random, bytearray], str]
NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**32, 2**63 - 1, -(2**63), 2**63 - 2)


def mutated(rng: random.Random, data: bytes) -> tuple[bytes, list[str]]:
    """Return ``data`` with one to three mutations, and what they were. It always differs from ``data``."""
    while True:
        changed = bytearray(data)
        what = [rng.choice(MUTATIONS)(rng, changed) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        if changed != data:
            return bytes(changed), what


def _span(rng: random.Random, data: bytearray) -> tuple[int, int]:
    """Return a place and a length, mostly short."""
    start = rng.randrange(len(data) + 1)
    return start, min(len(data) - start, 1 << rng.randrange(13))


def flip_bit(rng: random.Random, data: bytearray) -> str:
    """Flip one bit."""
    if not data:
        return "nothing to flip"
    at, bit = rng.randrange(len(data)), rng.randrange(8)
    data[at] ^= 1 << bit
    return f"bit {bit} of byte {at} flipped"


def set_byte(rng: random.Random, data: bytearray) -> str:
    """Set one byte."""
    if not data:
        return "nothing to set"
    at, value = rng.randrange(len(data)), rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    data[at] = value
    return f"byte {at} = {value}"


def set_number(rng: random.Random, data: bytearray) -> str:
    """Overwrite 2, 4 or 8 bytes with a number at a limit, in either order."""
    order, code = rng.choice("<>"), rng.choice("hiq")
    size = struct.calcsize(order + code)
    if len(data) < size:
        return "too short for a number"
    at, number = rng.randrange(len(data) - size + 1), rng.choice(NUMBERS)
    data[at : at + size] = (number % 256**size).to_bytes(size, "little" if order == "<" else "big")
    return f"{order}{code} {number} at {at}"


def overwrite(rng: random.Random, data: bytearray) -> str:
    """Overwrite a piece with noise, zeros or ones."""
    start, length = _span(rng, data)
    kind = rng.choice(("noise", "zeros", "ones"))
    fill = rng.randbytes(length) if kind == "noise" else bytes([255 * (kind == "ones")]) * length
    data[start : start + length] = fill
    return f"{length} bytes of {kind} at {start}"


def truncate(rng: random.Random, data: bytearray) -> str:
    """Cut the end off."""
    length = rng.choice((0, rng.randrange(len(data) + 1), max(0, len(data) - rng.randrange(1, 64))))
    del data[length:]
    return f"cut to {length} bytes"


def extend(rng: random.Random, data: bytearray) -> str:
    """Put more at the end."""
    more = rng.choice((b"\0" * 4096, rng.randbytes(rng.randrange(1, 5000)), bytes(data[:4096])))
    data += more
    return f"{len(more)} bytes more"


def remove(rng: random.Random, data: bytearray) -> str:
    """Take a piece out."""
    start, length = _span(rng, data)
    del data[start : start + length]
    return f"{length} bytes at {start} taken out"


def insert(rng: random.Random, data: bytearray) -> str:
    """Put a piece of it, or noise, in at another place."""
    start, length = _span(rng, data)
    piece = bytes(data[start : start + length]) if rng.random() < 0.5 else rng.randbytes(length)
    at = rng.randrange(len(data) + 1)
    data[at:at] = piece
    return f"{length} bytes put in at {at}"


def copy(rng: random.Random, data: bytearray) -> str:
    """Write one piece over another, often whole blocks, as file systems lose them."""
    block = rng.choice((4, 8, 512, 4096))
    if len(data) < 2 * block:
        return "too short to copy"
    source, target = (rng.randrange(len(data) // block) * block for _ in range(2))
    data[target : target + block] = data[source : source + block]
    return f"{block} bytes from {source} to {target}"


MUTATIONS: tuple[Mutation, ...] = (
    flip_bit,
    flip_bit,
    flip_bit,
    set_byte,
    set_number,
    overwrite,
    truncate,
    extend,
    remove,
    insert,
    copy,
)
