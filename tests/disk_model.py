# SPDX-License-Identifier: MIT
"""A disk that loses power: what may be on it after each of a program's storage calls, as strace saw them.

The worst that a disk may do: of what was not synced, any part survives. Of a file's writes any subset does,
torn at any page, and its size with or without them; of a folder's changes the first few do. A sync of a
file makes its data durable, not its name; a sync of a folder makes the names in it durable.
"""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

_CALLS = (
    "openat,creat,write,pwrite64,writev,pwritev,ftruncate,truncate,fallocate,fsync,fdatasync,rename,renameat,"
    "renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,link,linkat,lseek,copy_file_range,sendfile,symlink,symlinkat"
)
_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(.*)")
_TEXT = r"((?:\\x[0-9a-f]{2})*)"
_ARGUMENT = re.compile(rf'"{_TEXT}"|(-?\w+)<{_TEXT}>|([^,"<>()\[\]{{}}]+)')
_PAGE = 4096


Argument: TypeAlias = "bytes | str | tuple[str, str]"
"""What was in quotes; anything else; a descriptor with the path that it is open for."""
Left: TypeAlias = "dict[str, bytes | None]"
"""What is on a disk: files by path below its root, folders as None."""


def digest(left: Left) -> str:
    """Return what tells ``left`` from every other state, in a few bytes."""
    found = hashlib.sha256()
    for place in sorted(left):
        content = left[place]
        found.update(repr((place, content is None, len(content or b""))).encode())
        found.update(content or b"")
    return found.hexdigest()


class Call(NamedTuple):
    """A system call that succeeded: its name, arguments and result."""

    name: str
    arguments: list[Argument]
    result: int

    def __str__(self) -> str:
        return f"{self.name}({', '.join(str(one)[:80] for one in self.arguments)})"

    def is_write_to(self, file: Path) -> bool:
        """Return whether the call writes to ``file``."""
        first = self.arguments[0]
        return self.name == "write" and isinstance(first, tuple) and first[1] == str(file)

    def data(self) -> bytes:
        """Return what a call writes."""
        data = self.arguments[1]
        assert isinstance(data, bytes)
        return data[: self.result]


def traced(command: Sequence[str], log: Path) -> Iterator[Call]:
    """Run ``command``, which must succeed, and yield its storage calls in the order in which they ended."""
    strace = ["strace", "-f", "-y", "-xx", "-s", str(2**26), "-e", f"trace={_CALLS}", "-o", str(log)]
    subprocess.run([*strace, *command], check=True, timeout=600)
    begun: dict[str, str] = {}
    with log.open() as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                continue
            process, name, rest = found.groups()
            if rest.rstrip().endswith("<unfinished ...>"):
                begun[process] = rest.rstrip().removesuffix("<unfinished ...>")
                continue
            if "resumed>" in rest:
                rest = begun.pop(process) + rest.partition("resumed>")[2]
            inside, equals, result = rest.rpartition(") ")
            value = re.match(r"= (-?\d+)", result.strip())
            if equals and value and int(value[1]) >= 0:
                yield Call(name, [*_arguments(inside.lstrip("("))], int(value[1]))


def _arguments(text: str) -> Iterator[Argument]:
    for found in _ARGUMENT.finditer(text):
        quoted, number, path, plain = found.groups()
        if quoted is not None:
            yield bytes.fromhex(quoted.replace("\\x", ""))
        elif number is not None:
            yield number, bytes.fromhex(path.replace("\\x", "")).decode()
        elif plain.strip():
            yield plain.strip()


Write: TypeAlias = "tuple[int, bytes] | int"
"""Bytes at an offset, or the size that a file was cut or extended to."""


@dataclass
class File:
    """A file's content: what is durable, and what was written since."""

    durable: bytes = b""
    pending: list[Write] = field(default_factory=list)

    def now(self) -> bytes:
        """Return the content as programs see it."""
        if not self.pending:
            return self.durable
        return _written(self.durable, self.pending)

    def sync(self) -> None:
        """Make all of it durable."""
        self.durable, self.pending = self.now(), []

    def after_a_cut(self, rng: random.Random) -> bytes:
        """Return the durable content with a part of what was written since."""
        if not self.pending:
            return self.durable  # not a copy: a test keeps thousands of states
        kept: list[Write] = []
        for write in self.pending:
            fate = rng.random()
            if fate < 0.4:
                kept.append(write)
            elif fate < 0.7 and not isinstance(write, int):
                offset, data = write
                pages = range(0, len(data), _PAGE)
                kept += [(offset + at, data[at : at + _PAGE]) for at in pages if rng.random() < 0.5]
        if rng.random() < 0.3:
            kept.append(len(self.now()))
        return _written(self.durable, kept)


