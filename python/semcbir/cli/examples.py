# SPDX-License-Identifier: MIT
"""Examples of the commands, about the photos that the README's demo draws: the end of each command's help."""

from __future__ import annotations

_OF = {
    "": (
        "search demo/photos/town/2.jpg demo/photos -k 8 --sheet demo/hits.jpg",
        "index demo/photos -o demo/index --features deep,kaze",
        "search demo/photos/beach/1.jpg demo/index --only sea,sand",
    ),
    "index": (
        "index demo/photos",
        "index demo/photos -o demo/index --features deep,kaze",
        "index demo/photos -o demo/part.1 --part 1/2 --threads 2",
    ),
    "refresh": ("refresh demo/index", "refresh demo/photos --json"),
    "search": (
        "search demo/photos/town/2.jpg demo/photos -k 8 --sheet demo/hits.jpg",
        "search demo/photos/beach/1.jpg demo/index --only sea --without house",
        "search demo/photos/beach/1.jpg demo/index --smooth 10 --json",
    ),
    "find": (
        "find demo/index sea",
        'find demo/index "sea sky:40% -person"',
        "find demo/photos plant sky -k 5 --sheet demo/found.jpg",
    ),
    "explain": (
        "explain demo/photos/meadow/1.jpg demo/photos/beach/1.jpg demo/index",
        "explain demo/photos/town/2.jpg 0 demo/index --picture demo/why.jpg",
    ),
    "duplicates": (
        "duplicates demo/index",
        "duplicates demo/index --distance 0.2 --sheet demo/alike.jpg",
    ),
    "browse": ("browse demo/photos", "browse demo/index --port 0 --no-open"),
    "remove": (
        "remove demo/index demo/photos/beach",
        "remove demo/index 9 demo/photos/town/1.jpg",
    ),
    "info": (
        "info demo/index",
        "info demo/index --classes",
        "info demo/photos --classes --picture demo/classes.png",
    ),
    "merge": (
        "merge demo/part.1 demo/part.2 -o demo/merged",
        "merge demo/part.1 -o demo/half --partial --json",
    ),
    "export": (
        "export demo/index demo/parquet --to parquet",
        "export demo/index dbname=photos --to pgvector --feature kaze",
        "export demo/index http://localhost:6333 --to qdrant --name holidays",
    ),
    "check": ("check demo/index", "check demo/photos --json"),
    "compact": ("compact demo/index", "compact demo/photos --json"),
    "models": ("models list", "models show default"),
    "models list": ("models list", "models list --json"),
    "models show": ("models show default", "models show hrnet-w48-mseg --json"),
    "models fetch": (
        "models fetch dinov2-vits14",
        "models fetch hrnet-w48-mseg --precision fp16 --photos demo/photos",
    ),
    "models export": (
        "models export resnet50 --checkpoint resnet50.pth -o resnet50.onnx",
        "models export hrnet-w48-mseg --checkpoint m.pth -o m.onnx --logits",
    ),
    "evaluate": (
        "evaluate folder demo/photos --features deep,kaze --out demo/eval",
        "evaluate copies demo/photos --features deep --queries 4",
    ),
    "evaluate wang": (
        "evaluate wang wang --features deep",
        "evaluate wang wang --table 3 --smooth 10 --out wang-results",
    ),
    "evaluate msrc-v1": (
        "evaluate msrc-v1 msrc-v1 --features deep",
        "evaluate msrc-v1 msrc-v1 --features kaze --weighting share",
    ),
    "evaluate msrc-v2": (
        "evaluate msrc-v2 msrc-v2 --features deep",
        "evaluate msrc-v2 msrc-v2 --features kaze --sweep 0.7,0.8,1.0",
    ),
    "evaluate linnaeus": (
        "evaluate linnaeus linnaeus --features deep",
        "evaluate linnaeus linnaeus --features deep --queries dog,bird",
    ),
    "evaluate folder": (
        "evaluate folder demo/photos --features deep,kaze --out demo/eval",
        "evaluate folder demo/photos --features deep --smooth 3 --out demo/3",
        "evaluate folder demo/photos --features hog --queries beach,town",
    ),
    "evaluate compare": (
        "evaluate compare demo/eval/figures.json --way deep --against kaze",
        "evaluate compare demo/eval/figures.json demo/3/figures.json",
    ),
    "evaluate copies": (
        "evaluate copies demo/photos --features deep --queries 4",
        "evaluate copies demo/photos --features deep,hog --queries 2 --json",
    ),
}


def examples(command: str) -> tuple[str, ...]:
    """Return the examples of a command, "" being all of them: lines for a shell."""
    return tuple(f"semcbir {line}" for line in _OF[command])


def ending(command: str) -> str:
    """Return the end of a command's help; the sign at its beginning keeps its lines as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in examples(command))])
