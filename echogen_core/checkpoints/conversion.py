"""Any accepted form of a part to one safetensors file of ours, tensor by tensor.

Memory: one tensor in two types, half a gigabyte of mapped file (see adapter.iter_tensors), and the whole
input if it is in torch's older stream format.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..dtypes import FP8
from ..encoders import TOKENIZER_FILE, parse_tokenizer
from ..encoders.text import tokenizer_text
from .adapter import (
    base_digests,
    base_mismatch,
    base_names,
    check_frozen,
    iter_tensors,
    tensor_digests,
    total_digest,
)
from .empty_state import empty_state
from .format import BASE_NAME, BASE_SHA256, SOURCE_SHA256, TOKENIZER, WEIGHTS, write_metadata
from .formats.safetensors_writer import stream_safetensors
from .identify import identify
from .load import is_finite
from .quantised import MATRICES, SCALE, match_scales
from .source import Source, read_source

Progress = Callable[[int, int], None]
"""Called with the bytes written and those that there are."""


@dataclass(frozen=True)
class Conversion:
    """What to make: type of the weights (None: as stored), whether of the subject parameters alone.

    base: the base file: what `adapter_only` leaves out, or what an input without it belongs to.
    vocabulary: text encoders: tokenizer.json, where it is neither in the input nor beside it.
    """

    dtype: torch.dtype | None = None
    adapter_only: bool = False
    base: Path | None = None
    vocabulary: Path | None = None


def convert(path: str | Path, out: str | Path, settings: Conversion, progress: Progress) -> Path:
    """Write the part at `path` as a safetensors file that `load` reads.

    A matrix is stored in the type asked for. What the model holds in float32 whatever the type of its
    matrices keeps its own type, so that nothing is lost that would be used.

    Raises:
        FileNotFoundError, ValueError: as `load`, and for weights that the type cannot hold, a part without
            matrices in FP8, or a base that is another model's. OSError: no room. Nothing is written then.
    """
    path, out = Path(path), Path(out)
    source = read_source(path, base=settings.base)
    _check_request(source, out, settings)
    names = list(source.state)
    extra = {SOURCE_SHA256: json.dumps({file.name: file_digest(file) for file in source.raw.files})}
    if source.kind == "text":
        extra[TOKENIZER] = _tokenizer(source, settings.vocabulary)
    if settings.adapter_only:
        extra |= _base_facts(source, settings)
        frozen = set(base_names(source.config))
        names = [name for name in names if name not in frozen]
    layout = _layout(source, names, settings.dtype)
    if any(name.endswith(SCALE) for name in layout):
        extra[WEIGHTS] = "fp8"
    tensors = _tensors(source, names, layout, progress)
    return stream_safetensors(out, layout, tensors, write_metadata(source.kind, source.config) | extra)


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _check_request(source: Source, out: Path, settings: Conversion) -> None:
    """Raises ValueError for a request that can't be met, and for options that would have no effect."""
    inputs = [*source.raw.files, *([settings.base] if settings.base else [])]
    title, is_adapter = source.identity.title, source.identity.adapter
    if out.is_dir() or out.suffix != ".safetensors":
        raise ValueError(f"The output must be a file name ending in .safetensors, got {out}.")
    if out.exists() and any(file.exists() and out.samefile(file) for file in inputs):
        raise ValueError(f"{out} is one of the inputs. Choose another output name.")
    if settings.adapter_only and (source.kind != "transformer" or not source.config.subject):
        raise ValueError(f"--adapter-only expects an EchoGen transformer, got {title}.")
    if settings.adapter_only and settings.base is None:
        raise ValueError(
            "--adapter-only needs --base, the Infinity model that the EchoGen model was trained on "
            "(infinity_2b_reg.pth for echogen_2b.pth)."
        )
    if settings.base is not None and not (settings.adapter_only or is_adapter):
        raise ValueError(
            f"--base has no effect on {title}: nothing of it is missing. Drop --base, or add --adapter-only "
            "to leave the base model out."
        )
    if settings.vocabulary is not None and source.kind != "text":
        raise ValueError(
            f"--tokenizer has no effect on {title}: only a text encoder's file holds one. Drop --tokenizer."
        )
    if settings.dtype == FP8 and source.kind not in (*MATRICES, "transformer"):
        raise ValueError(f"{title} can't be stored in fp8. Choose bf16 or fp16.")


