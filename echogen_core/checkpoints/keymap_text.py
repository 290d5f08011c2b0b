"""Names of a T5 encoder's tensors in published files; ours are transformers' own, which are the same.

Files hold the encoder alone or the whole T5; the token table goes by either of two names.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..encoders import TextEncoderConfig
from .mismatches import WrongModel

IGNORED_PREFIXES = ("decoder.", "lm_head.")
"""The other half of a whole T5."""

TOKEN_TABLES = ("shared.weight", "encoder.embed_tokens.weight")
"""Both names of the one token table; the module knows both, a file may hold either or both."""

SIGNATURE_KEYS = (
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    "encoder.final_layer_norm.weight",
)
"""In every T5 encoder."""


def stored_text(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors under the names of our files: the token table once, under its first name."""
    kept = {key: tensor for key, tensor in state.items() if not key.startswith(IGNORED_PREFIXES)}
    tables = [kept.pop(name) for name in TOKEN_TABLES if name in kept]
    return dict.fromkeys(TOKEN_TABLES[:1], tables[0]) | kept if tables else kept


def translate_text(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`stored_text` under the names of TextEncoder's state dict; unknown ones stay, for the strict load."""
    tables = {name: stored[TOKEN_TABLES[0]] for name in TOKEN_TABLES if TOKEN_TABLES[0] in stored}
    return {f"t5.{key}": tensor for key, tensor in {**stored, **tables}.items()}


def infer_text(state: Mapping[str, Tensor]) -> TextEncoderConfig:
    """The sizes of the encoder in `state` (published names), read from its shapes.

    Raises:
        WrongModel: says what it is instead, when it is no gated T5 encoder.
    """
    table = next((state[name] for name in TOKEN_TABLES if name in state), None)
    if table is None:
        raise WrongModel(f"a T5 encoder without its token table ({TOKEN_TABLES[0]})")
    gate = state.get("encoder.block.0.layer.1.DenseReluDense.wi_0.weight")
    if gate is None:
        raise WrongModel("a T5 of the first version, without gated feed-forward layers")
    heads = state[SIGNATURE_KEYS[0]].shape[1]
    blocks = {int(key.split(".")[2]) for key in state if key.startswith("encoder.block.")}
    return TextEncoderConfig(
        vocabulary=table.shape[0],
        width=table.shape[1],
        depth=1 + max(blocks),
        heads=heads,
        head_width=state["encoder.block.0.layer.0.SelfAttention.q.weight"].shape[0] // heads,
        hidden=gate.shape[0],
    )
