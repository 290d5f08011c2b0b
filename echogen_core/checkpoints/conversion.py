"""Any accepted form of a part to one safetensors file of ours, tensor by tensor.

Memory: one tensor in two types, half a gigabyte of mapped file (see adapter.in_turn), and, of torch's older
stream format alone, the whole input.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..encoders import TOKENIZER_FILE, parse_tokenizer
from ..encoders.text import tokenizer_text
from ..model import EchoGenTransformer
from ..model.functional import FP8
from .adapter import base_digests, base_names, check_frozen, fault, in_turn, tensor_digests, total_digest
from .format import BASE_NAME, BASE_SHA256, SOURCE_SHA256, TOKENIZER, WEIGHTS, write_metadata
from .identify import identify
from .load import is_finite
from .quantised import MATRICES, SCALE, match_scales
from .safetensors_writer import stream_safetensors
from .source import Source, read_source

logger = logging.getLogger(__name__)

DTYPES: dict[str, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp8": FP8,
    "fp32": torch.float32,
}

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


def convert(path: str | Path, out: str | Path, wanted: Conversion, progress: Progress) -> Path:
    """Write the part at `path` as a safetensors file that `load` reads.

    A matrix is stored in the type asked for. What the model holds in float32 whatever the type of its
    matrices keeps its own type, so that nothing is lost that would be used.

    Raises:
        FileNotFoundError, ValueError: as `load`, and for weights that the type cannot hold, a part without
            matrices in FP8, or a base that is another model's. OSError: no room. Nothing is written then.
    """
    path, out = Path(path), Path(out)
    source = read_source(path, base=wanted.base)
    _check_request(source, out, wanted)
    names = list(source.state)
    extra = {SOURCE_SHA256: json.dumps({file.name: file_digest(file) for file in source.raw.files})}
    if source.kind == "text":
        extra[TOKENIZER] = _tokenizer(source, wanted.vocabulary)
    if wanted.adapter_only:
        extra |= _base_facts(source, wanted)
        frozen = set(base_names(source.config))
        names = [name for name in names if name not in frozen]
    layout = _layout(source, names, wanted.dtype)
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


def _check_request(source: Source, out: Path, wanted: Conversion) -> None:
    inputs = [*source.raw.files, *([wanted.base] if wanted.base else [])]
    if out.is_dir() or out.suffix != ".safetensors":
        raise ValueError(f"Expected a file name that ends in .safetensors to write to, got {out}.")
    if out.exists() and any(file.exists() and out.samefile(file) for file in inputs):
        raise ValueError(f"{out} is read from: choose another name to write to.")
    if wanted.adapter_only and (source.kind != "transformer" or not source.config.subject):
        raise ValueError(
            f"Expected an EchoGen transformer to take subject parameters from, got {source.identity.title}."
        )
    if wanted.adapter_only and wanted.base is None:
        raise ValueError(
            "Expected the base model that the subject parameters belong to: give --base with the Infinity "
            "file (infinity_2b_reg.pth for echogen_2b.pth)."
        )
    if wanted.base is not None and not (wanted.adapter_only or source.identity.adapter):
        logger.warning("The base is not needed: %s is complete.", source.raw.path)
    if wanted.dtype == FP8 and source.kind not in (*MATRICES, "transformer"):
        raise ValueError(f"{source.identity.title} has no matrices to store in FP8: choose bf16 or fp16.")


def _tokenizer(source: Source, vocabulary: Path | None) -> str:
    """The content of tokenizer.json, to travel inside the file."""
    path = source.raw.path
    if vocabulary is None and TOKENIZER in source.raw.metadata:
        return source.raw.metadata[TOKENIZER]
    place = vocabulary or (path if path.is_dir() else path.parent)
    file = place / TOKENIZER_FILE if place.is_dir() else place
    if not file.is_file():
        raise FileNotFoundError(
            f"No {TOKENIZER_FILE} at {file}: a text encoder needs the tokenizer of its model (the folder of "
            "google/flan-t5-xl has one). Put it there, or give it with --tokenizer."
        )
    content = tokenizer_text(file)
    parse_tokenizer(content, file)
    return content


def _base_facts(source: Source, wanted: Conversion) -> dict[str, str]:
    """Metadata that name the base; ValueError unless the input's frozen tensors are the base's."""
    base = wanted.base
    assert base is not None
    config = source.config
    if title := fault(identify(base), config):
        raise ValueError(
            f"{base}: expected the base model of {source.identity.title}, got {title}. "
            "Choose the Infinity file that it was trained on."
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
                f"{name} is stored as {_name(tensor.dtype)}: expected floating-point weights. "
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
        state = EchoGenTransformer(source.config, dtype=dtype, device="meta").state_dict()
        return {name: tensor.dtype for name, tensor in state.items()}
    if dtype != FP8:
        return {}
    matrix = MATRICES[source.kind]
    return {name: FP8 if matrix.fullmatch(name) else torch.float32 for name in source.state}


def _tensors(
    source: Source, names: list[str], layout: Mapping[str, Tensor], progress: Progress
) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the layout, in the order of the input."""
    total, done = sum(tensor.nbytes for tensor in layout.values()), 0
    for name, tensor in in_turn(source.reopened, [name for name in names if name in layout]):
        scale = source.state.get(name + SCALE)
        part = {name: tensor} if scale is None else {name: tensor, name + SCALE: scale}
        for key, value in match_scales(part, layout).items():
            cast = value.to(layout[key].dtype)
            if not is_finite(cast):
                raise ValueError(
                    f"{name} holds NaN or infinity as {_name(cast.dtype)}: expected finite weights. "
                    "Choose bf16 or fp32, or download the input again."
                )
            done += cast.nbytes
            yield key, cast
        progress(done, total)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
