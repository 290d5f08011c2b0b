"""Features of prompts and references as the training pass takes them.

Shape suffixes: B pairs, H and W pixels, L prompt tokens, S content tokens, P patches, C and F channels.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from echogen_core.encoders import ContentEncoder, SemanticEncoder, TextEncoder
from echogen_core.encoders.text import TokenBatch
from echogen_core.model.branch import Conditions


class Encoders(Protocol):
    """The three encoders, as attributes of a bundle or a trainer."""

    @property
    def text(self) -> TextEncoder:
        """Encodes prompts."""
        ...

    @property
    def semantic(self) -> SemanticEncoder:
        """Encodes what the subject is."""
        ...

    @property
    def content(self) -> ContentEncoder:
        """The encoder of the reference's fine detail, [B, 3, H, W] to latents [B, C, h, w]."""
        ...


def encode_pairs(
    encoders: Encoders, prompts: list[str], references_B3HW: Tensor, multiple: int = 1
) -> Conditions:
    """Features of prompts and of references at the encoders' own size.

    Only the text encoder gets gradients.

    multiple: prompts are padded to a multiple of this many tokens; a compiled model then sees few lengths.
    """
    tokens = pad_prompts(encoders.text.tokenize(prompts), multiple)
    text_BLT = encoders.text(tokens.ids_BL, tokens.mask_BL).float()
    with torch.no_grad():
        semantic = encoders.semantic(references_B3HW)
        content_BSF = encoders.content(references_B3HW).float().flatten(2).transpose(1, 2)
    cls_BC, patches_BPC = semantic.cls_BC.float(), semantic.patches_BPC.float()
    return Conditions(text_BLT, cls_BC, patches_BPC, content_BSF, tokens.mask_BL.bool())


def pad_prompts(tokens: TokenBatch, multiple: int) -> TokenBatch:
    """Prompts padded to a multiple of this many tokens."""
    more = -tokens.ids_BL.shape[1] % multiple
    return TokenBatch(F.pad(tokens.ids_BL, (0, more)), F.pad(tokens.mask_BL, (0, more)))
