"""The record of each picture that is made and scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ..utils.work_log import WorkLog
from ..utils.writing import write_picture


class Key(NamedTuple):
    """Which picture: variant, subject, and the indices of the prompt and of the picture, from 0."""

    variant: str
    subject: str
    prompt_index: int
    picture: int

    @property
    def path(self) -> str:
        """Its path below the output folder."""
        return f"pictures/{self.variant}/{self.subject}/{self.prompt_index:02d}_{self.picture}.png"


@dataclass(frozen=True)
class Record:
    """One row of raw scores. real_pictures: number of pictures that DINO and CLIP-I are averaged over."""

    variant: str
    subject: str
    subject_class: str
    live: bool
    prompt_index: int
    prompt: str
    picture: int
    seed: int
    real_pictures: int
    dino: float
    clip_i: float
    clip_t: float

    @property
    def key(self) -> Key:
        """What the picture is found by."""
        return Key(self.variant, self.subject, self.prompt_index, self.picture)

    @property
    def path(self) -> str:
        """Its picture's path below the output folder."""
        return self.key.path


def write_png(image: Image.Image, path: Path, optimize: bool = False) -> None:
    """Store a picture, whole or not at all. optimize: smaller, but slower to write."""
    write_picture(path, image, "PNG", optimize=optimize)


class Log(WorkLog[Record]):
    """The records of an output folder, in scores-<process>.jsonl."""

    def __init__(self, folder: Path, process: int = 0) -> None:
        """Earlier versions called the variant "arm"."""
        super().__init__(folder, "scores", Record, process, {"arm": "variant"})
