# SPDX-License-Identifier: MIT
"""Text from anywhere, for a line of a message."""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """Return ``text`` with control characters, line breaks and undecodable bytes escaped; see display_path.

    What is escaped already stays as it is.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_printable, text))


def _printable(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # how os.fsdecode() keeps undecodable bytes
        return f"\\x{code - 0xDC00:02x}"
    # Joiners belong to emoji and to Persian words.
    if unicodedata.category(char) in _HIDDEN and char not in "\u200c\u200d":
        return char.encode("unicode_escape").decode("ascii")
    return char
