"""EchoGen transformer: Infinity with dual-path subject injection (paper section 3; official quirks kept).

The semantic path is in semantic_injection.py, the content path in content_injection.py, the global vector in
adaln.py.
Two phases. `prefill` turns conditions into a BranchCache: keys and values that do not depend on scale,
guidance weight, tau or seed. `forward` runs one scale (or, in training, all of them under a mask) against
such caches. Everything outside the blocks computes in float32; the blocks compute in `dtype` (see block.py).
Shape suffixes: B conditions, N pictures of all branches, L tokens, P patches, S content tokens, T text width,
E semantic width, F content width, C width, d bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ..config import TransformerConfig
from ..dtypes import FP8
from ..features import ContentFeatures, SemanticFeatures, TextFeatures
from ..layers import LayerFactory, match
from ..scales import ScaleSchedule
from .adaln import signal_layer
from .bit_head import BitHead
from .block import Block, BlockConstants
from .branch import AttentionHook, BranchBatch, BranchCache, Conditions
from .kv_cache import KeyValueStore, MaskedSequence, block_causal_mask
from .phases import Phase, PhasedModule
from .rope import sequence_rope
from .text_pool import TextNorm, TextPool


class Constants(NamedTuple):
    """What `forward` needs at every scale and what is the same at all of them.

    blocks: each block's own, or the AdaLN signals [N, 6, C] that it makes them of when it is called.
    head: see BitHead.modulation.
    """

    blocks: tuple[BlockConstants | Tensor, ...]
    head: tuple[Tensor, Tensor]


class EchoGenTransformer(PhasedModule):
    """The model. Parameters start at zero: they are loaded, or drawn by `training.initialise`.

    Args:
        operations: namespace with Linear, LayerNorm and Embedding; `torch.nn`, or a casting variant of them.
        dtype: of the blocks' matrices, float8_e4m3fn (with a scale each) included; all else is float32.
        compute_dtype: of the blocks' activations; None: as the matrices, bfloat16 for float8. Another type
            than theirs needs operations that cast.

    Attributes:
        dtype, stored_dtype: the blocks' compute type, and that of their matrices.
    """

    def __init__(
        self,
        config: TransformerConfig,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        compute_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.stored_dtype = stored = dtype or torch.float32
        self.dtype = compute_dtype or (torch.bfloat16 if stored == FP8 else stored)
        make = LayerFactory(operations, torch.float32, device)
        self.null_text = make.parameter(config.text_length, config.text_width)
        self.start = make.parameter(config.width)
        self.text_norm = TextNorm(config, make)
        self.text_pool = TextPool(config, make)
        self.text_mlp = make.mlp(config.text_width, config.width)
        self.text_adaln = signal_layer(make, config.width, 6)
        with self.used_in(Phase.SAMPLING):
            self.level_embed = make.embedding(config.levels, config.width)
            self.bits_embed = make.linear(config.bits, config.width)
            self.head = BitHead(config, make)
        if config.subject:
            self.null_semantic = make.parameter(config.semantic_length, config.semantic_width)
            self.null_content = make.parameter(config.content_length, config.content_width)
            self.semantic_start = make.parameter(config.width)
            self.semantic_cls = make.linear(config.semantic_width, config.width)
            self.semantic_mlp = make.mlp(config.semantic_width, config.width)
            self.semantic_adaln = signal_layer(make, config.width, 6)
            self.content_mlp = make.mlp(config.content_width, config.width)
            self.content_text_adaln = signal_layer(make, config.width, 6)
            self.content_semantic_adaln = signal_layer(make, config.width, 6)
        block_make = make._replace(dtype=stored)
        last = config.depth - 1
        self.blocks = nn.ModuleList(Block(config, block_make, last=n == last) for n in range(config.depth))

    @property
    def prefix(self) -> int:
        """Tokens before the first scale's own: one with a subject path, none without."""
        return int(self.config.subject)

    def null_text_features(self, length: int) -> Tensor:
        """The learned null prompt of a length, [length, T]; the official model cuts it to the prompt's."""
        return self.null_text[:length]

    def conditions(
        self,
        text: TextFeatures | None,
        semantic: SemanticFeatures | None,
        content: ContentFeatures | None,
        null_length: int,
        device: torch.device | str | None = None,
    ) -> Conditions:
        """One branch's inputs on `device`; None stands for the learned null.

        null_length: tokens of the null prompt.

        Several views: class tokens are averaged, patches and latents follow each other.
        Raises ValueError when features do not fit this model.
        """
        config = self.config
        text_LT = self.null_text_features(null_length) if text is None else text.tokens_LC
        _check_width("text", text_LT.shape[-1], config.text_width)
        if text_LT.shape[0] > config.text_length:
            raise ValueError(
                f"The prompt has {text_LT.shape[0]} tokens; this model takes at most {config.text_length}. "
                "Shorten it."
            )
        cls_E = patches_PE = content_SF = None
        if config.subject:
            cls_E, patches_PE = self._semantic_inputs(semantic)
            content_SF = self._content_inputs(content)
        elif semantic is not None or content is not None:
            raise ValueError(
                "This is a plain text-to-image model without a subject path: load an EchoGen model."
            )

        def batch(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.to(device=device, dtype=torch.float32)[None]

        text_BLT = batch(text_LT)
        assert text_BLT is not None
        return Conditions(text_BLT, batch(cls_E), batch(patches_PE), batch(content_SF))

    def _semantic_inputs(self, semantic: SemanticFeatures | None) -> tuple[Tensor, Tensor]:
        null_cls_E, null_patches_PE = self.null_semantic[0], self.null_semantic[1:]
        if semantic is None:
            return null_cls_E, null_patches_PE
        config = self.config
        _check_width("semantic", semantic.cls_VC.shape[-1], config.semantic_width)
        views, patches, _ = semantic.patches_VPC.shape
        if patches != config.semantic_length - 1:
            raise ValueError(
                f"The semantic features have {patches} patches a view; this model expects "
                f"{config.semantic_length - 1}. Use the semantic encoder that belongs to this model."
            )
        cls_E = _strengthen(null_cls_E, semantic.cls_VC.mean(0), semantic.strength)
        given = semantic.patches_VPC.flatten(0, 1)
        return cls_E, _strengthen(null_patches_PE.repeat(views, 1), given, semantic.strength)

    def _content_inputs(self, content: ContentFeatures | None) -> Tensor:
        if content is None:
            return self.null_content
        config = self.config
        views, channels, height, width = content.latents_VCHW.shape
        _check_width("content", channels, config.content_width)
        if height * width != config.content_length:
            raise ValueError(
                f"The content latent is {height}x{width} = {height * width} tokens; this model expects "
                f"{config.content_length}. Encode the picture with the encoder that belongs to this model."
            )
        given = content.latents_VCHW.flatten(2).transpose(1, 2).flatten(0, 1)
        return _strengthen(self.null_content.repeat(views, 1), given, content.strength)

    def prefill(self, inputs: Conditions, cache_dtype: torch.dtype | None = None) -> BranchCache:
        """Everything about a branch that does not depend on the picture so far.

        cache_dtype: type that keys and values are stored in (None: as computed; float8_e4m3fn halves them).
        """
        text_BLT = self.text_norm(inputs.text_BLT)
        pooled_BC = self.text_pool(text_BLT, inputs.text_mask_BL)
        prefix = [pooled_BC + match(self.start, pooled_BC)]
        signals = self.text_adaln(pooled_BC)
        text_BLC = self.text_mlp(text_BLT).to(self.dtype)
        patches_BPC = content_BSC = content_signals = None
        if self.config.subject:
            assert inputs.cls_BE is not None and inputs.content_BSF is not None
            subject_BC = self.semantic_cls(inputs.cls_BE)
            prefix.insert(0, subject_BC + match(self.semantic_start, subject_BC))
            signals = signals + self.semantic_adaln(subject_BC)
            content_signals = self.content_text_adaln(pooled_BC) + self.content_semantic_adaln(subject_BC)
            content_signals = content_signals.unflatten(-1, (6, -1))
            patches_BPC = self.semantic_mlp(inputs.patches_BPE).to(self.dtype)
            content_BSC = self.content_mlp(inputs.content_BSF)
        layers = []
        for block in self.blocks:
            layer, content_BSC = cast(Block, block).condition(
                text_BLC, patches_BPC, content_BSC, content_signals, inputs.text_mask_BL
            )
            layers.append(layer.stored_as(cache_dtype))
        return BranchCache(torch.stack(prefix, 1), signals.unflatten(-1, (6, -1)), pooled_BC, tuple(layers))

    def constants(self, signals_N6C: Tensor, pooled_NC: Tensor) -> Constants:
        """Of pictures with these AdaLN signals and pooled prompts (as in the BranchCache of each)."""
        blocks = (cast(Block, block).constants(signals_N6C, self.dtype) for block in self.blocks)
        return Constants(tuple(blocks), self.head.modulation(pooled_NC))

    def forward(
        self,
        x_NLC: Tensor,
        rope_2LP: Tensor,
        batches: Sequence[BranchBatch],
        image_kv: KeyValueStore,
        constants: Constants,
    ) -> Tensor:
        """Logits float32 [N, L, d, 2] (last axis: bit 0, bit 1) of embedded tokens [N, L, C].

        rope_2LP: cosines and sines of their places (rope.sequence_rope). batches: what the pictures attend
        to, in their order; image_kv: where all of them keep their own keys and values.

        With a subject path the first scale begins with the subject token, whose output carries no logits: the
        caller drops token 0.
        """
        for layer, (block, own) in enumerate(zip(self.blocks, constants.blocks, strict=True)):
            x_NLC = block(x_NLC, rope_2LP, batches, image_kv, own, layer, self.dtype)
        return self.head(x_NLC, constants.head)

    def levels(self, scales: int, device: torch.device) -> Tensor:
        """Level embeddings of the first scales, float32 [scales, C]."""
        return self.level_embed(torch.arange(scales, device=device)).float()

    def teacher_forced(
        self,
        inputs: Conditions,
        next_inputs_BLd: Tensor,
        schedule: ScaleSchedule,
        hook: AttentionHook | None = None,
        tokens_K: Tensor | None = None,
    ) -> Tensor:
        """Training pass: logits [B, tokens, d, 2] of all scales at once.

        next_inputs_BLd: next-scale inputs of scales 1.. (everything but the first scale), [B, tokens-1, d].
        B may be a multiple of the number of conditions: each then serves as many consecutive pictures.
        hook: see BranchBatch; its queries are those of the prefix and of all tokens computed.
        tokens_K: indices of the tokens to compute, ascending, as if there were no others (None: all): patch
        dropout.
        """
        cache = self.prefill(inputs)
        pictures = next_inputs_BLd.shape[0] // cache.pooled_BC.shape[0]
        prefix, signals, pooled = (
            x.repeat_interleave(pictures, 0) for x in (cache.prefix_BPC, cache.signals_B6C, cache.pooled_BC)
        )
        level_L = torch.repeat_interleave(
            torch.arange(len(schedule.scales), device=next_inputs_BLd.device),
            torch.tensor([h * w for h, w in schedule.scales], device=next_inputs_BLd.device),
        )
        level_LC = self.level_embed(level_L)
        embedded = self.bits_embed(next_inputs_BLd) + level_LC[1:]
        x_BLC = torch.cat((prefix + level_LC[0], embedded), dim=1)
        rope = sequence_rope(schedule, self.config.head_width, self.prefix).to(x_BLC.device)
        mask = block_causal_mask(schedule, self.prefix).to(x_BLC.device)
        if tokens_K is not None:
            places = torch.cat((torch.arange(self.prefix, device=tokens_K.device), tokens_K + self.prefix))
            x_BLC, rope, mask = x_BLC[:, places], rope[:, places], mask[places][:, places]
        batch = BranchBatch(x_BLC.shape[0], cache.layers, hook)
        # once is enough here, and FSDP gathers a block's weights only while it is called
        constants = Constants((signals,) * len(self.blocks), self.head.modulation(pooled))
        return self(x_BLC, rope, [batch], MaskedSequence(mask), constants)[:, self.prefix :]


def _check_width(kind: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(
            f"The {kind} features have {got} channels; this model expects {expected}. "
            f"Use the {kind} encoder that belongs to this model."
        )


def _strengthen(null: Tensor, given: Tensor, strength: float) -> Tensor:
    """Between the learned null (0) and the features (1), linearly."""
    given = given.to(null.device, null.dtype)
    return given if strength == 1.0 else torch.lerp(null, given, strength)
