"""Parameters of a transformer that is trained from scratch.

Training from a base checkpoint begins differently (control_attn at zero and so on); here the subject path
starts open, because there is no picture model yet that it could disturb.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from ..model import EchoGenTransformer

LOG_SCALE = math.log(4.0)
GAMMA = 0.5  # residual weight of attention and feed-forward at the start
_RESIDUAL = (
    ".attn.proj.",
    ".cross.proj.",
    ".ffn.down.",
    "content_proj.",
    "content_cross.proj.",
    "content_ffn.down.",
)


@torch.no_grad()
def initialise(model: EchoGenTransformer, generator: torch.Generator) -> None:
    """Draws all parameters in place."""
    width = model.config.width
    std = math.sqrt(1 / width / 3)
    for name, parameter in model.named_parameters():
        if name.endswith("log_scale"):
            parameter.fill_(LOG_SCALE)
        elif name.endswith(("adaln", "content_adaln")):  # the blocks' own signals [6, C]: two gammas first
            parameter.normal_(0, 0.02, generator=generator)
            parameter[:2] += GAMMA
        elif "adaln.1" in name or name.startswith("head."):
            parameter.normal_(0, 0.1 * std, generator=generator) if parameter.ndim > 1 else parameter.zero_()
        elif "norm" in name and name.endswith("weight"):
            parameter.fill_(1)
        elif name in ("null_text", "null_semantic"):
            parameter.normal_(0, 1, generator=generator)
        elif parameter.ndim > 1:
            fan_in = std if parameter.shape[-1] == width else math.sqrt(1 / parameter.shape[-1])
            scale = 1 / math.sqrt(2 * model.config.depth) if any(part in name for part in _RESIDUAL) else 1.0
            nn.init.trunc_normal_(parameter, std=fan_in * scale, a=-1, b=1, generator=generator)
        else:
            parameter.zero_()
    model.start.normal_(0, std, generator=generator)
    if model.config.subject:
        model.semantic_start.normal_(0, std, generator=generator)
