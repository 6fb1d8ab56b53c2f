# SPDX-License-Identifier: MIT
"""Network: an ONNX graph, checked against its card: canvases in, arrays out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from semcbir._fork import Lock
from semcbir.errors import DeviceError, ModelError
from semcbir.inference.ahead import session_ahead
from semcbir.inference.model_file import ModelFile
from semcbir.inference.runtime import device_of, open_session, run_session
from semcbir.inference.watchdog import VARIABLE, seconds
from semcbir.networks.bounds import MAX_CALL
from semcbir.networks.card_file import Card

Canvas = npt.NDArray[Any]
"""(3, H, W) or (H, W, 3), as the card's input says."""

BATCH = {"cpu": 1, "cuda": 8}
"""Canvases per call if the graph takes any number; on the CPU a batch only costs memory."""

_INHERITED: list[Any] = []
"""Sessions of a parent process: to end one would be to wait for its threads."""

FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
"""onnxruntime's names for floating-point outputs."""

LATE_CALLS = 3
"""How many calls in a row may take too long before the model is given up."""


class PhotoError(ModelError):
    """A model fails on a photo; it may work on others. ``reason`` leaves out the file's name.

    ``transient`` is true if it may work on the same photo later, or on another computer.
    """

    def __init__(self, message: str, *, reason: str = "", transient: bool = False) -> None:
        super().__init__(message)
        self.reason, self.transient = reason, transient


class LateError(PhotoError):
    """A model did not answer in time."""


