# SPDX-License-Identifier: MIT
"""What a search makes of its hits: paths, CSV, copies, links, an open viewer, pictures in the terminal."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import semcbir
from commands import Run, one_line
from semcbir import Hit, Results, copying, viewer
from semcbir.cli import copies, pictures
from semcbir.cli.filtered import epsilon_note, keep_note, kept_note
from semcbir.cli.table import hits_table, shown_paths
from semcbir.pictures.draw import ALARM
from semcbir.pictures.sheet import contact_sheet
from semcbir.results import penalised_words

needs_posix = pytest.mark.skipif(os.name == "nt", reason="POSIX names, links and programs")


@pytest.fixture
def index(photo_folder: Path, tiny_model: Path, tmp_path: Path) -> Path:
    semcbir.Index.build(photo_folder, tmp_path / "index", model=tiny_model, features="hog")
    return tmp_path / "index"


@pytest.fixture
def query(photo_folder: Path) -> Path:
    return photo_folder / "beach" / "1.jpg"


# --- stdout -------------------------------------------------------------------------------------------------


def test_paths_alone(run: Run, index: Path, query: Path) -> None:
    expected = [str(hit.path) for hit in semcbir.search(query, semcbir.Index.open(index), k=4)]
    assert run("search", query, index, "-k", 4, "--paths").out == "".join(f"{path}\n" for path in expected)
    for options in (["-0"], ["--null"], ["--paths", "-0"]):
        assert run("search", query, index, "-k", 4, *options).out == "".join(f"{p}\0" for p in expected)


@needs_posix
def test_paths_are_the_bytes_on_disk(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    from semcbir.cli.hits import Answers
    from semcbir.cli.outputs import Outputs

    name = b"/photos/new\nline \xff.jpg"
    found = Results([Hit(1, 0, Path(os.fsdecode(name)), 0.0, 0.0, False)], 1)
    Answers(Outputs(null=True), ()).add(None, found, {}, "")
    assert capfdbinary.readouterr().out == name + b"\0"


def test_csv(run: Run, index: Path, query: Path) -> None:
    command = ("search", query, index, "-k", 12)
    rows = list(csv.DictReader(io.StringIO(run(*command, "--csv").out)))
    hits = run(*command, "--json").json["hits"]
    assert list(rows[0]) == ["rank", "id", "path", "distance", "histogram_distance", "penalized"]
    assert [{key: json.loads(row[key]) for key in row if key != "path"} for row in rows] == [
        {key: value for key, value in hit.items() if key != "path"} for hit in hits
    ]
    assert [row["path"] for row in rows] == [hit["path"] for hit in hits]
    assert {row["penalized"] for row in rows} == {"true", "false"}


def test_csv_without_hits_has_its_head(run: Run, index: Path, query: Path) -> None:
    run("remove", index, *range(12))
    done = run("search", query, index, "--csv")
    assert (done.code, done.out) == (0, "rank,id,path,distance,histogram_distance,penalized\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            "--json --csv",
            "--csv: expected one of --json, --paths, -0, --csv, --terminal, got --json and --csv",
        ),
        ("--csv -0", "--csv: expected one of --json, --paths, -0, --csv, --terminal, got -0 and --csv"),
        ("--paths --terminal", "--terminal: expected one of --json, --paths, -0, --csv, --terminal, got"),
        ("--copy a --link b", "--link: expected one of --copy, --link, got --copy and --link"),
    ],
)
def test_forms_exclude_each_other(run: Run, options: str, said: str) -> None:
    refused = run("search", "a.jpg", "b", *options.split())
    assert (refused.code, refused.out, one_line(refused.err)) == (2, "", True)
    assert refused.err.startswith(f"semcbir: error: {said}")


# --- the table ----------------------------------------------------------------------------------------------


def test_paths_below_the_current_folder_are_relative_to_it(
    run: Run, index: Path, query: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo_folder.parent)
    lines = run("search", query, index, "-k", 2).out.splitlines()
    assert lines[0].endswith("  path")
    assert lines[1].endswith(f"  {Path('photos', 'beach', '1.jpg')}")
    assert run("search", query, index, "-k", 1, "--paths").out == f"{query}\n"
    assert run("search", query, index, "-k", 1, "--json").json["hits"][0]["path"] == str(query)


@needs_posix
def test_paths_are_shown_as_short_as_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [Path("/roll/one/a.jpg"), Path("/roll/two/~b\n.jpg")]
    monkeypatch.chdir(tmp_path)
    assert shown_paths(paths, [Path("/roll")]) == (" in /roll", ["one/a.jpg", "two/~b\\n.jpg"])
    assert shown_paths(paths, [Path("/"), Path("/roll")]) == (" in /roll", ["one/a.jpg", "two/~b\\n.jpg"])
    assert shown_paths(paths, [Path("/ro"), Path("/other")]) == (
        "",
        ["/roll/one/a.jpg", "/roll/two/~b\\n.jpg"],
    )
    assert shown_paths(paths[:1], [Path("/roll")]) == ("", ["/roll/one/a.jpg"])
    here = [tmp_path / "a.jpg", tmp_path / "-b.jpg", tmp_path / "~c.jpg", paths[0]]
    assert shown_paths(here, [Path("/")]) == ("", ["a.jpg", "./-b.jpg", "./~c.jpg", "/roll/one/a.jpg"])
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert shown_paths(paths, [Path("/roll")])[0] == " in /roll"


def results(kept: int, count: int, epsilon: float | None = 0.9) -> Results:
    hits = [Hit(n + 1, n, Path(f"/p/{n}.jpg"), 0.1 * n, 0.05 * n, n >= kept) for n in range(count)]
    return Results(hits, kept, epsilon)


def test_a_line_says_where_penalised_hits_begin() -> None:
    for kept in (0, 2):
        lines = hits_table(results(kept, 3), (), "below: the others").splitlines()
        assert lines.index("below: the others") == 1 + kept
    assert "below" not in hits_table(results(3, 3), (), "below: the others")
    assert hits_table(results(3, 3, None), (), "").splitlines()[1] == (
        "   1      0     0.0000     0.0000  /p/0.jpg"
    )


@pytest.mark.parametrize(
    ("epsilon", "count", "asked", "said"),
    [
        (0.9, 455, "", "below: 455 photos that share too little with the query (epsilon 0.9)"),
        (0.9, 1, "", "below: 1 photo that shares too little with the query (epsilon 0.9)"),
        (None, 812, "2 % of bus", "below: 812 photos that hold less than 2 % of bus"),
        (
            0.32249,
            7,
            "2 % of bus, road",
            "below: 7 photos that hold less than 2 % of bus, road or share too little with the query "
            "(epsilon 0.322)",
        ),
        (0.9, None, "", "below: photos that share too little with the query (epsilon 0.9)"),
        (None, None, "", "below: photos that hold too little of the classes asked for"),
    ],
)
def test_why_photos_are_penalised(epsilon: float | None, count: int | None, asked: str, said: str) -> None:
    assert penalised_words(results(1, 2, epsilon), count, asked) == said


def test_the_command_says_why_photos_are_penalised(run: Run, index: Path, query: Path) -> None:
    opened = semcbir.Index.open(index)
    shares = opened.signatures("hog").histograms()[1]
    name = opened.recipe.classes[int(np.argmin(np.where(shares > 0, shares, 2)))]
    found = semcbir.search(query, opened, 12, only=name)
    assert 0 < found.kept < 12
    said = f"below: {12 - found.kept} photos that hold less than 2 % of {name}\n"
    assert said in run("search", query, index, "--only", name).out
    # How many --without leaves out is not known.
    absent = opened.recipe.classes[int(np.argmin(shares))]
    assert "below: photos that share too little" in run("search", query, index, "--without", absent).out


def test_notes_about_the_filter() -> None:
    some = results(7, 9)
    assert kept_note(some, 1000, None, None, False) == "7 of 1000 images pass the semantic filter"
    assert kept_note(some, 1000, None, 7, False) == (
        "7 of 1000 images pass the semantic filter, whose epsilon came to 0.9"
    )
    assert kept_note(some, 1000, ["bus"], None, False) == (
        "7 of 1000 images hold 2 % or more of bus and pass the semantic filter"
    )
    assert (
        kept_note(results(7, 9, None), 10, ["bus"], None, False) == "7 of 10 images hold 2 % or more of bus"
    )
    assert kept_note(results(9, 9, None), 10, None, None, False) is None


def test_what_keep_would_do_is_said_where_too_few_pass(run: Run, index: Path, query: Path) -> None:
    asked: list[int] = []

    def searched(keep: int) -> Results:
        asked.append(keep)
        return results(21, 21, 1.2345)

    said = "--keep 20 would let 21 images pass, with epsilon 1.23"
    assert keep_note(results(7, 9), 1000, 20, searched) == said
    assert asked == [20]
    assert keep_note(results(7, 9), 1000, 7, searched) is None
    assert keep_note(results(7, 9, None), 1000, 20, searched) is None
    assert keep_note(results(21, 21), 1000, 30, searched) is None  # more do not come
    assert keep_note(results(7, 9), 8, 20, lambda keep: results(keep, 8, None)) == (
        "--keep 8 would let 8 images pass, with epsilon 2"
    )
    done = run("search", query, index, "--epsilon", 0, "-k", 5)
    could = semcbir.search(query, semcbir.Index.open(index), 5, keep=5)
    assert f"--keep 5 would let {could.kept} images pass, with epsilon {could.epsilon:.3g}\n" in done.err
    assert "--keep" not in run("search", query, index, "--keep", 2, "-k", 5).err


def test_an_epsilon_that_keeps_everything_is_said(run: Run, index: Path, query: Path) -> None:
    said = (
        "semcbir: --epsilon 2.5 keeps everything: 2 is the largest histogram distance there is; "
        "--epsilon none does the same\n"
    )
    done = run("search", query, index, "--epsilon", 2.5)
    assert (done.code, done.err.startswith(said)) == (0, True)
    for epsilon in (2.0, "auto", float("inf"), 0.5):
        assert epsilon_note(epsilon) is None


def test_a_sheet_says_where_penalised_hits_begin(photo_folder: Path) -> None:
    paths = sorted(photo_folder.glob("*/*"))

    def sheet(kept: int, **more: Any) -> np.ndarray:
        found = [Hit(n + 1, n, path, 0.1, 0.1, n >= kept) for n, path in enumerate(paths[:4])]
        return np.asarray(contact_sheet(None, Results(found, kept, 0.9), columns=2, **more))

    # Two rows of two; three rows and a line of words where one is penalised, and where three are.
    heights = [sheet(kept).shape[0] for kept in (4, 3, 1)]
    assert heights[0] < heights[1] == heights[2]
    row = (heights[1] - heights[0]) - 30
    assert row > 200
    words = [
        (sheet(3, **more) == ALARM).all(axis=2).sum() for more in ({}, {"below": ""}, {"below": "below"})
    ]
    assert words[0] > words[2] > words[1]


# --- copies and links ---------------------------------------------------------------------------------------


def test_copies(run: Run, index: Path, query: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "hits"
    done = run("search", query, index, "-k", 3, "--copy", folder)
    hits = run("search", query, index, "-k", 3, "--json").json["hits"]
    names = [f"00{hit['rank']}_{Path(hit['path']).name}" for hit in hits]
    assert (done.code, done.err.splitlines()[-1]) == (0, f"semcbir: 3 photos copied in {folder}")
    assert sorted(file.name for file in folder.iterdir()) == names
    for name, hit in zip(names, hits, strict=True):
        assert (folder / name).read_bytes() == Path(hit["path"]).read_bytes()
        assert not (folder / name).is_symlink()
        assert (folder / name).stat().st_mtime_ns == Path(hit["path"]).stat().st_mtime_ns


@needs_posix
def test_links(run: Run, index: Path, query: Path, tmp_path: Path) -> None:
    folder = tmp_path / "hits"
    done = run("search", query, index, "-k", 2, "--link", folder, "--paths")
    assert (done.code, done.err.splitlines()[-1]) == (0, f"semcbir: 2 links made in {folder}")
    assert [str(file.readlink()) for file in sorted(folder.iterdir())] == done.out.splitlines()


@pytest.mark.parametrize("option", ["--copy", "--link"])
def test_nothing_is_overwritten(run: Run, index: Path, query: Path, tmp_path: Path, option: str) -> None:
    folder = tmp_path / "hits"
    folder.mkdir()
    taken = (
        folder / f"003_{run('search', query, index, '--json').json['hits'][2]['path'].rpartition(os.sep)[2]}"
    )
    taken.write_text("mine")
    sheet = tmp_path / "sheet.png"
    refused = run("search", query, index, option, folder, "--sheet", sheet)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        f"semcbir: error: {option}: {taken} is there already, so nothing is written; "
        "give another folder, or empty this one first\n"
    )
    assert ([*folder.iterdir()], taken.read_text(), sheet.exists()) == ([taken], "mine", False)


@pytest.mark.parametrize("option", ["--copy", "--link"])
def test_photos_that_are_gone_are_said_and_skipped(
    run: Run, index: Path, query: Path, photo_folder: Path, tmp_path: Path, option: str
) -> None:
    gone = photo_folder / "beach" / "2.jpg"
    gone.unlink()
    done = run("search", query, index, option, tmp_path / "hits")
    assert done.code == 3
    assert f"semcbir: skipped {gone}: No such file or directory\n" in done.err
    made = "photos copied" if option == "--copy" else "links made"
    assert done.err.splitlines()[-1] == f"semcbir: 11 {made} in {tmp_path / 'hits'}"
    assert len([*(tmp_path / "hits").iterdir()]) == 11


def test_a_file_is_no_folder_for_copies(run: Run, index: Path, query: Path) -> None:
    refused = run("search", query, index, "--copy", query)
    assert (refused.code, refused.err) == (
        2,
        f"semcbir: error: --copy: expected a folder, got the file {query}; see `semcbir search -h`\n",
    )
    assert run("search", query, index, "--copy", "").code == 2


def test_a_copy_that_fails_leaves_no_half(
    run: Run, index: Path, query: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Any, copy: Any) -> None:
        copy.write(source.read(10))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copying.shutil, "copyfileobj", full)
    failed = run("search", query, index, "--copy", tmp_path / "hits")
    assert (failed.code, failed.err.splitlines()[-1]) == (1, "semcbir: error: No space left on device")
    assert not [*(tmp_path / "hits").iterdir()]


@needs_posix
def test_long_names_are_shortened(tmp_path: Path) -> None:
    photo = tmp_path / f"{'ä' * 125}b.jpg"
    photo.write_bytes(b"photo")
    plan = copies.plan_copies("--copy", tmp_path / "hits", Results([Hit(1, 0, photo, 0, 0, False)], 1))
    assert copies.make_copies(tmp_path / "hits", plan, link=False) == 0
    (made,) = (tmp_path / "hits").iterdir()
    assert (len(os.fsencode(made.name)) <= 255, made.name[:5], made.suffix) == (True, "001_ä", ".jpg")


# --- a viewer -----------------------------------------------------------------------------------------------


@pytest.fixture
def opener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of the system's opener, which writes down what it is to open."""
    name = "open" if sys.platform == "darwin" else "xdg-open"
    program = tmp_path / "bin" / name
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho noise; echo noise >&2\nprintf %s "$1" > "{tmp_path}/opened"\n')
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return program


