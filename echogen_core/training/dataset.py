"""Manifest as a DataLoader's workers hand them over: prompt and pictures, or the features that are cached.

Shape suffixes: H and W pixels.
"""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..encoders import reference_picture
from ..pictures import cover_crop, from_pil
from ..utils.printable import counted
from .batch_sampler import SampleIndex
from .captions import vary_caption
from .feature_cache import FeatureCache
from .manifest import Fault, FaultyRow, Manifest, Row
from .row_pictures import read_bytes, row_picture, square_on_white

logger = logging.getLogger(__name__)

CAPTION, NOISE = 0, 1
"""Purposes of a sample's random numbers."""


@dataclass(frozen=True)
class Example:
    """One picture to learn.

    target_3HW: at the size of the ratio's schedule; reference_3HW: square at the encoders' size. Both in
    0..1; None where their features are in `cached`.
    cached: features found on disk under "text", "reference" or "target"; keys: the cache keys of the others.
    faults: of the broken rows that this one replaces; a worker reports each row once.
    """

    item: SampleIndex
    prompt: str
    ratio: str
    reference_3HW: Tensor | None
    target_3HW: Tensor | None
    cached: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


class SubjectDataset(Dataset[Example]):
    """Reads rows; a broken one is replaced by the next row of its aspect ratio, and its fault reported."""

    def __init__(
        self,
        manifest: Manifest,
        reference_size: int,
        seed: int,
        short_captions: float,
        cache: FeatureCache | None,
    ) -> None:
        self.manifest, self.reference_size, self.cache = manifest, reference_size, cache
        self.seed, self.short_captions = seed, short_captions
        self._broken: dict[int, Fault] = {}

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, item: SampleIndex) -> Example:
        """Raises ValueError if no row of the aspect ratio can be read."""
        numbers = self.manifest.buckets[self.manifest[item.row].ratio]
        start = int((numbers == item.row).argmax())
        faults: list[Fault] = []
        for place in range(start, start + len(numbers)):
            number = int(numbers[place % len(numbers)])
            if number in self._broken:
                continue
            try:
                return self._read(item, number, tuple(faults))
            except FaultyRow as error:
                self._broken[number] = error.fault
                faults.append(error.fault)
        last = self._broken[int(numbers[start - 1])]
        raise ValueError(
            f"No row of this aspect ratio can be used ({counted(len(numbers), 'row')} tried). The last: "
            f"{last}. Relative paths start from --images."
        )

    def _read(self, item: SampleIndex, number: int, faults: tuple[Fault, ...]) -> Example:
        row = self.manifest[number]
        prompt = vary_caption(row, item.rng(self.seed, CAPTION), self.short_captions)
        size_hw = self.manifest.schedules[row.ratio].pixels_hw
        reference, target = (read_bytes(path, row.where) for path in (row.cond_image, row.output_image))
        cached: dict[str, dict[str, Tensor]] = {}
        keys: dict[str, str] = {}
        if self.cache is not None:
            # a lone surrogate has no bytes: "?", as the tokenizer reads it
            keys["text"] = self.cache.key("text", prompt.encode("utf-8", "replace"))
            keys["reference"] = self.cache.key("reference", reference, "upright, squared on white")
            keys["target"] = self.cache.key("target", target, "upright, covering", size_hw)
            found = {kind: self.cache.read(kind, key) for kind, key in keys.items()}
            cached = {kind: features for kind, features in found.items() if features}
        return Example(
            item,
            prompt,
            row.ratio,
            None if "reference" in cached else self._reference(reference, row.cond_image, row.where),
            None if "target" in cached else self._target(target, row, size_hw),
            cached,
            {kind: key for kind, key in keys.items() if kind not in cached},
            faults,
        )

    def _reference(self, content: bytes, path: Path, where: str) -> Tensor:
        picture_13HW = from_pil(square_on_white(row_picture(content, path, where)))[None]
        return reference_picture(picture_13HW, self.reference_size)[0]

    def _target(self, content: bytes, row: Row, size_hw: tuple[int, int]) -> Tensor:
        return from_pil(cover_crop(row_picture(content, row.output_image, row.where), size_hw))


def as_list(examples: list[Example]) -> list[Example]:
    """Collate function of the DataLoader: nothing is stacked, examples differ in what is cached."""
    return examples


def begin_worker(_: int) -> None:
    """A DataLoader's worker_init_fn: one thread each, and signals are left to the parent, which ends them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)
