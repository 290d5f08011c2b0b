"""The frozen encoders and tokenizer that prepare what the transformer is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import load_part
from ..checkpoints.catalog.installed import find_parts, own_name
from ..config import TransformerConfig
from ..encoders import ENCODERS, ContentEncoder, SemanticEncoder, TextEncoder
from ..tokenizer import BitTokenizer
from .feature_cache import FeatureCache, encoder_identity

PARTS = ("text", "semantic", "content", "tokenizer")


@dataclass
class FrozenEncoders:
    """The frozen modules beside the transformer: three encoders and the tokenizer."""

    text: TextEncoder
    semantic: SemanticEncoder
    content: ContentEncoder
    tokenizer: BitTokenizer

    @classmethod
    def load(cls, model: str, folders: Sequence[Path], device: torch.device) -> FrozenEncoders:
        """The parts of a preset, found in `folders` as the nodes find them.

        Raises FileNotFoundError naming the missing parts.
        """
        found = find_parts(model, {kind: folders for kind in (*PARTS, "transformer")}).paths
        if missing := [kind for kind in PARTS if kind not in found]:
            raise FileNotFoundError(
                f"{', '.join(missing)} of {model} not found in {', '.join(map(str, folders))}. Give the "
                f"right folders with --parts, or run `python -m echogen_core models download {model}`. "
                f"Converted files are called {', '.join(own_name(kind) for kind in missing)}."
            )
        half = device.type == "cuda"  # as in the official training; the others stay in float32
        parts = {
            kind: load_part(
                found[kind],
                kind,
                config=getattr(ENCODERS[model], kind, None),
                dtype=torch.float16 if half and kind == "text" else torch.float32,
                device=device,
            )
            for kind in PARTS
        }
        return cls(**parts)

    def subject_sizes(self) -> dict[str, int]:
        """The transformer settings of the subject path that fit these encoders."""
        semantic, content = self.semantic.config, self.content.config
        return {
            "semantic_width": semantic.width,
            "semantic_length": semantic.grid**2 + 1,
            "content_width": content.latent_channels,
            "content_length": content.grid**2,
        }

    def check(self, config: TransformerConfig) -> None:
        """Raises ValueError unless the transformer's sizes fit these encoders."""
        given: dict[str, Any] = {"bits": self.tokenizer.config.bits, "text_width": self.text.config.width}
        if config.subject:
            given |= self.subject_sizes()
        wrong = [
            f"{k} {v} instead of {getattr(config, k)}" for k, v in given.items() if v != getattr(config, k)
        ]
        if wrong:
            raise ValueError(
                f"The encoders don't fit the transformer: {', '.join(wrong)}. Use parts of one model "
                "(--model and --parts)."
            )

    def cache(self, folder: Path) -> FeatureCache:
        """A feature cache keyed by these very weights."""
        text, semantic, content, tokenizer = self.text, self.semantic, self.content, self.tokenizer
        words = text.tokenizer.backend_tokenizer.to_str()
        reference = encoder_identity(content, content.config)
        return FeatureCache(
            folder,
            {
                "text": encoder_identity(text, text.config, words),
                "reference": encoder_identity(semantic, semantic.config, reference),
                "target": encoder_identity(tokenizer.encoder, tokenizer.config),
            },
        )
