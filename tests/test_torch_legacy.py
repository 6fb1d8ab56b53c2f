# SPDX-License-Identifier: MIT
"""Files of weights as torch wrote them before version 1.6: what they hold, and what is refused, soon."""

from __future__ import annotations

import os
import pickle
import random
import struct
import time
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from legacy_files import View, header, legacy_file, pickled, storages, whole
from semcbir.errors import ModelError
from semcbir.networks.torch_legacy import read_tensors
from semcbir.networks.torch_pickle import MAX_OPERATIONS, MAX_TEXT

FLOATS = np.arange(24, dtype=np.float32)
VIEWS = {
    "plain": View(FLOATS, "a", 0, (2, 3, 4), (12, 4, 1)),
    "turned": View(FLOATS, "a", 1, (4, 5), (1, 4)),
    "counter": View(np.array([7], np.int64), "b", 0, (), ()),
    "one": View(np.arange(3, dtype=np.float32), "c", 2, (1, 1), (700, 2**31)),
}


def refused(data: bytes) -> str:
    """Why ``data`` is refused; one line, within a second and without much memory."""
    tracemalloc.start()
    start = time.monotonic()
    try:
        with pytest.raises(ModelError) as caught:
            read_tensors(data, "weights\n.pth")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - start < 20
    assert peak < 2**25 + 20 * len(data)
    message = str(caught.value)
    assert message.startswith("weights\\n.pth: cannot read the weights: ")
    assert len(message.splitlines()) == 1
    assert len(message) < 300
    return message


def test_views_of_storages() -> None:
    found = read_tensors(legacy_file(VIEWS), "x")
    assert list(found) == list(VIEWS)
    np.testing.assert_array_equal(found["plain"], FLOATS.reshape(2, 3, 4))
    np.testing.assert_array_equal(found["turned"], FLOATS[1:21].reshape(5, 4).T)
    assert found["counter"] == 7
    assert found["counter"].dtype == np.int64
    np.testing.assert_array_equal(found["one"], [[2]])
    for array in found.values():
        assert not array.flags.writeable


@given(
    arrays.arrays(
        st.sampled_from([np.float32, np.int64]), arrays.array_shapes(min_dims=0, max_dims=4, max_side=4)
    ),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=50)