def _written(content: bytes, writes: Sequence[Write]) -> bytes:
    found = bytearray(content)
    for write in writes:
        if isinstance(write, int):
            del found[write:]
            found.extend(bytes(write - len(found)))
        else:
            offset, data = write
            found.extend(bytes(max(0, offset - len(found))))
            found[offset : offset + len(data)] = data
    return bytes(found)


@dataclass
class Folder:
    """A folder's names: those that are durable, and how they changed since."""

    durable: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def now(self, changes: int | None = None) -> dict[str, File | Folder]:
        """Return what the names are after the first ``changes`` (None: all) that are not durable."""
        found: dict[str, File | Folder | None] = dict(self.durable)
        for change in self.pending[:changes]:
            found |= change
        return {name: node for name, node in found.items() if node is not None}

    def sync(self) -> None:
        """Make all of them durable."""
        self.durable, self.pending = self.now(), []


class Disk:
    """What programs did below the folder ``root``, call by call, and what a power cut may leave of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = Folder()
        self._positions: defaultdict[tuple[str, str], int] = defaultdict(int)

    def apply(self, call: Call) -> bool:
        """Do ``call``; return whether it was about this disk and changed, or synced, anything."""
        name, arguments, result = call
        if name in ("openat", "creat"):
            return self._open(arguments, result)
        if name in ("rename", "renameat", "renameat2", "link", "linkat"):
            places = self._places(arguments)
            if not any(self._inside(place) for place in places):
                return False
            (old, from_name), (new, to_name) = (self._parent(place) for place in places)
            assert old is new, "a file that changes folders is not modelled"
            node = old.now()[from_name]
            old.pending.append({to_name: node} | ({} if name.startswith("link") else {from_name: None}))
            return True
        if name in ("mkdir", "mkdirat", "unlink", "unlinkat", "rmdir"):
            (place,) = self._places(arguments)
            if not self._inside(place):
                return False
            parent, own = self._parent(place)
            parent.pending.append({own: Folder() if name.startswith("mkdir") else None})
            return True
        return self._on_descriptor(call)

    def _open(self, arguments: list[Argument], result: int) -> bool:
        (place,) = self._places(arguments)
        if self.root not in place.parents:
            return False
        self._positions[str(result), str(place)] = 0
        flags = next((one for one in arguments if isinstance(one, str) and "O_" in one), "")
        parent, own = self._parent(place)
        if "O_CREAT" in flags and own not in parent.now():
            parent.pending.append({own: File()})
            return True
        node = parent.now().get(own)
        if "O_TRUNC" in flags and isinstance(node, File):
            node.pending.append(0)
            return True
        return False

    def _on_descriptor(self, call: Call) -> bool:
        name, arguments, result = call
        number = arguments[0]
        if not isinstance(number, tuple) or not self._inside(Path(number[1])):
            return False
        node = self._node(Path(number[1]))
        if name == "lseek":
            self._positions[number] = result
            return False
        if name in ("fsync", "fdatasync"):
            node.sync()
            return True
        assert isinstance(node, File), str(call)
        if name in ("write", "pwrite64"):
            offset = self._positions[number] if name == "write" else int(str(arguments[3]))
            node.pending.append((offset, call.data()))
            if name == "write":
                self._positions[number] += result
        elif name == "ftruncate":
            node.pending.append(int(str(arguments[1])))
        else:
            raise AssertionError(f"not modelled: {call}")
        return True

    def _places(self, arguments: list[Argument]) -> list[Path]:
        """Return the paths among the arguments, each below the folder that is named before it."""
        found, folder = [], ""
        for argument in arguments:
            if isinstance(argument, tuple):
                folder = argument[1]
            elif isinstance(argument, bytes):
                found.append(Path(folder, argument.decode()))
        return found

    def _inside(self, place: Path) -> bool:
        return self.root in place.parents or place == self.root

    def _parent(self, place: Path) -> tuple[Folder, str]:
        folder = self._node(place.parent)
        assert isinstance(folder, Folder)
        return folder, place.name

    def _node(self, place: Path) -> File | Folder:
        node: File | Folder = self.top
        for name in place.relative_to(self.root).parts:
            assert isinstance(node, Folder)
            node = node.now()[name]
        return node

    def cut(self, rng: random.Random, kept: float | None = None) -> Left:
        """Return what a power cut leaves.

        ``kept`` 0 and 1: nothing and everything of what was not synced; None: some of it.
        """
        found: Left = {}
        waiting: list[tuple[str, File | Folder]] = [("", self.top)]
        while waiting:
            place, node = waiting.pop()
            if isinstance(node, File):
                content = {0: node.durable, 1: node.now()}.get(kept) if kept is not None else None
                found[place] = node.after_a_cut(rng) if content is None else content
                continue
            found[place] = None
            changes = rng.randint(0, len(node.pending)) if kept is None else int(kept) * len(node.pending)
            waiting += [(f"{place}/{name}".lstrip("/"), one) for name, one in node.now(changes).items()]
        return found
