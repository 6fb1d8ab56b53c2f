# SPDX-License-Identifier: MIT
"""``python -m semcbir`` is the ``semcbir`` command."""

from semcbir.cli import main

if __name__ == "__main__":
    main()
