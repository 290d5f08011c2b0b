"""Codes whose last scale the transformer draws: what a decoder sees, with the pictures that they stand for.

The encoder's and the transformer's codes of a picture differ in some of the last scale's bits. What the
transformer expects of a picture is kept, so that its bits can be drawn anew each time.
Shapes: N pictures, H W pixels, h w tokens, D bits per token, L tokens of a scale.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from echogen_core.checkpoints import Bundle
from echogen_core.encoders.reference import reference_picture
from echogen_core.model.branch import Conditions
from echogen_core.pictures import reduced
from echogen_core.sampling.bits import choose_bits
from echogen_core.sampling.guidance import Guidance
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import add_scale, quantize_multiscale, quantize_with_bit_flips
from echogen_core.training.condition_dropout import drop_conditions
from echogen_core.utils.printable import counted

from ..data.dataset import Compositor
from ..data.files import load_array, save_array
from .pair_features import encode_pairs
from .precision import mixed_precision
from .transformer_recipe import NANO_MIX

logger = logging.getLogger(__name__)

BIT_FLIPS = 0.1
"""Largest share of the earlier scales' bits that is flipped before the last scale is drawn."""

BRANCHES = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
"""Which of text, semantic and content each guidance branch sees, in the order of the guidance weights."""

CHUNK, BATCH = 64, 16
"""Pictures in a file, and those that are painted at a time."""


class ExpectedCodes(NamedTuple):
    """Pictures with what the transformer expects of their last scale.

    pictures_N3HW, subject_N1HW: uint8, the picture and its subject's share of each pixel, 0 to 255.
    true_NDhw: the encoder's codes. summed_NDhw: the codes before the last scale, some bits flipped.
    logits_NLd2: guided, and divided by tau, of the last scale's bits. Codes and logits are float16.
    """

    pictures_N3HW: Tensor
    subject_N1HW: Tensor
    true_NDhw: Tensor
    summed_NDhw: Tensor
    logits_NLd2: Tensor

    def drawn(self, top_p: float, generator: torch.Generator) -> Tensor:
        """Codes [N, D, h, w] with newly drawn bits, float32."""
        logits_NLd2 = self.logits_NLd2.float()
        noise = torch.empty(logits_NLd2.shape).exponential_(generator=generator)
        bits_NLD = choose_bits(logits_NLd2, noise.to(logits_NLd2.device), top_p)
        size = (self.summed_NDhw.shape[-2], self.summed_NDhw.shape[-1])
        return add_scale(self.summed_NDhw.float(), bits_NLD.unflatten(1, size), size)