@needs_posix
def test_the_first_hit_or_the_sheet_is_opened(
    run: Run, index: Path, query: Path, tmp_path: Path, opener: Path
) -> None:
    assert run("search", query, index, "--open").code == 0
    assert (tmp_path / "opened").read_text() == str(query)
    sheet = tmp_path / "sheet.png"
    assert run("search", query, index, "--open", "--sheet", sheet).code == 0
    assert (tmp_path / "opened").read_text() == str(sheet)


@needs_posix
def test_a_viewer_that_fails_is_one_line(
    run: Run, index: Path, query: Path, opener: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener.write_text("#!/bin/sh\nexit 3\n")
    failed = run("search", query, index, "-k", 1, "--epsilon", "none", "--open")
    cannot = f"semcbir: error: {query} cannot be opened in a viewer: "
    assert (failed.code, failed.err) == (1, f"{cannot}{opener.name} ended with code 3\n")
    assert "1.jpg" in failed.out
    monkeypatch.setenv("PATH", str(opener.parent / "nothing"))
    failed = run("search", query, index, "-k", 1, "--epsilon", "none", "--open")
    assert (failed.code, failed.err) == (1, f"{cannot}there is no {opener.name} here\n")


@needs_posix
def test_nobody_waits_for_a_viewer_that_stays_open(opener: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opener.write_text("#!/bin/sh\nexec sleep 5\n")
    monkeypatch.setattr(viewer, "_SECONDS", 0.05)
    viewer.open_picture(Path("a.jpg"))


def test_without_hits_there_is_nothing_to_open(run: Run, index: Path, query: Path) -> None:
    run("remove", index, *range(12))
    failed = run("search", query, index, "--open")
    assert failed.code == 1
    assert failed.err.endswith("semcbir: error: --open: there is no hit to open\n")


# --- pictures in the terminal -------------------------------------------------------------------------------


class _Picture:
    """In the place of the library's picture: it is shown as its size."""

    def __init__(self, photo: Any, width: int, height: str) -> None:
        self.shown = f"[{photo.width}x{photo.height} in {width}]"

    def __rich__(self) -> str:
        return self.shown.replace("[", "(").replace("]", ")")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A terminal, and a library that shows pictures in it."""
    library = ModuleType("textual_image")
    renderable = ModuleType("textual_image.renderable")
    library.renderable = renderable  # type: ignore[attr-defined]
    renderable.Image, renderable.HalfcellImage = _Picture, object  # type: ignore[attr-defined]
    library.__spec__ = ModuleType("spec")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "textual_image", library)
    monkeypatch.setitem(sys.modules, "textual_image.renderable", renderable)
    monkeypatch.setattr(pictures, "_is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    return renderable


def test_a_terminal_shows_pictures_below_the_table(
    run: Run, index: Path, query: Path, photo_folder: Path, terminal: ModuleType
) -> None:
    (photo_folder / "beach" / "2.jpg").unlink()
    shown = run("search", query, index, "-k", 4, "--terminal")
    table = run("search", query, index, "-k", 4)
    assert shown.code == 0
    assert shown.out.startswith(table.out)
    words = shown.out.removeprefix(table.out).split()
    assert words[:3] == ["(187x140", "in", "19)"]
    captions = " ".join(words)
    for hit, name in enumerate(line.split()[-1] for line in table.out.splitlines()[1:5]):
        assert f"{hit + 1} {Path(name).name}" in captions
    assert "query 1.jpg" in captions
    assert "(220x140 in 22)" in captions  # in the place of the photo that is gone


def test_a_terminal_without_colours_shows_the_table_alone(
    run: Run, index: Path, query: Path, terminal: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.HalfcellImage = _Picture  # type: ignore[attr-defined]
    monkeypatch.setenv("NO_COLOR", "1")
    table = run("search", query, index, "-k", 4).out
    assert run("search", query, index, "-k", 4, "--terminal").out == table


def test_where_there_is_no_terminal_the_table_is_printed_alone(run: Run, index: Path, query: Path) -> None:
    table = run("search", query, index, "-k", 4)
    assert run("search", query, index, "-k", 4, "--terminal") == table


def test_a_library_that_fails_breaks_nothing(
    run: Run, index: Path, query: Path, terminal: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(sys.modules["textual_image"], "renderable")
    monkeypatch.delitem(sys.modules, "textual_image.renderable")
    table = run("search", query, index, "-k", 4).out
    assert run("search", query, index, "-k", 4, "--terminal").out == table


def test_a_library_that_is_missing_is_named(
    run: Run, index: Path, query: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "_is_terminal", lambda: True)
    monkeypatch.setattr(pictures.importlib.util, "find_spec", lambda _: None)
    refused = run("search", query, index, "--terminal")
    assert (refused.code, refused.out, refused.err) == (
        1,
        "",
        "semcbir: error: --terminal shows pictures with textual-image, which is not installed: "
        'pip install "semcbir[terminal]"\n',
    )


@needs_posix
@pytest.mark.parametrize("columns", [80, 0])
def test_the_library_itself(index: Path, query: Path, columns: int) -> None:
    """In a terminal that says nothing but its size: half cells; without a size the table alone."""
    pytest.importorskip("textual_image", reason="needs textual-image")
    import pty
    import termios

    master, slave = pty.openpty()
    if columns:
        termios.tcsetwinsize(slave, (24, columns))
    environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "semcbir", "search", query, index, "-k", "2", "--terminal"]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        written = b""
        with contextlib.suppress(OSError):  # which is how it ends on Linux
            while part := os.read(master, 65536):
                written += part
    os.close(master)
    assert (process.returncode, b"beach/1.jpg" in written) == (0, True)
    assert (written.count("▀".encode()) >= 3 * 19 * 5) == bool(columns)
