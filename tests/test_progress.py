# SPDX-License-Identifier: MIT
"""The progress of long work: a rate over a window, the time left, nothing absurd, by a clock of our own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import pytest

from semcbir import Progress
from semcbir.cli import progress, text
from semcbir.cli.rate import LONGEST, WINDOW, Rate, images_rate
from semcbir.export.downloading import Transfer


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def rate_after(steps: Iterable[tuple[float, float]], total: float | None = None, least: int = 1) -> Rate:
    rate = Rate(least)
    for now, done in steps:
        rate.add(now, done, total)
    return rate


def test_the_first_second_has_no_rate() -> None:
    rate = Rate()
    assert (rate.per_second, rate.seconds_left, rate.left()) == (None, None, "")
    for now, done in ((0.0, 1), (0.001, 8), (0.5, 16), (0.99, 32)):
        rate.add(now, done, 1000)
        assert (rate.per_second, rate.seconds_left, rate.left()) == (None, None, "")
    rate.add(1.0, 33, 1000)
    assert rate.per_second == pytest.approx(32)
    assert rate.seconds_left == pytest.approx((1000 - 33) / 32)


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    slow = [(float(now), now) for now in range(100)]
    fast = [(100.0 + now / 10, 100 + now) for now in range(1000)]
    assert rate_after(slow).per_second == pytest.approx(1)
    assert rate_after([*slow, *fast[:150]]).per_second == pytest.approx((149 + 15) / 29.9, rel=0.05)
    assert rate_after([*slow, *fast]).per_second == pytest.approx(10)
    assert WINDOW == 30


def test_a_pause_longer_than_the_window_counts() -> None:
    assert rate_after([(0, 0), (5, 50), (100, 60)], 100).per_second == pytest.approx(10 / 95)


def test_many_calls_take_little_memory() -> None:
    rate = rate_after((now / 1000, now) for now in range(100_000))
    assert len(rate._samples) < 70


def test_one_slow_image_says_nothing_about_the_rest() -> None:
    """It waits for models to be opened, say."""
    first = [(0.0, 1), (9.0, 2)]
    assert rate_after(first, 10_000, least=5).left() == ""
    more = rate_after([*first, *((9 + n / 10, 2 + n) for n in range(1, 200))], 10_000, least=5)
    assert more.left().endswith(" min left")


def test_nothing_done_has_no_rate_and_no_end() -> None:
    for steps in ([(0.0, 5), (50.0, 5)], [(0.0, 5), (0.0, 50)], [(10.0, 5), (3.0, 50)]):
        rate = rate_after(steps, 100)
        assert (rate.per_second, rate.left()) == (None, "")


def test_no_total_has_no_end() -> None:
    rate = rate_after([(0.0, 0), (10.0, 100)])
    assert (rate.per_second, rate.left()) == (10, "")


def test_more_than_all_is_all() -> None:
    assert rate_after([(0.0, 0), (10.0, 100)], 90).left() == "0.0 s left"


def test_work_that_begins_anew_is_measured_anew() -> None:
    first = [(float(now), 10 * now) for now in range(11)]
    rate = rate_after(first, 100)
    rate.add(11, 1, 200)
    assert (rate.per_second, rate.left()) == (None, "")
    rate.add(13, 5, 200)
    assert rate.per_second == pytest.approx(2)
    rate.add(14, 7, 300)
    assert rate.per_second is None


@pytest.mark.parametrize(
    ("done", "total", "said"),
    [
        (100, 140, "4.0 s left"),
        (100, 1000, "2 min left"),
        (100, 100_000, "2 h 46 min left"),
        (100, 10**9, "more than 100 h left"),
        (1, 10 * LONGEST, "more than 100 h left"),
    ],
)
def test_how_long_it_takes(done: int, total: int, said: str) -> None:
    assert rate_after([(0.0, 0), (10.0, done)], total).left() == said


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (None, ""),
        (12.34, "12.3 images/s"),
        (0.1, "0.1 images/s"),
        (0.04, "2.4 images/min"),
        (1e-4, "0.0 images/min"),
    ],
)
def test_rates_of_images(rate: float | None, said: str) -> None:
    assert images_rate(rate) == said


def test_lines_where_there_is_no_terminal(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.RunMeter() as meter:
        clock.now += 11  # models are opened
        meter(Progress(1, 600, 0))
        for done in range(2, 600):
            clock.now += 0.0625 if done <= 480 else 0.5
            meter(Progress(done, 600, done // 100))
    assert capsys.readouterr().err.splitlines() == [
        "semcbir: 1 of 600 images",
        "semcbir: 161 of 600 images, 1 skipped, 16.0 images/s, 27 s left",
        "semcbir: 321 of 600 images, 3 skipped, 16.0 images/s, 17 s left",
        "semcbir: 481 of 600 images, 4 skipped, 15.8 images/s, 7.5 s left",
        "semcbir: 501 of 600 images, 5 skipped, 11.2 images/s, 8.9 s left",
        "semcbir: 521 of 600 images, 5 skipped, 6.6 images/s, 12 s left",
        "semcbir: 541 of 600 images, 5 skipped, 2.0 images/s, 30 s left",
        "semcbir: 561 of 600 images, 5 skipped, 2.0 images/s, 20 s left",
        "semcbir: 581 of 600 images, 5 skipped, 2.0 images/s, 9.5 s left",
    ]


@pytest.mark.parametrize(
    ("meter", "line"),
    [
        (progress.RunMeter("3/16"), "semcbir: part 3/16: 1 of 9 images"),
        (progress.RunMeter(about=True), "semcbir: 1 of about 9 images"),
    ],
)
def test_lines_say_whose_they_are_and_what_is_an_estimate(
    clock: Clock, capsys: pytest.CaptureFixture[str], meter: progress.RunMeter, line: str
) -> None:
    clock.now = meter._said + 11
    meter(Progress(1, 9, 0))
    assert capsys.readouterr().err.splitlines() == [line]


def test_a_meter_that_is_used_again_says_nothing_absurd(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second run counts from 1 again."""
    with progress.RunMeter() as meter:
        for _ in range(2):
            for done in range(1, 101):
                clock.now += 1
                meter(Progress(done, 100, 0))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20
    for line in lines[1:10] + lines[11:]:
        assert re.fullmatch(r"semcbir: \d+ of 100 images, 1\.0 images/s, [\d.]+ (s|min) left", line), line
    assert not [line for line in lines if "inf" in line or "nan" in line or "-" in line]


