"""Fixtures: the pack's node classes in a real ComfyUI, and a tiny set of models with random weights."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parent / "tools")]  # at the end: ComfyUI's own modules must stay the first


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
    import comfy_pack

    classes = comfy_pack.node_classes()
    import nodes as comfy_nodes

    comfy_nodes.NODE_CLASS_MAPPINGS.update(classes)
    gc.collect()
    gc.freeze()  # as after the tests' own imports: tests/conftest.py
    return classes


@pytest.fixture(scope="session")
def models_folder(pack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty models/echogen of ComfyUI's."""
    import comfy_pack

    folder = tmp_path_factory.mktemp("echogen")
    with comfy_pack.bundles_in(folder):
        yield folder


@pytest.fixture(scope="session")
def short_folder(pack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For `comfy_pack.bundles_in`: a short nano, for what more blocks and channels would only ask again."""
    import comfy_pack

    folder = tmp_path_factory.mktemp("short")
    comfy_pack.write_random_bundle(folder / "nano", short=True)
    return folder


@pytest.fixture(scope="session")
def models(pack: dict[str, Any], models_folder: Path, short_folder: Path) -> Models:
    """What Load EchoGen makes of a short bundle with random weights.

    `models_folder` has one of all of nano's sizes.
    """
    import comfy_pack

    comfy_pack.write_random_bundle(models_folder / "nano")
    with comfy_pack.bundles_in(short_folder):
        return Models(*pack["EchoGenLoadBundle"].execute("nano (built in)").result)


@pytest.fixture(scope="module", autouse=True)
def looks(pack: dict[str, Any], kept_looks: None) -> None:
    """In none of these tests more than once at a picture, once the pack is imported as ComfyUI does it."""


@pytest.fixture(scope="module", autouse=True)
def no_dead_models(pack: dict[str, Any]) -> Iterator[None]:
    """No wrapper is left in ComfyUI's list whose model lives on without it.

    ComfyUI would collect garbage at every prompt and load of later tests.
    """
    import comfy.model_management as mm

    yield
    gc.collect()
    assert not [type(entry.real_model()).__name__ for entry in mm.current_loaded_models if entry.is_dead()]


@pytest.fixture(autouse=True)
def temp_folder(tmp_path: Path, pack: dict[str, Any]) -> Iterator[None]:
    """ComfyUI's temporary files go to the test's own folder; as in a prompt, no gradients are kept."""
    import folder_paths

    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(tmp_path))
    with torch.inference_mode():
        yield
    folder_paths.set_temp_directory(before)
