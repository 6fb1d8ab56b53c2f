# SPDX-License-Identifier: MIT
"""What the installed package says of itself."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
METADATA = importlib.metadata.metadata("semcbir")
URLS = dict(line.split(", ", 1) for line in METADATA.get_all("Project-URL") or [])


def description() -> str:
    """The README as the package has it."""
    text = METADATA.json["description"]
    assert isinstance(text, str)
    return text


def test_addresses() -> None:
    assert set(URLS) == {"Repository", "Documentation", "Changelog", "Issues", "Paper"}
    assert all(URLS[name].startswith(URLS["Repository"]) for name in ("Documentation", "Changelog", "Issues"))


def test_the_readme_s_images_and_links_work_outside_the_repository() -> None:
    assert METADATA["Description-Content-Type"] == "text/markdown"
    found = re.findall(r"(!?)\[[^]]*\]\(([^)]*)\)", description())
    found += [("", target) for target in re.findall(r"^\[[^]]+\]:\s*(\S+)", description(), re.M)]
    found += [("", target) for target in re.findall(r"(?:src|href)=[\"']?([^\"'> ]+)", description())]
    assert [target for _, target in found if not target.startswith(("https://", "#"))] == []

    files = []
    for mark, target in found:
        if target.startswith(URLS["Repository"]):
            base = f"{URLS['Repository']}/{'raw' if mark else 'blob'}/v{METADATA['Version']}/"
            assert target.startswith(base)
            files.append(target.removeprefix(base).partition("#")[0])
    assert {"docs/hits.jpg", "docs/definitions.md", "CONTRIBUTING.md"} <= set(files)
    if not (ROOT / "PKG-INFO").exists():  # a source distribution leaves the images out
        assert [name for name in files if not (ROOT / name).exists()] == []
