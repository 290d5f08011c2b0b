"""Stages in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from miniature.training import side_by_side

ROOT = Path(__file__).parents[3]


def test_a_stage_runs_apart_and_what_it_says_is_kept(tmp_path: Path) -> None:
    output = tmp_path / "stage" / "output.txt"
    process = side_by_side.start("nothing", ["--data", "x"], output, None)
    process.join()
    assert process.exitcode == 2
    assert "expected a stage, got 'nothing'." in output.read_text()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_killed_parent_leaves_no_stage_behind(method: str) -> None:
    words = [sys.executable, "-m", "tests.miniature.training.waiting_stage", method]
    parent = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"there\n"
    parent.kill()
    assert parent.stdout.read() == b"", "the end comes when the stage has closed it as well"
    parent.wait()


def test_stages_are_stopped_whatever_they_do() -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=time.sleep, args=(600,))
    process.start()
    side_by_side.stop([process])
    assert process.exitcode is not None and process.exitcode < 0


def test_the_time_that_is_left_is_passed_on() -> None:
    option, minutes = side_by_side.within(time.monotonic() + 120)
    assert option == "--within" and 1.9 < float(minutes) <= 2
    assert float(side_by_side.within(time.monotonic() - 5)[1]) > 0, "time for a step"
    assert side_by_side.within(None) == []
