"""Types of command-line options: argparse refuses in one line what they don't accept.

Each takes the text of an argument and returns its value, or raises ArgumentTypeError with what was expected.
"""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .file_names import name_fault
from .number_list import parse_number, parse_numbers, parse_whole_numbers
from .number_text import plain_text
from .printable import printable

_LONGEST_LIST = 100  # numbers
_MOST_SEEDS = 10_000
_GROUPED = re.compile(r"[1-9]\d{0,2}([,. ])\d{3}(?:\1\d{3})*")  # thousands


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Whole numbers from `least` to `most`, both included; None: without a limit."""
    expected = f"of at least {least:,}" if most is None else f"from {least:,} to {most:,}"

    def parse(text: str) -> int:
        plain = plain_text(text)
        example = f". Write {re.sub(r'[,. ]', '', plain)}" if _GROUPED.fullmatch(plain) else ""
        try:
            value = int(plain)
        except ValueError:
            value = least - 1
        if value < least or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected a whole number {expected}, got {text!r}{example}")
        return value

    return parse


def number(
    least: float, most: float = math.inf, *, above: bool = False, below: bool = False
) -> Callable[[str], float]:
    """Finite numbers from `least` to `most`. above, below: without `least` itself, without `most` itself."""
    low = f"above {least:g}" if above else f"of at least {least:g}"
    high = f"below {most:g}" if below else f"at most {most:g}"
    expected = low if most == math.inf else f"{low} and {high}"
    if most < math.inf and not above and not below:
        expected = f"from {least:g} to {most:g}"

    def parse(text: str) -> float:
        try:
            value = parse_number(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected a number {expected}, {error}") from None
        fits = (value > least if above else value >= least) and (value < most if below else value <= most)
        if not (fits and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"expected a number {expected}, got {text!r}")
        return value

    return parse


def numbers(least: float, most: float) -> Callable[[str], list[float]]:
    """Lists of at most 100 numbers and ranges from `least` to `most`, as `parse_numbers` reads them.

    For options with nargs="+" and the action `Joined`: one argument may hold several numbers.
    """

    def parse(text: str) -> list[float]:
        try:
            return parse_numbers(text, "list", least, most, _LONGEST_LIST, repeats=True)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).removeprefix("list: ")) from None

    return parse


class Joined(argparse.Action):
    """Stores the lists of several arguments as one list."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, [value for part in values for value in part])


threads = whole(1, 1024)
"""CPU threads."""
LARGEST_SEED = 2**64 - 1
seed = whole(0, LARGEST_SEED)
"""What torch.Generator accepts, without negative numbers."""
gamma = number(0, 8)
"""Guidance weights, in the range of ComfyUI's nodes."""
gammas = numbers(0, 8)
"""Several of them."""
temperature = number(0, above=True)
"""tau, which divides the logits."""


def words(text: str) -> str:
    """A text that isn't blank."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a few words, got an empty text")
    return text


def seeds(text: str) -> list[int]:
    """At most 10,000 seeds, as numbers and ranges: 7; 1, 2, 5; 0-99."""
    try:
        return parse_whole_numbers(text, "seeds", 0, LARGEST_SEED, _MOST_SEEDS)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("seeds: ")) from None


def output_file(text: str) -> Path:
    """A file to write, visible and in no file's place."""
    path = Path(text)
    if text.strip() and (text.endswith(("/", os.sep)) or os.path.isdir(path)):
        raise argparse.ArgumentTypeError(f"expected a file's name, got the folder {text!r}. Add a name to it")
    return _new_path(text, path)


def output_folder(text: str) -> Path:
    """A folder to write to, which there may be already."""
    path = Path(text)
    if os.path.isfile(path):
        raise argparse.ArgumentTypeError(f"expected a folder, got {text!r}: it is a file, not a folder")
    return path if text and os.path.isdir(path) else _new_path(text, path)


def _new_path(text: str, path: Path) -> Path:
    """The path, where each part of it that isn't there yet can be made and seen."""
    if not text.strip():
        raise argparse.ArgumentTypeError("expected a usable name, but it is empty. Write one")
    made = [path, *(parent for parent in path.parents if parent.name and not os.path.exists(parent))]
    for part in made:
        if part.name != ".." and (fault := name_fault(part.name)):
            raise argparse.ArgumentTypeError(f"expected a usable name, got '{printable(part.name)}': {fault}")
    folder = next((parent for parent in path.parents if os.path.exists(parent)), path.parent)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}: {folder} is a file, not a folder")
    return path


def device(name: str) -> str:
    """The name of a device that PyTorch can use on this machine: cpu, cuda, cuda:1, mps, ..."""
    import torch  # takes seconds, which other options don't need

    try:
        wanted = torch.device(name)
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"expected cpu, cuda, cuda:1, mps, ..., got {name!r}") from None
    backend: Any = torch.backends.mps if wanted.type == "mps" else getattr(torch, wanted.type, None)
    if not (hasattr(backend, "is_available") and backend.is_available()):
        raise argparse.ArgumentTypeError(
            f"expected a device of this machine, got {name!r}: {_why_missing(wanted.type)}"
        )
    count = 1 if wanted.type in ("cpu", "mps") else backend.device_count()
    if wanted.index is not None and wanted.index >= count:
        named = wanted.type if count == 1 else f"{wanted.type}:0 to {wanted.type}:{count - 1}"
        raise argparse.ArgumentTypeError(f"expected {named} on this machine, got {name!r}")
    return name


def _why_missing(kind: str) -> str:
    import torch

    if kind != "cuda":
        return f"PyTorch finds no {kind} here. Use cpu."
    if torch.version.cuda is None and torch.version.hip is None:
        return "this PyTorch has no CUDA. Use cpu, or install a CUDA build."
    return "PyTorch finds no GPU. Use cpu, or check the driver."
