"""SubjectDataset into what the transformer learns from: conditions, disturbed inputs, bit labels.

Every example is encoded and disturbed by itself, with random numbers of its own: what a step computes does
not depend on how its pictures are spread over processes or whether features were cached.
Shape suffixes: B pictures, L prompt tokens or sequence tokens, C channels, d bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..checkpoints import load_part
from ..checkpoints.installed import find_parts, own_name
from ..config import Preset, TransformerConfig
from ..encoders import ENCODERS, ContentEncoder, SemanticEncoder, TextEncoder
from ..features import ContentFeatures, SemanticFeatures, Subject, TextFeatures
from ..model.branch import Conditions
from ..scales import ScaleSchedule
from ..tokenizer import BitTokenizer
from ..tokenizer.bsq import TeacherForcing, quantize_with_bit_flips
from .dataset import NOISE, Example
from .feature_cache import FeatureCache, encoder_identity

PARTS = ("text", "semantic", "content", "tokenizer")


class Batch(NamedTuple):
    """Conditions of B pictures, which of text, semantic and content to keep [3, B], and what to learn."""

    given: Conditions
    keep_3B: Tensor
    forced: TeacherForcing
    schedule: ScaleSchedule


@dataclass
class Encoders:
    """The frozen modules beside the transformer."""

    text: TextEncoder
    semantic: SemanticEncoder
    content: ContentEncoder
    tokenizer: BitTokenizer

    @classmethod
    def load(cls, model: str, folders: Sequence[Path], device: torch.device) -> Encoders:
        """The parts of a preset, found as the nodes find them; FileNotFoundError names what is missing."""
        found = find_parts(model, {kind: folders for kind in (*PARTS, "transformer")}).paths
        if missing := [kind for kind in PARTS if kind not in found]:
            raise FileNotFoundError(
                f"{', '.join(missing)} of {model} not found in {', '.join(map(str, folders))}. Give the "
                f"folders with --parts, or fetch them: python -m echogen_core models download {model}. "
                f"Our own files are called {', '.join(own_name(kind) for kind in missing)}."
            )
        half = device.type == "cuda"  # as the official training has T5; the others stay in float32
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
        """Settings of a transformer's subject path that these encoders ask for."""
        semantic, content = self.semantic.config, self.content.config
        return {
            "semantic_width": semantic.width,
            "semantic_length": semantic.grid**2 + 1,
            "content_width": content.latent_channels,
            "content_length": content.grid**2,
        }

    def check(self, config: TransformerConfig) -> None:
        """ValueError unless the transformer takes what these encoders give."""
        given: dict[str, Any] = {"bits": self.tokenizer.config.bits, "text_width": self.text.config.width}
        if config.subject:
            given |= self.subject_sizes()
        wrong = [
            f"{k} {v} instead of {getattr(config, k)}" for k, v in given.items() if v != getattr(config, k)
        ]
        if wrong:
            raise ValueError(
                f"The encoders do not fit the transformer: {', '.join(wrong)}. Use the parts of one model "
                "(--model and --parts)."
            )

    def cache(self, folder: Path) -> FeatureCache:
        """A cache for the features of these very weights."""
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


class BatchEncoder:
    """Turns examples into batches on one device."""

    def __init__(
        self,
        encoders: Encoders,
        preset: Preset,
        schedules: dict[str, ScaleSchedule],
        seed: int,
        drop: float,
        flips: float,
        cache: FeatureCache | None,
        device: torch.device,
    ) -> None:
        """drop: probability of leaving out text, semantic and content, each. flips: largest bit flip rate."""
        self.encoders, self.preset, self.schedules, self.cache = encoders, preset, schedules, cache
        self.seed, self.drop, self.flips, self.device = seed, drop, flips, device

    @torch.no_grad()
    def batch(self, examples: Sequence[Example]) -> Batch:
        """The examples of one aspect ratio as tensors."""
        schedule = self.schedules[examples[0].ratio]
        features = [self.features(example) for example in examples]
        noise = [
            self._noise(example, f["latent"], schedule) for example, f in zip(examples, features, strict=True)
        ]
        forced = TeacherForcing(*(torch.cat(parts) for parts in zip(*(n[1] for n in noise), strict=True)))
        lengths = [len(f["tokens"]) for f in features]
        mask_BL = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
        given = Conditions(
            pad_sequence([f["tokens"].float() for f in features], batch_first=True),
            torch.stack([f["cls"] for f in features]).float(),
            torch.stack([f["patches"] for f in features]).float(),
            torch.stack([f["content"] for f in features]).float().flatten(2).transpose(1, 2),
            mask_BL.to(self.device),
        )
        keep_3B = torch.tensor([n[0] for n in noise]).T.to(self.device)
        return Batch(given, keep_3B, forced, schedule)

    @torch.no_grad()
    def features(self, example: Example) -> dict[str, Tensor]:
        """tokens [L, C], cls, patches, content [C, H, W] and latent [1, d, H, W], cached or made now."""
        merged: dict[str, Tensor] = {}
        for kind, make in (
            ("text", self._text),
            ("reference", self._reference),
            ("target", self._target),
        ):
            found = example.cached.get(kind)
            if found is None:
                found = make(example)
                if self.cache is not None and kind in example.keys:
                    self.cache.write(kind, example.keys[kind], found)
            # laid out as a cached one: sums in another order would differ in their last digit
            merged |= {name: tensor.to(self.device).contiguous() for name, tensor in found.items()}
        return merged

    def conditions_of(self, example: Example) -> tuple[TextFeatures, Subject]:
        """The same as the sampler takes them."""
        f = self.features(example)
        semantic = SemanticFeatures(f["cls"].float()[None], f["patches"].float()[None])
        return TextFeatures(f["tokens"].float()), Subject(
            semantic, ContentFeatures(f["content"].float()[None])
        )

    def _text(self, example: Example) -> dict[str, Tensor]:
        tokens = self.encoders.text.tokenize([example.prompt])
        return {"tokens": self.encoders.text(tokens.ids_BL, tokens.mask_BL)[0]}

    def _reference(self, example: Example) -> dict[str, Tensor]:
        assert example.reference_3HW is not None
        picture = example.reference_3HW[None].to(self.device)
        semantic = self.encoders.semantic(picture)
        content = self.encoders.content(picture)
        return {"cls": semantic.cls_BC[0], "patches": semantic.patches_BPC[0], "content": content[0]}

    def _target(self, example: Example) -> dict[str, Tensor]:
        assert example.target_3HW is not None
        return {"latent": self.encoders.tokenizer.latent(example.target_3HW[None].to(self.device))}

    def _noise(
        self, example: Example, latent: Tensor, schedule: ScaleSchedule
    ) -> tuple[list[bool], TeacherForcing]:
        rng = example.item.rng(self.seed, NOISE)
        keep = (rng.random(3) >= self.drop).tolist()
        generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
        return keep, quantize_with_bit_flips(
            latent, schedule.scales, strength=self.flips, numpy_rng=rng, generator=generator
        )
