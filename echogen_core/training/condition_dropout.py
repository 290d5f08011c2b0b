"""What the transformer is told of each pair; and dropping it, so that the model also learns to do without.

Shape suffixes: B conditions, H and W pixels, L prompt tokens.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..encoders import ContentEncoder, SemanticEncoder, TextEncoder
from ..encoders.text import TokenBatch
from ..model import EchoGenTransformer
from ..model.transformer import Conditions


class Encoders(Protocol):
    """The three encoders, as bundles and trainers hold them."""

    @property
    def text(self) -> TextEncoder: ...

    @property
    def semantic(self) -> SemanticEncoder: ...

    @property
    def content(self) -> ContentEncoder: ...


def encode_pairs(
    encoders: Encoders, prompts: list[str], references_B3HW: Tensor, multiple: int = 1
) -> Conditions:
    """Features of prompts and of references as large as the encoders want them.

    Gradients reach the text encoder alone.

    multiple: prompts are padded to a multiple of so many tokens: few lengths, for a compiled model.
    """
    tokens = padded(encoders.text.tokenize(prompts), multiple)
    text_BLT = encoders.text(tokens.ids_BL, tokens.mask_BL).float()
    with torch.no_grad():
        semantic = encoders.semantic(references_B3HW)
        content_BSF = encoders.content(references_B3HW).float().flatten(2).transpose(1, 2)
    cls_BC, patches_BPC = semantic.cls_BC.float(), semantic.patches_BPC.float()
    return Conditions(text_BLT, cls_BC, patches_BPC, content_BSF, tokens.mask_BL.bool())


def padded(tokens: TokenBatch, multiple: int) -> TokenBatch:
    """Prompts padded to a multiple of so many tokens."""
    more = -tokens.ids_BL.shape[1] % multiple
    return TokenBatch(F.pad(tokens.ids_BL, (0, more)), F.pad(tokens.mask_BL, (0, more)))


def drop_conditions(model: EchoGenTransformer, given: Conditions, keep_3B: Tensor) -> Conditions:
    """`given` with the model's learned nulls where text, semantic or content (rows of `keep_3B`) is not kept.

    The null prompt is as long as the prompt it stands for.
    """
    assert given.cls_BE is not None and given.patches_BPE is not None and given.content_BSF is not None

    def choose(kind: int, features: Tensor, null: Tensor) -> Tensor:
        keep = keep_3B[kind].view(-1, *[1] * (features.ndim - 1))
        return torch.where(keep, features, null)

    return Conditions(
        choose(0, given.text_BLT, model.null_text[: given.text_BLT.shape[1]]),
        choose(1, given.cls_BE, model.null_semantic[0]),
        choose(1, given.patches_BPE, model.null_semantic[1:]),
        choose(2, given.content_BSF, model.null_content),
        given.text_mask_BL,
    )
