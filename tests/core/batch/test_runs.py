"""Batches by real processes: killed, torn, shared out; always the same pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from echogen_core.__main__ import main
from echogen_core.subject.samples import FOLDER as SAMPLES
from tests.core import stopped, warm_process

from ..training.training_runs import free_port, rank_environment
from .conftest import Prefill

PROGRAM = "echogen_core.__main__:main"
BEAR, CAT = SAMPLES / "teddy_bear.png", SAMPLES / "siamese_cat.png"
ROWS = [
    ("reference", "prompt", "seeds"),
    (BEAR, "a bear in a forest", "0"),
    (CAT, "a cat in a forest", "0-1"),
    ("nowhere.png", "nothing in a forest", "0"),
    (BEAR, "a bear in a forest", "5"),
    (BEAR, "a bear in a forest", "much"),
    ("", "a city street", "3-4"),
]
KEYS = [(2, 0), (5, 5), (3, 0), (3, 1), (7, 3), (7, 4)]
"""Row and seed of every picture, in the order in which they are drawn: the bear's first."""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "jobs.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(ROWS)
    return path


@pytest.fixture(scope="module")
def command(jobs: Path, short_weights: Path) -> list[str]:
    """Lacks --out."""
    return ["batch", str(jobs), "--weights", str(short_weights), "--batch-size", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def finished(one_thread: None, command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of it by one process, which says with its exit status that rows are broken."""
    out = tmp_path_factory.mktemp("finished")
    assert main([*command, "--out", str(out)]) == 2
    return out


def pictures(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.png")}


def lines(out: Path, name: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for path in sorted(out.glob(name)) for line in path.read_text("utf-8").splitlines()
    ]


def test_every_picture_has_its_row_and_every_broken_row_its_reason(finished: Path) -> None:
    rows = parquet.read_table(finished / "pictures.parquet").to_pylist()
    assert [(row["row"], row["seed"]) for row in rows] == KEYS
    assert {row["path"] for row in rows} == pictures(finished).keys()
    assert rows == lines(finished, "pictures-0.jsonl")
    assert {(row["width"], row["height"], row["gamma_t"]) for row in rows} == {(256, 256, rows[0]["gamma_t"])}
    assert [(fault["row"], fault["column"]) for fault in lines(finished, "broken.jsonl")] == [
        (4, "reference"),
        (6, "seeds"),
    ]
    assert not list(finished.glob("broken-*.jsonl"))


def test_a_restart_computes_nothing_for_what_is_done_and_the_rest_once(
    command: list[str], prefills: list[Prefill], tmp_path: Path
) -> None:
    # γ of which every branch has a weight
    run = [*command, "--out", str(tmp_path), "--gamma-t", "3", "--gamma-i", "2"]
    moment = "echogen_core.utils.writing._move@000003_1.png"
    with stopped.Process(moment, PROGRAM, *run, CUDA_VISIBLE_DEVICES="") as process:
        process.arrive()
    assert [row["row"] for row in lines(tmp_path, "pictures-0.jsonl")] == [2, 5, 3]
    assert main(run) == 2
    assert len(prefills) == len(set(prefills))
    assert {each[:2] for each in prefills} == {
        ("a cat in a forest", True),  # whose second picture is missing
        ("a cat in a forest", False),
        ("a city street", False),
        (None, False),
    }
    assert len(pictures(tmp_path)) == len(KEYS)


def test_a_run_killed_twice_and_torn_is_finished_by_two_processes(
    finished: Path, command: list[str], tmp_path: Path
) -> None:
    """Killed with a picture half stored; with one stored but not recorded; and with half a line."""
    run = [*command, "--out", str(tmp_path)]
    for moment, recorded in (
        ("echogen_core.utils.writing._move@000005_5.png", 1),
        ('echogen_core.utils.work_log.append_line@"row": 3', 2),
    ):
        with stopped.Process(moment, PROGRAM, *run, CUDA_VISIBLE_DEVICES="") as process:
            process.arrive()
        assert len(lines(tmp_path, "pictures-*.jsonl")) == recorded
    assert (tmp_path / "pictures/0000/000003_0.png").is_file()
    kept = {path: (tmp_path / path).stat().st_mtime_ns for path in ("pictures/0000/000002_0.png",)}
    with (tmp_path / "pictures-0.jsonl").open("ab") as log:
        log.write(b'{"row": 3, "seed": 0, "path": "pictures/00')

    port = free_port()
    both = [
        warm_process.start(PROGRAM, run, rank_environment(number, 2, port), tmp_path / f"said-{number}")
        for number in range(2)
    ]
    said = [
        (warm_process.status(process), (tmp_path / f"said-{i}").read_text("utf-8"))
        for i, process in enumerate(both)
    ]
    assert [status for status, _ in said] == [0, 0], said
    assert pictures(tmp_path) == pictures(finished)
    assert sorted((row["row"], row["seed"]) for row in lines(tmp_path, "pictures-*.jsonl")) == sorted(KEYS)
    assert lines(tmp_path, "pictures-1.jsonl"), "the second process drew nothing"
    assert not list(tmp_path.rglob("*.partial"))
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in kept} == kept, "drawn again"
    assert (tmp_path / "pictures.parquet").read_bytes() == (finished / "pictures.parquet").read_bytes()
    assert "6 of 7 pictures in" in said[0][1] and "Row 6, seeds: " in said[0][1]
