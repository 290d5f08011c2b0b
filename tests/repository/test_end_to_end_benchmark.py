"""benchmarks/end_to_end.py at a tiny size: the way that it goes on a card."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from .test_documented_commands import load_script, run_script

pytestmark = pytest.mark.usefixtures("one_thread")
PARTS = ("stages", "growth with regions", "growth with pictures", "growth with size", "memory", "golden")


def test_every_part_but_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.jsonl"
    words = ["python", "benchmarks/end_to_end.py", "--tiny", "--runs", "1", "--out", str(out)]
    differences = load_script("benchmarks/golden.py").differences  # of each case in test_sampling_golden
    golden = SimpleNamespace(differences=lambda device: islice(differences(device), 2))
    only = ["--only", "stages", "growth", "memory", "golden"]
    run_script([*words, *only], {"golden": golden}, monkeypatch)
    figures = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert tuple(dict.fromkeys(figure["part"] for figure in figures)) == PARTS
    seconds = [figure["value"] for figure in figures if figure["unit"] == "s"]
    assert len(seconds) == 34 and min(seconds) > 0
    by_measure = {figure["measure"]: figure for figure in figures}
    # at this size neither need be small, nor near the other: test_memory is for that
    assert by_measure["peak"]["against"] == "naive" and by_measure["estimate"]["against"] == "peak"
    assert by_measure["bits that differ"]["value"] == 0
    printed = capsys.readouterr().out
    assert all(f"\n| {part} |" in printed for part in PARTS)
