"""Progress on a terminal and on a pipe; the time left."""

from __future__ import annotations

import io

import pytest

from metrabs_acae import progress
from metrabs_acae.progress import Progress, clock


class Stream(io.StringIO):
    def __init__(self, terminal: bool):
        super().__init__()
        self.isatty = lambda: terminal


@pytest.fixture
def pass_s(monkeypatch):
    """Lets seconds pass."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_a_terminal_has_one_line_that_changes(pass_s):
    stream = Stream(True)
    bar = Progress("clip.mp4: frames", 24, stream=stream)
    for _ in range(3):
        pass_s(20)
        bar.step(8)
    text = stream.getvalue()
    assert text.count("\r") == 3 and text.count("\n") == 1 and text.rstrip().endswith("frames 24/24, 0:00 left, 0.4/s")
    bar.close()
    assert stream.getvalue() == text
    other = Progress("webcam 0: frames", None, stream=stream)
    other.step()
    other.close()
    assert stream.getvalue().endswith("\r\033[K")


def test_a_pipe_has_a_line_now_and_then_and_the_first_call_does_not_count(pass_s):
    stream = Stream(False)
    bar = Progress("x", 100, start=10, stream=stream)
    pass_s(10)
    bar.to(20, 100)
    pass_s(30)
    bar.to(60, 100, remark="7 kept")
    assert bar.rate == pytest.approx(40 / 30)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "x: 10 of 100 were done before"
    assert lines[1] == "x 60/100, 0:30 left, 1.33/s, 7 kept"
    bar.step(note="one was broken")
    assert "one was broken" in stream.getvalue().splitlines()
    quiet = Progress("x", 1, enabled=False, stream=stream)
    before = stream.getvalue()
    quiet.step(note="no")
    assert stream.getvalue() == before


@pytest.mark.parametrize("seconds, text", [(3725, "1:02:05"), (65.2, "1:05"), (float("inf"), "?")])
def test_clock(seconds, text):
    assert clock(seconds) == text
