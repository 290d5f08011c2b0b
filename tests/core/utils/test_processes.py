"""Work of several processes: how it is divided, and how far it is."""

from __future__ import annotations

import time
from itertools import chain

import pytest
import torch

from echogen_core.utils.processes import ProcessGroup
from echogen_core.utils.progress import SECONDS_BETWEEN_LINES, Progress


@pytest.mark.parametrize(("pieces", "processes"), [(0, 3), (2, 3), (7, 1), (7, 2), (1000, 64)])
def test_every_piece_is_done_once_by_processes_with_equally_much(pieces: int, processes: int) -> None:
    device = torch.device("cpu")
    groups = [ProcessGroup(rank, processes, device, lambda: None, lambda: None) for rank in range(processes)]
    shares = [group.share(range(pieces)) for group in groups]
    assert list(chain(*shares)) == list(range(pieces))  # neighbours stay together
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock says."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_now_and_then_and_the_last(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("picture", 4000) as progress:
        for _ in range(5):
            clock[0] += SECONDS_BETWEEN_LINES / 2
            progress.step(30)
    assert capsys.readouterr().err.splitlines() == [
        "30 of 4,000 pictures, 2.0 a second, 0:33:05 left",
        "90 of 4,000 pictures, 2.0 a second, 0:32:35 left",
        "150 of 4,000 pictures, 2.0 a second, 0:32:05 left",
    ]
    with Progress("picture", 3, quiet=True) as progress:
        progress.step(3)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_one_line(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress("picture", 2) as progress:
        for _ in range(2):
            clock[0] += 4
            progress.step(1)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith("\n")
    assert [line.strip() for line in said.split("\r")[1:]] == [
        "1 of 2 pictures, 4.0 s each, 0:00:04 left",
        "2 of 2 pictures, 4.0 s each, 0:00:00 left",
    ]