class CodePainter:
    """Composes pictures and asks the transformer what it expects of them, at the preset's guidance."""

    def __init__(self, bundle: Bundle, data: Path, split: str, seed: int, device: torch.device) -> None:
        self._bundle, self._device = bundle, device
        self._schedule = find_schedule(bundle.preset.budget)
        self._compositor = Compositor(data, split, seed, device=device)
        self._numpy_rng = np.random.default_rng(seed)
        self._flips = torch.Generator(device).manual_seed(seed)

    @torch.no_grad()
    def paint(self, count: int) -> ExpectedCodes:
        """`count` pictures; larger ones than the schedule's are encoded at the schedule's size."""
        pairs, bundle, scales = self._compositor.batch(count, NANO_MIX), self._bundle, self._schedule.scales
        references_B3HW = reference_picture(pairs.references_B3HW, bundle.content.config.reference_size)
        with mixed_precision(self._device):
            given = encode_pairs(bundle, pairs.prompts, references_B3HW)
            latent_NDhw = bundle.tokenizer.latent(reduced(pairs.targets_B3HW, self._schedule.pixels_hw))
            forced = quantize_with_bit_flips(
                latent_NDhw,
                scales,
                strength=BIT_FLIPS,
                flip_scales=len(scales) - 1,
                numpy_rng=self._numpy_rng,
                generator=self._flips,
            )
            logits_NLd2 = self._guided(given, forced.inputs_BLD)
        # before the last scale, the sum so far has the last scale's size already
        height, width = scales[-1]
        summed_NDhw = forced.inputs_BLD[:, -height * width :].mT.unflatten(-1, (height, width))
        return ExpectedCodes(
            (pairs.targets_B3HW * 255).round().byte(),
            (pairs.subject_masks_B1HW * 255).round().byte(),
            quantize_multiscale(latent_NDhw, scales).codes_BDHW.half(),
            summed_NDhw.half(),
            (logits_NLd2 / bundle.preset.tau).half(),
        )

    def _guided(self, given: Conditions, inputs_BLD: Tensor) -> Tensor:
        """Guided logits of the last scale's bits, from the branches that have a weight."""
        preset, count = self._bundle.preset, len(inputs_BLD)
        weights = Guidance.constant(preset.gamma_t, preset.gamma_i, 1).weights(0)
        weighted = [
            weight * self._last_logits(given, inputs_BLD, keep_3.to(self._device)[:, None].expand(3, count))
            for weight, keep_3 in zip(weights, BRANCHES, strict=True)
            if weight
        ]
        return sum(weighted[1:], start=weighted[0])

    def _last_logits(self, given: Conditions, inputs_BLD: Tensor, keep_3B: Tensor) -> Tensor:
        """Logits of the last scale's bits, from the conditions that are kept."""
        model = self._bundle.transformer
        logits = model.teacher_forced(drop_conditions(model, given, keep_3B), inputs_BLD, self._schedule)
        return logits[:, slice(*self._schedule.spans[-1])].float()


class PaintedPictures:
    """The painted pictures of a folder, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError when the folder has none."""
        last = ExpectedCodes._fields[-1]
        names = sorted(path.name.removesuffix(f"_{last}.npy") for path in folder.glob(f"*_{last}.npy"))
        self._chunks = [
            [load_array(folder / f"{name}_{part}.npy") for part in ExpectedCodes._fields] for name in names
        ]
        if not names:
            raise FileNotFoundError(f"No painted pictures in {folder}: expected at least one.")

    def __len__(self) -> int:
        return sum(len(chunk[0]) for chunk in self._chunks)

    def some(self, count: int, rng: np.random.Generator) -> ExpectedCodes:
        """`count` random ones."""
        chosen = [self._chunks[int(index)] for index in rng.integers(len(self._chunks), size=count)]
        rows = [(chunk, int(rng.integers(len(chunk[0])))) for chunk in chosen]
        return _stacked([[array[row] for array in chunk] for chunk, row in rows])

    def first(self, count: int) -> ExpectedCodes:
        """The first `count`, or all there are."""
        rows = [[array[row] for array in chunk] for chunk in self._chunks for row in range(len(chunk[0]))]
        return _stacked(rows[:count])


def _stacked(rows: list[list[np.ndarray]]) -> ExpectedCodes:
    return ExpectedCodes(*(torch.from_numpy(np.stack(arrays)) for arrays in zip(*rows, strict=True)))


def paint_pictures(
    bundle: Bundle, data: Path, split: str, count: int, folder: Path, seed: int, device: torch.device
) -> PaintedPictures:
    """Paints what `folder` lacks of `count` pictures of a split, in whole chunks."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(-(-count // CHUNK)):
        if (folder / f"{index:04d}_{ExpectedCodes._fields[-1]}.npy").exists():
            continue
        painter = CodePainter(bundle, data, split, seed + index, device)
        size = min(CHUNK, count)
        parts = [painter.paint(min(BATCH, size)) for _ in range(-(-size // BATCH))]
        for name, tensors in zip(ExpectedCodes._fields, zip(*parts, strict=True), strict=True):
            save_array(folder / f"{index:04d}_{name}.npy", torch.cat(tensors).cpu().numpy())
        logger.info("Painted: %s.", counted((index + 1) * CHUNK, "picture"))
    return PaintedPictures(folder)
