"""The pack inside a real ComfyUI's classes, without its server."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACK = "echogen_pack_under_test"


def comfyui_folder() -> Path:
    """The ComfyUI to test against: named by the environment, or the one that the pack is installed in."""
    named = os.environ.get("ECHOGEN_COMFYUI") or os.environ.get("COMFYUI_PATH")
    folder = Path(named).resolve() if named else ROOT.parents[1]
    if not (folder / "comfy_api").is_dir():
        raise RuntimeError(
            f"{folder} is no ComfyUI: set COMFYUI_PATH to its folder, or use `python run.py test --only "
            "nodes`."
        )
    return folder


def load_pack() -> ModuleType:
    """The pack, imported as ComfyUI imports it, with ComfyUI's own modules on the CPU."""
    if PACK in sys.modules:
        return sys.modules[PACK]
    folder = str(comfyui_folder())
    sys.path[:] = [folder, *(path for path in sys.path if path != folder)]
    import comfy.cli_args

    # ComfyUI's start takes this package before its nodes.py puts the folder of another `utils` in front.
    importlib.import_module("utils")

    comfy.cli_args.args.cpu = True
    spec = importlib.util.spec_from_file_location(PACK, ROOT / "__init__.py")
    assert spec is not None and spec.loader is not None
    pack = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = pack
    spec.loader.exec_module(pack)
    return pack


def node_classes() -> dict[str, Any]:
    """The pack's nodes by id, as ComfyUI registers them."""
    extension = asyncio.run(load_pack().comfy_entrypoint())
    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(extension.get_node_list())}


def pack_module(name: str) -> ModuleType:
    """A module of the pack, such as `nodes.runtime`."""
    node_classes()
    return sys.modules[f"{PACK}.{name}"]


def object_info() -> dict[str, Any]:
    """What /object_info says of the pack's nodes and of ComfyUI's own that the workflows use."""
    ours = node_classes()
    import nodes as comfy_nodes

    info = {node_id: node.GET_NODE_INFO_V1() for node_id, node in ours.items()}
    for name in ("ImageScale", "ImageScaleBy", "SaveImage", "PreviewImage", "LoadImage"):
        node = comfy_nodes.NODE_CLASS_MAPPINGS[name]
        fields = node.INPUT_TYPES()
        info[name] = {
            "input": fields,
            "input_order": {kind: list(names) for kind, names in fields.items()},
            "output": list(node.RETURN_TYPES),
            "output_name": list(getattr(node, "RETURN_NAMES", node.RETURN_TYPES)),
            "display_name": comfy_nodes.NODE_DISPLAY_NAME_MAPPINGS.get(name, name),
        }
    return info


@contextmanager
def bundles_in(folder: Path) -> Iterator[None]:
    """While active, it is ComfyUI's models/echogen."""
    import folder_paths

    before = folder_paths.folder_names_and_paths["echogen"]
    folder_paths.folder_names_and_paths["echogen"] = ([str(folder)], set())
    try:
        yield
    finally:
        folder_paths.folder_names_and_paths["echogen"] = before


def write_random_bundle(folder: Path, seed: int = 0, short: bool = False) -> Path:
    """A bundle of nano's sizes with random weights, as files, for tests of everything but the pictures.

    short: with two blocks, single layers in its encoders and few channels in its tokenizer. All that goes
        over a wire is as large as nano's.
    """
    load_pack()
    node_classes()
    import torch

    from echogen_core.checkpoints import Bundle, save_bundle
    from echogen_core.config import PRESETS
    from echogen_core.encoders import (
        ENCODERS,
        ContentEncoder,
        SemanticEncoder,
        TextEncoder,
        build_tokenizer,
        wrap_tokenizer,
    )
    from echogen_core.model import EchoGenTransformer
    from echogen_core.tokenizer import BitTokenizer

    preset, encoders = PRESETS["nano"], ENCODERS["nano"]
    if short:
        preset = replace(
            preset,
            transformer=replace(preset.transformer, depth=2),
            tokenizer=replace(preset.tokenizer, base_channels=16),
        )
        encoders = replace(
            encoders,
            text=replace(encoders.text, depth=1),
            semantic=replace(encoders.semantic, depth=1),
            content=replace(encoders.content, base_channels=8),
        )
    words = wrap_tokenizer(build_tokenizer(["a toy car on a beach"], 300))
    modules = (
        EchoGenTransformer(preset.transformer),
        BitTokenizer(preset.tokenizer),
        TextEncoder(encoders.text, words),
        SemanticEncoder(encoders.semantic),
        ContentEncoder(encoders.content),
    )
    generator = torch.Generator().manual_seed(seed)
    for module in modules:
        for name, parameter in module.named_parameters():
            scale = 1.0 if name.endswith("norm.weight") else 0.08
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    save_bundle(Bundle(preset, *modules), folder)
    return folder
