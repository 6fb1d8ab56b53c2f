# SPDX-License-Identifier: MIT
"""The libraries that only exports need: imported on first use, and what their errors say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NoReturn

from semcbir._extras import optional
from semcbir.errors import SemcbirError


def library(name: str, extra: str) -> Any:
    """Return the module ``name``, such as "pyarrow.parquet"; SemcbirError if its library is not installed."""
    top = name.partition(".")[0]
    missing = (
        f'an export to {extra} needs the extra {extra}: pip install "semcbir[{extra}]" ({top} is missing)'
    )
    try:
        return optional(name, missing)
    except ModuleNotFoundError:
        raise
    except ImportError:  # psycopg without a libpq is there, and cannot be imported either
        raise SemcbirError(missing) from None


def refuse(who: str, error: Exception, secrets: Iterable[str]) -> NoReturn:
    """Raise SemcbirError with what an error of a library says, on one line and without ``secrets``.

    Its cause is ``error``, unless that holds one of them: a traceback shows causes, too.
    """
    text = " ".join((str(error).strip() or type(error).__name__).split())
    clean = text
    for secret in filter(None, secrets):
        # Whole words: a password such as "a" would make the rest unreadable, and show where it is.
        clean = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", clean)
    raise SemcbirError(f"{who}: {clean}") from (error if clean == text else None)
