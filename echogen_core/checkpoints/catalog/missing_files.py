"""What to say where a published model's files are not installed: their size, the command, then the links.

ComfyUI's error dialogs centre the text, so empty lines part it, not indentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...config import TITLES
from .installed import FoundParts
from .published_models import PUBLISHED, PublishedPart

_BEFORE_COMMAND = (
    "To download {them}, run this in the pack's folder with ComfyUI's Python, then run again (no restart):"
)


def missing_model_message(
    model: str, found: FoundParts, folders: Mapping[str, Path], alternative: str = ""
) -> str | None:
    """What a published model still lacks; None: nothing.

    folders: kind -> where its file belongs. alternative: a line about what works without a download.
    """
    parts = PUBLISHED[model]
    absent = [part for part in parts if part.kind not in found.paths]
    if not absent:
        return None
    command = "" if _unpublished(absent) else _command("it" if len(absent) == 1 else "them", model)
    links = [_link(part, folders[part.kind]) for part in absent if part.hub]
    wrong = [f"Right name, wrong file: {reason}" for reason in found.unfit.values()]
    return _apart(_headline(TITLES[model], absent, len(parts)), command, alternative, *wrong, *links)


def missing_part_message(kind: str, name: object, folder: Path) -> str | None:
    """The same for one part of a published model; None for a name that is not published."""
    for model, parts in PUBLISHED.items():
        for part in parts:
            if (part.kind, part.name) == (kind, name):
                if not part.hub:
                    return f"{part.name} can't be installed: its authors have not published it."
                title = f"{part.name} is not installed: about {_total([part])}."
                return _apart(title, _command("it", f"{model} {kind}"), _link(part, folder))
    return None


def _headline(title: str, absent: Sequence[PublishedPart], count: int) -> str:
    if unpublished := _unpublished(absent):
        return f"{title} can't be installed: its authors have not published {', '.join(unpublished)}."
    if len(absent) == count:
        return f"{title} is not installed: {count} files, about {_total(absent)}."
    missing = "is missing" if len(absent) == 1 else "are missing"
    return f"{title} is not complete: {len(absent)} of its {count} files {missing}, about {_total(absent)}."


def _command(them: str, what: str) -> str:
    return f"{_BEFORE_COMMAND.format(them=them)}\npython -m echogen_core models download {what}"


def _link(part: PublishedPart, folder: Path) -> str:
    """A file's size, where it comes from and into which folder it goes."""
    licence = f"\nfirst {part.licence}" if part.licence else ""
    return f"{part.name} ({part.about})\nfrom {part.source}\ninto {folder}{licence}"


def _apart(*paragraphs: str) -> str:
    return "\n\n".join(filter(None, paragraphs))


def _unpublished(parts: Sequence[PublishedPart]) -> list[str]:
    return [part.name for part in parts if part.hub is None]


def _total(parts: Sequence[PublishedPart]) -> str:
    """Their size, or the least and the most where a file's precision is not documented."""
    least = _rounded(sum(part.gigabytes for part in parts))
    most = _rounded(sum(part.in_fp32 or part.gigabytes for part in parts))
    return f"{least} GB" if least == most else f"{least} to {most} GB"


def _rounded(gigabytes: float) -> str:
    return f"{gigabytes:.0f}" if gigabytes >= 10 else f"{gigabytes:.2g}"
