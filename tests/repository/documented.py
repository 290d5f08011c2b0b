"""The commands that the pages print, one by one, as a shell would read them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "miniature/README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "echogen_core/assets").rglob("README.md")),
)
PROGRAMS = ("python", "torchrun", "accelerate", "pip", "git", "hf", "pytest", "tensorboard", "npm")
"""First words, without their folder, that make a line of a block a command."""

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_FENCE = re.compile(r"^```(\w*)$")
_FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")


class Command(NamedTuple):
    """Where a command is printed, the environment that it sets, its program and arguments."""

    page: str
    line: int
    environment: dict[str, str]
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return shlex.join(self.words)


def documented_commands(page: str) -> list[Command]:
    """The commands in a page's prose and blocks, fenced without a language or indented by four spaces.

    A backslash continues a line; NAME=value at its beginning is environment, alone on a line a variable.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [Command(page, line, {}, words) for line, words in in_the_prose(text)]
    for number, block in blocks(text):
        variables: dict[str, str] = {}
        for line, command in joined(number, block):
            for part in command.split("; "):
                environment, words = split(Template(part).safe_substitute(variables))
                if not words:
                    variables |= environment
                elif Path(words[0]).name in PROGRAMS:
                    found.append(Command(page, line, environment, tuple(words)))
    return found


def blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, lines) of each block that may hold commands."""
    lines = text.splitlines()
    start, language, indented = 0, "", False
    for number, line in enumerate([*lines, ""], start=1):
        fence = _FENCE.match(line)
        if start and not indented:
            if fence:
                if language in ("", "sh", "bash", "shell", "console"):
                    yield start, lines[start - 1 : number - 1]
                start = 0
        elif fence:
            start, language, indented = number + 1, fence[1], False
        elif line.startswith("    ") and not start and (number == 1 or not lines[number - 2].strip()):
            start, indented = number, True
        elif start and not line.startswith("    "):
            yield start, [kept[4:] for kept in lines[start - 1 : number - 1]]
            start, indented = 0, False


def in_the_prose(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(line, words) of each code span that is a command.

    A module that is only named, without options, is asked for its help.
    """
    prose = _FENCED.sub(lambda block: "\n" * block[0].count("\n"), text)
    for span in _SPAN.finditer(prose):
        words = split(span[1])[1]
        if len(words) < 2 or Path(words[0]).name not in PROGRAMS:
            continue
        if words[:2] == ["python", "-m"] and not any(word.startswith("-") for word in words[2:]):
            words.append("--help")
        yield prose.count("\n", 0, span.start()) + 1, tuple(words)


def joined(first: int, block: list[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, those that a backslash continues put together."""
    start, text = first, ""
    for number, line in enumerate(block, start=first):
        start = start if text else number
        text += line.strip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            yield start, text
            text = ""


def split(text: str) -> tuple[dict[str, str], list[str]]:
    """Environment and words of a line; nothing of a line that no shell can read."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return {}, []
    environment: dict[str, str] = {}
    while words and (match := _ASSIGNMENT.fullmatch(words[0])):
        environment[match[1]] = match[2]
        words.pop(0)
    return environment, words
