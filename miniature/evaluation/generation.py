"""The miniature's pictures for a whole task, in batches, through the same pipeline as everywhere else.

Shapes: N pictures, S subjects, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from echogen_core.checkpoints import Bundle
from echogen_core.config import Preset
from echogen_core.features import Subject
from echogen_core.pictures import reduced
from echogen_core.pipeline import EchoGenPipeline, Settings
from echogen_core.sampling import PrefillCache
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer

from .protocol import Task

BATCH = 24


@dataclass(frozen=True)
class GenerationSettings:
    """How pictures are sampled, and which of the reference's two paths are on."""

    gamma_t: float
    gamma_i: float
    tau: float
    top_p: float
    semantic: bool = True
    content: bool = True


class Miniature:
    """A bundle that generates the pictures of a task."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._pipeline = EchoGenPipeline(bundle)
        self._schedule = find_schedule(bundle.preset.budget)
        self._task: Task | None = None
        self._encoded: dict[tuple[bool, bool], dict[int, Subject]] = {}
        # a batch needs a full and a text branch for each picture; null branches differ by prompt length only
        self._pipeline.prefill = PrefillCache(bundle.transformer, capacity=2 * BATCH + 16)

    @property
    def preset(self) -> GenerationSettings:
        """The preset's own settings."""
        preset = self.bundle.preset
        return GenerationSettings(preset.gamma_t, preset.gamma_i, preset.tau, preset.top_p)

    def generate(self, task: Task, settings: GenerationSettings) -> Tensor:
        """One picture for each of the task's prompts, [N, 3, H, W] in 0..1, of the size that is encoded."""
        pipeline, subjects = self._pipeline, task.subjects_N.tolist()
        references = self._references(task, settings)
        sampling = Settings(settings.gamma_t, settings.gamma_i, settings.tau, settings.top_p)
        images = []
        for start in range(0, len(subjects), BATCH):
            rows = range(start, min(start + BATCH, len(subjects)))
            branches = [pipeline.branches(task.prompts[row], references[subjects[row]]) for row in rows]
            seeds = [task.seeds[row] for row in rows]
            drawn_B3HW = pipeline.generate(branches, seeds, sampling).images_B3HW
            images.append(reduced(drawn_B3HW, self._schedule.pixels_hw))
        pipeline.prefill.clear()
        return torch.cat(images).cpu()

    def _references(self, task: Task, settings: GenerationSettings) -> dict[int, Subject]:
        """Row -> features of the task's subjects; kept until another task comes."""
        if self._task is not task:
            self._task, self._encoded = task, {}
        paths = (settings.semantic, settings.content)
        if paths not in self._encoded:
            self._encoded[paths] = {
                row: self._pipeline.encode_reference(
                    task.references_S3HW[row : row + 1], semantic=settings.semantic, content=settings.content
                )
                for row in sorted(set(task.subjects_N.tolist()))
            }
        return self._encoded[paths]

    def through_tokenizer(self, images_N3HW: Tensor) -> Tensor:
        """Pictures [N, 3, H, W] to bits and back; see the function of the same name."""
        return through_tokenizer(self.bundle.tokenizer, images_N3HW, self.bundle.preset)


@torch.inference_mode()
def through_tokenizer(tokenizer: BitTokenizer, images_N3HW: Tensor, preset: Preset) -> Tensor:
    """Pictures to bits and back, [N, 3, H, W]: the best that any choice of bits by the model could do.

    Raises ValueError when they are not of the preset's size.
    """
    device = next(tokenizer.parameters()).device
    schedule = find_schedule(preset.budget)
    parts = []
    for batch_B3HW in images_N3HW.split(BATCH):
        encoded = tokenizer.encode(batch_B3HW.to(device), schedule.scales)
        parts.append(reduced(tokenizer.decode(encoded.quantized_BDHW), schedule.pixels_hw).cpu())
    return torch.cat(parts).clone()
