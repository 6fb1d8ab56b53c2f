# SPDX-License-Identifier: MIT
"""Networks at work: HRNet-W48 on a GPU and on the CPU beside plain torch, one network beside another.

    python benchmarks/bench_network.py                       HRNet-W48 on CUDA: images a second
    python benchmarks/bench_network.py --index PHOTOS        and how long an index of PHOTOS takes with it
    python benchmarks/bench_network.py --cpu                 HRNet-W48 on the CPU: time and memory
    python benchmarks/bench_network.py --compare A B --photos PHOTOS    from pixels to labels, A beside B

Tables are written as Markdown to standard output, and to --output FILE. Needs the extra ``export``; the first
two need a GPU, ``semcbir[cuda]`` and torch with CUDA. Everything in a row is timed in turn, so that a machine
whose speed drifts still gives a ratio. Run by pytest, the first is a test, skipped where there is no CUDA.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pairs import seconds

GMACS = {473: 83, 512: 95, 520: 100, 713: 188, 1024: 381}
"""Multiply-adds of HRNet-W48, 171 classes, simple head, in billions, by the side of its input."""

PEAKS = {"H200": 989, "H100 PCIe": 756, "H100": 989, "A100": 312, "L40S": 362, "L4": 121, "T4": 65}
"""Dense fp16 TFLOP/s on tensor cores as NVIDIA states them, by a part of the GPU's name, first match."""

PRODUCT = "semcbir fp16, network"
"""The row that counts: what ``index`` sends to the GPU, in its batches, from memory to memory."""

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


def table(titles: Iterable[str], rows: Rows) -> str:
    """A Markdown table."""
    titles = list(titles)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def peak_of(gpu: str) -> float | None:
    """Dense fp16 FLOP/s of the GPU called so, or None where it is not in the list."""
    return next((1e12 * tflops for name, tflops in PEAKS.items() if name in gpu), None)


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


def on_cuda(options: argparse.Namespace) -> tuple[str, dict[str, float]]:
    """The table of images a second, and figures of the run for assertions."""
    import torch

    import networks
    from semcbir.segmentation import Segmenter

    gpu, figures = torch.cuda.get_device_name(), {}
    with tempfile.TemporaryDirectory() as name:
        folder, hrnet = Path(name), networks.network(options.width)
        figures["accuracy"] = networks.train_on_colours(hrnet, "cuda", options.steps)
        files = {precision: networks.export(hrnet, folder, precision) for precision in ("fp32", "fp16")}
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info()[0]
        segmenter = Segmenter(files["fp16"], device="cuda", tune=True)
        segmenter.segment(list(networks.pictures(8, 512)))
        figures["memory_rise_mib"] = (free - torch.cuda.mem_get_info()[0]) / 2**20
        assert segmenter.providers[0] == "CUDAExecutionProvider"
        assert figures["memory_rise_mib"] > segmenter.model_path.stat().st_size / 2**20
        del segmenter
        rows: Rows = []
        for side in options.sides:
            for batch in options.batches:
                rows += _cuda_rows(options, hrnet, files, gpu, side, batch, figures)
    titles = [
        "input",
        "batch",
        "how",
        "images/s (min, median, max)",
        "share of fp16 peak",
        "x compiled torch",
    ]
    note = (
        f"\n{gpu}, torch {torch.__version__}, {len(rows)} rows. fp16 labels equal fp32's on "
        f"{figures['equal']:.5f} of the pixels (lowest of all rows), "
        f"network trained for {options.steps} steps "
        f"on a toy task ({figures['accuracy']:.2f} right).\n"
    )
    return table(titles, rows) + note, figures


