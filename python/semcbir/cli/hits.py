# SPDX-License-Identifier: MIT
"""Answers: the hits of one query or of many, written in the form that was asked for."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semcbir._files import display_path
from semcbir.cli.console import note
from semcbir.cli.copies import make_copies, plan_copies
from semcbir.cli.outputs import Outputs
from semcbir.cli.pictures import show_pictures
from semcbir.cli.saving import save_picture
from semcbir.cli.table import hits_table
from semcbir.cli.text import hit_values, write_json
from semcbir.errors import SemcbirError
from semcbir.viewer import open_picture

if TYPE_CHECKING:
    from semcbir.finding import FoundImage
    from semcbir.results import Hit, Results


_COLUMNS = ("rank", "id", "path", "distance", "histogram_distance", "penalized")


class Answers:
    """Writes what a command found, query by query.

    ``roots`` are the folders of the index. With ``many``, each answer says which query it is for: a heading
    in text, a column in CSV, and JSON is a list. ``asked`` is what the sheet says was asked for beside it.
    """

    def __init__(
        self, outputs: Outputs, roots: Sequence[Path], *, many: bool = False, asked: str = ""
    ) -> None:
        self._outputs, self._roots, self._many, self._asked = outputs, roots, many, asked
        self._values: list[Mapping[str, Any]] = []
        self._written = 0

    def add(
        self,
        query: Path | None,
        results: Results,
        values: Mapping[str, Any],
        below: str,
        notes: Iterable[str] = (),
    ) -> int:
        """Write the hits of a query (None: it is no photo) and notes, and make what else was asked for.

        ``values`` are what JSON says of the query, ``below`` what the table says above penalised hits.
        Returns the exit code. Raises ValueError before anything is written if a file would be overwritten,
        SemcbirError in the end if there is nothing that can be opened.
        """
        outputs, code = self._outputs, 0
        option, folder = ("--link", outputs.link) if outputs.link else ("--copy", outputs.copy)
        plan = plan_copies(option, folder, results) if folder else ()
        self._write(query, results, values, below)
        for text in notes:
            note(f"{display_path(query)}: {text}" if self._many and query else text)
        if folder:
            code = make_copies(folder, plan, link=folder == outputs.link)
        if outputs.terminal:
            show_pictures(query, results)
        if outputs.sheet:
            from semcbir.pictures.sheet import contact_sheet

            save_picture(contact_sheet(query, results, below=below, asked=self._asked), outputs.sheet)
        if outputs.show:
            if not outputs.sheet and not results:
                raise SemcbirError("--open: there is no hit to open")
            open_picture(outputs.sheet or results[0].path)
        return code

    def fail(self, query: Path, error: Exception) -> None:
        """Note that a query of many has no answer; JSON says so in its place."""
        said = str(error) if isinstance(error, SemcbirError) else f"{display_path(query)}: --{error}"
        note(f"error: {said}")
        self._values.append({"query": query, "error": said})

    def finish(self) -> None:
        """Write what is written once, in the end."""
        if self._outputs.as_json and self._many:
            write_json(self._values)
        elif self._outputs.as_csv and not self._written:
            self._write_rows(None, ())

    def _write(self, query: Path | None, results: Results, values: Mapping[str, Any], below: str) -> None:
        outputs = self._outputs
        if outputs.as_json:
            hits = [hit_values(hit) for hit in results]
            self._values.append({**values, "kept": results.kept, "hits": hits})
            if not self._many:
                write_json(self._values[0])
        elif outputs.as_csv:
            self._write_rows(query, results)
        elif outputs.paths or outputs.null:
            write_paths(results, outputs)
        else:
            if self._many:
                blank = "\n" if self._written else ""
                print(f"{blank}query {display_path(query or '')}")
            print(hits_table(results, self._roots, below))
        self._written += 1
        sys.stdout.flush()

    def _write_rows(self, query: Path | None, hits: Iterable[Hit]) -> None:
        rows = csv.writer(sys.stdout, lineterminator="\n")
        asked = [query] if self._many else []
        if not self._written:
            rows.writerow([*(["query"] if self._many else []), *_COLUMNS])
        for hit in hits:
            values = {**hit_values(hit), "penalized": str(hit.penalized).lower()}
            rows.writerow([*asked, *(values[column] for column in _COLUMNS)])


def write_paths(hits: Iterable[Hit | FoundImage], outputs: Outputs) -> None:
    """Write paths as the bytes that they are on disk, whatever the encoding of stdout."""
    end = b"\0" if outputs.null else b"\n"
    sys.stdout.flush()
    sys.stdout.buffer.write(b"".join(os.fsencode(hit.path) + end for hit in hits))
    sys.stdout.buffer.flush()
