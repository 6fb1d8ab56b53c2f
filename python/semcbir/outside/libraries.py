# SPDX-License-Identifier: MIT
"""The libraries that only exports need, imported on first use."""

from __future__ import annotations

import importlib
from typing import Any

from semcbir.errors import SemcbirError


def library(name: str, extra: str) -> Any:
    """Return the module ``name``, such as "pyarrow.parquet"; SemcbirError if its library is not installed."""
    top = name.partition(".")[0]
    try:
        importlib.import_module(top)
    except ImportError as error:  # psycopg without a libpq is there, and cannot be imported either
        if isinstance(error, ModuleNotFoundError) and error.name != top:
            raise
        raise SemcbirError(
            f'an export to {extra} needs the extra {extra}: pip install "semcbir[{extra}]" ({top} is missing)'
        ) from None
    return importlib.import_module(name)
