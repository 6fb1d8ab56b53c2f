# SPDX-License-Identifier: MIT
"""The command line from a cold start: against importing libraries and one forward pass of the models.

Both run as they do where they are installed: with their modules compiled, which pip does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pairs import compare
from semcbir import Index

FORWARD = """
import sys, cv2, numpy, onnxruntime
for model, shape in (sys.argv[1], (1, 176, 256, 3)), (sys.argv[2], (1, 224, 224, 3)):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    session.run(None, {session.get_inputs()[0].name: numpy.zeros(shape, "uint8")})
"""


@pytest.fixture(scope="module")
def index(wang_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of all 1000 photos with the defaults."""
    return Index.build(wang_dir, tmp_path_factory.mktemp("cold") / "index").path


def test_cold_search(benchmark: Any, index: Path, wang_dir: Path, tmp_path: Path) -> None:
    search = [sys.executable, "-m", "semcbir", "search", str(wang_dir / "0.jpg"), str(index), "--json"]
    models = [str(index / kind / f"{kind}.onnx") for kind in ("model", "encoder")]
    forward = [sys.executable, "-c", FORWARD, *models]

    compiled = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    compiled.pop("PYTHONDONTWRITEBYTECODE", None)

    def ours() -> None:
        done = subprocess.run(search, capture_output=True, text=True, check=True, env=compiled)
        assert json.loads(done.stdout)["hits"][0]["distance"] == 0

    def peer() -> None:
        subprocess.run(forward, capture_output=True, check=True, env=compiled)

    ratio = compare(
        benchmark,
        "`semcbir search` on 1,000 images, cold",
        ours,
        "imports and one forward pass",
        peer,
        rounds=15,
    )
    print(f"a cold search takes {1 / ratio:.2f} times its imports and a forward pass (aim: at most 1.3)")
