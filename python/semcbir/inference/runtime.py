# SPDX-License-Identifier: MIT
"""onnxruntime sessions, and the rule for the device they run on.

onnxruntime is imported only on first use: it takes longer to load than everything else here together.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import io
import os
import platform
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

from semcbir._fork import Lock
from semcbir._validate import check_choice
from semcbir.errors import DeviceError, ModelError
from semcbir.inference.model_file import ModelFile
from semcbir.inference.watchdog import seconds, watched

# Set before the first import: otherwise onnxruntime writes an identifier for its maker into the user's home.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Device = Literal["auto", "cuda", "cpu"]
DEVICES: tuple[Device, ...] = get_args(Device)
_FIX_DISTRIBUTIONS = "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu"
_FIX_CUDA = "pip install 'semcbir[cuda]'"
_CUDNN = {"Linux": "libcudnn.so.9", "Windows": "cudnn64_9.dll"}

_opening = Lock()
_limiting = Lock()
_warned: set[str] = set()
_warned_lock = Lock()


def open_session(model: ModelFile, device: str, threads: int, *, tune: bool = False) -> Any:
    """Open an ``onnxruntime.InferenceSession`` of ``model`` with ``threads`` intra-op threads.

    ``tune``: on CUDA, cuDNN takes longer to choose better algorithms for float32 convolutions, and does so
    again whenever the input's shape differs from the previous call's.

    ``device`` "cuda": the session has the CUDA provider, or DeviceError is raised. "cpu": it does not have
    it. "auto": it has it if possible; if a GPU is visible but cannot be used, a RuntimeWarning says so once.
    ModelError if onnxruntime cannot load the file, ValueError for another device.
    """
    check_choice("device", device, DEVICES)
    _warn_of_two_distributions()
    obstacle = "" if device == "cpu" else _cuda_obstacle()
    if device == "cpu" or (device == "auto" and obstacle):
        return _session(model, [CPU], threads)
    if not obstacle:
        with _opening:  # it redirects output and changes settings for the whole process
            session, obstacle = _cuda_session(model, threads, tune)
        if session is not None:
            return session
    if device == "cuda":
        raise DeviceError(f"device='cuda' is not available: {obstacle}")
    _warn_once("cuda", f"using the CPU although this machine has an NVIDIA GPU: {obstacle}")
    return _session(model, [CPU], threads)


def run_session(session: Any, output: str, inputs: dict[str, Any]) -> Any:
    """Return the array that ``session`` gives as ``output``; TimeoutError if that takes too long."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    with watched(functools.partial(setattr, options, "terminate", True)) as watch:
        try:
            (given,) = session.run([output], inputs, options)
        except Exception as error:
            if watch.late:
                raise TimeoutError from error
            raise
    return given


def device_of(session: Any) -> str:
    """Return the device that ``session`` really uses, "cuda" or "cpu", whatever was requested."""
    return "cuda" if CUDA in session.get_providers() else "cpu"


def cuda_compiled() -> bool:
    """Return whether the installed onnxruntime was built for CUDA; says nothing about this machine."""
    import onnxruntime

    return CUDA in onnxruntime.get_available_providers()


def cuda_visible() -> bool:
    """Return whether this process seems to have an NVIDIA GPU; cheap, and never starts a driver."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if platform.system() == "Windows":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / "nvcuda.dll").exists()
    devices = Path("/dev")
    wsl = (devices / "dxg").exists() and Path("/usr/lib/wsl/lib/libcuda.so.1").exists()
    return wsl or any(devices.glob("nvidia[0-9]*"))


def _cuda_obstacle() -> str:
    if not cuda_compiled():
        return f"the installed onnxruntime is built without CUDA ({_FIX_DISTRIBUTIONS})"
    if not cuda_visible():
        return "no NVIDIA GPU is visible to this process"
    return ""


def _cuda_session(model: ModelFile, threads: int, tune: bool) -> tuple[Any, str]:
    """Return a session that really has CUDA, or None and the reason."""
    import onnxruntime

    said = io.StringIO()
    if hasattr(onnxruntime, "preload_dlls"):
        # It prints what it cannot find to standard output, where results may go.
        with contextlib.redirect_stdout(said):
            onnxruntime.preload_dlls()
    _silence()
    try:
        session = _session(model, [(CUDA, _cuda_settings(model, tune)), CPU], threads)
    except ModelError as error:
        # Not the model's fault unless the CPU cannot load it either, which raises.
        _session(model, [CPU], threads)
        return None, str(error)
    if device_of(session) == "cuda":
        return (None, obstacle) if (obstacle := _cudnn_obstacle()) else (session, "")
    details = "; ".join(line.strip() for line in said.getvalue().splitlines() if "Failed" in line)
    return None, f"onnxruntime could not load CUDA or cuDNN ({details or 'no details'}; {_FIX_CUDA})"


@functools.cache
def _silence() -> None:
    """Keep onnxruntime's default logger from writing to stderr, from the first CUDA session on.

    Errors are raised or reported here. The level stays: a session asks cuDNN for its plans when it first sees
    a shape, and onnxruntime then writes a line for each plan that cuDNN rejects, hundreds for HRNet-W48,
    although it finds another. It is set only once, so that a caller may change it afterwards.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)