class Network(ABC):
    """The ONNX ``file`` on a device, for canvases as ``card`` describes them, whose sides are ``sides``.

    ``tune``: expect many canvases, ``batch_size`` at a time. On CUDA a new input shape makes cuDNN plan every
    convolution again, so every call gets the same number of rows; and if the card has only one canvas size,
    float32 gets better plans that take longer to make. Canvases are the card's on every device, so that
    results differ between devices by rounding only; a row's output does not depend on the other rows.

    Attributes: ``providers``, ``device``, ``batch_size`` (the most canvases in a call), ``tuned`` (whether it
    really is), ``density`` (points of output per pixel of a canvas, 1 until it has run).

    Inputs and outputs are plain arrays. A batch of 8 at 512 x 512 is 6 MB of bytes in and 2 MB of labels out:
    less than a millisecond on the bus, while HRNet-W48 computes for 25 ms on an H200. Buffers bound to the
    device would save little.
    """

    def __init__(
        self,
        file: ModelFile,
        card: Card,
        device: str,
        threads: int,
        *,
        sides: set[int],
        tune: bool = False,
    ) -> None:
        self.path = file.path
        self._card = card
        ahead = None if device == "cuda" else session_ahead(file, threads)
        tune_session = tune and card.size.n_canvases() == 1
        self._session = ahead or open_session(file, device, threads, tune=tune_session)
        self._threads, self._process = threads, os.getpid()
        self._renewing = Lock()
        self.providers: list[str] = self._session.get_providers()
        self.device = device_of(self._session)
        self._input, fixed = _check_input(self._session.get_inputs(), card, sides, self.path)
        self._output = self._declared(self._session.get_outputs())
        self.batch_size = fixed or BATCH[self.device]
        self.tuned = tune and self.device == "cuda"
        self.density = 1.0
        self._rows = fixed or (self.batch_size if self.tuned else 0)
        self._late = 0

    @abstractmethod
    def _declared(self, outputs: Sequence[Any]) -> str:
        """Return the name of the output that the card means; ModelError if it cannot be what the card says.

        ``outputs`` are what the graph declares: each with ``name``, ``type`` and ``shape``.
        """

    @abstractmethod
    def _checked(self, output: npt.NDArray[Any], rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the graph's output for ``rows``; its last axes are h and w, of at least 1.

        Raises PhotoError if it does not have the shape that the card says, or is too large.
        """

    def run(self, canvases: Sequence[Canvas], *, whole: bool = False) -> npt.NDArray[Any]:
        """Return the graph's output for N canvases of one shape: (N, ..., h, w).

        ``whole``: compute a whole batch even if N is smaller. Raises PhotoError if the model fails or takes
        too long; ModelError if it has done the latter several times in a row.
        """
        session = self._session if self._process == os.getpid() else self._renewed()
        rows = self._batch(canvases, self.batch_size if whole else self._rows)
        try:
            output = run_session(session, self._output, {self._input: rows})
        except MemoryError:
            raise
        except TimeoutError as error:
            raise self._late_failure() from error
        except Exception as error:
            raise self.failure(
                f"failed on an input of shape {rows.shape}: {error}", transient=True
            ) from error
        self._late = 0
        output = self._checked(output, rows)
        self.density = 3 * output.shape[-2] * output.shape[-1] / rows[0].size
        return np.asarray(output)[: len(canvases)]

    def run_each(self, canvases: Sequence[Canvas]) -> list[npt.NDArray[Any] | PhotoError | MemoryError]:
        """Return what ``run`` returns for each canvas; where it fails on several, each is tried alone."""
        try:
            return list(self.run(canvases))
        except (PhotoError, MemoryError) as error:
            if len(canvases) == 1:
                return [error]
            return [output for canvas in canvases for output in self.run_each([canvas])]

    def _renewed(self) -> Any:
        """Return a session for this process, a forked child: threads and GPU stay with the parent."""
        if self.device == "cuda":
            raise DeviceError(
                "a forked child process cannot use the GPU of its parent; start processes with "
                "multiprocessing's 'spawn' or 'forkserver', or fork before the first image"
            )
        with self._renewing:
            if self._process != os.getpid():
                if self._threads > 1:  # a session of one thread has no pool
                    _INHERITED.append(self._session)
                    file = ModelFile.read(self.path, self._card)
                    self._session = open_session(file, self.device, self._threads)
                self._process = os.getpid()
            return self._session

    def _batch(self, canvases: Sequence[Canvas], count: int) -> npt.NDArray[Any]:
        """Return the canvases as rows of one array, at least ``count``; rows beyond them repeat the last."""
        missing = max(0, count - len(canvases))
        if len(canvases) == 1 and not missing:
            return np.ascontiguousarray(canvases[0][np.newaxis])  # as it is, but for a window of a canvas
        return np.stack([*canvases, *[canvases[-1]] * missing])

    def failure(self, reason: str, *, transient: bool = False) -> PhotoError:
        """Return an error that names the file."""
        return PhotoError(f"{self.path}: {reason}", reason=reason, transient=transient)

    def _late_failure(self) -> ModelError:
        self._late += 1
        late = f"did not answer within {seconds():g} s"
        if self._late < LATE_CALLS:
            return LateError(f"{self.path}: {late}", reason=late)
        return ModelError(
            f"{self.path}: {late}, {self._late} times in a row; it may never end (the environment variable "
            f"{VARIABLE} gives it longer)"
        )


def _check_input(inputs: Sequence[Any], card: Card, sides: set[int], path: Path) -> tuple[str, int]:
    """Return the input's name and its fixed batch size (0: any); ModelError if the card does not fit.

    ``sides`` are the shortest and the longest side of the canvases.
    """
    if len(inputs) != 1:
        raise ModelError(f"{path}: expected a graph with one input, got {len(inputs)}")
    name, shape, kind = inputs[0].name, inputs[0].shape, inputs[0].type
    expected = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}[card.input.dtype]
    if kind != expected:
        raise ModelError(f"{path}: the card says its input is {card.input.dtype}, the graph takes {kind}")
    if not shape:  # onnxruntime's way of saying that the graph does not fix it
        raise ModelError(
            f"{path}: expected an input of 4 dimensions ({card.input.layout}), "
            "but the graph leaves their number open"
        )
    if len(shape) != 4:
        raise ModelError(f"{path}: expected an input of 4 dimensions ({card.input.layout}), got {shape}")
    axes = dict(zip(card.input.layout, shape, strict=True))
    if isinstance(axes["C"], int) and axes["C"] != 3:
        raise ModelError(f"{path}: expected 3 channels in the card's layout {card.input.layout}, got {shape}")
    if any(isinstance(axes[axis], int) and sides != {axes[axis]} for axis in "HW"):
        raise ModelError(
            f"{path}: takes {shape} only, {card.input.layout} by its card, but the card's size rule gives "
            "other sides"
        )
    batch = axes["N"] if isinstance(axes["N"], int) else 0
    side = max(sides)
    if batch < 0 or batch * side * side * 3 * (4 if card.input.dtype == "float32" else 1) > MAX_CALL:
        raise ModelError(
            f"{path}: expected a graph that takes at most {MAX_CALL >> 30} GiB in a call, this one takes "
            f"{batch} canvases of up to {side} x {side} pixels"
        )
    return name, batch


def output_named(outputs: Sequence[Any], name: str | None, path: Path) -> Any:
    """Return the declared output called ``name`` (None: the first); ModelError if there is none."""
    if not outputs:
        raise ModelError(f"{path}: has no output")
    by_name = {output.name: output for output in outputs}
    name = name or outputs[0].name
    if name not in by_name:
        raise ModelError(f"{path}: has no output {name!r}, only {', '.join(by_name)}")
    return by_name[name]
