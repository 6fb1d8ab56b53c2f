# SPDX-License-Identifier: MIT
"""Safe opening: what is inside an index is a regular file or a real folder, or it is refused by its kind."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from semcbir import IndexStorageError
from semcbir._files import file_sha256, open_regular, read_regular
from semcbir.index import files
from semcbir.index.files import open_folder, sha256

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX links and pipes")


@pytest.fixture(params=[True, False], ids=["dir_fd", "paths"])
def inside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of an index, used with and without what only some systems have."""
    monkeypatch.setattr(files, "_BY_FOLDER", request.param and files._BY_FOLDER)
    folder = tmp_path / "index" / "segments"
    folder.mkdir(parents=True)
    return folder


def plant(kind: str, place: Path, victim: Path) -> str:
    """Put something else at ``place``; returns what a message calls it."""
    if kind == "link":
        place.symlink_to(victim)
        return "a symbolic link"
    if kind == "dangling":
        place.symlink_to(victim.with_name("nowhere"))
        return "a symbolic link"
    if kind == "device":
        place.symlink_to("/dev/zero")
        return "a symbolic link"
    if kind == "folder":
        place.mkdir()
        return "a folder"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(place))
        return "a socket"
    os.mkfifo(place)
    return "a named pipe"


KINDS = ["link", "dangling", "device", "folder", "socket", "pipe"]


@posix
@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_are_refused_and_named(inside: Path, kind: str, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    called = plant(kind, inside / "one", victim)
    with open_folder(inside) as folder:
        for use in (folder.open, folder.require_regular, lambda name: sha256(inside / name, 8)):
            with pytest.raises(IndexStorageError, match=f"one is {called}, expected a regular file"):
                use("one")
        with pytest.raises(FileExistsError):
            folder.create("one")
        assert not folder.is_regular("one")
        if kind != "folder":
            folder.put("one", b"new")
            assert (inside / "one").read_bytes() == b"new"
            folder.remove("one")
            assert folder.names() == []
    assert victim.read_bytes() == b"precious"
    assert not victim.with_name("nowhere").exists()


@posix
def test_a_temporary_name_that_is_a_link_is_not_followed(inside: Path, tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (inside / ".one.tmp").symlink_to(victim)
    with open_folder(inside) as folder:
        folder.put("one", b"new")
    assert victim.read_bytes() == b"precious"
    assert [entry.name for entry in inside.iterdir()] == ["one"]


def test_regular_files(inside: Path):
    with open_folder(inside) as folder:
        with pytest.raises(FileNotFoundError):
            folder.open("one")
        assert folder.require_regular("one") is None
        with folder.create("one") as file:
            file.write(b"1234")
        with folder.open("one") as opened:
            assert opened.read() == b"1234"
        assert sha256(inside / "one", 4) == hashlib.sha256(b"1234").hexdigest()
        with pytest.raises(IndexStorageError, match="has 4 bytes, expected 3"):
            sha256(inside / "one", 3)
        folder.rename("one", "two")
        folder.sync()
        assert folder.names() == ["two"]
        folder.remove("two")
        folder.remove("two")
        assert folder.names() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "../one", "one\0two"])
def test_names_lead_nowhere_else(inside: Path, name: str):
    with open_folder(inside) as folder:
        for use in (folder.open, folder.remove, folder.create, folder.status):
            with pytest.raises(IndexStorageError, match="is not a file name"):
                use(name)


@posix
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_folder_is_a_real_folder(inside: Path, kind: str, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    inside.rmdir()
    with pytest.raises(FileNotFoundError), open_folder(inside):
        pass
    called = plant(kind, inside, elsewhere)
    for create in (False, True):
        with (
            pytest.raises(IndexStorageError, match=f"segments is {called}, expected a real folder"),
            open_folder(inside, create=create),
        ):
            pass
    inside.unlink()
    with open_folder(inside, create=True) as folder:
        assert folder.names() == []


@posix
@pytest.mark.skipif(not files._BY_FOLDER, reason="needs dir_fd")
def test_a_folder_replaced_by_a_link_meanwhile_changes_nothing(tmp_path: Path):
    real, elsewhere = tmp_path / "segments", tmp_path / "elsewhere"
    real.mkdir()
    elsewhere.mkdir()
    (real / "one").write_bytes(b"ours")
    (elsewhere / "one").write_bytes(b"precious")
    with open_folder(real) as folder:
        real.rename(tmp_path / "moved")
        real.symlink_to(elsewhere)
        with folder.open("one") as file:
            assert file.read() == b"ours"
        folder.remove("one")
    assert (elsewhere / "one").read_bytes() == b"precious"


@posix
def test_files_that_users_name_may_be_links_but_never_pipes(tmp_path: Path):
    real, link, pipe = tmp_path / "real", tmp_path / "link", tmp_path / "pipe"
    real.write_bytes(b"12345")
    link.symlink_to(real)
    os.mkfifo(pipe)
    assert read_regular(link, 5) == b"12345"
    with pytest.raises(OSError, match="has 5 bytes, expected at most 4"):
        read_regular(real, 4)
    for path, called in ((pipe, "a named pipe"), (tmp_path, "a folder"), (Path("/dev/zero"), "a device")):
        with pytest.raises(OSError, match=f"is {called}, not a regular file"):
            open_regular(path)
        with pytest.raises(OSError, match=called):
            file_sha256(path)
