# SPDX-License-Identifier: MIT
"""Opening a picture, or a folder, in the system's viewer.

``typer.launch`` does not say whether a picture was opened, and lets xdg-open write between our lines.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from semcbir._files import display_path, reason
from semcbir.errors import SemcbirError

_SECONDS = 3.0
"""After which an opener that still runs has a viewer: some wait until it is closed."""


def open_picture(picture: Path) -> None:
    """Open ``picture``, which may be any file or folder, in the viewer for its kind.

    Raises SemcbirError if there is no viewer, or it fails at once.
    """
    failed = f"{display_path(picture)} cannot be opened in a viewer"
    path = os.path.abspath(picture)  # noqa: PTH100 - a name that begins with "-" would be an option
    try:
        if sys.platform == "win32":
            os.startfile(path)
            return
        opener = "open" if sys.platform == "darwin" else "xdg-open"
        code = _run([opener, path])
    except FileNotFoundError:
        raise SemcbirError(f"{failed}: there is no {opener} here") from None
    except OSError as error:
        raise SemcbirError(f"{failed}: {reason(error)}") from None
    if code:
        raise SemcbirError(f"{failed}: {opener} ended with code {code}")


def open_folder_of(photo: Path) -> None:
    """Show the folder of ``photo`` in the system's file manager, with the photo marked where that can be.

    Raises SemcbirError if it is not there, or as ``open_picture`` does.
    """
    folder = photo.parent
    if not folder.is_dir():
        raise SemcbirError(f"{display_path(folder)} is no folder any more")
    if sys.platform == "darwin":  # a folder whose name ends in .app would be started
        if _run(["open", "-R", str(photo)]):
            raise SemcbirError(f"{display_path(folder)} cannot be shown")
    else:
        open_picture(folder)


def _run(command: list[str]) -> int:
    """Return the exit code, 0 if the program goes on. It has no terminal, and Ctrl-C here does not end it."""
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    try:
        return process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it may go on, and Python need not warn of that
        return 0
