"""Examples into batches for the transformer: conditions, inputs with flipped bits, bit labels.

Every example is encoded and disturbed separately, with its own random numbers: a step computes the same
however its pictures are spread over processes, and whether or not features were cached.
Shape suffixes: B pictures, L prompt tokens or sequence tokens, C channels, d bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..config import Preset
from ..model.branch import Conditions
from ..scales import ScaleSchedule
from ..tokenizer.bsq import TeacherForcing, quantize_with_bit_flips
from .dataset import NOISE, Example
from .feature_cache import FeatureCache
from .frozen_encoders import FrozenEncoders


class Batch(NamedTuple):
    """Conditions of B pictures; which of text, semantic and content to keep, [3, B]; inputs and labels."""

    given: Conditions
    keep_3B: Tensor
    forced: TeacherForcing
    schedule: ScaleSchedule


class BatchEncoder:
    """Turns examples into batches on one device."""

    def __init__(
        self,
        encoders: FrozenEncoders,
        preset: Preset,
        schedules: dict[str, ScaleSchedule],
        seed: int,
        drop: float,
        flips: float,
        cache: FeatureCache | None,
        device: torch.device,
    ) -> None:
        """drop: probability of dropping each of text, semantic, content. flips: largest bit flip rate."""
        self.encoders, self.preset, self.schedules, self.cache = encoders, preset, schedules, cache
        self.seed, self.drop, self.flips, self.device = seed, drop, flips, device

    @torch.no_grad()
    def batch(self, examples: Sequence[Example]) -> Batch:
        """A batch of examples, all of one aspect ratio."""
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
        """tokens [L, C], cls [C], patches [P, C], content [C, H, W] and latent [1, d, H, W]."""
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
            # the memory layout of a cached one: another would sum in another order
            merged |= {name: tensor.to(self.device).contiguous() for name, tensor in found.items()}
        return merged

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
