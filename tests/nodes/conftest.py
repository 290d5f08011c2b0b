"""Fixtures: the pack's node classes in a real ComfyUI, and a tiny set of models with random weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parent))  # at the end: ComfyUI's own `nodes` must stay the first

import comfy_pack


@dataclass(frozen=True)
class Models:
    """What Load EchoGen gives, with random weights."""

    model: Any
    tokenizer: Any
    text_encoder: Any
    semantic_encoder: Any
    content_encoder: Any


@pytest.fixture(scope="session")
def pack() -> dict[str, Any]:
    """Node classes by id, registered with ComfyUI as well."""
    classes = comfy_pack.node_classes()
    import nodes as comfy_nodes

    comfy_nodes.NODE_CLASS_MAPPINGS.update(classes)
    return classes


@pytest.fixture(scope="session")
def models(pack: dict[str, Any]) -> Models:
    """nano's sizes, random weights."""
    return Models(*comfy_pack.random_models())


@pytest.fixture(autouse=True)
def temp_folder(tmp_path: Path, pack: dict[str, Any]) -> Iterator[None]:
    """ComfyUI's temporary files go to the test's own folder; as in a prompt, no gradients are kept."""
    import folder_paths

    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(tmp_path))
    with torch.inference_mode():
        yield
    folder_paths.set_temp_directory(before)
