"""Names of files as people type them: a visible file on every system, or words that say what to change."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from echogen_core.utils.file_names import fill_dates, name_fault, parts_below

DEFAULT = "EchoGen/subjects/subject"


@pytest.mark.parametrize("prefix", ["", " ", "/", "\\", "///", ".", "./", " / ", "\\./\\", "a/..", "a\\.."])
def test_nothing_stands_for_the_default(prefix: str) -> None:
    assert "/".join(parts_below(prefix, DEFAULT)) == DEFAULT


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("cat", "cat"),
        ("EchoGen/cats/cat", "EchoGen/cats/cat"),
        ("EchoGen\\cats\\cat", "EchoGen/cats/cat"),
        (" EchoGen / cat ", "EchoGen/cat"),
        ("EchoGen//./cat", "EchoGen/cat"),
        ("EchoGen/cats/", "EchoGen/cats/subject"),
        ("EchoGen\\", "EchoGen/subject"),
        ("a/../cat", "cat"),
        ("猫/кот 🐈\u200d⬛ é", "猫/кот 🐈\u200d⬛ é"),
        ("50 % off", "50 % off"),
        ("%year%-cat", "%year%-cat"),
        ("v1.5", "v1.5"),
        ("~cat", "~cat"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d💻 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3", "👩\u200d💻 ❤\ufe0f\u200d🔥 1\ufe0f\u20e3"),
        ("%year%/%month%-%day% %hour%%minute%%second%", "%year%/%month%-%day% %hour%%minute%%second%"),
        ("5% to 10%", "5% to 10%"),
        ("CONsole", "CONsole"),
    ],
)
@pytest.mark.parametrize("windows", [False, True])
def test_both_slashes_part_on_every_system(prefix: str, path: str, windows: bool) -> None:
    assert "/".join(parts_below(prefix, DEFAULT, windows)) == path


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("..", "inside ComfyUI's output folder"),
        ("../cat", "inside ComfyUI's output folder"),
        ("..\\cat", "inside ComfyUI's output folder"),
        ("a/../../cat", "inside ComfyUI's output folder"),
        ("/cat", "inside ComfyUI's output folder"),
        ("\\\\server\\share\\cat", "inside ComfyUI's output folder"),
        ("C:\\cat", "inside ComfyUI's output folder"),
        ("C:/cat", "inside ComfyUI's output folder"),
        ("~/cat", "Write that folder's path"),
        ("a/~/cat", "Write that folder's path"),
        (".cat", "Leave the dot out"),
        ("...", "Leave the dot out"),
        ("EchoGen/.hidden/cat", "Leave the dot out"),
        ("cat\nfish", "U+000A"),
        ("a\0b", "U+0000"),
        ("tab\tcat", "U+0009"),
        ("\ud800", "U+D800"),
        ("cat\u202egnp", "U+202E"),
        *(
            (name, f"U+{ord(letter):04X}")
            for letter in "\u200b\u3164\u2800\u115f\u1160\uffa0\u00ad\u2060\ufeff\u200e\u200c\u200d"
            for name in (letter, f"{letter}x", f"a/x{letter}", f"x{letter}y/a")
        ),
        ("\ufe0f", "nothing that can be seen"),
        ("x" * 201, "201 bytes, of 200"),
        ("猫" * 67, "201 bytes, of 200"),
        *(
            (f"a/{token}-b", f"{token} is not filled in here")
            for token in ("%KSampler.seed%", "%date%", "%seed%", "%Year%", "%width%", "%Date:yyyy%", "%time%")
        ),
    ],
)
def test_what_no_system_should_hold_is_refused(prefix: str, says: str, windows: bool) -> None:
    with pytest.raises(ValueError) as caught:
        parts_below(prefix, DEFAULT, windows)
    assert says in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a:b", "Windows allows no :"),
        ('who?*"<>|', "Windows allows no"),
        ("CON", "device"),
        ("nul.txt", "device"),
        ("Aux", "device"),
        ("com1", "device"),
        ("LPT¹", "device"),
        ("cat.", "dot or space"),
    ],
)
def test_what_windows_refuses_is_refused_there_alone(name: str, says: str, tmp_path: Path) -> None:
    assert says in name_fault(name, windows=True)
    assert not name_fault(name, windows=False)


def test_a_colon_is_no_drive_where_there_are_none() -> None:
    assert parts_below("y:z", DEFAULT, windows=False) == ["y:z"]
    for prefix in ("y:z", "c:"):
        with pytest.raises(ValueError, match="drives"):
            parts_below(prefix, DEFAULT, windows=True)


def test_dates_are_filled_in_as_comfyui_does() -> None:
    now = datetime(2026, 3, 5, 7, 8, 9)
    for text, filled in (
        ("%date:yyyy-MM-dd%/cat", "2026-03-05/cat"),
        ("%date:yy.M.d hh-mm-ss%", "26.3.5 07-08-09"),
        ("cat %date:hms%", "cat 789"),
        ("%date%, 50 % %year%", "%date%, 50 % %year%"),
    ):
        assert fill_dates(text, now) == filled
