# SPDX-License-Identifier: MIT
"""A PostgreSQL with pgvector for the tests: the binaries of the package pgserver, which is not imported."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SETTINGS = "-c listen_addresses='' -c fsync=off -c shared_buffers=16MB -c max_connections=10"


@contextmanager
def postgres() -> Iterator[str]:
    """A new server, on a socket in the folder that is given; skips where there can be none."""
    spec = importlib.util.find_spec("pgserver")
    if spec is None:
        pytest.skip("needs pgserver (pip install --no-deps pgserver)")
    binaries = Path(spec.submodule_search_locations[0], "pginstall", "bin")
    # Not below pytest's folders: those are private, and their names too long for a socket's.
    folder = Path(tempfile.mkdtemp(prefix="semcbir-"))
    try:
        account = _account(folder)

        def run(command: str, *arguments: str) -> None:
            settings = {"PATH": os.defpath, "HOME": str(folder), "LC_ALL": "C"}
            with (folder / "said").open("ab") as said:  # the server keeps it open
                subprocess.run(
                    [binaries / command, "-D", folder / "data", *arguments],
                    **account,
                    env=settings,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    check=True,
                )

        try:
            run("initdb", "-A", "trust", "-U", "postgres", "-N", "--no-locale", "-E", "UTF8")
        except PermissionError:
            pytest.skip("needs binaries of pgserver that the user postgres may run")
        run("pg_ctl", "-l", str(folder / "log"), "-w", "-o", f"{SETTINGS} -k {folder}", "start")
        try:
            yield str(folder)
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _account(folder: Path) -> dict[str, Any]:
    """Who runs the server, which refuses to be root."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("needs a user postgres, as PostgreSQL does not run as root")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