def test_a_bar_on_a_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress.RunMeter() as meter:
        meter(Progress(1, 50, 0))
        assert meter._bar is not None
        task = meter._bar.tasks[0]
        assert (task.completed, task.total, task.fields) == (1, 50, {"rate": "", "left": "", "note": ""})
        clock.now += 0.9
        meter(Progress(10, 50, 1))
        assert task.fields == {"rate": "", "left": "", "note": ", 1 skipped"}
        clock.now += 1.1
        meter(Progress(21, 50, 1))
        assert task.fields == {"rate": "10.0 images/s", "left": "2.9 s left", "note": ", 1 skipped"}
    assert meter._bar.live.is_started is False


def test_a_download(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress.TransferMeter() as meter:
        meter(Transfer(0, None))
        clock.now += 2
        meter(Transfer(10_000_000, None))
        assert meter._bar is not None
        task = meter._bar.tasks[0]
        assert (task.fields["rate"], task.fields["left"]) == ("5.0 MB/s", "")
        meter(Transfer(10_000_000, 20_000_000))
        clock.now += 2
        meter(Transfer(15_000_000, 20_000_000))
        assert (task.total, task.fields["rate"], task.fields["left"]) == (
            20_000_000,
            "3.8 MB/s",
            "1.3 s left",
        )


def test_times_and_rates_where_there_is_no_terminal(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.RunMeter() as meter:
        for done in (1, 21, 41):
            meter(Progress(done, 621, done // 20))
            clock.now += 10.0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "semcbir: 21 of 621 images, 1 skipped, 2.0 images/s, 5 min left",
        "semcbir: 41 of 621 images, 2 skipped, 2.0 images/s, 5 min left",
    ]


def test_times_as_people_write_them() -> None:
    assert [text.elapsed(seconds) for seconds in (9.94, 59, 60, 94, 599.4, 600, 7260)] == [
        "9.9 s",
        "59 s",
        "1 min 0 s",
        "1 min 34 s",
        "9 min 59 s",
        "10 min",
        "2 h 1 min",
    ]
