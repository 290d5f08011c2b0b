"""Options that take numbers and names: read as typed anywhere, or one line that says what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from echogen_core.utils import option_types
from echogen_core.utils.option_parser import OptionParser


def parsed(kind: Any, *words: str, **settings: Any) -> Any:
    parser = OptionParser(prog="program")
    parser.add_argument("--it", type=kind, **settings)
    return parser.parse_args(["--it", *words]).it


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2.5", 2.5),
        ("2,5", 2.5),
        (",5", 0.5),
        ("٢٫٥", 2.5),
        ("２．５", 2.5),
        ("½", 0.5),
        ("1e-3", 0.001),
        ("+1", 1),
        (" 1 ", 1),
    ],
)
def test_one_number_may_have_a_decimal_comma(text: str, value: float) -> None:
    assert parsed(option_types.gamma, text) == value


@pytest.mark.parametrize(
    "text", ["1,000", "1,5,2", "nan", "inf", "1e999", "50%", "0x1", "", "1 2", "9" * 400]
)
def test_what_is_no_number_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(option_types.gamma, text)
    assert "--it: expected a number from 0 to 8, got" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "text", "example"),
    [
        ("gamma", "1,250", "Write 1250 or 1.250"),
        ("gamma", "50%", "Write 0.5"),
        ("gamma", "1/2", "Write 0.5"),
        ("gamma", "1 1/2", "Write 1.5"),
        ("seed", "1,000", "Write 1000"),
        ("seed", "1.000.000", "Write 1000000"),
        ("seed", "1 000", "Write 1000"),
    ],
)
def test_refusals_say_what_to_write(
    kind: str, text: str, example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(getattr(option_types, kind), text)
    assert f"got '{text}'" in (said := capsys.readouterr().err) and said.rstrip().rstrip(".").endswith(
        example
    )


@pytest.mark.parametrize(
    ("text", "value"), [("18446744073709551615", 2**64 - 1), ("1'000", 1000), ("٤٢", 42), ("1_000", 1000)]
)
def test_whole_numbers_are_exact(text: str, value: int) -> None:
    assert parsed(option_types.seed, text) == value


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["0", "1", "2"], [0, 1, 2]),
        (["0-2"], [0, 1, 2]),
        (["0, 1", "2;"], [0, 1, 2]),
        (["0,5; 1,5"], [0.5, 1.5]),
        (["0.5", "0.5"], [0.5, 0.5]),
    ],
)
def test_several_numbers_may_be_one_argument(words: list[str], values: list[float]) -> None:
    assert parsed(option_types.gammas, *words, nargs="+", action=option_types.Joined) == values


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["0,5", "1,5"], "Write 0.5, or 0, 5 (with a space)."),
        (["50%"], "Write 0.5."),
        (["9"], "from 0 to 8, got 9"),
        (["two"], "got 'two'"),
    ],
)
def test_lists_are_refused_in_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(option_types.gammas, *words, nargs="+", action=option_types.Joined)
    said = capsys.readouterr().err
    assert said.startswith("program: --it: ") and says in said and said.count("\n") == 1


@pytest.mark.parametrize("kind", [option_types.output_file, option_types.output_folder])
def test_a_usable_name_is_taken_as_it_is(kind: Any, tmp_path: Path) -> None:
    for name in ("out.png", "new/猫.png", "../out.png"):
        assert parsed(kind, str(tmp_path / name)) == tmp_path / name


def test_a_hidden_folder_that_is_there_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in (".hidden/out", ".hidden/new/out"):
        assert parsed(option_types.output_file, str(tmp_path / name)) == tmp_path / name


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("output_file", "", "is empty"),
        ("output_file", " ", "is empty"),
        ("output_file", ".png", "Leave the dot out"),
        ("output_file", "sub/.hidden.png", "Leave the dot out"),
        ("output_file", "new/.hidden/out.png", "Leave the dot out"),
        ("output_file", ".../out.png", "Leave the dot out"),
        ("output_file", "folder/.a/b/../out.png", "Leave the dot out"),
        ("output_file", "~/out.png", "Write that folder's path"),
        ("output_file", "\u3164/out.png", "U+3164"),
        ("output_folder", "new/.hidden/runs", "Leave the dot out"),
        ("output_folder", "a\nb/runs", "U+000A"),
        ("output_file", "folder", "got the folder"),
        ("output_file", "new/", "got the folder"),
        ("output_file", "file/out.png", "is a file, not a folder"),
        ("output_file", "a\nb.png", "U+000A"),
        ("output_file", "x" * 250 + ".png", "254 bytes"),
        ("output_file", "x" * 300, "300 bytes"),
        ("output_file", "x" * 300 + "/out.png", "300 bytes"),
        ("output_folder", "x" * 300, "300 bytes"),
        ("output_folder", "", "is empty"),
        ("output_folder", ".runs", "Leave the dot out"),
        ("output_folder", "file/run", "is a file, not a folder"),
        ("output_folder", "file", "is a file, not a folder"),
    ],
)
def test_a_name_that_makes_no_visible_file_is_refused(
    kind: str,
    name: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").write_bytes(b"")
    with pytest.raises(SystemExit):
        parsed(getattr(option_types, kind), name)
    said = capsys.readouterr().err
    assert said.startswith("program: --it: expected ") and says in said and said.count("\n") == 1
