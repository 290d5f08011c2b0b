"""The transformer's weights by the phase of a run that uses them: about half each, and nothing twice.

Prefill needs the encoders' projections and the content stream, sampling the picture's own layers. A memory
manager that owns the two apart can have one at a time on the device.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from torch import nn

from .transformer import EchoGenTransformer

_SAMPLING = re.compile(
    r"head\.|level_embed|bits_embed|blocks\.\d+\.("
    r"adaln$|cross_norm|ffn\.|cross\.(to_q|proj)\b|attn\.(to_qkv|q_bias|v_bias|log_scale|proj|content_to_image)\b)"
)
_ENDS_EARLY = r"(content_(cross|cross_norm|ffn)\b|attn\.content_(to_q|q_bias|log_scale|proj)\b)"


class PrefillPhase(nn.Module):
    """What `EchoGenTransformer.conditions` and `prefill` use."""


class SamplingPhase(nn.Module):
    """What `EchoGenTransformer.forward` and `embed_scale` use."""


class Phases(NamedTuple):
    """Modules that share the layers of one transformer, under the same names; they only hold them."""

    prefill: nn.Module
    sampling: nn.Module


def split_phases(model: EchoGenTransformer) -> Phases:
    """The two halves. What the last block's content stream stores without effect is in neither."""
    phases = Phases(PrefillPhase(), SamplingPhase())
    unused = re.compile(rf"blocks\.{len(model.blocks) - 1}\.{_ENDS_EARLY}")
    for name, module in model.named_modules():
        if not list(module.children()):
            entries: dict[str, nn.Module | nn.Parameter] = {name: module} if list(module.parameters()) else {}
        else:
            own = module.named_parameters(recurse=False)
            entries = {f"{name}.{key}".lstrip("."): parameter for key, parameter in own}
        for path, entry in entries.items():
            if not unused.match(path):
                _place(phases.sampling if _SAMPLING.match(path) else phases.prefill, path, entry)
    return phases


def _place(root: nn.Module, path: str, entry: nn.Module | nn.Parameter) -> None:
    """Hangs a layer or a bare parameter into a tree of plain modules."""
    *folders, name = path.split(".")
    for folder in folders:
        if folder not in root._modules:
            root.add_module(folder, nn.Module())
        root = root.get_submodule(folder)
    if isinstance(entry, nn.Module):
        root.add_module(name, entry)
    else:
        root.register_parameter(name, entry)
