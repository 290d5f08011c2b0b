"""The reference picture's file: a packaged sample, or the artist's own in one of ComfyUI's folders.

An own file comes before a sample of the same name: it is the one that the front end shows.
"""

from __future__ import annotations

from pathlib import Path

from echogen_core.subject import samples

from . import adapters

_ADVICE = "It may have been moved or deleted. Choose another picture, or drop the file on the node again."


def choices() -> list[str]:
    """Entries of the drop-down: the pack's pictures, then those in ComfyUI's input folder."""
    packaged = [*samples.sample_names(), *samples.sample_names(samples.GROUNDS)]
    return list(dict.fromkeys([*packaged, *adapters.input_pictures()]))


def find(name: object) -> Path:
    """The file of an entry, or of a name such as 'photo.png [output]'. Raises as `annotated_file`."""
    try:
        return adapters.annotated_file(name, _ADVICE)
    except FileNotFoundError:
        sample = sample_of(name)
        if sample is None:
            raise
        return sample


def sample_of(name: object) -> Path | None:
    """The file of a packaged picture; None for any other name, and where an own file has that name."""
    sample = samples.find_packaged(name)
    if sample is None:
        return None
    try:
        adapters.annotated_file(name, _ADVICE)
    except FileNotFoundError:
        return sample
    return None
