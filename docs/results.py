# SPDX-License-Identifier: MIT
"""Write the figures of results.md anew: run the commands that stand there, and put what they print behind.

    python docs/results.py WANG=photos/wang ADE=models/ade150.json

A command is an indented line that begins with "semcbir evaluate"; what it prints stands between the comments
that follow it. Names in capitals are replaced by what the arguments say; commands with other names are left
as they are. The text names the versions that the figures are of.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "results.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
BLOCK = re.compile(rf"^    (semcbir evaluate [^\n]+)\n\n{BEGIN}\n.*?{END}$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"\b[A-Z][A-Z0-9_]+\b")


def written(page: str, names: dict[str, str]) -> str:
    """Return ``page`` with the figures of every command whose ``names`` are all given."""

    def block(match: re.Match[str]) -> str:
        command = match[1]
        if missing := [name for name in NAME.findall(command) if name not in names]:
            print(f"left as it is, for {', '.join(missing)} is not given: {command}", file=sys.stderr)
            return match[0]
        print(command, file=sys.stderr)
        words = [NAME.sub(lambda name: names[name[0]], word) for word in shlex.split(command)]
        ran = subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, text=True)
        said = ran.stdout
        for name, value in names.items():  # the figures do not depend on where the photos are
            said = said.replace(str(Path(value).absolute()), name)
        return f"    {command}\n\n{BEGIN}\n\n{said}\n{END}"

    return BLOCK.sub(block, page)


def main() -> None:
    """Rewrite results.md."""
    names = dict(argument.split("=", 1) for argument in sys.argv[1:])
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), names), encoding="utf-8")


if __name__ == "__main__":
    main()
