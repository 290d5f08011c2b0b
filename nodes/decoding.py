"""Nodes that turn bits into pictures."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from echogen_core.sampling import Bits
from echogen_core.tokenizer import sum_codes

from . import adapters, phases, previews, runtime
from .adapters import CATEGORY, check_tokenizer, schema, to_image

_BITS = "From EchoGen Sampler."
_TOKENIZER = "From the Load EchoGen whose model drew the picture."


class DecodeBits(io.ComfyNode):
    """Bits to the finished picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenDecodeBits",
            display_name="Decode Bits",
            category=f"{CATEGORY}/decoding",
            description="Turns the sampler's bits into the finished pictures.",
            search_aliases=["vae decode", "tokenizer decode", "bits to image"],
            inputs=[
                adapters.Bits.Input("bits", tooltip=_BITS),
                adapters.Tokenizer.Input("tokenizer", tooltip=_TOKENIZER),
            ],
            outputs=[io.Image.Output("image", display_name="image", tooltip="The pictures.")],
        )

    @classmethod
    def execute(cls, bits: Bits, tokenizer: runtime.Managed) -> io.NodeOutput:
        _check(bits, tokenizer)
        shown_B3hw = previews.taken(bits, tokenizer)
        if shown_B3hw is None:
            shown_B3hw = phases.decode(tokenizer, sum_codes(bits.scales, bits.schedule.scales))
        return io.NodeOutput(to_image(shown_B3hw))


class DecodeScales(io.ComfyNode):
    """Bits to the picture after each scale."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenDecodeScales",
            display_name="Decode Scales",
            category=f"{CATEGORY}/decoding",
            description="Shows how the picture grows: one picture after each scale, coarse to fine, the "
            "finished one last. In a batch, all scales of the first picture come first.",
            search_aliases=["progression", "steps", "intermediate images", "vae decode"],
            inputs=[
                adapters.Bits.Input("bits", tooltip=_BITS),
                adapters.Tokenizer.Input("tokenizer", tooltip=_TOKENIZER),
            ],
            outputs=[
                io.Image.Output(
                    "images", display_name="images", tooltip="All scales of all pictures, as one batch."
                )
            ],
        )

    @classmethod
    def execute(cls, bits: Bits, tokenizer: runtime.Managed) -> io.NodeOutput:
        _check(bits, tokenizer)
        scales = bits.schedule.scales
        sums = [sum_codes(bits.scales[: end + 1], scales) for end in range(len(bits.scales))]
        codes_BDHW = torch.stack(sums, dim=1).flatten(0, 1)
        return io.NodeOutput(to_image(phases.decode(tokenizer, codes_BDHW)))


def _check(bits: Bits, tokenizer: runtime.Managed) -> None:
    """Raises ValueError if the bits were made for another tokenizer."""
    patch = bits.schedule.pixels_hw[0] // bits.schedule.scales[-1][0]
    check_tokenizer(tokenizer.module.config, bits.scales[0].shape[-1], patch, "the picture's bits")


NODES: list[type[Any]] = [DecodeBits, DecodeScales]
