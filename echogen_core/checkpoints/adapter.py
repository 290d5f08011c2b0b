"""Subject parameters alone, beside the frozen base that they were trained on.

Every tensor of EchoGen that a plain Infinity model has as well is Infinity's own, unchanged. A file without
them names its base by a digest over the base's numbers in bfloat16, which is the same for every form of one
model (published or converted, float32 or bfloat16).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..config import TransformerConfig
from ..utils.printable import printable
from .catalog.installed import ENDINGS, candidates, identify_or_error
from .empty_state import empty_state
from .format import BASE_NAME, BASE_SHA256, is_ours
from .formats.expanded_tensors import check_stored_size
from .identify import Identity, identify
from .keymap_transformer import translate_transformer
from .mismatches import DOWNLOAD_AGAIN, join_names
from .read import RawFile, read_weights

CHUNK_BYTES = 1 << 29  # bytes read between two openings of a file

Base = str | Path | Sequence[Path] | None
"""The base of a file of subject parameters: the file itself, or folders to search after the file's own."""

Opener = Callable[[], Mapping[str, Tensor]]
"""Opens a mapped file anew and names its tensors."""


def base_names(config: TransformerConfig) -> list[str]:
    """Our names of the tensors that a plain Infinity model of these sizes has."""
    return list(empty_state(replace(config, subject=False)))


def iter_tensors(opener: Opener, names: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """The tensors one after the other.

    What has been read of a mapped file counts as this process's memory for as long as the mapping lasts:
    it is opened anew after every half gigabyte.
    """
    state, read = opener(), 0
    for name in names:
        if read >= CHUNK_BYTES:
            state, read = opener(), 0
        read += state[name].nbytes
        yield name, state[name]


def tensor_digests(opener: Opener, names: Sequence[str]) -> dict[str, str]:
    """Name -> sha256 over the shape and the numbers in bfloat16."""
    digests = {}
    for name, tensor in iter_tensors(opener, names):
        numbers = tensor.to(torch.bfloat16).contiguous().reshape(-1).view(torch.uint8).numpy()
        digest = hashlib.sha256(f"{list(tensor.shape)}".encode())
        digest.update(numbers.data)
        digests[name] = digest.hexdigest()
    return digests


def total_digest(digests: Mapping[str, str]) -> str:
    """One digest for a model."""
    return hashlib.sha256(
        "".join(f"{name} {digests[name]}\n" for name in sorted(digests)).encode()
    ).hexdigest()


def base_state(raw: RawFile, config: TransformerConfig) -> Mapping[str, Tensor]:
    """A base file's tensors under our names; ValueError when they are not those of a base of these sizes."""
    if is_ours(raw.metadata):
        if absent := [name for name in base_names(config) if name not in raw.tensors]:
            raise ValueError(f"{raw.path} lacks tensors of its model: {join_names(absent)}. {DOWNLOAD_AGAIN}")
        return raw.tensors
    state = translate_transformer(raw.tree, replace(config, subject=False))
    check_stored_size(state)
    return state


@lru_cache(maxsize=8)
def _digests_of_file(path: Path, config: TransformerConfig, size: int, changed: int) -> dict[str, str]:
    raw = read_weights(path)
    state = base_state(raw, config)
    return tensor_digests(
        lambda: base_state(read_weights(path), config) if raw.mapped else state, base_names(config)
    )


def base_digests(path: Path, config: TransformerConfig) -> dict[str, str]:
    """`tensor_digests` of a base file; remembered until it changes."""
    stat = path.stat()
    return _digests_of_file(path, config, stat.st_size, stat.st_mtime_ns)


def check_frozen(own: Mapping[str, str], base: Mapping[str, str], path: Path) -> None:
    """ValueError unless a whole model's base tensors are those of the base file (digests of both)."""
    if other := [name for name in own if own[name] != base[name]]:
        raise ValueError(
            f"{path.name} is not the base that this model was trained on: {len(other)} of {len(own)} tensors "
            f"have other numbers ({join_names(other)}). Give the base of this very model "
            "(infinity_2b_reg.pth for "
            "echogen_2b.pth), or convert the model whole."
        )


def add_base(raw: RawFile, config: TransformerConfig, base: Base) -> dict[str, Tensor]:
    """The subject parameters of `raw` with the tensors of their base.

    Raises:
        FileNotFoundError: there is none. ValueError: the chosen file is another model.
    """
    if not isinstance(base, str | Path):
        path = _find_base(raw, config, base or ())
    elif title := base_mismatch(identify(path := Path(base)), config) or _other_numbers(path, raw, config):
        raise ValueError(
            f"these subject parameters belong to the base model {printable(raw.metadata.get(BASE_NAME))}; "
            f"{path} is {title}. Put the right base beside them, or choose it."
        )
    return {**base_state(read_weights(path), config), **raw.tensors}


def _other_numbers(path: Path, raw: RawFile, config: TransformerConfig) -> str | None:
    same = total_digest(base_digests(path, config)) == raw.metadata[BASE_SHA256]
    return (
        None if same else "one with other numbers (only its float32 and bfloat16 forms have the right ones)"
    )


def _is_base(path: Path, raw: RawFile, config: TransformerConfig) -> bool:
    """As `_other_numbers`, of one among several: a damaged one is none, and named when it is opened."""
    try:
        return _other_numbers(path, raw, config) is None
    except ValueError:
        return False


def base_mismatch(identity: Identity, config: TransformerConfig) -> str | None:
    """What is at the place of a base that is none for a model of these sizes; None: it may be one."""
    if identity.kind != "transformer" or identity.adapter or identity.config.subject:
        return identity.title
    sizes = ("depth", "width", "heads", "bits", "text_width", "text_length", "mlp_ratio", "levels")
    fits = all(getattr(identity.config, name) == getattr(config, name) for name in sizes)
    return None if fits else identity.title


def _find_base(raw: RawFile, config: TransformerConfig, folders: Sequence[Path]) -> Path:
    """The base among the files beside `raw` and those in `folders` and below."""
    own, name = raw.path.parent, raw.metadata.get(BASE_NAME, "")
    beside = sorted(path for path in own.iterdir() if path.is_file() and path.suffix in ENDINGS)
    alike = []
    for path in dict.fromkeys([*beside, *candidates(folders)]):
        found = identify_or_error(path)
        if not isinstance(found, str) and base_mismatch(found, config) is None:
            alike.append(path)
    for path in sorted(alike, key=lambda path: path.name != name):
        if _is_base(path, raw, config):
            return path
    others = (
        f" These are of its size, but with other numbers: {join_names([str(p) for p in alike])}."
        if alike
        else ""
    )
    raise FileNotFoundError(
        f"{raw.path} holds subject parameters alone and needs its base model: put {printable(name)} "
        f"(from the hub FoundationVision/Infinity) into {own}.{others}"
    )
