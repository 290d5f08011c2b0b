"""Reads weight files without running their code: what is in them, or why they cannot be used.

Formats are told by content, not by name: safetensors (memory-mapped), torch's zip (memory-mapped,
`weights_only`) and torch's older stream. Every failure is a ValueError or FileNotFoundError.
"""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

AGAIN = "Download it again."

ELSEWHERE = (
    "where you trust it, on a machine that may run it, keep its tensors alone: "
    "python -c \"import torch; c = torch.load('IN', weights_only=False); "
    "torch.save(c.get('state_dict', c), 'OUT.pth')\""
)
"""How to make a file that wants code into one of tensors."""

FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
)
"""What holds the weights in a folder from the hub (transformers' or diffusers'), the preferred first."""


@dataclass(frozen=True)
class RawFile:
    """What a weight file holds: nested mappings of tensors, and the metadata of a safetensors file.

    files: where the tensors lie. mapped: they are read from there at use, not before; false for torch's older
    stream, which has no place to map from.
    """

    path: Path
    tree: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    mapped: bool = True

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the outermost level."""
        return {key: value for key, value in self.tree.items() if isinstance(value, Tensor)}

    @property
    def dtype(self) -> torch.dtype:
        """The floating type that most weights are stored in; float32 where there are none."""
        counts: dict[torch.dtype, int] = {}
        branches: list[Mapping[str, Any]] = [self.tree]
        while branches:
            for value in branches.pop().values():
                if isinstance(value, Mapping):
                    branches.append(value)
                elif value.is_floating_point():
                    counts[value.dtype] = counts.get(value.dtype, 0) + value.numel()
        return max(counts, key=lambda dtype: counts[dtype], default=torch.float32)


def read_weights(path: str | Path, shapes_only: bool = False) -> RawFile:
    """A weight file, or a folder from the hub with its weight files put together.

    shapes_only: tensors of safetensors files lie on the meta device; much faster, for telling files apart.
    Raises:
        FileNotFoundError: there is nothing, or a folder without weights.
        ValueError: it is empty, cut off, not a weight file, or would run code.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Check the name, or download the file there.")
    if path.is_dir():
        return _read_folder(path, shapes_only)
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is empty (0 bytes); expected weights. {AGAIN}")
    with path.open("rb") as file:
        head = file.read(512)
    if head[8:9] == b"{":
        return _read_safetensors(path, shapes_only)
    if head[:2] == b"PK" or head[:1] == b"\x80":
        tree = _only_tensors(_read_torch(path), path)
        return RawFile(path, tree, files=(path,), mapped=head[:2] == b"PK")
    raise ValueError(f"{path} is {_describe(head)}, not a safetensors or PyTorch weight file. {AGAIN}")


def _describe(head: bytes) -> str:
    """What a file that holds no weights seems to be."""
    text = head.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (the download left the large file itself out)"
    if text.startswith((b"<!doctype", b"<html")):
        return "a web page (the download was answered with one: a login may be needed)"
    if head.startswith(b"GGUF"):
        return "a GGUF file"
    return "of an unknown format"


def _read_safetensors(path: Path, shapes_only: bool) -> RawFile:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            if shapes_only:
                names = file.keys()
                return RawFile(path, {name: _shape(file.get_slice(name)) for name in names}, metadata)
        return RawFile(path, load_file(path), metadata, (path,))
    except RuntimeError as error:
        raise _unmapped(path, error) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is a damaged or cut off safetensors file ({error}). {AGAIN}") from error


STORED_TYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""Floating types by their names in safetensors files; nothing is asked of the others."""


def _shape(stored: Any) -> Tensor:
    dtype = STORED_TYPES.get(stored.get_dtype(), torch.uint8)
    return torch.empty(stored.get_shape(), dtype=dtype, device="meta")


def _read_torch(path: Path) -> Any:
    """The object in a torch file, by the restricted unpickler that builds tensors and containers only."""
    zipped = zipfile.is_zipfile(path)
    with path.open("rb") as file:
        starts_zipped = file.read(2) == b"PK"
    if starts_zipped and not zipped:
        raise ValueError(f"{path} is cut off: its table of contents is missing. {AGAIN}")
    try:
        # The older stream format has no place for tensors to be mapped from.
        return torch.load(path, map_location="cpu", mmap=zipped, weights_only=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        if re.search(r"unsupported (global|class)|not an allowed global", str(error), re.IGNORECASE):
            raise ValueError(
                f"{path} wants to run code when it is opened, which is refused: {_first_line(error)} "
                f"Expected a file of tensors only: get the safetensors version, or {ELSEWHERE}"
            ) from error
        raise ValueError(f"{path} is no readable PyTorch file ({_first_line(error)}). {AGAIN}") from error
    # A damaged stream makes the unpickler fail in many ways.
    except Exception as error:
        if "mmap" in str(error):
            raise _unmapped(path, error) from error
        raise ValueError(
            f"{path} is a damaged or cut off PyTorch file ({_first_line(error)}). {AGAIN}"
        ) from error


def _unmapped(path: Path, error: Exception) -> OSError:
    gigabytes = path.stat().st_size / 1e9
    return OSError(
        f"{path} ({gigabytes:.1f} GB) cannot be mapped into memory ({_first_line(error)}). Close other "
        "programs or add swap space (a larger page file), so that memory and swap together exceed the file."
    )


def _first_line(error: Exception) -> str:
    """The telling line of torch's long messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "nsupported" in line or "GLOBAL" in line]
    return (telling or lines or ["no reason given"])[0][:200]


def _only_tensors(content: Any, path: Path) -> dict[str, Any]:
    """Mappings and tensors of a checkpoint; optimizer settings, counters and the like are left out."""
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path} holds a {type(content).__name__}, not named tensors. Expected a checkpoint (state dict)."
        )
    tree: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Tensor):
            tree[str(key)] = value
        elif isinstance(value, Mapping):
            tree[str(key)] = _only_tensors(value, path)
    return tree


def _read_folder(folder: Path, shapes_only: bool) -> RawFile:
    for name in FOLDER_FILES:
        path = folder / name
        if not path.is_file():
            continue
        if not name.endswith(".index.json"):
            return replace(read_weights(path, shapes_only), path=folder)
        try:
            shards = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no readable list of weight files ({error}). {AGAIN}") from error
        absent = [shard for shard in shards if not (folder / shard).is_file()]
        if absent:
            raise FileNotFoundError(f"{folder} lacks {', '.join(absent)}, which {name} lists. Download them.")
        raws = [read_weights(folder / shard, shapes_only) for shard in shards]
        tree = {key: value for raw in raws for key, value in raw.tree.items()}
        files = tuple(raw.path for raw in raws)
        return RawFile(folder, tree, files=files, mapped=all(raw.mapped for raw in raws))
    raise FileNotFoundError(
        f"{folder} holds no weights; expected one of {', '.join(FOLDER_FILES)}. Download the whole folder."
    )
