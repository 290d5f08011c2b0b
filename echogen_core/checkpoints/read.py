"""Reads weight files without running their code: what is in them, or why they cannot be used.

Formats are recognised by content, not by name: safetensors and torch's zip (both memory-mapped), and torch's
older stream; torch's two are read as data, nothing in them is called. Every failure is a ValueError or
FileNotFoundError, except where the system refuses (OSError: no permission, no memory to map). What a file
claims is checked against its own size before anything is built or unpacked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..utils.json_text import read_json
from ..utils.printable import printable
from .formats.safetensors_header import Header, read_header
from .formats.torch_file import mapping_error, read_torch
from .mismatches import DOWNLOAD_AGAIN, join_names

FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
)
"""What holds the weights in a folder from the hub (transformers' or diffusers'), the preferred first."""


MAX_SHARDS = 1000
MAX_NAME_LENGTH = 200


@dataclass(frozen=True)
class RawFile:
    """What a weight file holds: nested mappings of tensors, and the metadata of a safetensors file.

    files: where the tensors lie. mapped: they are read from there at use, not before; false for torch's older
    stream, which has no place to map from. unreadable: tensors that are left out, name -> form ("sparse").
    """

    path: Path
    tree: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    mapped: bool = True
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def named(self, error: ValueError) -> ValueError:
        """An error with the file's name, and what the file has instead of plain tensors."""
        if not self.unreadable:
            return ValueError(f"{self.path}: {error}")
        forms = join_names([f"{name} ({form})" for name, form in self.unreadable.items()])
        return ValueError(f"{self.path}: {error} These tensors of the file are not plain numbers: {forms}.")

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the outermost level."""
        return {key: value for key, value in self.tree.items() if isinstance(value, Tensor)}

    @property
    def dtype(self) -> torch.dtype:
        """The floating type that most weights are stored in; float32 where there are none."""
        counts: dict[torch.dtype, int] = {}
        branches: list[Mapping[str, Any]] = [self.tree]
        met: set[int] = set()
        while branches:
            branch = branches.pop()
            if id(branch) in met:  # one mapping may stand in many places
                continue
            met.add(id(branch))
            for value in branch.values():
                if isinstance(value, Mapping):
                    branches.append(value)
                elif value.is_floating_point():
                    counts[value.dtype] = counts.get(value.dtype, 0) + value.numel()
        return max(counts, key=lambda dtype: counts[dtype], default=torch.float32)


def read_weights(path: str | Path, shapes_only: bool = False) -> RawFile:
    """A weight file, or a folder from the hub with its weight files put together.

    shapes_only: tensors lie on the meta device, and only headers are read: for telling files apart.
    Raises:
        FileNotFoundError: there is nothing, or a folder without weights.
        ValueError: it is empty, cut off, not a weight file, or would run code.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Check the path.")
    if path.is_dir():
        return _read_folder(path, shapes_only)
    if not path.is_file():
        raise ValueError(
            f"{path} is not a regular file (a device or pipe, for example). Expected a weight file."
        )
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is empty (0 bytes); expected weights. {DOWNLOAD_AGAIN}")
    with path.open("rb") as file:
        head = file.read(512)
    if head[8:9] == b"{":
        return _read_safetensors(path, shapes_only)
    if head[:2] == b"PK" or head[:1] == b"\x80":
        zipped = head[:2] == b"PK"
        tree, unreadable = read_torch(path, zipped, shapes_only)
        return RawFile(path, tree, files=(path,), mapped=zipped, unreadable=unreadable)
    found, advice = _describe(head)
    raise ValueError(f"{path} is {found}, not a safetensors or PyTorch weight file. {advice}")


def _describe(head: bytes) -> tuple[str, str]:
    """What a file that holds no weights seems to be, and what to do."""
    text = head.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer (the large file itself was not downloaded)", DOWNLOAD_AGAIN
    if text.startswith((b"<!doctype", b"<html")):
        return "a web page (the site may want you to log in before the download)", DOWNLOAD_AGAIN
    other = "Choose another file; if this is a download, it is damaged."
    return ("a GGUF file" if head.startswith(b"GGUF") else "of an unknown format"), other


