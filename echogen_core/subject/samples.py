"""The packaged sample pictures: a first subject to try, with credits beside them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..pictures import open_picture

FOLDER = Path(__file__).resolve().parents[1] / "assets" / "samples"
_KINDS = {".png", ".jpg", ".jpeg", ".webp"}


def sample_names(folder: Path = FOLDER) -> list[str]:
    """File names of the samples, sorted."""
    return sorted(path.name for path in folder.glob("*") if path.suffix.lower() in _KINDS)


def open_sample(name: str, folder: Path = FOLDER) -> Image.Image:
    """One sample, upright. Raises ValueError with the choices when there is none of that name."""
    if name not in sample_names(folder):
        choices = ", ".join(sample_names(folder)) or "none: the pack is incomplete, install it again"
        raise ValueError(f"No sample picture {name!r}. Choices: {choices}.")
    return open_picture(folder / name)
