"""Whose work the miniature was trained on: the attribution file that goes with the weights."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

LICENCES = {
    "CC0-1.0": "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "CC BY 3.0, https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-3.0-US": "CC BY 3.0 US, https://creativecommons.org/licenses/by/3.0/us/",
}


def attribution(data: Path) -> str:
    """Markdown that names every 3-D model by collection, licence and creator, and the other sources."""
    rows = json.loads((data / "subjects" / "subjects.json").read_text("utf-8"))
    scenes = json.loads((data / "scenes" / "scenes.json").read_text("utf-8"))
    panoramas = [s for s in scenes if s["split"] == "train" and "hdri" in s.get("source", "")]
    lines = [
        "# Attribution",
        "",
        "The weights were trained on pictures rendered by this project from the following works, which are",
        "not part of the pack themselves.",
        "",
    ]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["split"] == "train":
            groups[(row["source"], row["licence"])].append(row)
    for (source, licence), members in sorted(groups.items()):
        lines += [
            f"## {source.split('/')[-1]} collection of Sweet Home 3D ({len(members)} models)",
            "",
            f"{LICENCES.get(licence, licence)}. Changes: rendered to pictures, recoloured, mirrored.",
            "",
        ]
        creators: dict[str, list[str]] = defaultdict(list)
        for row in members:
            creators[row["creator"] or "unnamed"].append(row["name"])
        lines += [f"- {creator}: {'; '.join(sorted(names))}" for creator, names in sorted(creators.items())]
        lines.append("")
    lines += [
        "## Others",
        "",
        "- Fluent Emoji 3D (package @lobehub/fluent-emoji-3d), MIT, Microsoft and LobeHub: icons.",
        "- Panoramas of the package @pmndrs/assets, CC0 1.0: "
        + ", ".join(Path(scene["source"]).name for scene in panoramas)
        + ".",
        "",
    ]
    return "\n".join(lines)
