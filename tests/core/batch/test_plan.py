"""Tables of jobs: what is read, what is refused and where, and which pictures are drawn together."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest

from echogen_core.batch.jobs_file import Fault
from echogen_core.batch.plan import Plan, count, read_plan
from echogen_core.batch.rows import COLUMNS
from echogen_core.config import PRESETS

NANO = PRESETS["nano"]
ROWS: list[dict[str, Any]] = [
    {"reference": "bear.png", "prompt": "a bear, in a forest", "seeds": "0-2"},
    {"prompt": "a street", "gamma_t": 2.5, "name": "street"},
    {"reference": ["bear.png", "side.png"], "mask": ["a.png", "b.png"], "prompt": "a bear", "seeds": [4, 7]},
]


def write(folder: Path, ending: str, rows: Sequence[dict[str, Any]] = ROWS) -> Path:
    """The rows as a file."""
    path = folder / f"jobs{ending}"
    if ending == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
        return path
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = [[_text(row.get(name)) for name in names] for row in rows]
    if ending == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([names, *table])
    else:
        columns = [
            pyarrow.array([row[place] for row in table], pyarrow.string()) for place in range(len(names))
        ]
        parquet.write_table(pyarrow.table(columns, names=names), path)
    return path


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        return "|".join(value) if isinstance(value[0], str) else ", ".join(map(str, value))
    return None if value is None else str(value)


def plan_of(path: Path, size: int = 4, **defaults: Any) -> Plan:
    return read_plan(path, {"seeds": [0], **defaults}, NANO, size)


@pytest.mark.parametrize(("ending", "first"), [(".csv", 2), (".jsonl", 1), (".parquet", 1)])
def test_all_kinds_of_file_say_the_same(ending: str, first: int, tmp_path: Path) -> None:
    plan = plan_of(write(tmp_path, ending))
    assert not plan.faults
    bear, views, street = sorted(plan.rows, key=lambda row: (row.prompt != "a bear, in a forest", row.name))
    assert [row.number - first for row in (bear, street, views)] == [0, 1, 2]
    assert bear.reference is not None and bear.reference.files == (tmp_path / "bear.png",)
    assert bear.seeds == (0, 1, 2) and views.seeds == (4, 7) and street.seeds == (0,)
    assert views.reference is not None and views.reference.masks == (tmp_path / "a.png", tmp_path / "b.png")
    assert (street.settings.gamma_t, street.settings.gamma_i) == (2.5, NANO.gamma_i)
    assert street.name == "street" and street.reference is None


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_bytes("\ufeffPrompt;Gamma T;;\r\n\r\na street;2,5; ;\r\n;\r\n".encode())
    (row,) = plan_of(path).rows
    assert (row.number, row.prompt, row.settings.gamma_t) == (3, "a street", 2.5)


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;;;"])
def test_a_line_that_names_the_separator_is_no_row(first: str, tmp_path: Path) -> None:
    """Excel's; no spreadsheet shows it."""
    path = tmp_path / "jobs.csv"
    path.write_bytes(f"\ufeff{first}\r\nprompt;tau\r\na, b, c;1,5\r\n".encode())
    (row,) = plan_of(path).rows
    assert (row.number, row.prompt, row.settings.tau) == (2, "a, b, c", 1.5)
    path.write_text("sep=|\nprompt|tau\nx|0.5\n")
    assert plan_of(path).rows[0].settings.tau == 0.5


def test_a_byte_order_mark_line_breaks_and_quotes_are_no_part_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_bytes('\ufeff{"prompt": "x"}\r\n\r\n{"prompt": "y"}\r\n'.encode())
    plan = plan_of(path)
    assert [(row.number, row.prompt) for row in plan.rows] == [(1, "x"), (3, "y")] and not plan.faults
    path = tmp_path / "jobs.csv"
    path.write_bytes(b'"prompt",\r\n"two\r\nlines, ""quoted""",\r\n\r\n,\r\nx,\r\n')
    assert [(row.number, row.prompt) for row in plan_of(path).rows] == [
        (2, 'two\r\nlines, "quoted"'),
        (5, "x"),
    ]


