"""Names of the FLUX VAE encoder's tensors in `ae.safetensors`, and their translation to ours.

Source: the published file's names (LDM's). The decoder half is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..encoders import ContentEncoderConfig

MODULE_NAMES: tuple[tuple[str, str], ...] = (
    # published path (pattern) -> our module path
    (r"encoder\.(conv_in|norm_out|conv_out)", r"\1"),
    (r"encoder\.down\.(\d+)\.block\.(\d+)\.((?:norm|conv)[12])", r"levels.\1.blocks.\2.\3"),
    (r"encoder\.down\.(\d+)\.block\.(\d+)\.nin_shortcut", r"levels.\1.blocks.\2.shortcut"),
    (r"encoder\.down\.(\d+)\.downsample\.conv", r"levels.\1.downsample.conv"),
    (r"encoder\.mid\.block_1\.((?:norm|conv)[12])", r"middle.0.\1"),
    (r"encoder\.mid\.attn_1\.(norm|q|k|v)", r"middle.1.\1"),
    (r"encoder\.mid\.attn_1\.proj_out", r"middle.1.out"),
    (r"encoder\.mid\.block_2\.((?:norm|conv)[12])", r"middle.2.\1"),
)

NOT_NEEDED = ("decoder.",)

MARKS = ("encoder.conv_in.weight", "encoder.conv_out.weight", "encoder.mid.attn_1.q.weight")
"""In every VAE of this family; the BSQ tokenizer has no attention."""


def our_name(key: str) -> str:
    """Our name of a published tensor; unknown ones stay as they are, for the strict load."""
    module, _, leaf = key.rpartition(".")
    for pattern, ours in MODULE_NAMES:
        match = re.fullmatch(pattern, module)
        if match:
            return f"{match.expand(ours)}.{leaf}"
    return key


def translate_content(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors under our names; the decoder's are left out."""
    return {our_name(key): tensor for key, tensor in state.items() if not key.startswith(NOT_NEEDED)}


def infer_content(state: Mapping[str, Tensor]) -> ContentEncoderConfig:
    """The sizes of the encoder in `state` (published names), read from its shapes.

    Raises:
        ValueError: it is no VAE of this family, or one whose latents are not FLUX's.
    """
    absent = [key for key in MARKS if key not in state]
    if absent:
        raise ValueError(f"not a FLUX VAE: it lacks {', '.join(absent)}. Expected ae.safetensors.")
    base = state["encoder.conv_in.weight"].shape[0]
    block = re.compile(r"encoder\.down\.0\.block\.\d+\.conv1\.weight")
    firsts = {
        int(match[1]): tensor.shape[0]
        for key, tensor in state.items()
        if (match := re.fullmatch(r"encoder\.down\.(\d+)\.block\.0\.conv1\.weight", key))
    }
    config = ContentEncoderConfig(
        base_channels=base,
        channel_multipliers=tuple(firsts[level] // base for level in sorted(firsts)),
        res_blocks=sum(bool(block.fullmatch(key)) for key in state),
        latent_channels=state["encoder.conv_out.weight"].shape[0] // 2,
    )
    if config.latent_channels != 16 or config.factor != 8:
        raise ValueError(
            f"a VAE of {config.latent_channels} channels and factor {config.factor}; expected 16 channels "
            "and factor 8. Use FLUX.1's ae.safetensors."
        )
    return config
