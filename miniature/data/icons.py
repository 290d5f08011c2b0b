"""Icons as further subjects: Fluent Emoji 3D (MIT), one per object, chosen by emojibase-data's groups."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echogen_core.utils.printable import counted
from echogen_core.utils.writing import write_text

from .files import save_array
from .furniture import read_heldout_names

logger = logging.getLogger(__name__)

FILL = 0.9

# emojibase groups and subgroups (en/messages.json). Left out: faces (near-duplicates), hands, gestures,
# roles, families, signs, symbols and flags.
GROUPS = frozenset({3, 4, 5, 6, 7})  # animals, food, travel and places, activities, objects
EXTRA_SUBGROUPS = frozenset({11, 12, 13, 26})  # costumes, cat and monkey faces, fantasy people
# Clock faces, phases of the moon and globes differ in a detail only.
_NEAR_DUPLICATES = ("o’clock", "o'clock", "-thirty", " thirty", "moon", "globe showing")

Array = NDArray[Any]


def select_icons(entries: Iterable[dict[str, Any]], heldout_names: Iterable[str]) -> list[tuple[str, str]]:
    """(hexcode in lower case, label) of one icon per object, in emojibase's order, without near-duplicates.

    Icons of held-out subjects are left out as well: another teddy bear is still a teddy bear.
    """
    heldout = list(heldout_names)
    chosen = []
    for entry in entries:
        group, subgroup = entry.get("group"), entry.get("subgroup")
        if group not in GROUPS and subgroup not in EXTRA_SUBGROUPS:
            continue
        if any(part in entry["label"] for part in _NEAR_DUPLICATES) or shows_one_of(entry["label"], heldout):
            continue
        chosen.append((entry.get("order", 0), entry["hexcode"].lower(), entry["label"]))
    return [(hexcode, label) for _, hexcode, label in sorted(chosen)]


def shows_one_of(label: str, names: Iterable[str]) -> bool:
    """Whether a label contains all words of one of the names, or equals it without spaces."""
    words = set(re.findall(r"\w+", label.casefold()))
    squeezed = "".join(re.findall(r"\w+", label.casefold()))
    for name in names:
        parts = re.findall(r"\w+", name.casefold())
        if set(parts) <= words or "".join(parts) == squeezed:
            return True
    return False


def fit_to_frame(image: Image.Image, size: int, fill: float = FILL) -> Array:
    """RGBA uint8 [size, size, 4]: the visible part centred, its longer side `fill` of the frame.

    Raises ValueError for a picture without a visible part.
    """
    box = image.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    if box is None:
        raise ValueError("Expected a cut-out with a visible part, got a fully transparent picture.")
    side = round(max(box[2] - box[0], box[3] - box[1]) / fill)
    left, top = (box[0] + box[2] - side) // 2, (box[1] + box[3] - side) // 2
    square = image.crop((left, top, left + side, top + side))  # beyond the picture's edge: transparent
    # "RGBa" is premultiplied: resizing straight alpha would draw dark rims from the transparent pixels.
    small = square.convert("RGBa").resize((size, size), Image.Resampling.BOX).convert("RGBA")
    return np.asarray(small)


def prepare_icons(out: Path, npm: Path, size: int) -> int:
    """Writes icons/train_views.npy uint8 [N, 1, size, size, 4] and icons.json; returns N.

    Keeps them if they exist.

    Raises FileNotFoundError, with the install command, when a package is not there.
    """
    target = out / "icons"
    pictures = npm / "@lobehub" / "fluent-emoji-3d" / "assets"
    names = npm / "emojibase-data" / "en" / "data.json"
    for path, package in ((pictures, "@lobehub/fluent-emoji-3d"), (names, "emojibase-data")):
        if not path.exists():
            raise FileNotFoundError(
                f"{path} not found. It is part of the npm package {package}: run `npm install {package}` "
                "in a folder and pass that folder's node_modules with --npm."
            )
    if (target / "train_views.npy").exists() and (target / "icons.json").exists():
        return len(json.loads((target / "icons.json").read_text(encoding="utf-8")))
    target.mkdir(parents=True, exist_ok=True)
    views: list[Array] = []
    records: list[dict[str, Any]] = []
    for hexcode, label in select_icons(json.loads(names.read_text(encoding="utf-8")), read_heldout_names()):
        found = [path for path in _candidates(pictures, hexcode) if path.exists()]
        if not found:
            continue
        with Image.open(found[0]) as image:
            views.append(fit_to_frame(image.convert("RGBA"), size))
        records.append({"id": f"icon-{hexcode}", "name": label, "licence": "MIT", "row": len(records)})
    save_array(target / "train_views.npy", np.stack(views)[:, None])
    write_text(target / "icons.json", json.dumps(records, indent=1, ensure_ascii=False))
    logger.info("%s.", counted(len(records), "icon"))
    return len(records)


def _candidates(folder: Path, hexcode: str) -> list[Path]:
    """File names keep or drop the variation selector fe0f, without a rule."""
    bare = hexcode.replace("-fe0f", "")
    return [folder / f"{name}.webp" for name in (hexcode, bare, f"{bare}-fe0f")]
