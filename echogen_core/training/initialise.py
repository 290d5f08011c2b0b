"""Initial parameters: of a whole transformer, and of the subject path beside a frozen base.

In a transformer trained from scratch the subject path starts with weight, since there is no picture model
yet to disturb; beside a base its contribution starts at zero.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from ..checkpoints.adapter import base_names
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
    """Draws every parameter of a transformer to be trained from scratch, in place."""
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


@torch.no_grad()
def initialise_subject(model: EchoGenTransformer, generator: torch.Generator, official: bool = False) -> None:
    """Draws the subject parameters in place as the official training does; the base stays as it is.

    Matrices normal with variance 1 / (3 * width), cut at 2; biases, start token and the content stream's own
    AdaLN signals zero; the class token's projection, what brings content into the picture
    (`content_to_image`) and the keys and values of the patches zero; the class token's AdaLN is the prompt's,
    without bias. Source: tests/golden/README.md, item 21.

    One thing differs unless `official`: the content stream's keys and values are drawn. The released code
    sets them to zero as well, and then no parameter of the content path ever gets a gradient: of two zero
    factors neither does. The model's outputs at the start are the same, because `content_to_image` is zero.
    """
    names = subject_names(model)
    std = math.sqrt(1 / model.config.width / 3)
    zero = ["semantic_cls.", "semantic_to_kv.", "content_to_image."] + ["content_to_kv."] * official
    for name, parameter in model.named_parameters():
        if name not in names:
            continue
        if name.endswith("content_log_scale"):
            parameter.fill_(LOG_SCALE)
        elif name.endswith("content_cross_norm.weight"):
            parameter.fill_(1)
        elif name in ("null_semantic", "null_content"):
            nn.init.trunc_normal_(parameter, std=1.2, generator=generator)
            parameter.div_(math.sqrt(parameter.shape[1]))
        elif parameter.ndim < 2 or name.endswith("content_adaln") or any(part in name for part in zero):
            parameter.zero_()
        else:
            nn.init.trunc_normal_(parameter, std=std, generator=generator)
    model.get_parameter("semantic_adaln.1.weight").copy_(model.get_parameter("text_adaln.1.weight"))


def subject_names(model: EchoGenTransformer) -> frozenset[str]:
    """Names of the parameters that a plain Infinity model doesn't have."""
    return frozenset(name for name, _ in model.named_parameters()).difference(base_names(model.config))
