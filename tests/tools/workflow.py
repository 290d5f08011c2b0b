"""UI workflows (what the browser saves) and API graphs (what the server runs): making and converting them."""

from __future__ import annotations

from typing import Any

CONTROLS = ("fixed", "increment", "decrement", "randomize")
_NOTES = ("Note", "MarkdownNote")
_MUTED, _BYPASSED = 2, 4
_SOCKET_ONLY = "forceInput"


def widgets_of(info: dict[str, Any]) -> list[tuple[str, bool]]:
    """Names of a node's widgets in order, from its /object_info entry; and whether a seed control follows."""
    widgets = []
    for kind in ("required", "optional"):
        for name in info["input_order"].get(kind, []):
            spec = info["input"][kind][name]
            options = spec[1] if len(spec) > 1 else {}
            is_widget = isinstance(spec[0], list) or spec[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
            if is_widget and not options.get(_SOCKET_ONLY):
                widgets.append((name, bool(options.get("control_after_generate"))))
    return widgets


def widget_values(node: dict[str, Any], info: dict[str, Any]) -> dict[str, Any]:
    """A UI node's widget values by name; optional ones at the end may be absent, as in older workflows.

    Raises ValueError when there are more or fewer than widgets.
    """
    values = list(node.get("widgets_values") or [])
    found: dict[str, Any] = {}
    for name, has_control in widgets_of(info):
        if not values and name in info["input_order"].get("optional", []):
            continue
        if not values:
            raise ValueError(f"{node['type']}: no value for {name}")
        found[name] = values.pop(0)
        if has_control and values and values[0] in CONTROLS:
            values.pop(0)
    if values:
        raise ValueError(f"{node['type']}: {len(values)} values too many: {values}")
    return found


def to_api(workflow: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """The API graph of a UI workflow; notes and muted nodes are left out.

    Raises ValueError for what it cannot convert: bypassed nodes, and widget values that do not fit.
    """
    links = {link[0]: (str(link[1]), link[2]) for link in workflow["links"]}
    graph: dict[str, Any] = {}
    for node in sorted(workflow["nodes"], key=lambda node: int(node["id"])):
        if node["type"] in _NOTES or node.get("mode") == _MUTED:
            continue
        if node.get("mode") == _BYPASSED:
            raise ValueError(f"{node['type']} is bypassed: not supported here")
        inputs = widget_values(node, object_info[node["type"]])
        for socket in node.get("inputs", []):
            if socket.get("link") is not None:
                source, slot = links[socket["link"]]
                inputs[socket["name"]] = [source, slot]
        title = node.get("title") or object_info[node["type"]]["display_name"]
        graph[str(node["id"])] = {"inputs": inputs, "class_type": node["type"], "_meta": {"title": title}}
    return graph
