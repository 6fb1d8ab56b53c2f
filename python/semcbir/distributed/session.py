# SPDX-License-Identifier: MIT
"""Ray, started or joined quietly: no dashboard, no statistics, no other host, nothing on stdout."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from semcbir._extras import optional
from semcbir.errors import SemcbirError

_MISSING = 'this needs the extra ray: pip install "semcbir[ray]" (ray is missing)'
_SECONDS = 5.0
_STORE = 2**29
"""Bytes of Ray's object store on this machine; what shards find is small."""
_SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Where the word goes that statistics are off: nowhere.
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9/",
}
_QUIET = _SILENT | {
    # This machine alone: every socket is on the loopback interface.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",
}


class Session:
    """A cluster that this program has joined, until it is closed.

    ``address`` is where one runs (None: RAY_ADDRESS, or else one is started, on this machine alone). One that
    the program is a part of already is used, and left as it is. Raises SemcbirError if there is none there.
    """

    def __init__(self, address: str | None = None) -> None:
        address = address or os.environ.get("RAY_ADDRESS") or None
        with _environment(_QUIET if address is None else _SILENT):  # Ray looks at them when it is imported
            # It is heavy, and its types depend on whether it is installed.
            self.ray = optional("ray", _MISSING)
        self.home = os.environ.get("HOME", "")
        self._quiet_home: tempfile.TemporaryDirectory[str] | None = None
        self._own = not self.ray.is_initialized()
        if not self._own:
            return
        try:
            if address is None:
                self._start()
            else:
                _require_reachable(address)
                self.ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            self.close()
            where = "this machine" if address is None else address
            raise SemcbirError(f"Ray on {where}: {' '.join(str(error).split())}") from None

    def _start(self) -> None:
        # At its start Ray asks addresses of three clouds which of them it is in, unless it finds this file.
        self._quiet_home = tempfile.TemporaryDirectory(prefix="semcbir-ray-", ignore_cleanup_errors=True)
        place = Path(self._quiet_home.name)
        (place / "ray_bootstrap_config.yaml").write_text("provider:\n  type: local\n", encoding="utf-8")
        with _environment({**_QUIET, "HOME": str(place)}):
            self.ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                object_store_memory=_STORE,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here."""
        if self._own:
            self.ray.shutdown()
        if self._quiet_home is not None:
            self._quiet_home.cleanup()
            self._quiet_home = None


def _require_reachable(address: str) -> None:
    """Raise OSError unless something listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS).close()


@contextmanager
def quiet() -> Iterator[None]:
    """Send what Ray says about lost workers and nodes to stderr: stdout is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def at_home(home: str) -> None:
    """Give a worker the user's home folder again, where models are kept; see ``Session``."""
    if home:
        os.environ["HOME"] = home
