# SPDX-License-Identifier: MIT
"""``python -m semcbir.cli``, where the ``semcbir`` script is not on the path."""

from __future__ import annotations

from semcbir.cli import main

main()
