"""Seconds that the drop-down lists of models take: `python benchmarks/model_lists.py [--files 5000]`.

A temporary set of model folders holds that many small models, laid out as people have them. "flat": LoRAs,
checkpoints, tokenizers, PyTorch files and some that are no weights, side by side; "folders": each in its own;
"hub": each a folder with a config.json; "cache": as the hub's own cache, with links to blobs.
"own": ComfyUI's lists of the same folders, by name alone. "ours": what it asks of this pack's nodes for
/object_info, recognised by content. Cold is the first time, warm the median afterwards, with pauses in which
a user would change something, so that nothing is answered without a look at the disk. "load": one small
tokenizer among all of them, before any list was made, and after.
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
LAYOUTS = ("flat", "folders", "hub", "cache")
PAUSE = 1.0
"""Seconds between two calls; longer than a walk counts as just made."""


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


def write_files(models: Path, count: int, layout: str) -> None:
    """`count` models in the folders of OURS, and the tokenizer that is loaded."""
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
            path, names = place(folder, f"lora_{index:05}.safetensors", layout), lora
        elif choice < 7:
            path, names = place(folder, f"checkpoint_{index:05}.safetensors", layout), checkpoint
        elif choice == 7:
            path, names = place(folder, f"tokenizer_{index:05}.safetensors", layout), tokenizer
        elif choice == 8:
            shutil.copyfile(models / "a.pth", place(folder, f"layers_{index:05}.pth", layout))
            continue
        else:
            place(folder, f"page_{index:05}.safetensors", layout).write_bytes(b"<!doctype html>")
            continue
        header_only(path, names)
    shutil.copyfile(GOLDEN / "vae_tiny_d16_weights.safetensors", models / "vae" / CHOSEN)


def place(folder: Path, name: str, layout: str) -> Path:
    """Where to write a model, so that it lies in a folder of OURS in this layout."""
    if layout == "flat":
        return folder / name
    stem, ending = name.split(".")
    if layout == "folders":
        inside = folder / stem
        inside.mkdir()
        return inside / name
    weights = "pytorch_model.bin" if ending == "pth" else "model.safetensors"
    files = {weights: b"", "config.json": b'{"model_type": "bert"}'}
    if layout == "hub":
        inside = folder / stem
        inside.mkdir()
        (inside / "config.json").write_bytes(files["config.json"])
        return inside / weights
    inside, blobs = (folder / f"models--a--{stem}" / below for below in ("snapshots/1a2b3c", "blobs"))
    inside.mkdir(parents=True)
    blobs.mkdir()
    for file, content in files.items():
        (blobs / file.encode().hex()).write_bytes(content)
        (inside / file).symlink_to(blobs / file.encode().hex())
    return inside / weights


def comfy_folders() -> Any:
    """ComfyUI's folder_paths, which `comfy_pack` has imported."""
    return sys.modules["folder_paths"]


def use_folders(models: Path) -> None:
    """Makes these ComfyUI's model folders."""
    folder_paths = comfy_folders()
    folder_paths.models_dir = str(models)
    folder_paths.filename_list_cache.clear()
    for kind in OURS:
        (models / kind).mkdir(parents=True)
        endings = folder_paths.supported_pt_extensions
        folder_paths.folder_names_and_paths[kind] = ([str(models / kind)], endings)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def own_lists() -> None:
    """ComfyUI's own lists of our folders, through its cache."""
    folder_paths = comfy_folders()
    with folder_paths.cache_helper:
        for kind in OURS:
            folder_paths.get_filename_list(kind)


def our_lists(pack: dict[str, Any]) -> None:
    """What /object_info asks of the pack's nodes."""
    folder_paths = comfy_folders()
    with folder_paths.cache_helper:  # as /object_info does
        for node in pack.values():
            json.dumps(node.GET_NODE_INFO_V1())


def warm(work: Callable[[], object], runs: int) -> float:
    """Median seconds of a call, each after a pause of PAUSE seconds."""

    def after_a_pause() -> float:
        time.sleep(PAUSE)
        return seconds(work)

    return statistics.median(after_a_pause() for _ in range(runs))


def measure(pack: dict[str, Any], layout: str, count: int, runs: int) -> None:
    """Time loading and listing beside `count` files in one layout, and print it."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        use_folders(models)
        our_lists(pack)  # what is computed once, whatever lies in the folders
        write_files(models, count, layout)

        def load() -> None:
            pack["EchoGenLoadTokenizer"].execute(CHOSEN)

        first_load = seconds(load)
        own, ours = seconds(own_lists), seconds(lambda: our_lists(pack))
        time.sleep(3)  # a folder that has just changed is looked through each time
        our_lists(pack)
        own_warm, ours_warm = warm(own_lists, runs), warm(lambda: our_lists(pack), runs)
        load_after = statistics.median(seconds(load) for _ in range(3))
    print(
        f"{layout:8} load first {first_load:.3f} s, after {load_after:.3f} s; lists cold {ours:.3f} s (own "
        f"{own:.3f}), warm {ours_warm:.3f} s (own {own_warm:.3f}, {ours_warm - own_warm:+.3f})",
        flush=True,
    )


def main() -> None:
    """Measure each layout and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--layout", choices=LAYOUTS, help="this one alone")
    args = parser.parse_args()
    pack = comfy_pack.node_classes()
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {args.files} models")
    for layout in [args.layout] if args.layout else LAYOUTS:
        measure(pack, layout, args.files, args.runs)


if __name__ == "__main__":
    main()
