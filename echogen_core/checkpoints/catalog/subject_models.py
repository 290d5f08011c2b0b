"""The models that find and outline a subject: where their files belong, and which are installed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..identify import SEGMENTATION_MODELS, Identity, model_type
from .installed import MODELS, identify_all
from .walk import Entry, entries


@dataclass(frozen=True)
class Kind:
    """A kind of model on the subject path.

    folders: names of ComfyUI's model folders to search, which well-known packs use too; new files go into the
    first. model_type: the one in a folder's config.json; if that is a key of SEGMENTATION_MODELS, the
    model's single files count as well. fetch: what to download, and from where.
    """

    title: str
    folders: tuple[str, ...]
    model_type: str
    fetch: str


DESCRIBER = Kind(
    "Qwen2.5-VL",
    ("LLM", "prompt_generator", "text_encoders", "echogen"),
    "qwen2_5_vl",
    "the folder Qwen/Qwen2.5-VL-3B-Instruct from the hub (7.5 GB)",
)
DETECTOR = Kind(
    "GroundingDINO",
    ("grounding-dino", "echogen"),
    "grounding-dino",
    "the folder IDEA-Research/grounding-dino-tiny from the hub (0.7 GB), or groundingdino_swint_ogc.pth",
)
SEGMENTER = Kind(
    "SAM",
    ("sams", "echogen"),
    "sam",
    "sam_vit_b_01ec64.pth (0.4 GB) from Segment Anything's page, or the folder facebook/sam-vit-base",
)


def download_hint(kind: Kind) -> str:
    """What to download and where to put it, without the user's own paths: previews and history keep it."""
    return f"Put {kind.fetch}, into models/{kind.folders[0]}; no restart is needed."


def installed(kind: Kind, folders: Iterable[Path]) -> dict[str, Path]:
    """Entry of the drop-down (a path relative to its folder) -> file or folder."""
    known: dict[str, Path] = {}
    for folder in folders:
        files = kind.model_type in SEGMENTATION_MODELS
        for entry, found in (
            identify_all(folder) if files else ((entry, "") for entry in entries(folder, MODELS))
        ):
            if is_a(kind, entry, found):
                known.setdefault(entry.name, Path(entry.place))
    return known


def first_installed(kind: Kind, folders: Iterable[Path]) -> Path | None:
    """The model that is used where none is named: the first by name; None without any."""
    known = installed(kind, folders)
    return known[min(known)] if known else None


def is_a(kind: Kind, entry: Entry, found: Identity | str) -> bool:
    """found: what `identify_or_error` says of a file; a folder is recognised by its config.json alone."""
    if entry.folder:
        return model_type(entry.place, entry.stamp) == kind.model_type
    return not isinstance(found, str) and found.segmentation_model == kind.model_type
