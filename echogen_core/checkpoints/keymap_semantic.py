"""Names of DINOv2's tensors in published files, and their translation to the installed transformers' names.

Three forms are read: the hub's folder (`encoder.layer.0.attention.attention.query.weight`), the original
.pth (`blocks.0.attn.qkv.weight`) and the names of transformers 5 (`encoder.layer.0.attention.q_proj.weight`).
Files are written in the hub's form, so that they do not depend on the version that wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from torch import Tensor

from ..encoders import SemanticEncoderConfig, resample_position_embedding
from .mismatches import WrongModel

POSITIONS = "embeddings.position_embeddings"

RENAMED: tuple[tuple[str, str], ...] = (
    # hub form -> transformers 5
    (".attention.attention.query.", ".attention.q_proj."),
    (".attention.attention.key.", ".attention.k_proj."),
    (".attention.attention.value.", ".attention.v_proj."),
    (".attention.output.dense.", ".attention.o_proj."),
)

ORIGINAL: tuple[tuple[str, str], ...] = (
    # original .pth (pattern) -> hub form
    (r"cls_token", "embeddings.cls_token"),
    (r"(mask_token|register_tokens)", r"embeddings.\1"),
    (r"pos_embed", POSITIONS),
    (r"patch_embed\.proj\.(.+)", r"embeddings.patch_embeddings.projection.\1"),
    (r"blocks\.(\d+)\.(norm\d)\.(.+)", r"encoder.layer.\1.\2.\3"),
    (r"blocks\.(\d+)\.attn\.proj\.(.+)", r"encoder.layer.\1.attention.output.dense.\2"),
    (r"blocks\.(\d+)\.ls(\d)\.gamma", r"encoder.layer.\1.layer_scale\2.lambda1"),
    (r"blocks\.(\d+)\.mlp\.(fc\d)\.(.+)", r"encoder.layer.\1.mlp.\2.\3"),
    (r"norm\.(.+)", r"layernorm.\1"),
)

FUSED_QKV = re.compile(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)")

SIGNATURE_KEYS = ("embeddings.patch_embeddings.projection.weight", "patch_embed.proj.weight")
"""Either is in every DINOv2 file."""


def to_hub_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Any accepted form in the hub's names; a fused qkv becomes three views of it."""
    hub: dict[str, Tensor] = {}
    for key, tensor in state.items():
        key = key.removeprefix("dinov2.")
        fused = FUSED_QKV.fullmatch(key)
        if fused and thirds(tensor):
            for name, part in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                hub[f"encoder.layer.{fused[1]}.attention.attention.{name}.{fused[2]}"] = part
            continue
        hub[_hub_name(key)] = tensor
    return hub


def thirds(tensor: Tensor) -> bool:
    """Whether a tensor can be a fused query, key and value; one that cannot keeps its name."""
    return tensor.ndim > 0 and tensor.shape[0] > 0 and tensor.shape[0] % 3 == 0


def _hub_name(key: str) -> str:
    for hub, installed in RENAMED:
        if installed in key:
            return key.replace(installed, hub)
    for pattern, hub in ORIGINAL:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(hub)
    return key


def translate_semantic(
    state: Mapping[str, Tensor], config: SemanticEncoderConfig, expected: Iterable[str]
) -> dict[str, Tensor]:
    """The tensors under the names in `expected` (the module's state dict), position table resampled once.

    Keys that the table does not know stay as they are, for the strict load to complain about.
    """
    found = to_hub_names(state)
    if POSITIONS in found:
        found[POSITIONS] = resample_position_embedding(found[POSITIONS], config.grid)
    token = found.get("embeddings.cls_token")
    if "embeddings.mask_token" not in found and token is not None and token.ndim == 3:
        # Only masked pre-training reads it; some exports leave it out.
        found["embeddings.mask_token"] = token.new_zeros(token.shape[1:])
    renames = RENAMED if any(RENAMED[0][1] in name for name in expected) else ()
    translated: dict[str, Tensor] = {}
    for key, tensor in found.items():
        for hub, installed in renames:
            key = key.replace(hub, installed)
        translated[key] = tensor
    return translated


def infer_semantic(state: Mapping[str, Tensor]) -> SemanticEncoderConfig:
    """The sizes of the encoder in `state` (any accepted form) at EchoGen-2B's picture size.

    Heads are not visible in shapes: every published DINOv2 has 64 channels a head.
    Raises:
        WrongModel: says what it is instead, when EchoGen has no use for it.
    """
    hub = to_hub_names(state)
    projection = hub[SIGNATURE_KEYS[0]]
    width, patch = projection.shape[0], projection.shape[-1]
    layers = {int(key.split(".")[2]) for key in hub if key.startswith("encoder.layer.")}
    default = SemanticEncoderConfig()
    if "embeddings.register_tokens" in hub:
        raise WrongModel("a DINOv2 with registers")
    if POSITIONS not in hub or not layers:
        raise WrongModel("a part of a DINOv2")
    if width % 64 or patch != default.patch:
        raise WrongModel(f"a vision transformer of width {width} and patch {patch}")
    return replace(default, width=width, depth=1 + max(layers), heads=width // 64)
