"""What the nodes promise: ids, sockets and widgets that saved workflows rely on, and texts for everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import comfy_pack

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SNAPSHOT = HERE / "schema_snapshot.json"


def described(node: Any) -> dict[str, Any]:
    """What saved workflows depend on: names, types and order of sockets and widgets, defaults and ranges."""
    info = node.GET_NODE_INFO_V1()
    inputs = {}
    for kind in ("required", "optional"):
        for name in info["input_order"].get(kind, []):
            kind_of, options = info["input"][kind][name]
            # what a folder's drop-down lists differs from machine to machine
            listed = name in ("file", "picture")
            wanted = ("default",) if listed else ("default", "min", "max", "step", "options")
            kept = {k: options[k] for k in wanted if k in options}
            inputs[name] = {"kind": kind, "type": kind_of, **kept}
    outputs = list(zip(info["output_name"], info["output"], strict=True))
    return {"category": info["category"], "inputs": inputs, "outputs": [list(pair) for pair in outputs]}


def test_saved_workflows_keep_working(pack: dict[str, Any]) -> None:
    """Widgets are stored by position: append, never reorder or rename. A wanted change: delete the snapshot,
    run once, and read the difference."""
    found = json.loads(json.dumps({node_id: described(node) for node_id, node in sorted(pack.items())}))
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.fail(f"{SNAPSHOT.name} was missing and has been written: read it, commit it.")
    assert found == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_everything_is_explained(pack: dict[str, Any]) -> None:
    for node_id, node in pack.items():
        schema = node.GET_SCHEMA()
        assert node_id.startswith("EchoGen") and schema.category.startswith("EchoGen/")
        assert schema.display_name and len(schema.description) > 20, node_id
        for field in (*schema.inputs, *schema.outputs):
            assert field.tooltip and field.tooltip.endswith((".", "…")), (
                f"{node_id}.{field.id} has no tooltip"
            )


def test_numbers_have_a_range(pack: dict[str, Any]) -> None:
    for node_id, node in pack.items():
        for field in node.GET_SCHEMA().inputs:
            if field.get_io_type() in ("INT", "FLOAT"):
                assert field.min is not None and field.max is not None, f"{node_id}.{field.id}"
                assert field.min <= field.default <= field.max, f"{node_id}.{field.id}"


def test_each_node_has_a_help_page_that_names_its_inputs(pack: dict[str, Any]) -> None:
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "web" / "docs").glob("*.md")}
    assert set(pages) == set(pack)
    for node_id, node in pack.items():
        page = pages[node_id]
        assert "## Example" in page and "## Typical errors" in page, node_id
        for field in node.GET_SCHEMA().inputs:
            assert (field.display_name or field.id) in page, f"{node_id}.md does not mention {field.id}"


def test_the_english_texts_are_those_of_the_schemas(pack: dict[str, Any]) -> None:
    import make_locale

    assert make_locale.LOCALE.read_text(encoding="utf-8") == make_locale.locale_text(pack), (
        "run tests/tools/make_locale.py"
    )


def test_a_newer_comfyui_gets_what_it_knows(pack: dict[str, Any]) -> None:
    adapters = comfy_pack.pack_module("nodes.adapters")

    class Newer:
        def __init__(self, name: str, advanced: bool = False) -> None:
            self.advanced = advanced

    class Older:
        def __init__(self, name: str) -> None:
            self.name = name

    assert adapters.advanced(Newer, "tau").advanced
    assert adapters.advanced(Older, "tau").name == "tau"
