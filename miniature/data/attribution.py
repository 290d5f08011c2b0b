"""The attribution file that goes with trained weights: the works they were trained on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LICENCES = {
    "CC0-1.0": "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "CC BY 3.0, https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-US": "CC BY 3.0 US, https://creativecommons.org/licenses/by/3.0/us/",
}


ICONS = "Fluent Emoji 3D (package @lobehub/fluent-emoji-3d), MIT, Microsoft and LobeHub: icons."


def attribution(data: Path) -> str:
    """The attribution of a miniature trained on a prepared data folder, as Markdown."""
    rows = json.loads((data / "subjects" / "subjects.json").read_text("utf-8"))
    scenes = json.loads((data / "scenes" / "scenes.json").read_text("utf-8"))
    sources = [s["source"] for s in scenes if s["split"] == "train" and "hdri" in s.get("source", "")]
    names = [Path(source).name for source in sources]
    return attribution_text([row for row in rows if row["split"] == "train"], [ICONS, panoramas_line(names)])


def panoramas_line(names: Iterable[str]) -> str:
    """The line for panoramas of @pmndrs/assets."""
    return f"Panoramas of the package @pmndrs/assets, CC0 1.0: {', '.join(names)}."


def attribution_text(models: Iterable[Mapping[str, Any]], others: Iterable[str]) -> str:
    """Markdown that lists every 3-D model (source, licence, creator, name) and the other sources."""
    lines = [
        "# Attribution",
        "",
        "The weights were trained on pictures rendered by this project from the following works, which are",
        "not part of the pack themselves.",
        "",
    ]
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for model in models:
        groups[(model["source"], model["licence"])].append(model)
    for (source, licence), members in sorted(groups.items()):
        lines += [
            f"## {source.split('/')[-1]} collection of Sweet Home 3D ({len(members)} models)",
            "",
            f"{LICENCES.get(licence, licence)}. Changes: rendered to pictures, recoloured, mirrored.",
            "",
        ]
        creators: dict[str, list[str]] = defaultdict(list)
        for model in members:
            creators[model["creator"] or "unnamed"].append(model["name"])
        lines += [f"- {creator}: {'; '.join(sorted(names))}" for creator, names in sorted(creators.items())]
        lines.append("")
    return "\n".join([*lines, "## Others", "", *(f"- {other}" for other in others), ""])
