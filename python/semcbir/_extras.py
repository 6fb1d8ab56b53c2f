# SPDX-License-Identifier: MIT
"""Libraries that only an extra brings, imported on first use."""

from __future__ import annotations

import importlib
from typing import Any

from semcbir.errors import SemcbirError


def optional(name: str, missing: str) -> Any:
    """Return the module ``name``, such as "sklearn.svm".

    Raises SemcbirError, which says ``missing``, if its library is not there. One that is there, and lacks
    something that it needs itself, raises what it raises.
    """
    top = name.partition(".")[0]
    try:
        importlib.import_module(top)
    except ModuleNotFoundError as error:
        if error.name != top:
            raise
        raise SemcbirError(missing) from error
    return importlib.import_module(name)
