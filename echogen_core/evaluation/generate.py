"""Pictures of the miniature for a whole task, in batches, by the sampler that everything else uses.

Shapes: N pictures, S subjects, H and W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..checkpoints import Bundle
from ..features import ContentFeatures, SemanticFeatures, TextFeatures
from ..sampling import Guidance, PrefillCache, SamplingSettings, sample
from ..scales import find_schedule
from ..tokenizer import BitTokenizer
from .protocol import Task

BATCH = 24


@dataclass(frozen=True)
class Ask:
    """How pictures are drawn; which of the reference's two kinds of features the model sees."""

    gamma_t: float
    gamma_i: float
    tau: float
    top_p: float
    semantic: bool = True
    content: bool = True


class Miniature:
    """A bundle with the features of what it was asked for before."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.schedule = find_schedule(bundle.preset.budget)
        # a batch needs a full and a text branch for each picture; null branches differ by prompt length only
        self._prefill = PrefillCache(bundle.transformer, capacity=2 * BATCH + 16)
        self._texts: dict[str, TextFeatures] = {}

    @property
    def preset(self) -> Ask:
        """The preset's own settings."""
        preset = self.bundle.preset
        return Ask(preset.gamma_t, preset.gamma_i, preset.tau, preset.top_p)

    @torch.inference_mode()
    def pictures(self, task: Task, ask: Ask) -> Tensor:
        """One picture for each of the task's prompts, [N, 3, H, W] in 0..1."""
        subjects = task.subjects_N.tolist()
        known = {row: self._subject(task.references_S3HW[row : row + 1], ask) for row in set(subjects)}
        guidance = Guidance.constant(ask.gamma_t, ask.gamma_i, len(self.schedule.scales))
        settings = SamplingSettings(guidance, ask.tau, ask.top_p)
        images = []
        for start in range(0, len(subjects), BATCH):
            rows = range(start, min(start + BATCH, len(subjects)))
            branches = [
                self._prefill.branches(self._text(task.prompts[row]), *known[subjects[row]]) for row in rows
            ]
            seeds = [task.seeds[row] for row in rows]
            *_, last = sample(self.bundle.transformer, branches, self.schedule, seeds, settings)
            images.append(self.bundle.tokenizer.decode(last.codes_BdHW))
        self._prefill.clear()
        return torch.cat(images)

    def _text(self, prompt: str) -> TextFeatures:
        if prompt not in self._texts:
            self._texts[prompt] = self.bundle.text.encode(prompt)
        return self._texts[prompt]

    def _subject(
        self, image_13HW: Tensor, ask: Ask
    ) -> tuple[SemanticFeatures | None, ContentFeatures | None]:
        semantic = self.bundle.semantic.encode(image_13HW) if ask.semantic else None
        return semantic, self.bundle.content.encode(image_13HW) if ask.content else None


@torch.inference_mode()
def through_tokenizer(tokenizer: BitTokenizer, images_N3HW: Tensor) -> Tensor:
    """Pictures to bits and back, [N, 3, H, W]: the best that any choice of bits by the model could do."""
    scales = find_schedule("nano").scales
    parts = [tokenizer.decode(tokenizer.encode(b, scales).quantized_BDHW) for b in images_N3HW.split(BATCH)]
    return torch.cat(parts)
