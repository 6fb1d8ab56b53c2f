# SPDX-License-Identifier: MIT
"""The libraries that only exports need, imported on first use."""

from __future__ import annotations

from typing import Any

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
