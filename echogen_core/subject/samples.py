"""The packaged sample pictures: subjects to try, and grounds to put them into, with credits beside them.

A subject's alpha is 1 on the subject. A ground's is 0 where it may change, as the mask editor saves a painted
picture; its colours are there all the same.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..pictures import open_picture

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "samples"
GROUNDS = FOLDER.with_name("grounds")
_KINDS = {".png", ".jpg", ".jpeg", ".webp"}


def sample_names(folder: Path = FOLDER) -> list[str]:
    """File names of the samples, sorted."""
    return sorted(path.name for path in folder.glob("*") if path.suffix.lower() in _KINDS)


def find_packaged(name: object) -> Path | None:
    """The file of a sample or a ground; None for any other name."""
    for folder in (FOLDER, GROUNDS):
        if name in sample_names(folder):
            return folder / str(name)
    return None


def open_sample(name: str, folder: Path = FOLDER) -> Image.Image:
    """One sample, upright. Raises ValueError with the choices when there is none of that name."""
    if name not in sample_names(folder):
        choices = ", ".join(sample_names(folder)) or "none: the pack is incomplete, install it again"
        raise ValueError(f"No sample picture {name!r}. Choices: {choices}.")
    return open_picture(folder / name)
