"""Writes locales/en/nodeDefs.json from the nodes' schemas. Run with COMFYUI_PATH set:

python tests/tools/make_locale.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCALE = ROOT / "locales" / "en" / "nodeDefs.json"


def node_texts(schema: Any) -> dict[str, Any]:
    """The texts of one node in the frontend's form: dots are not allowed in keys, outputs go by position."""
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": {
            field.id: {"name": field.display_name or field.id, "tooltip": field.tooltip}
            for field in schema.inputs
        },
        "outputs": {
            str(index): {"name": field.display_name or field.io_type, "tooltip": field.tooltip}
            for index, field in enumerate(schema.outputs)
        },
    }


def locale_text(nodes: dict[str, Any]) -> str:
    """The file's content for the pack's nodes by id."""
    texts = {node_id: node_texts(node.GET_SCHEMA()) for node_id, node in sorted(nodes.items())}
    return json.dumps(texts, ensure_ascii=False, indent=2) + "\n"


def main() -> None:
    sys.path.insert(0, str(ROOT / "tests" / "nodes"))
    import comfy_pack

    LOCALE.parent.mkdir(parents=True, exist_ok=True)
    LOCALE.write_text(locale_text(comfy_pack.node_classes()), encoding="utf-8")


if __name__ == "__main__":
    main()
