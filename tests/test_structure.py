# SPDX-License-Identifier: MIT
"""The package's rooms: imports go one way, and some things are in one place only."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import semcbir

PACKAGE = Path(semcbir.__file__).parent

ROOMS = (
    ("_core", "_printable"),
    ("errors",),
    ("_columns", "_extras", "_files", "_fork", "_lock", "_streams", "_validate", "threads"),
    ("images",),
    ("networks",),
    ("inference",),
    ("encoding",),
    ("features",),
    ("segmentation",),
    ("recipe",),
    ("signatures",),
    ("terms",),
    ("building", "weighting"),
    ("searcher", "grouping", "smoothing"),
    ("extractor",),
    ("index",),
    ("pictures.colours", "pictures.draw", "pictures.families", "pictures.html"),
    ("results",),
    ("several", "regions"),
    ("expansion",),
    ("query", "explanation", "near_duplicates"),
    ("finding", "words"),
    ("pictures",),
    ("export",),
    ("baselines",),
    ("evaluation",),
    ("distributed",),
    ("copying", "viewer"),
    ("web",),
    ("outside",),
    ("cli",),
)
"""From the ground up: a room imports those above it in this list, and itself."""


def modules() -> dict[str, Path]:
    """Every module of the package but the package itself, by its name below ``semcbir``."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name not in ("", "__main__"):
            found[name] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """What a module imports from the package, wherever in the file: names of modules below ``semcbir``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top != "semcbir":
                continue
            # The longest part that is a module: `from semcbir.index.catalog import read` is index.catalog.
            while rest and rest not in MODULES and rest != "_core":
                rest = rest.rpartition(".")[0]
            yield rest


def room(name: str) -> int:
    """The number of a module's room: that of the longest entry of ROOMS it is in."""
    fitting = [
        (len(entry), number)
        for number, entries in enumerate(ROOMS)
        for entry in entries
        if name == entry or name.startswith(f"{entry}.")
    ]
    assert fitting, f"{name} is in no room: add it to ROOMS"
    return max(fitting)[1]


GRAPH = {name: sorted(set(imports(path))) for name, path in MODULES.items()}


@pytest.mark.parametrize("name", MODULES)
def test_imports_do_not_climb(name: str) -> None:
    assert "" not in GRAPH[name], f"{name} imports the package as a whole; import from its modules"
    climbing = [other for other in GRAPH[name] if room(other) > room(name)]
    assert not climbing


def test_there_is_no_circle() -> None:
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join([*above[above.index(name) :], name])
        if name not in done:
            for other in GRAPH.get(name, ()):
                visit(other, (*above, name))
            done.add(name)

    for name in GRAPH:
        visit(name, ())


@pytest.mark.parametrize(("name", "but"), [("cli", set()), ("evaluation", {"cli.evaluate"})])
def test_nobody_imports(name: str, but: set[str]) -> None:
    inside = (name, f"{name}.")
    users = {
        user
        for user, used in GRAPH.items()
        if user != name
        and not user.startswith(inside[1])
        and any(u == name or u.startswith(inside[1]) for u in used)
    }
    assert users == but


SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE|CREATE TABLE|VACUUM)\b")


def test_the_catalogue_the_store_and_an_export_speak_sql() -> None:
    speaking = set()
    for name, path in MODULES.items():
        texts = (
            node.value
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Constant)
        )
        if any(isinstance(text, str) and SQL.search(text) for text in texts):
            speaking.add(name)
    assert speaking == {"evaluation.store", "index.catalog", "index.schema", "outside.pgvector"}


def test_sqlite_is_for_the_catalogue_the_lock_and_the_store() -> None:
    users = {
        name
        for name, path in MODULES.items()
        if re.search(r"^\s*import sqlite3", path.read_text("utf-8"), re.M)
    }
    assert users == {"evaluation.store", "index.catalog", "index.database", "index.schema", "_lock"}


def test_every_lock_is_free_in_a_forked_child() -> None:
    plain = {
        name
        for name, path in MODULES.items()
        if re.search(r"threading\.R?Lock\(|register_at_fork\(", path.read_text("utf-8"))
    }
    assert plain == {"_fork"}


@pytest.mark.parametrize("module", ["semcbir", "semcbir.errors", "semcbir.cli.app"])
def test_libraries_are_loaded_on_first_use(module: str) -> None:
    heavy = {"numpy", "cv2", "PIL", "onnxruntime", "onnx", "torch"}
    code = f"import sys, {module}; print(*{heavy} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_every_public_name_is_there_and_where_type_checkers_see_it() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    shown = {
        alias.name: (node.module or "").removeprefix("semcbir.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert shown == semcbir._MODULES
    assert set(semcbir.__all__) == {*shown, "__version__"}
    assert set(semcbir.__all__) <= set(dir(semcbir))
    for name in semcbir.__all__:
        assert getattr(semcbir, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'explains'"):
        semcbir.explains  # noqa: B018


def test_no_module_hides_a_public_name() -> None:
    """Importing a module sets it as the package's attribute, in the place of a function of that name."""
    assert not {name.partition(".")[0] for name in MODULES} & set(semcbir.__all__)
