"""Lists of numbers as people of any country type them: understood, or refused with what to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from echogen_core.utils.number_list import format_number, parse_numbers, parse_whole_numbers

CASES = json.loads((Path(__file__).parents[2] / "number_lists.json").read_text(encoding="utf-8"))
LARGEST_SEED = 2**64 - 1


@pytest.mark.parametrize(("text", "numbers"), CASES["read"])
def test_what_has_one_reading_is_understood(text: str, numbers: list[float]) -> None:
    assert parse_numbers(text, "γ_t", 0, 8, 32, repeats=True) == numbers


@pytest.mark.parametrize(("text", "says"), CASES["refused"])
def test_the_rest_is_refused_with_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_numbers(text, "γ_t", 0, 8, 32, repeats=True)
    assert says in str(caught.value) and str(caught.value).startswith("γ_t: ")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3,9", [3, 9]),
        ("42,7,42", [42, 7]),
        ("9007199254740993", [2**53 + 1]),
        ("18446744073709551613-18446744073709551615", [2**64 - 3, 2**64 - 2, 2**64 - 1]),
        ("0-10 [4]", [0, 3, 6, 10]),
        ("1'000'000; 2’000’000", [1_000_000, 2_000_000]),
        ("100\n200\n300", [100, 200, 300]),
        ("0 500", [0, 500]),
        (",5", [5]),
        ("1000,2000", [1000, 2000]),
        ("3.0, 1e3", [3, 1000]),
    ],
)
def test_whole_numbers_are_exact(text: str, seeds: list[int]) -> None:
    assert parse_whole_numbers(text, "seed", 0, LARGEST_SEED, 12) == seeds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2.5", "expected whole numbers, got 2.5. Write whole numbers separated by commas, or ranges: 1, 2,"),
        ("0-3 (+0.5)", "expected whole numbers, got 0.5. Write whole numbers separated by commas, or ranges"),
        ("many", "expected a number or a range, got 'many'. Write whole numbers separated by commas, or"),
        ("⅓", "got '⅓'. Write whole numbers"),
        (" ", "got none. Write whole numbers"),
        ("1-2 (+0.5)", "expected whole numbers, got 1.5"),
        ("2,5; 3", "expected whole numbers, got 2.5"),
        ("1.000", "Write 1000, or 1"),
        ("1,000", "Write 1000, or 1, 000"),
        ("1,234,567", "Write 1234567, or 1, 234, 567"),
        ("1,000; 2,000", "Write 1000, or 1, 000."),
        ("1 234 567", "Write 1234567, or 1, 234, 567"),
        ("18446744073709551616", "from 0 to 18446744073709551615, got 18446744073709551616"),
        ("-1", "from 0 to 18446744073709551615, got -1"),
    ],
)
def test_what_is_no_whole_number_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_whole_numbers(text, "seed", 0, LARGEST_SEED, 12)
    assert says in str(caught.value)


def test_each_value_is_kept_once_as_models_get_it() -> None:
    assert parse_numbers("0.1, 0.10000000000000001, 0.2", "γ_t", 0, 8, 12) == [0.1, 0.2]


def test_labels_show_all_digits() -> None:
    assert [format_number(number) for number in (1.0, 2.5, 0.3333333333, 2**64 - 1)] == [
        "1",
        "2.5",
        "0.3333333333",
        "18446744073709551615",
    ]


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "-",
        " ",
        ",",
        "\n",
        ".",
        "1-",
        "1 ",
        "0-8 [",
        "(+",
        "9.9",
        "1,",
        "1'",
        "½",
        "1e",
        "\u200b",
        "1\u200b",
        ",.5",
        "1/",
    ],
)
def test_long_texts_are_refused_at_once(unit: str) -> None:
    for text in (unit * 300_000, unit * (9000 // len(unit)), f"1{unit * (9000 // len(unit))}x"):
        with pytest.raises(ValueError):
            parse_numbers(text, "γ_t", 0, 8, 12, repeats=True)
