"""Initialises a tokenizer for larger pictures with the same number of tokens.

Between pixel unshuffle and pixel shuffle, only the first and the last convolution depend on the factor. With
their weights repeated over the new pixels, the new tokenizer gives the old one's picture, upscaled.
Shapes: O output channels, I input channels, h and w of a kernel; unshuffled channels are colour, row, column.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from echogen_core.config import TokenizerConfig
from echogen_core.tokenizer import BitTokenizer

_FIRST = "encoder.conv_in.weight"
_LAST = ("decoder.conv_out.weight", "decoder.conv_out.bias")


def enlarge_unshuffle(model: BitTokenizer, config: TokenizerConfig) -> dict[str, Tensor]:
    """The weights of `model` for `config`, which has a multiple of its pixel-unshuffle factor.

    Raises:
        ValueError: the configs differ in anything else, or the new factor is not a multiple.
    """
    old, new = model.config.unshuffle, config.unshuffle
    if new % old or replace(model.config, unshuffle=new) != config:
        raise ValueError(
            f"Expected a tokenizer like the preset's ({config}), or with a smaller pixel-unshuffle factor, "
            f"got {model.config}: train without --start."
        )
    times = new // old
    weights = {name: weight.float() for name, weight in model.state_dict().items()}
    # the new pixels share the old one's weight: their mean takes its place
    weights[_FIRST] = _repeat_pixels(weights[_FIRST], 1, old, times) / times**2
    for name in _LAST:
        weights[name] = _repeat_pixels(weights[name], 0, old, times)
    return weights


def _repeat_pixels(weight: Tensor, axis: int, factor: int, times: int) -> Tensor:
    """Repeats every pixel of an unshuffled axis `times` x `times` times."""
    split = weight.unflatten(axis, (-1, factor, factor))
    return split.repeat_interleave(times, axis + 1).repeat_interleave(times, axis + 2).flatten(axis, axis + 2)