def _cuda_rows(
    options: argparse.Namespace,
    hrnet: Any,
    files: dict[str, Path],
    gpu: str,
    side: int,
    batch: int,
    figures: dict[str, float],
) -> Rows:
    import networks

    images = networks.pictures(batch, side, seed=10**6)
    labellers = _product(networks.card_of_side(files["fp16"], side), images)
    for name, precision, extra in [
        ("onnxruntime fp32", "fp32", {"use_tf32": "0"}),
        ("onnxruntime fp32, TF32", "fp32", {"use_tf32": "1"}),
        ("onnxruntime fp16", "fp16", {}),
        ("onnxruntime fp16, NHWC", "fp16", {"prefer_nhwc": "1"}),
    ]:
        provider = ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "EXHAUSTIVE"} | extra)
        labellers[name], session = networks.onnx_labeller(files[precision], [provider])
        assert session.get_providers()[0] == "CUDAExecutionProvider", session.get_providers()
        if extra == {}:
            labellers["onnxruntime fp16, no copies"] = networks.bound_labeller(session, images)
    labellers["torch fp16, eager"] = networks.torch_labeller(hrnet, "cuda", half=True)
    if batch in options.compiled:
        labellers["torch fp16, compiled"] = networks.torch_labeller(hrnet, "cuda", half=True, compiled=True)
    exact, rounded = (labellers[name](images) for name in ("onnxruntime fp32", PRODUCT))
    figures["equal"] = min(figures.get("equal", 1.0), float(np.mean(exact == np.stack(rounded))))
    times = in_turn({name: partial(run, images) for name, run in labellers.items()}, options.rounds)
    return [_cuda_row(name, taken, times, gpu, side, batch, figures) for name, taken in times.items()]


def _product(card: Path, images: Any, device: str = "cuda") -> dict[str, Callable[[Any], Any]]:
    """semcbir's own ways: the network alone as a stream calls it, and a Segmenter on one thread."""
    from semcbir.segmentation import Segmenter

    segmenter = Segmenter(card, device=device, tune=True)
    assert segmenter.device == device, segmenter.providers
    canvases = [segmenter.lay(image) for image in images]
    return {
        PRODUCT: lambda batch: segmenter.run(batch, canvases),
        "semcbir fp16, pixels to labels": segmenter.segment,
    }


def _cuda_row(
    name: str,
    taken: list[float],
    times: Mapping[str, list[float]],
    gpu: str,
    side: int,
    batch: int,
    figures: dict[str, float],
) -> list[str]:
    rates = [batch / one for one in taken]
    rate, peak = statistics.median(rates), peak_of(gpu)
    share = f"{rate * 2e9 * GMACS[side] / peak:.1%}" if peak and side in GMACS else "-"
    compiled = times.get("torch fp16, compiled")
    ratio = statistics.median(c / o for c, o in zip(compiled, taken, strict=True)) if compiled else None
    key = f"{name}, best"
    figures[key] = max(figures.get(key, 0.0), rate)
    if ratio is not None:
        figures[f"{name} / compiled"] = max(figures.get(f"{name} / compiled", 0.0), ratio)
    return [
        f"{side}x{side}",
        str(batch),
        name,
        f"{min(rates):.0f}, **{rate:.0f}**, {max(rates):.0f}",
        share,
        "-" if ratio is None else f"{ratio:.2f}",
    ]


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
    from semcbir.images import find_images, load_image
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
    from semcbir.images import find_images, load_image
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
    if options.compare:
        text = compared(options)
    elif options.cpu:
        text = on_cpu(options)
    elif missing := why_no_cuda():
        print(f"skipped: {missing}; --cpu runs without", file=sys.stderr)
        return 2
    else:
        text = indexed(options) if options.index else on_cuda(options)[0]
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return 0


@pytest.mark.slow
def test_hrnet_w48_on_cuda() -> None:
    """At least 1,000 images a second in fp16, no slower than compiled torch, labels those of fp32.

    That is asked of semcbir's own calls; the other rows of onnxruntime are information.
    """
    if missing := why_no_cuda():
        pytest.skip(f"{missing}: nothing is measured")
    text, figures = on_cuda(parsed(["--sides", "512", "--batches", "8,32", "--rounds", "7"]))
    print("\n" + text)
    assert figures[f"{PRODUCT}, best"] >= 1000
    assert figures["equal"] >= 0.999
    assert figures[f"{PRODUCT} / compiled"] >= 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
