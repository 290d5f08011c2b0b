"""Seconds that the drop-down lists of models take: `python benchmarks/model_lists.py [--files 5000]`.

A temporary set of model folders holds that many small files: LoRAs, checkpoints, tokenizers, PyTorch files,
and some that are no weights. "own": ComfyUI's lists of the same folders, by name alone. "ours": what it asks
of this pack's nodes for /object_info, told by content; cold is the first time, warm the median afterwards.
"load": one small tokenizer among all of them, before any list was made, and after.
`ECHOGEN_COMFYUI` names the ComfyUI folder, whose Python this must be.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests/nodes"))

import comfy_pack

GOLDEN = comfy_pack.ROOT / "tests" / "golden"
KINDS = ("diffusion_models", "vae", "text_encoders", "clip_vision", "echogen")
OURS = (*KINDS, "sams", "grounding-dino", "LLM", "prompt_generator")
CHOSEN = "chosen.safetensors"


def header_only(path: Path, names: dict[str, list[int]]) -> None:
    """A safetensors file of these names and shapes, with a hole for its numbers."""
    header, end = {}, 0
    for name, shape in names.items():
        begin, end = end, end + 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def write_files(models: Path, count: int) -> None:
    """`count` files in the folders of OURS, and the tokenizer that is loaded."""
    lora = {f"lora_unet_block_{i}.{part}.weight": [4, 64] for i in range(64) for part in ("up", "down")}
    checkpoint = {f"model.diffusion_model.input_blocks.{i}.weight": [64, 64] for i in range(400)}
    tokenizer = {
        name: shape for name, (shape, _, _) in json.loads((GOLDEN / "keys_vae_d16.json").read_text()).items()
    }
    torch.save({f"layer.{i}.weight": torch.zeros(2, 2) for i in range(40)}, models / "a.pth")
    for index in range(count - 1):
        folder = models / OURS[index % len(OURS)]
        choice = index // len(OURS) % 10
        if choice < 5:
            header_only(folder / f"lora_{index:05}.safetensors", lora)
        elif choice < 7:
            header_only(folder / f"checkpoint_{index:05}.safetensors", checkpoint)
        elif choice == 7:
            header_only(folder / f"tokenizer_{index:05}.safetensors", tokenizer)
        elif choice == 8:
            shutil.copyfile(models / "a.pth", folder / f"layers_{index:05}.pth")
        else:
            (folder / f"page_{index:05}.safetensors").write_bytes(b"<!doctype html>")
    shutil.copyfile(GOLDEN / "vae_tiny_d16_weights.safetensors", models / "vae" / CHOSEN)


def comfy_folders() -> Any:
    """ComfyUI's folder_paths, which `comfy_pack` has imported."""
    return sys.modules["folder_paths"]


def use_folders(models: Path) -> None:
    """Makes these ComfyUI's model folders."""
    folder_paths = comfy_folders()
    folder_paths.models_dir = str(models)
    for kind in OURS:
        (models / kind).mkdir(parents=True)
        endings = folder_paths.supported_pt_extensions
        folder_paths.folder_names_and_paths[kind] = ([str(models / kind)], endings)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def own_lists() -> None:
    folder_paths = comfy_folders()
    with folder_paths.cache_helper:
        for kind in OURS:
            folder_paths.get_filename_list(kind)


def our_lists(pack: dict[str, Any]) -> None:
    folder_paths = comfy_folders()
    with folder_paths.cache_helper:  # as /object_info does
        for node in pack.values():
            json.dumps(node.GET_NODE_INFO_V1())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=15)
    args = parser.parse_args()
    pack = comfy_pack.node_classes()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {args.files} files")
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        use_folders(models)
        our_lists(pack)  # what is computed once, whatever lies in the folders
        write_files(models, args.files)

        def load() -> None:
            pack["EchoGenLoadTokenizer"].execute(CHOSEN)

        first_load = seconds(load)
        own, ours = seconds(own_lists), seconds(lambda: our_lists(pack))
        own_warm = statistics.median(seconds(own_lists) for _ in range(args.runs))
        ours_warm = statistics.median(seconds(lambda: our_lists(pack)) for _ in range(args.runs))
        load_after = statistics.median(seconds(load) for _ in range(3))
    print(f"load, first   {first_load:8.3f} s")
    print(f"load, after   {load_after:8.3f} s")
    print(f"lists, cold   {ours:8.3f} s   own {own:8.4f} s")
    print(f"lists, warm   {ours_warm:8.3f} s   own {own_warm:8.4f} s   {ours_warm - own_warm:+.3f} s")


if __name__ == "__main__":
    main()