def _read_safetensors(path: Path, shapes_only: bool) -> RawFile:
    try:
        header = read_header(path)
        if shapes_only:
            return RawFile(path, header.tensors, header.metadata)
        return RawFile(path, _load(path, header), header.metadata, (path,))
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} is a damaged or truncated safetensors file ({printable(error)}). {DOWNLOAD_AGAIN}"
        ) from error


def _load(path: Path, header: Header) -> dict[str, Tensor]:
    """The tensors, those of types that nothing here computes with as bytes, which no weight may be."""
    if unknown := sorted({kind for kind in header.unloadable.values() if kind.startswith("F6")}):
        raise ValueError(f"numbers of type {join_names(unknown)}, which torch does not support")
    try:
        tensors = load_file(path)
    except RuntimeError as error:
        raise mapping_error(path, error) from error
    except (AttributeError, KeyError) as error:
        kinds = join_names(sorted({*header.unloadable.values()}))
        raise ValueError(f"numbers of type {kinds}, which this version of torch does not support") from error
    return tensors | {name: tensors[name].view(torch.uint8) for name in header.unloadable}


def _read_folder(folder: Path, shapes_only: bool) -> RawFile:
    for name in FOLDER_FILES:
        path = folder / name
        if not path.is_file():
            continue
        if not name.endswith(".index.json"):
            return replace(read_weights(path, shapes_only), path=folder)
        shards = _shards(path)
        absent = [shard for shard in shards if not (folder / shard).is_file()]
        if absent:
            raise FileNotFoundError(
                f"{folder} lacks {join_names(absent)}, which {name} lists. Download them."
            )
        raws = [read_weights(folder / shard, shapes_only) for shard in shards]
        tree: dict[str, Any] = {}
        for raw in raws:
            twice = sorted(tree.keys() & raw.tree.keys())
            if other := [name for name in twice if not _equal_tensors(tree[name], raw.tree[name])]:
                raise ValueError(
                    f"{folder}: several files have the same tensors with different numbers "
                    f"({join_names(other)}). "
                    "Download the whole folder again."
                )
            tree |= raw.tree
        files = tuple(raw.path for raw in raws)
        unreadable = {name: form for raw in raws for name, form in raw.unreadable.items()}
        mapped = all(raw.mapped for raw in raws)
        return RawFile(folder, tree, files=files, mapped=mapped, unreadable=unreadable)
    raise FileNotFoundError(
        f"{folder} has no weights; expected one of {', '.join(FOLDER_FILES)}. Download the whole folder."
    )


def _equal_tensors(one: Any, other: Any) -> bool:
    """Whether two are the same tensor; of those on the meta device, whether they may be."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return False
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return one.is_meta or torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def _shards(index: Path) -> list[str]:
    """The weight files that an index names, each in the index's own folder; ValueError for anything else."""
    try:
        content = read_json(index)
        weight_map = content["weight_map"] if isinstance(content, dict) else None
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise ValueError("expected weight_map, an object of tensor names and file names")
        shards = sorted(set(weight_map.values()))
        if strange := [name for name in shards if _escapes_folder(name) or name.endswith(".index.json")]:
            raise ValueError(f"expected files in its own folder, got {join_names(strange)}")
        if not 0 < len(shards) <= MAX_SHARDS:
            raise ValueError(f"expected 1 to {MAX_SHARDS} files, got {len(shards)}")
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"Can't read the list of weight files in {index} ({printable(error)}). {DOWNLOAD_AGAIN}"
        ) from error
    return shards


def _escapes_folder(name: str) -> bool:
    """Whether a name is more than that of a file in a folder, on any system."""
    return (
        len(name) > MAX_NAME_LENGTH
        or not name.isprintable()
        or any(c in name for c in "/\\:")
        or name in ("", ".", "..")
    )
