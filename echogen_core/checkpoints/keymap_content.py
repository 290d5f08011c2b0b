"""Names of the FLUX VAE encoder's tensors in published files, and their translation to ours.

Two forms are read: `ae.safetensors` (LDM's names) and the diffusers folder, whose attention matrices have no
spatial axes. The decoder half is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..encoders import ContentEncoderConfig
from .mismatches import WrongModel

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
    # the same in diffusers
    (r"encoder\.conv_norm_out", r"norm_out"),
    (r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.((?:norm|conv)[12])", r"levels.\1.blocks.\2.\3"),
    (r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.conv_shortcut", r"levels.\1.blocks.\2.shortcut"),
    (r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.conv", r"levels.\1.downsample.conv"),
    (r"encoder\.mid_block\.resnets\.0\.((?:norm|conv)[12])", r"middle.0.\1"),
    (r"encoder\.mid_block\.attentions\.0\.group_norm", r"middle.1.norm"),
    (r"encoder\.mid_block\.attentions\.0\.to_(q|k|v)", r"middle.1.\1"),
    (r"encoder\.mid_block\.attentions\.0\.to_out\.0", r"middle.1.out"),
    (r"encoder\.mid_block\.resnets\.1\.((?:norm|conv)[12])", r"middle.2.\1"),
)

IGNORED_PREFIXES = ("decoder.",)

SIGNATURE_KEYS = ("encoder.mid.attn_1.q.weight", "encoder.mid_block.attentions.0.group_norm.weight")
"""Either is in every VAE of this family; the BSQ tokenizer has no attention."""


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
    ours = {our_name(key): tensor for key, tensor in state.items() if not key.startswith(IGNORED_PREFIXES)}
    return {
        name: tensor[..., None, None] if name.startswith("middle.1.") and tensor.ndim == 2 else tensor
        for name, tensor in ours.items()
    }


def infer_content(state: Mapping[str, Tensor]) -> ContentEncoderConfig:
    """The sizes of the encoder in `state` (either form), read from its shapes.

    Raises:
        WrongModel: says what it is instead, when its latents are not FLUX's.
    """
    ours = translate_content(state)
    base = ours["conv_in.weight"].shape[0]
    firsts = {
        int(match[1]): tensor.shape[0]
        for name, tensor in ours.items()
        if (match := re.fullmatch(r"levels\.(\d+)\.blocks\.0\.conv1\.weight", name))
    }
    config = ContentEncoderConfig(
        base_channels=base,
        channel_multipliers=tuple(firsts[level] // base for level in sorted(firsts)),
        res_blocks=sum(bool(re.fullmatch(r"levels\.0\.blocks\.\d+\.conv1\.weight", name)) for name in ours),
        latent_channels=ours["conv_out.weight"].shape[0] // 2,
    )
    if config.latent_channels != 16 or config.factor != 8:
        family = " (Stable Diffusion's or SDXL's)" if config.latent_channels == 4 else ""
        raise WrongModel(f"a VAE of {config.latent_channels} channels and factor {config.factor}{family}")
    return config
