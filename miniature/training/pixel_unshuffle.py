"""A tokenizer's weights for larger pictures of as many tokens: each old pixel becomes a square of new ones.

Where pixels are folded into channels, only the first and the last convolution know how many there are. Spread
out over the new pixels they make the old tokenizer's picture, enlarged, and training goes on from there.
Shapes: O output channels, I input channels, h and w of a kernel; folded channels are colour, row, column.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from echogen_core.config import TokenizerConfig
from echogen_core.tokenizer import BitTokenizer

_FIRST = "encoder.conv_in.weight"
_LAST = ("decoder.conv_out.weight", "decoder.conv_out.bias")


def refolded(model: BitTokenizer, config: TokenizerConfig) -> dict[str, Tensor]:
    """The weights of `model` for `config`: the same but for `fold`, a multiple of the old one.

    Raises:
        ValueError: it differs by more, or the new fold is no multiple of the old one.
    """
    old, new = model.config.fold, config.fold
    if new % old or replace(model.config, fold=new) != config:
        raise ValueError(
            f"Expected a tokenizer that differs from the preset's at most by a smaller fold ({config}), "
            f"got {model.config}: train without --start."
        )
    times = new // old
    weights = {name: weight.float() for name, weight in model.state_dict().items()}
    # each new pixel has a part of the old one's weight: their mean is what the old pixel was
    weights[_FIRST] = _repeated(weights[_FIRST], 1, old, times) / times**2
    for name in _LAST:
        weights[name] = _repeated(weights[name], 0, old, times)
    return weights


def _repeated(weight: Tensor, axis: int, fold: int, times: int) -> Tensor:
    """Every folded pixel of an axis as `times` x `times` of them."""
    split = weight.unflatten(axis, (-1, fold, fold))
    return split.repeat_interleave(times, axis + 1).repeat_interleave(times, axis + 2).flatten(axis, axis + 2)
