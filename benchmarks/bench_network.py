# SPDX-License-Identifier: MIT
"""Networks at work: HRNet-W48 on a GPU and on the CPU beside plain torch, one network beside another.

    python benchmarks/bench_network.py                       HRNet-W48 on CUDA: images a second
    python benchmarks/bench_network.py --index PHOTOS        how long an index of PHOTOS takes with it
    python benchmarks/bench_network.py --cpu                 HRNet-W48 on the CPU: time and memory
    python benchmarks/bench_network.py --compare A B --photos PHOTOS    from pixels to labels, A beside B

Tables are written as Markdown to standard output, and to --output FILE, row by row. Needs the extra
``export``; the first two need a GPU, ``semcbir[cuda]`` and torch with CUDA. Everything in a row is timed in
turn, so that a machine whose speed drifts still gives a ratio. Run by pytest, the first is a test, skipped
where there is no CUDA.
"""

from __future__ import annotations

import argparse
import gc
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pairs import seconds

GMACS = {473: 83, 512: 95, 520: 100, 713: 188, 1024: 381}
"""Multiply-adds of HRNet-W48, 171 classes, simple head, in billions, by the side of its input."""

PEAKS = {
    "H200": 989,
    "H100 PCIe": 756,
    "H100 NVL": 835,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "T4": 65,
}
"""Dense fp16 TFLOP/s on tensor cores as NVIDIA states them, by words of the GPU's name, first match."""

PRODUCT = "semcbir fp16, network"
"""The row that counts: what ``index`` sends to the GPU, in its batches, from memory to memory."""
COMPILED = "torch fp16, compiled"

Rows = list[list[str]]


