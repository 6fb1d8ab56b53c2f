# SPDX-License-Identifier: MIT
"""The ``semcbir`` command."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command line."""
    from semcbir._streams import open_standard_streams
    from semcbir.cli.brief import start_lean
    from semcbir.cli.interrupts import quit_at_once

    open_standard_streams()
    start_lean()
    # Set before the long imports, so that Ctrl-C does not show a traceback from the middle of them.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, quit_at_once)
    from semcbir.cli.app import run

    run()
