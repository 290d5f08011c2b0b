"""JSON files of an output folder that something else wrote: the file is named, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from echogen_core.evaluation import latency
from echogen_core.evaluation.command_dreambench import _own_latency
from echogen_core.evaluation.records import Log, Record
from echogen_core.utils.work_log import claim

NOT_OURS = [
    "",
    "{",
    "[]",
    '["a"]',
    "3",
    "null",
    '"about"',
    '{"x": 1}',
    '{"about": [], "seconds": {}}',
    "\udcff",
]
ABOUT = {"model": "nano", "machine": "m", "dtype": "fp32", "settings": "s", "segmenter": "g", "protocol": "p"}


def write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize(
    "text",
    [
        *NOT_OURS,
        json.dumps({"about": {"model": "nano"}, "seconds": {"total": 1.0}}),
        json.dumps({"about": ABOUT, "seconds": {}}),
        json.dumps({"about": ABOUT, "seconds": {"total": "1"}}),
    ],
)
def test_another_latency_file_is_named(text: str, tmp_path: Path) -> None:
    write(tmp_path / latency.FILE, text)
    with pytest.raises(ValueError, match=r"latency\.json is not as `latency` .* run `latency` again"):
        _own_latency(tmp_path, "nano")


def test_the_latency_of_this_model_is_shown_and_earlier_files_are_read(tmp_path: Path) -> None:
    assert _own_latency(tmp_path, "nano")[0] == ""
    former = {"dtype": "type of the numbers", "segmenter": "segmentation by", "protocol": "counted"}
    for about in (ABOUT, {former.get(name, name): value for name, value in ABOUT.items()}):
        write(tmp_path / latency.FILE, json.dumps({"about": about, "seconds": {"total": 1.5}}))
        assert _own_latency(tmp_path, "nano") == ("1.50 s", "m, fp32, s, g; p")
        assert _own_latency(tmp_path, "2B")[0] == ""


@pytest.mark.parametrize("text", [text for text in NOT_OURS if not text.startswith('{"')])
def test_damaged_settings_are_named(text: str, tmp_path: Path) -> None:
    write(tmp_path / "settings.json", text)
    with pytest.raises(ValueError, match=r"settings\.json, the settings .* is damaged"):
        claim(tmp_path, {"model": "nano"}, "scores")


def test_a_record_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    record = Record("v", "clock", "clock", False, 0, "a clock", 0, 0, 2, 0.5, 0.5, 0.25)
    good: dict[str, Any] = {**vars(record)}
    (tmp_path / record.key.path).parent.mkdir(parents=True)
    (tmp_path / record.key.path).touch()
    log = tmp_path / "scores-0.jsonl"
    write(log, json.dumps(good | {"dino": 1}) + "\n")
    assert list(Log(tmp_path).read()) == [record.key]
    bad = [json.dumps(good | {name: value}) for name, value in (("dino", "a"), ("seed", None), ("more", 1))]
    bad += [json.dumps({name: value for name, value in good.items() if name != "prompt"})]
    for line in (*NOT_OURS, *bad):
        write(log, json.dumps(good) + f"\n{line}\n\udcff")
        with pytest.raises(ValueError, match=r"Line 2 of .*scores-0\.jsonl is damaged"):
            Log(tmp_path).read()