def test_axes_in_any_order(array: np.ndarray[Any, Any], rng: random.Random) -> None:
    order = list(range(array.ndim))
    rng.shuffle(order)
    turned = array.transpose(order)
    strides = [stride // array.itemsize for stride in turned.strides]
    found = read_tensors(legacy_file({"x": View(array.ravel(), "k", 0, turned.shape, strides)}), "x")["x"]
    np.testing.assert_array_equal(found, turned)


def test_cut_short_anywhere() -> None:
    data = legacy_file(VIEWS)
    for end in range(len(data)):
        with pytest.raises(ModelError):
            read_tensors(data[:end], "x")
    assert "more was appended" in refused(data + b"\0")


def test_any_bit_flipped_is_refused_or_changes_numbers_and_names_only() -> None:
    data = legacy_file(VIEWS)
    read = 0
    for at in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            try:
                found = read_tensors(bytes(flipped), "x")
            except ModelError:
                continue
            read += 1
            for array in found.values():
                assert array.dtype in (np.float32, np.int64)
                array.copy()  # inside of the file's bytes
    assert 0 < read < 8 * len(data) / 2


@pytest.mark.parametrize("seed", range(20))
def test_noise(seed: int) -> None:
    rng = random.Random(seed)
    data = legacy_file(VIEWS)
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.choice(b"\x00\xff()tuesqrhjcRQb.NKMJX]}\x80\x85\x8a")
        try:
            found = read_tensors(bytes(damaged), "x")
        except ModelError:
            continue
        for array in found.values():
            array.copy()


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, *command: Any) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return self.command[0], self.command[1:]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", range(4))
def test_nothing_is_run(protocol: int, place: int, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    hostile = pickle.dumps({"x": Runs(os.mkdir, str(trap))}, protocol=protocol)
    parts = [
        whole(pickled(0x1950A86A20F9469CFC6C)),
        whole(pickled(1001)),
        whole(pickled({"little_endian": True})),
    ]
    parts.append(whole(pickled(dict(VIEWS))))
    parts[place] = hostile
    refused(b"".join(parts) + storages(VIEWS))
    assert not trap.exists()
    pickle.loads(hostile)
    assert trap.exists()  # so it was one


@pytest.mark.parametrize(
    "name",
    [
        "os\nsystem",
        "builtins\neval",
        "torch\nload",
        "collections\nCounter",
        "posix\nsystem",
        "\n",
        "torch\nFloat\u202eStorage",
    ],
)
def test_other_names(name: str) -> None:
    message = refused(header() + whole(b"c" + name.encode() + b"\n(" + pickled("id") + b"tR"))
    assert "weights are numbers only" in message
    assert "\u202e" not in message


F = np.float32
WRONG_VIEWS = {
    "offset below": View(FLOATS, "a", -1, (2,), (1,)),
    "offset beyond": View(FLOATS, "a", 24, (), ()),
    "huge offset": View(FLOATS, "a", 2**63, (1,), (1,)),
    "beyond by one": View(FLOATS, "a", 1, (24,), (1,)),
    "beyond by strides": View(FLOATS, "a", 0, (2, 3), (12, 7)),
    "stride below": View(FLOATS, "a", 20, (2,), (-1,)),
    "huge stride": View(FLOATS, "a", 0, (1,), (2**31 + 1,)),
    "stride of 2000 bits": View(FLOATS, "a", 0, (1,), (2**2000,)),
    "many from one": View(FLOATS, "a", 0, (2**31 - 1,), (0,)),
    "very many from one": View(FLOATS, "a", 0, (2**31 - 1,) * 8, (0,) * 8),
    "wrapping around": View(FLOATS, "a", 0, (2**32, 2**32), (0, 0)),
    "side below": View(FLOATS, "a", 0, (-1,), (1,)),
    "two sides below": View(FLOATS, "a", 0, (-2, -2), (1, 1)),
    "no side": View(FLOATS, "a", 0, (0,), (1,)),
    "more strides": View(FLOATS, "a", 0, (2,), (1, 1)),
    "many dimensions": View(FLOATS, "a", 0, (1,) * 9, (1,) * 9),
    "a truth as a side": View(FLOATS, "a", 0, (True,), (1,)),
    "a text as an offset": View(FLOATS, "a", "0", (1,), (1,)),
    "nothing as an offset": View(FLOATS, "a", None, (1,), (1,)),
    "a count beyond the file": View(FLOATS, "a", 0, (100,), (1,), count=100),
    "a huge count": View(FLOATS, "a", 0, (1,), (1,), count=2**60),
    "a count of 2000 bits": View(FLOATS, "a", 0, (1,), (1,), count=2**2000),
    "a count below": View(FLOATS, "a", 0, (1,), (1,), count=-1),
    "a small count": View(FLOATS, "a", 0, (1,), (1,), count=23),
}


@pytest.mark.parametrize("name", WRONG_VIEWS)
def test_wrong_views(name: str) -> None:
    refused(legacy_file({"x": WRONG_VIEWS[name]}))


def test_views_that_disagree() -> None:
    two = {"x": View(FLOATS, "a", 0, (1,), (1,)), "y": View(FLOATS, "a", 0, (1,), (1,), count=12)}
    assert "disagree" in refused(legacy_file(two))


MARKS = 2000
HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "two values": b"NN",
    "an open mark": b"(N",
    "no mark": b"Nt",
    "an empty stack": b"0",
    "pop of nothing": b"\x85",
    "memo of nothing": b"q\x00",
    "memo unknown": b"h\x07",
    "memo at the end of 32 bits": b"Nr\xff\xff\xff\xff",
    "a key that is a number": b"}NNs",
    "a key that is a tuple": b"})Ns",
    "a key twice": b"}(" + (pickled("x") + b"N") * 2 + b"u",
    "an odd number of items": b"}(" + pickled("x") + b"u",
    "items for a list": b"]" + pickled("x") + b"Ns",
    "appending to a dictionary": b"}Na",
    "a call of a text": pickled("os.system") + b")R",
    "a call without arguments": b"ccollections\nOrderedDict\nNR",
    "a dictionary of items": b"ccollections\nOrderedDict\n(](Net" + b"R",
    "a tensor without arguments": b"ctorch._utils\n_rebuild_tensor_v2\n)R",
    "a call of a type": b"ctorch\nFloatStorage\n)R",
    "a storage without arguments": b")Q",
    "a storage of a text": b"(" + pickled("storage") * 3 + pickled("cpu") + b"K\x01NtQ",
    "state of a tuple": b")}b",
    "state that is no dictionary": b"}Nb",
    "a long text": pickled("x" * (MAX_TEXT + 1)),
    "a text of 4 GiB": b"X\xff\xff\xff\xff",
    "a text that is not UTF-8": b"X\x01\x00\x00\x00\xff",
    "a name without end": b"cos" + b"x" * (MAX_TEXT + 1),
    "another protocol": b"\x80\x05N",
    "a frame": b"\x95" + b"\xff" * 8,
    "a persistent text": b"Pid\n",
    "an object": b"(cos\nsystem\no",
    "an instance": b"(ios\nsystem\n",
    "a new object": b"cbuiltins\nobject\n)\x81",
    "an extension": b"\x82\x01",
    "endless": b"N0" * (MAX_OPERATIONS // 2) + b"N",
    "endless marks": b"(" * (MAX_OPERATIONS + 1),
    "nested tuples": b"N" + b"\x85" * 50_000,
    "nested lists": b"]" * 30_000 + b"a" * 29_999,
    "doubling": b")q\x00" + b"(h\x00h\x00tq\x00" * 5000,
    "doubling as a key": b"}(" + b")q\x00" + b"(h\x00h\x00tq\x00" * 100 + b"Nu",
    "itself": b"]q\x00h\x00a",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles(name: str) -> None:
    """In the place of the tensors, and in that of what comes before and after them."""
    operations = HOSTILE[name]
    refused(header() + whole(operations) + storages({}))
    magic, version = whole(pickled(0x1950A86A20F9469CFC6C)), whole(pickled(1001))
    for before in (b"", magic, magic + version, header() + whole(pickled(dict(VIEWS)))):
        with pytest.raises(ModelError):
            read_tensors(before + whole(operations), "x")


@pytest.mark.parametrize(
    "keys", [["a", "b"], ["a", "b", "c", "d"], ["a", "b", "c", "c"], ["a", "b", 3], {}, None]
)
def test_other_keys(keys: Any) -> None:
    data = header() + whole(pickled(dict(VIEWS)))
    rest = storages(VIEWS)
    after = rest[rest.index(b"e.") + 2 :]
    assert read_tensors(data + whole(pickled(["a", "b", "c"])) + after, "x")
    refused(data + whole(pickled(keys)) + after)


@pytest.mark.parametrize(
    "state", [None, 3, [], {"x": 3}, {"x": None}, {"x": {"y": VIEWS["plain"]}}, [VIEWS["plain"]]], ids=str
)
def test_something_else_than_tensors(state: Any) -> None:
    assert "something else" in refused(header() + whole(pickled(state)) + storages(VIEWS))


def test_other_files() -> None:
    assert "zip file" in refused(b"PK\x03\x04" + bytes(100))
    assert "another" in refused(legacy_file(VIEWS).replace(header(), header(1002)))
    facts = whole(pickled({"little_endian": False}))
    start = whole(pickled(0x1950A86A20F9469CFC6C)) + whole(pickled(1001)) + facts
    assert "little-endian" in refused(start + legacy_file(VIEWS)[len(header()) :])
    refused(pickle.dumps({"weight": 1}))
    refused(b"<html>")


def test_the_versions_of_layers_are_dropped() -> None:
    versions = b"}" + pickled("_metadata") + pickled({"conv": {"version": 1}}) + b"sb"
    assert list(read_tensors(legacy_file(VIEWS, pickled(dict(VIEWS)) + versions), "x")) == list(VIEWS)


def test_as_torch_writes_it(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch (extra export)")
    generator = torch.Generator().manual_seed(5)
    base = torch.randn(4, 3, 5, 5, generator=generator)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 5), torch.nn.BatchNorm2d(4))
    state = OrderedDict(module.state_dict())
    state |= {"permuted": base.permute(3, 1, 0, 2), "part": base[1:, 1, ::2], "whole": base}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    found = read_tensors((tmp_path / "old.pth").read_bytes(), "x")
    assert list(found) == list(state)
    for name, array in found.items():
        np.testing.assert_array_equal(array, state[name].numpy())
    torch.save(state, tmp_path / "new.pth")
    assert "zip file" in refused((tmp_path / "new.pth").read_bytes())


def test_a_count_that_the_file_contradicts() -> None:
    data = legacy_file({"x": View(FLOATS, "a", 0, (24,), (1,))})
    at = data.rindex(struct.pack("<q", 24))
    for count in (-1, 0, 23, 25, 2**62):
        refused(data[:at] + struct.pack("<q", count) + data[at + 8 :])
