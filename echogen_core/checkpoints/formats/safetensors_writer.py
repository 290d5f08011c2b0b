"""Writes safetensors files one tensor at a time: whole files or none, of any size.

Layout of the format: length of the header (8 bytes, little endian), the header as JSON padded with spaces,
then the tensors without gaps. Source: the safetensors format specification.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ...utils.writing import Target, write_atomically

DTYPES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_safetensors(target: Target, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """As `stream_safetensors`, of tensors that are all at hand."""
    return stream_safetensors(target, tensors, tensors.items(), metadata)


def stream_safetensors(
    target: Target,
    layout: Mapping[str, Tensor],
    tensors: Iterable[tuple[str, Tensor]],
    metadata: Mapping[str, str],
) -> Path:
    """Writes a file that appears whole or not at all; returns its path. See writing.write_atomically.

    Args:
        layout: name -> a tensor of its shape and type (on the meta device, say).
        tensors: the tensors themselves, each once, in any order; asked for one by one.
    Raises:
        OSError: the disk is full or cannot be written. Nothing is left behind, an earlier file stays.
    """
    header, offsets, size = _lay_out(layout, metadata)

    def fill(file: BinaryIO) -> None:
        file.write(header)
        for name, tensor in tensors:
            expected = layout[name]
            assert tensor.dtype == expected.dtype and tensor.shape == expected.shape, name
            file.seek(offsets.pop(name))
            file.write(_bytes(tensor))
        assert not offsets, f"never came: {list(offsets)}"

    return write_atomically(target, fill, size)


def _lay_out(layout: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[bytes, dict[str, int], int]:
    """The file's first bytes, where in the file each tensor begins, and the file's size."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    ends: dict[str, tuple[int, int]] = {}
    end = 0
    # The largest types first: each tensor then begins at a multiple of its own.
    for name in sorted(layout, key=lambda name: (-layout[name].element_size(), name)):
        tensor = layout[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        ends[name] = (begin, end)
        entries[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    return header, {name: len(header) + begin for name, (begin, _) in ends.items()}, len(header) + end


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return flat.numpy().data