def in_turn(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each function, ``rounds`` times all of them in turn, after one call of each to warm up."""
    for function in functions.values():
        function()
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds(function))
    return times


def line(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def table(titles: Sequence[str], rows: Rows) -> str:
    """A Markdown table."""
    return "\n".join(map(line, [titles, ["---"] * len(titles), *rows])) + "\n"


def peak_of(gpu: str) -> float | None:
    """Dense fp16 FLOP/s of the GPU called so, or None where it is not in the list."""
    return next((1e12 * tflops for name, tflops in PEAKS.items() if re.search(rf"\b{name}\b", gpu)), None)


def why_no_cuda() -> str:
    """What is missing for a run on CUDA, or nothing."""
    from semcbir.segmentation.runtime import cuda_compiled, cuda_visible

    if not cuda_visible():
        return "no NVIDIA GPU is visible"
    if not cuda_compiled():
        return "the installed onnxruntime is built without CUDA"
    try:
        import torch
    except ImportError:
        return "torch is not installed"
    return "" if torch.cuda.is_available() else "torch sees no CUDA"


def on_cuda(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, float]:
    """Say the table of images a second, row by row; returns figures of the run for assertions."""
    import onnxruntime
    import torch

    import networks

    gpu = torch.cuda.get_device_name()
    with tempfile.TemporaryDirectory() as name:
        folder, hrnet = Path(name), networks.network(options.width)
        accuracy = networks.train_on_colours(hrnet, "cuda", options.steps)
        files = {precision: networks.export(hrnet, folder, precision) for precision in ("fp32", "fp16")}
        figures = {
            "accuracy": accuracy,
            "peak": peak_of(gpu) or 0.0,
            "memory_rise_mib": _memory_rise(files["fp16"]),
        }
        versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
        say(
            f"{gpu}, {versions}. HRNet-W{options.width}, {options.steps} steps on a toy task "
            f"({accuracy:.2f} right); "
            f"{figures['memory_rise_mib']:.0f} MiB of the GPU's memory taken by a session\n"
        )
        titles = [
            "input",
            "batch",
            "how",
            "images/s (min, median, max)",
            "share of fp16 peak",
            "x torch",
            "as fp32",
        ]
        say(table(titles, []).rstrip())
        for side, batch in product(options.sides, options.batches):
            for row in _cuda_rows(options, hrnet, files, side, batch, figures):
                say(line(row))
    return figures


def _memory_rise(file: Path) -> float:
    """MiB of the GPU's memory that semcbir's session takes, which really runs there."""
    import torch

    import networks
    from semcbir.segmentation import Segmenter

    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0]
    segmenter = Segmenter(file, device="cuda", tune=True)
    segmenter.segment(list(networks.pictures(8, 512)))
    rise = (free - torch.cuda.mem_get_info()[0]) / 2**20
    assert segmenter.providers[0] == "CUDAExecutionProvider"
    assert rise > file.stat().st_size / 2**20
    return rise


def _cuda_rows(
    options: argparse.Namespace,
    hrnet: Any,
    files: dict[str, Path],
    side: int,
    batch: int,
    figures: dict[str, float],
) -> Iterator[list[str]]:
    """Every way beside torch, compiled where ``options`` want it for this batch; one that fails says so.

    Only two ways are on the GPU at once.
    """
    import torch

    import networks

    images = networks.pictures(batch, side, seed=10**6)
    ways = _ways(hrnet, files, side, images)
    exact = ways["onnxruntime fp32"]()(images)
    figures["classes"] = min(figures.get("classes", np.inf), len(np.unique(exact)))
    peer = COMPILED if batch in options.compiled else "torch fp16, eager"
    torch._dynamo.reset()  # it compiles for so many shapes only
    beside = partial(ways[peer](), images)
    for name, make in ways.items():
        if name == COMPILED and name != peer:
            continue
        cells = [f"{side}x{side}", str(batch), name]
        try:
            way = beside if name == peer else partial(make(), images)
            equal = float(np.mean(exact == _labels(way())))
            times = in_turn({"way": way, "peer": beside}, options.rounds)
        except Exception as error:
            yield [*cells, f"failed: {(str(error).strip().splitlines() or [repr(error)])[0]}", "-", "-", "-"]
            continue
        finally:
            way = None
            gc.collect()
            torch.cuda.empty_cache()
        rates = [batch / one for one in times["way"]]
        rate = statistics.median(rates)
        ratio = statistics.median(one / own for own, one in zip(times["way"], times["peer"], strict=True))
        figures[f"{name}, best"] = max(figures.get(f"{name}, best", 0.0), rate)
        figures[f"{name}, as fp32"] = min(figures.get(f"{name}, as fp32", 1.0), equal)
        share = "-"
        if figures["peak"] and side in GMACS and options.width == 48:
            share = f"{rate * 2e9 * GMACS[side] / figures['peak']:.1%}"
        spread = f"{min(rates):.0f}, **{rate:.0f}**, {max(rates):.0f}"
        yield [*cells, spread, share, f"{ratio:.2f} ({peer.rpartition(' ')[2]})", f"{equal:.5f}"]


def _labels(answer: Any) -> Any:
    """Labels (N, H, W) of what any way gives: an array, a list of maps, or onnxruntime's value."""
    return answer.numpy() if hasattr(answer, "numpy") else np.stack(answer)


def _ways(
    hrnet: Any, files: dict[str, Path], side: int, images: Any
) -> dict[str, Callable[[], Callable[[Any], Any]]]:
    """Ways from bytes to labels, each made when it is called for."""
    import networks
    from semcbir.segmentation import Segmenter

    def onnx(precision: str, *, bound: bool = False, **settings: str) -> Callable[[Any], Any]:
        settings = {"cudnn_conv_algo_search": "EXHAUSTIVE", "use_tf32": "0"} | settings
        provider = ("CUDAExecutionProvider", settings)
        labeller, session = networks.onnx_labeller(files[precision], [provider])
        assert session.get_providers()[0] == "CUDAExecutionProvider", session.get_providers()
        return networks.bound_labeller(session, images) if bound else labeller

    def ours(*, whole: bool) -> Callable[[Any], Any]:
        segmenter = Segmenter(networks.card_of_side(files["fp16"], side), device="cuda", tune=True)
        canvases = [segmenter.lay(image) for image in images]
        return segmenter.segment if whole else lambda batch: segmenter.run(batch, canvases)

    return {
        PRODUCT: partial(ours, whole=False),
        "semcbir fp16, pixels to labels": partial(ours, whole=True),
        "onnxruntime fp32": partial(onnx, "fp32"),
        "onnxruntime fp32, TF32": partial(onnx, "fp32", use_tf32="1"),
        "onnxruntime fp16": partial(onnx, "fp16"),
        "onnxruntime fp16, no copies": partial(onnx, "fp16", bound=True),
        "onnxruntime fp16, NHWC": partial(onnx, "fp16", prefer_nhwc="1"),
        "onnxruntime fp16, NHWC, fused bias": partial(onnx, "fp16", prefer_nhwc="1", fuse_conv_bias="1"),
        "torch fp16, eager": partial(networks.torch_labeller, hrnet, "cuda", half=True),
        COMPILED: partial(networks.torch_labeller, hrnet, "cuda", half=True, compiled=True),
    }


def on_cpu(options: argparse.Namespace) -> str:
    """Time for an image and peak memory of HRNet-W48, fp32 and int8 beside torch."""
    import networks
    from semcbir.threads import usable_cpus

    threads, side = usable_cpus(), options.sides[0]
    with tempfile.TemporaryDirectory() as name:
        folder, hrnet = Path(name), networks.network(options.width)
        calibration = options.photos or _made_pictures(folder / "pictures")
        files: dict[str, Path | str] = {
            "onnxruntime fp32": networks.export(hrnet, folder, "fp32"),
            "onnxruntime int8": networks.export(hrnet, folder, "int8", calibration=calibration),
            "torch": "",
        }
        images = networks.pictures(1, side)
        runs: dict[str, Callable[[], Any]] = {"torch": partial(networks.torch_labeller(hrnet, "cpu"), images)}
        for key, file in files.items():
            if file:
                labeller, _ = networks.onnx_labeller(Path(file), ["CPUExecutionProvider"], threads)
                runs[key] = partial(labeller, images)
        times = in_turn(runs, options.rounds)
        rows = []
        for key, taken in times.items():
            ratio = statistics.median(t / o for t, o in zip(times["torch"], taken, strict=True))
            memory = networks.peak_mib(key, files[key], side, options.width, threads)
            size = f"{Path(files[key]).stat().st_size / 2**20:.0f} MiB" if files[key] else "-"
            spread = f"{min(taken):.3g}, **{statistics.median(taken):.3g}**, {max(taken):.3g} s"
            rows.append([key, spread, f"{ratio:.2f}", f"{memory:.0f} MiB", size])
    titles = ["how", "time for an image (min, median, max)", "torch / this", "peak memory", "file"]
    return f"HRNet-W{options.width}, {side}x{side}, batch 1, {threads} threads\n\n" + table(titles, rows)


def _made_pictures(folder: Path) -> Path:
    import cv2

    import networks

    folder.mkdir()
    for number, picture in enumerate(networks.pictures(8, 256)):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def compared(options: argparse.Namespace) -> str:
    """Two networks from pixels to labels, photo by photo in turn."""
    from semcbir.images.decode import load_image
    from semcbir.images.find import find_images
    from semcbir.segmentation import Segmenter

    first, second = (Segmenter(card, device=options.device) for card in options.compare)
    paths = find_images(options.photos)[: options.limit]
    ratios, times = [], {0: [], 1: []}
    for path in [paths[0], *paths]:  # the first one twice: the first time warms up
        image = load_image(path, 512)
        taken = [seconds(partial(segmenter.segment, [image])) for segmenter in (first, second)]
        ratios.append(taken[0] / taken[1])
        for number, one in enumerate(taken):
            times[number].append(one)
    a, b = (1e3 * statistics.median(times[number][1:]) for number in (0, 1))
    ratios = sorted(ratios[1:])
    spread = f"{ratios[0]:.2f}, **{statistics.median(ratios):.2f}**, {ratios[-1]:.2f}"
    titles = ["network", "median", "beside", "median", "first / second (min, median, max)"]
    rows = [[first.card.name, f"{a:.3g} ms", second.card.name, f"{b:.3g} ms", spread]]
    return f"{len(paths)} photos, from pixels to labels, on {first.device}\n\n" + table(titles, rows)


def indexed(options: argparse.Namespace) -> str:
    """Indexing a folder with HRNet-W48 in fp16, beside computing its features alone."""
    import networks
    from semcbir import Index
    from semcbir.features import extract_features, parse_features
    from semcbir.images.decode import load_image
    from semcbir.images.find import find_images
    from semcbir.threads import usable_cpus

    features = parse_features("kaze")
    paths = find_images(options.index)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = networks.export(networks.network(options.width), folder, "fp16")
        cv2.setNumThreads(1)
        start = time.perf_counter()
        with ThreadPoolExecutor(usable_cpus()) as pool:
            list(pool.map(lambda path: extract_features(load_image(path, 512), features), paths))
        alone = time.perf_counter() - start
        start = time.perf_counter()
        index = Index.build(options.index, folder / "index", model=model, device="cuda")
        whole = time.perf_counter() - start
    ratio = f"{whole / alone:.2f} times its KAZE features alone ({alone:.1f} s)"
    return f"{len(index)} photos indexed in {whole:.1f} s, {ratio}, {usable_cpus()} threads\n"


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    numbers = partial(_numbers, parser)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--compare", nargs=2, metavar="CARD")
    parser.add_argument("--index", type=Path, metavar="PHOTOS")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--limit", type=int, default=100, help="photos to compare on")
    parser.add_argument("--device", default="cpu", help="of --compare")
    parser.add_argument("--width", type=int, default=48, help="of the HRNet; 48 is what counts")
    parser.add_argument("--sides", type=numbers, default=[512, 520])
    parser.add_argument("--batches", type=numbers, default=[1, 2, 4, 8, 16, 32])
    parser.add_argument(
        "--compiled", type=numbers, default=[8, 32], help="batches to compile torch for: minutes"
    )
    parser.add_argument("--steps", type=int, default=200, help="of the toy training on CUDA")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path)
    return parser.parse_args(arguments)