def test_auto_is_the_models_own_size_and_a_missing_number_is_an_empty_cell(tmp_path: Path) -> None:
    numbers = pyarrow.table({"prompt": ["x", "y"], "gamma_t": [2.5, float("nan")], "size": ["auto", None]})
    parquet.write_table(numbers, tmp_path / "jobs.parquet")
    plan = plan_of(tmp_path / "jobs.parquet", size=1)
    assert [row.settings.budget for row in plan.rows] == [None, None]
    assert [row.settings.gamma_t for row in plan.rows] == [2.5, NANO.gamma_t]


@pytest.mark.parametrize(
    ("cells", "column", "words"),
    [
        ({}, "prompt", "with --prompt"),
        ({"prompt": "x", "gamma_t": "9"}, "gamma_t", "expected a number from 0 to 8, got '9'"),
        ({"prompt": "x", "seeds": "1-"}, "seeds", "expected a number or a range"),
        ({"prompt": "x", "seeds": 0.5}, "seeds", "got 0.5. Write whole numbers separated by commas, or"),
        ({"prompt": "x", "seeds": "0-3 (+0.5)"}, "seeds", "or ranges: 1, 2, 5, or 0-9, or 0-90 (+10)."),
        ({"prompt": "x", "Prompt": "x"}, "prompt", "got it twice"),
        ({"prompt": "x", "gamma_t": 2, "Gamma T": 3}, "gamma_t", "got it twice"),
        ({"prompt": "x", "tau": 0}, "tau", "above 0"),
        ({"prompt": "x", "aspect_ratio": "2:3"}, "aspect_ratio", "square pictures only"),
        ({"prompt": "x", "aspect_ratio": "wide-ish"}, "aspect_ratio", "is not an aspect ratio"),
        ({"prompt": "x", "size": "1M"}, "size", "draws 256×256 only"),
        ({"prompt": "x", "reference": " | "}, "reference", "expected names of files"),
        ({"prompt": "x", "name": "a/b"}, "name", "expected a usable name"),
        ({"prompt": "x", "mask": "m.png"}, "mask", "no effect without a reference"),
        ({"prompt": "x", "gamma_i": 2}, "gamma_i", "no effect without a reference"),
        ({"prompt": "x", "reference": "r.png", "mask": "m.png|n.png"}, "mask", "one for each of 1"),
        ({"prompt": "x", "reference": "r.png|s.png", "box": "1,1,9,9"}, "box", "one reference"),
        ({"prompt": "x", "reference": "r.png", "mask": "m.png", "phrase": "dog"}, "phrase", "beside a mask"),
        ({"prompt": "x", "negative": "y", "gamma_t": 1}, "negative", "gamma_t is 1"),
        ({"prompt": {"a": 1}}, "prompt", "expected a text or a number"),
        ({"prompt": True}, "prompt", "expected a text or a number"),
        ({"prompt": "x\ud800"}, "prompt", "it has half a character in it: 'x\\ud800'"),
        ({"prompt": "x", "reference": ["\udc80.png"]}, "reference", "half a character"),
        ({"promt": "x"}, "promt", "expected a name out of reference"),
    ],
)
def test_a_broken_row_is_named_with_its_column(
    cells: dict[str, Any], column: str, words: str, tmp_path: Path
) -> None:
    plan = plan_of(
        write(tmp_path, ".jsonl", [{"prompt": "good"}, {"name": "x", **cells}, {"prompt": "good"}])
    )
    (fault,) = plan.faults
    assert fault[:2] == (2, column) and words in fault.message and fault.message.endswith(".")
    assert [row.number for row in plan.rows] == [1, 3]


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(
        '{"prompt": "x"}\n{"prompt": "x"\n\n[1]\n{"prompt": "x", "prompt": "y"}\n', encoding="utf-8"
    )
    faults = plan_of(path).faults
    assert [fault.row for fault in faults] == [2, 4, 5]
    assert "the name 'prompt' occurs twice" in faults[2].message
    path = tmp_path / "jobs.csv"
    path.write_text('prompt\nx\nx,y\n"x"y\nx\n"x\n', encoding="utf-8")
    plan = plan_of(path)
    assert [fault.row for fault in plan.faults] == [3, 4, 6]
    assert [row.number for row in plan.rows] == [2, 5]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("jobs.xlsx", b"", r"ends in \.csv, \.jsonl, \.parquet"),
        ("jobs.csv", b"prompt,colour\nx,y\n", "column 'colour': expected a name out of"),
        ("jobs.csv", b"prompt,Prompt\nx,y\n", "two columns 'prompt'"),
        ("jobs.csv", b"prompt,,tau\nx,y,1\n", "column 2, which has no name: expected a name out of"),
        ("jobs.csv", b"", "no names of columns"),
        ("jobs.csv", "prompt\nin März\n".encode("latin-1"), "isn't UTF-8"),
        ("jobs.jsonl", b'{"prompt": "\xff"}\n', "isn't UTF-8"),
        ("jobs.parquet", b"PAR1", "as Parquet"),
    ],
)
def test_a_file_that_holds_no_jobs_is_refused(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        plan_of(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="No jobs at"):
        plan_of(tmp_path / "nowhere.csv")


def test_two_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    text = pyarrow.array(["x"])
    parquet.write_table(pyarrow.table([text, text], names=["prompt", "prompt"]), tmp_path / "jobs.parquet")
    with pytest.raises(ValueError, match="two columns 'prompt'"):
        plan_of(tmp_path / "jobs.parquet")


def test_what_comes_from_the_command_line_is_said_to(tmp_path: Path) -> None:
    rows = [{"prompt": "x", "negative": "y"}, {"prompt": "x"}, {"prompt": "x", "box": "1,1,9,9"}]
    defaults = {"negative": "z", "gamma_t": 1, "phrase": "dog", "reference": (Path("all.png"),)}
    own, of_option, both = plan_of(write(tmp_path, ".jsonl", rows), **defaults).faults
    assert (own.column, of_option.column, both.column) == ("negative", "negative", "phrase")
    assert "It comes from" not in own.message
    assert of_option.message.endswith(" It comes from --negative.")
    assert both.message.endswith("beside a mask or a box. Leave one of them empty. It comes from --phrase.")


def test_two_rows_of_one_name_would_be_one_picture(tmp_path: Path) -> None:
    rows = [{"prompt": "x", "name": "Chair"}, {"prompt": "x", "name": "chair"}, {"prompt": "x"}]
    plan = plan_of(write(tmp_path, ".jsonl", rows))
    assert plan.faults == (Fault(2, "name", "row 1 has 'chair' already, capitals aside. Choose another."),)


def test_paths_start_from_the_table_from_home_or_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    names = ["a/bear.png", "~/bear.png", (tmp_path / "bear.png").as_posix(), "~nobody here/bear.png"]
    path = write(tmp_path, ".jsonl", [{"prompt": "x", "reference": name} for name in names])
    found = [row.reference.files for row in plan_of(path).rows if row.reference]
    expected = ["a/bear.png", "home/bear.png", "bear.png", "~nobody here/bear.png"]
    assert found == [(tmp_path / name,) for name in expected]


def test_a_row_of_its_own_subject_takes_no_mask_of_another(tmp_path: Path) -> None:
    rows = [{"reference": "own.png"}, {}]
    default = {"prompt": "x", "reference": (Path("all.png"),), "mask": (Path("all-mask.png"),)}
    own, other = plan_of(write(tmp_path, ".jsonl", rows), **default).rows
    assert own.reference is not None and own.reference.masks == ()
    assert other.reference is not None and other.reference.masks == (Path("all-mask.png"),)


def catalogue() -> list[dict[str, Any]]:
    """Three subjects in two scenes, in no order; the last scene at two γ."""
    rows = [
        {"reference": f"{subject}.png", "prompt": prompt, "seeds": "0-2"}
        for prompt in ("a forest", "a street")
        for subject in ("bear", "cat", "cup")
    ]
    return [*rows, {"reference": "bear.png", "prompt": "a street", "gamma_t": 1, "gamma_i": 1}]


def test_subjects_and_prompts_stay_together_and_batches_are_full(tmp_path: Path) -> None:
    plan = plan_of(write(tmp_path, ".jsonl", catalogue()), 4)
    assert [row.number for row in plan.rows] == [1, 4, 7, 2, 5, 3, 6]
    batches = list(plan.batches())
    assert [len(batch) for batch in batches] == [4, 4, 4, 1, 4, 2]
    assert all(len({job.row.settings for job in batch}) == 1 for batch in batches)
    # another subject's pictures fill a batch, also around one with another γ
    assert [job.key for job in batches[1]] == [(4, 1), (4, 2), (2, 0), (2, 1)]
    assert [job.key for job in batches[3]] == [(7, 0)]
    found = count(plan)
    assert (found.rows, found.pictures, found.batches, found.subjects, found.prompts) == (7, 19, 6, 3, 2)
    # equal γ: full and null; at 1 the full one alone, which is there already
    equal = count(
        plan_of(write(tmp_path, ".jsonl", [{**row, "gamma_t": 3, "gamma_i": 3} for row in catalogue()]))
    )
    assert (equal.prefills, equal.alone) == (6 + 1, 2 * 19)
    assert count(plan_of(write(tmp_path, ".jsonl", [{"prompt": "x", "gamma_t": 2}]))).prefills == 2


def sweep(prompts: int, gammas: Sequence[float]) -> list[dict[str, Any]]:
    """One subject; every prompt at every γ, prompt by prompt."""
    return [
        {"reference": "bear.png", "prompt": f"place {place}", "gamma_t": gamma_t}
        for place in range(prompts)
        for gamma_t in gammas
    ]


def test_a_sweep_over_guidance_fills_batches_with_the_prompts_of_a_subject(tmp_path: Path) -> None:
    batches = list(plan_of(write(tmp_path, ".jsonl", sweep(8, (2, 3, 4)))).batches())
    assert [len(batch) for batch in batches] == [4] * 6
    assert [job.row.number for job in batches[0]] == [1, 4, 7, 10]
    assert all(len({job.row.settings for job in batch}) == 1 for batch in batches)
    prompts = [{job.row.prompt for job in batch} for batch in batches]
    assert prompts[0] == prompts[1] == prompts[2] and prompts[0].isdisjoint(prompts[3])


def test_a_picture_waits_for_no_more_prompts_than_fill_a_batch(tmp_path: Path) -> None:
    """Or its prefills would have to be kept, or computed once more."""
    rows = [{**row, "seeds": "0-2"} for row in sweep(40, (2,))]
    rows.insert(1, {**rows[0], "gamma_t": 3, "seeds": "0"})
    batches = list(plan_of(write(tmp_path, ".jsonl", rows)).batches())
    places = {row["prompt"]: place for place, row in enumerate(sweep(40, (2,)))}
    assert all(len(batch) == 4 for batch in batches if batch[0].row.settings.gamma_t == 2)
    (alone,) = [number for number, batch in enumerate(batches) if batch[0].row.settings.gamma_t == 3]
    drawn_before = [job for batch in batches[:alone] for job in batch]
    assert max(places[job.row.prompt] for job in drawn_before) == 3


def test_a_broken_picture_moves_no_other_to_another_batch(tmp_path: Path) -> None:
    """Batches are made of the rows that can be read, before any of their files is opened."""
    before = [
        [job.key for job in batch] for batch in plan_of(write(tmp_path, ".jsonl", catalogue())).batches()
    ]
    (tmp_path / "bear.png").write_bytes(b"no picture")
    after = [[job.key for job in batch] for batch in plan_of(tmp_path / "jobs.jsonl").batches()]
    assert before == after


def test_every_column_but_the_name_is_an_option() -> None:
    from echogen_core.__main__ import _parser

    asked = _parser().parse_args(["batch", "jobs.csv", "--out", "out"])
    assert {name for name in COLUMNS if hasattr(asked, name)} == {*COLUMNS} - {"name"}
