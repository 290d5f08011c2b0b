"""DreamBench as it was published: github.com/google/dreambooth, or a folder of that layout.

    dataset/prompts_and_classes.txt  subjects with their class words, a list of prompts for each of two kinds
    dataset/<subject>/NN.jpg         four to six pictures of each subject

The numbers of subjects, prompts and pictures are those of the folder: 30, 25 and 4 to 6 in the published one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..pictures import open_picture
from ..utils.printable import counted

logger = logging.getLogger(__name__)

LIST = "prompts_and_classes.txt"
LIVE_CLASSES = frozenset({"cat", "dog"})
"""The list gives live subjects prompts of their own without saying which they are; its README does."""

_PICTURES = {".jpg", ".jpeg", ".png"}
_SUBJECT = re.compile(r"^([\w-]+),([\w -]+)$", re.MULTILINE)
_PROMPT = re.compile(r"^'(.*\{0\} \{1\}.*)'\.format\(", re.MULTILINE)


@dataclass(frozen=True)
class Subject:
    """One subject: its folder's name, its class word, its place in the list (from 0), its real pictures."""

    name: str
    word: str
    place: int
    pictures: tuple[Path, ...]

    @property
    def live(self) -> bool:
        """Whether the subject is an animal, which has prompts of its own."""
        return self.word in LIVE_CLASSES


@dataclass(frozen=True)
class DreamBench:
    """Chosen subjects in the list's order, and the prompts of both kinds, {} standing for the class word."""

    subjects: tuple[Subject, ...]
    object_prompts: tuple[str, ...]
    live_prompts: tuple[str, ...]

    def prompts(self, subject: Subject) -> list[str]:
        """What the model is asked for, and what CLIP-T compares with: the class word, no invented token."""
        templates = self.live_prompts if subject.live else self.object_prompts
        return [template.format(subject.word) for template in templates]


class PromptList(NamedTuple):
    """What the list says: (subject, class word) in order, and both kinds of prompts."""

    subjects: list[tuple[str, str]]
    object_prompts: tuple[str, ...]
    live_prompts: tuple[str, ...]


def read_dreambench(folder: Path, chosen: Sequence[str] = (), prompts: int | None = None) -> DreamBench:
    """The benchmark in a folder (the repository, or its `dataset`).

    chosen: subjects by name, or one number for the first so many of the list; none for all. prompts: the
    first so many of each kind. Every picture is opened, so that nothing fails hours later.
    Raises FileNotFoundError without a list, ValueError naming every subject whose folder is missing, empty or
    holds a broken picture.
    """
    root = next((place for place in (folder, folder / "dataset") if (place / LIST).is_file()), None)
    if root is None:
        raise FileNotFoundError(
            f"There is no {LIST} in {folder} or {folder / 'dataset'}: expected DreamBench as published, for "
            "example a clone of github.com/google/dreambooth."
        )
    listed = read_list(root / LIST)
    if prompts is not None and prompts < 1:
        raise ValueError(f"Expected at least one prompt a subject, got {prompts}.")
    subjects, faults = [], []
    wanted = _chosen(listed.subjects, chosen)
    for place, (name, word) in enumerate(listed.subjects):
        if name in wanted:
            pictures, found = _pictures(root / name)
            faults += found
            subjects.append(Subject(name, word, place, pictures))
    if faults:
        raise ValueError(
            f"{counted(len(faults), 'fault')} in {root}:\n  "
            + "\n  ".join(faults)
            + "\nGet these files again, or choose "
            "other subjects with --subjects."
        )
    return DreamBench(tuple(subjects), listed.object_prompts[:prompts], listed.live_prompts[:prompts])


def read_list(path: Path) -> PromptList:
    """The list of subjects, classes and prompts. Raises ValueError when a part of it is missing."""
    text = path.read_text(encoding="utf-8")
    classes, _, rest = text.partition("\nPrompts")
    objects, _, live = rest.partition("Live Subject Prompts")
    subjects = [pair for pair in _SUBJECT.findall(classes) if pair != ("subject_name", "class")]
    kinds = [tuple(t.replace("{0} {1}", "{}") for t in _PROMPT.findall(part)) for part in (objects, live)]
    parts = {"subjects with classes": subjects, "prompts of objects": kinds[0], "of live subjects": kinds[1]}
    if missing := [what for what, found in parts.items() if not found]:
        raise ValueError(f"{path} has no {', no '.join(missing)}: expected the published file, get it again.")
    return PromptList(subjects, *kinds)


def _chosen(listed: Sequence[tuple[str, str]], chosen: Sequence[str]) -> set[str]:
    names = [name for name, _ in listed]
    if len(chosen) == 1 and chosen[0].isdecimal() and int(chosen[0]) > 0:
        return set(names[: int(chosen[0])])
    if unknown := [name for name in chosen if name not in names]:
        raise ValueError(
            f"No subject {', '.join(unknown)}: expected a number above 0 or names out of {', '.join(names)}."
        )
    return set(chosen or names)


def _pictures(folder: Path) -> tuple[tuple[Path, ...], list[str]]:
    """The readable pictures of a subject, by name, and what is wrong with the folder."""
    if not folder.is_dir():
        return (), [f"{folder.name}: the folder is missing"]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _PICTURES)
    if not paths:
        return (), [f"{folder.name}: no picture in it (expected NN.jpg)"]
    faults = []
    for path in paths:
        try:
            open_picture(path)
        except (OSError, ValueError) as error:
            faults.append(f"{folder.name}: {error}")
    return tuple(paths), faults