def _numbers(parser: argparse.ArgumentParser, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        parser.error(f"expected numbers with commas between, got {text!r}")


def main(arguments: list[str]) -> int:
    """Run what the command line asks for; 0, or 2 where there is no CUDA for it."""
    options = parsed(arguments)
    if options.output:
        options.output.unlink(missing_ok=True)

    def say(text: str) -> None:
        print(text, flush=True)
        if options.output:
            with options.output.open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    if options.compare:
        say(compared(options))
    elif options.cpu:
        say(on_cpu(options))
    elif missing := why_no_cuda():
        print(f"skipped: {missing}; --cpu runs without", file=sys.stderr)
        return 2
    elif options.index:
        say(indexed(options))
    else:
        on_cuda(options, say)
    return 0


@pytest.mark.slow
def test_hrnet_w48_on_cuda() -> None:
    """No slower than compiled torch, labels those of fp32, and 1,000 images a second on an H100 or H200.

    That is asked of semcbir's own calls; the other rows of onnxruntime are information.
    """
    if missing := why_no_cuda():
        pytest.skip(f"{missing}: nothing is measured")
    figures = on_cuda(parsed(["--sides", "512", "--batches", "8,32", "--rounds", "7"]), print)
    assert figures["accuracy"] >= 0.8  # else equal labels would say nothing
    assert figures["classes"] >= 10
    assert figures[f"{PRODUCT}, as fp32"] >= 0.999
    assert figures[f"{PRODUCT}, best"] >= figures[f"{COMPILED}, best"]
    if figures["peak"] >= 9e14:
        assert figures[f"{PRODUCT}, best"] >= 1000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