def _tokenizer(source: Source, vocabulary: Path | None) -> str:
    """The content of tokenizer.json, to travel inside the file."""
    path = source.raw.path
    if vocabulary is None and TOKENIZER in source.raw.metadata:
        return source.raw.metadata[TOKENIZER]
    place = vocabulary or (path if path.is_dir() else path.parent)
    file = place / TOKENIZER_FILE if place.is_dir() else place
    if not file.is_file():
        raise FileNotFoundError(
            f"No {TOKENIZER_FILE} at {file}. A text encoder needs its model's tokenizer (the folder "
            "google/flan-t5-xl has one): put it there, or pass it with --tokenizer."
        )
    content = tokenizer_text(file)
    parse_tokenizer(content, file)
    return content


def _base_facts(source: Source, settings: Conversion) -> dict[str, str]:
    """Metadata that name the base; ValueError unless the input's frozen tensors are the base's."""
    base = settings.base
    assert base is not None
    config = source.config
    if title := base_mismatch(identify(base), config):
        raise ValueError(
            f"{base}: expected the base model of {source.identity.title}, got {title}. "
            "Choose the Infinity model that it was trained on."
        )
    digests = base_digests(base, config)
    if not source.identity.adapter:  # one without a base was checked when it was opened
        own = tensor_digests(source.reopened, base_names(config))
        check_frozen(own, digests, base)
    return {BASE_SHA256: total_digest(digests), BASE_NAME: base.name}


def _layout(source: Source, names: list[str], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Name -> shape and type in the new file, FP8 matrices with their scales."""
    held = _held(source, dtype)
    layout: dict[str, Tensor] = {}
    for name in names:
        tensor = source.state[name]
        if name.endswith(SCALE) and name.removesuffix(SCALE) in source.state:
            continue
        if not tensor.is_floating_point():
            raise ValueError(
                f"Expected floating-point weights, got {name} as {_name(tensor.dtype)}. "
                "Get the model in bf16, fp16 or fp32."
            )
        target = tensor.dtype if dtype is None else held.get(name, dtype)
        if target != dtype and target != FP8:
            target = tensor.dtype  # float32 in the model, whatever its matrices are
        layout[name] = torch.empty(tensor.shape, dtype=target, device="meta")
        if target == FP8:
            layout[name + SCALE] = torch.empty((), device="meta")
    return layout


def _held(source: Source, dtype: torch.dtype | None) -> Mapping[str, torch.dtype]:
    """Name -> the type in which the model holds it, where that is not simply `dtype`."""
    if dtype is None:
        return {}
    if source.kind == "transformer":
        return {name: tensor.dtype for name, tensor in empty_state(source.config, dtype).items()}
    if dtype != FP8:
        return {}
    matrix = MATRICES[source.kind]
    return {name: FP8 if matrix.fullmatch(name) else torch.float32 for name in source.state}


def _tensors(
    source: Source, names: list[str], layout: Mapping[str, Tensor], progress: Progress
) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the layout, in the order of the input."""
    total, done = sum(tensor.nbytes for tensor in layout.values()), 0
    for name, tensor in iter_tensors(source.reopened, [name for name in names if name in layout]):
        scale = source.state.get(name + SCALE)
        part = {name: tensor} if scale is None else {name: tensor, name + SCALE: scale}
        for key, value in match_scales(part, layout).items():
            cast = value.to(layout[key].dtype)
            if not is_finite(cast):
                raise ValueError(
                    f"{name} has NaN or infinite values in {_name(cast.dtype)}. "
                    "Choose bf16 or fp32, or download the input again."
                )
            done += cast.nbytes
            yield key, cast
        progress(done, total)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
