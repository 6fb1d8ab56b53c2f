# SPDX-License-Identifier: MIT
"""Limits on what is decoded, apart from what decodes: they are known before a library is loaded."""

from __future__ import annotations

MAX_PIXELS = 2**27
"""Images with more pixels than this (134 megapixels) are refused before they are decoded.

Kinds that take more memory for a pixel than most, PIXEL_BYTES, have to be smaller accordingly.
"""

PIXEL_BYTES = 8
"""What a pixel of most kinds takes while it is decoded: Pillow's four bytes, three of RGB, and some."""

MAX_FILE = 2**31
"""Larger files are refused unread (bytes)."""

MAX_WHOLE = 2**28
"""The same for kinds that are read into memory as a whole (bytes)."""

LEAST_SHARE = 1 / 32
"""Damaged pictures of which less can be decoded are refused."""