def _cuda_settings(model: ModelFile, tune: bool) -> dict[str, str]:
    """Return the CUDA provider's settings for ``model``."""
    # float32 means float32: TF32's 10 bits would change labels. For speed there is fp16.
    settings = {"use_tf32": "0"}
    if model.half:
        # HRNet-W48, 8 images of 512 x 512 at once, on an H200 with onnxruntime 1.31: EXHAUSTIVE chooses
        # kernels without tensor cores, 127 images a second (with prefer_nhwc 76); HEURISTIC gives 279, with
        # prefer_nhwc 317. With fuse_conv_bias too it is 310 to 319 (single images 80 instead of 77), but the
        # first call then takes 4 s instead of 1.5 s.
        return settings | {"cudnn_conv_algo_search": "HEURISTIC", "prefer_nhwc": "1"}
    return settings | {"cudnn_conv_algo_search": "EXHAUSTIVE" if tune else "HEURISTIC"}


def _cudnn_obstacle() -> str:
    """Return what is wrong with cuDNN, which a session loads only when it first convolves."""
    try:
        if name := _CUDNN.get(platform.system()):
            ctypes.CDLL(name)
    except OSError as error:
        return f"cuDNN does not load ({_first_line(error)}; {_FIX_CUDA})"
    return ""


def _session(model: ModelFile, providers: list[Any], threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised or checked here; stderr is the user's
    # Idle threads that spin would take the CPU from the features computed at the same time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    with _limiting:  # models may be loaded at the same time, and the arena can be made once
        limiting = _limiting_process()
    if limiting == os.getpid():  # a forked child may inherit the arena's lock as it is held
        options.add_session_config_entry("session.use_env_allocators", "1")
    with watched(functools.partial(_cancel_loading, options)) as watch:
        try:
            # onnxruntime's own fallback prints to standard output.
            # The bytes that were checked, not the path, which may hold others by now.
            return onnxruntime.InferenceSession(model.data, options, providers=providers, enable_fallback=0)
        except MemoryError:
            raise
        except Exception as error:
            why = f" within {seconds():g} s" if watch.late else f": {_first_line(error)}"
            raise ModelError(f"{model.path}: onnxruntime cannot load the model{why}") from error


def _cancel_loading(options: Any) -> None:
    if hasattr(options, "set_load_cancellation_flag"):  # older onnxruntimes have none
        options.set_load_cancellation_flag(True)


@functools.cache
def _limiting_process() -> int | None:
    """Make the arena that sessions here share on the CPU, limited; return this process, None if it failed.

    The size of an output may be known only when a graph computes it. Without a limit, one that does not fit
    into memory ends the process; with it, the call fails. Sessions of others are not affected.
    """
    import onnxruntime

    memory = _memory()
    if memory is None:
        return None
    arena = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    place = onnxruntime.OrtMemoryInfo("Cpu", arena, 0, onnxruntime.OrtMemType.DEFAULT)
    try:
        onnxruntime.create_and_register_allocator(
            place, onnxruntime.OrtArenaCfg({"max_mem": memory * 9 // 10})
        )
    except Exception:  # somebody else has made one
        return None
    return os.getpid()


def _memory() -> int | None:
    """Return the bytes of memory of this machine or container, or None where that is not known."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
    with contextlib.suppress(OSError, ValueError):  # "max", or no control groups
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return memory if memory > 0 else None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _warn_of_two_distributions() -> None:
    if len(_distributions()) > 1:
        _warn_once(
            "distributions",
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files; keep one: "
            + _FIX_DISTRIBUTIONS,
        )


@functools.cache
def _distributions() -> set[str]:
    """Return which of onnxruntime's distributions are where it is: asking importlib.metadata takes 5 ms."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return set()
    beside = Path(spec.origin).parents[1].glob("onnxruntime*.dist-info")
    return {folder.name.partition("-")[0] for folder in beside} & {"onnxruntime", "onnxruntime_gpu"}


def _warn_once(key: str, message: str) -> None:
    with _warned_lock:
        if key in _warned:
            return
        _warned.add(key)
    warnings.warn(message, RuntimeWarning, stacklevel=4)
