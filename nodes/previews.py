"""Previews of the picture while it is drawn, the last of which Decode Bits takes over.

All but the last are sketches, which cost next to nothing: decoding after every scale would take longer than
sampling. Decode Scales decodes them in full.

Shape suffixes: B pictures, D bits per token, H W size of the last scale in tokens, h w in pixels.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from echogen_core.pictures import cover_crop, from_pil
from echogen_core.sampling import Bits, ScaleStep
from echogen_core.subject.samples import GROUNDS, open_sample
from echogen_core.tokenizer import BitTokenizer, Sketcher, sum_codes

from . import runtime
from .adapters import contact_sheet

_LONGEST_SKETCH = 512  # pixels a side: sketches have no more detail
_PHOTOGRAPH = "mountain_meadow.webp"  # the first lesson of a sketcher
_PHOTOGRAPH_SIDE = 128  # pixels
_MOST_BYTES = 256 << 20  # of finished pictures that wait for Decode Bits

_sketchers: weakref.WeakKeyDictionary[BitTokenizer, Sketcher] = weakref.WeakKeyDictionary()


class ScaleProgress:
    """One step of ComfyUI's progress bar per scale, with a preview where there is a tokenizer."""

    def __init__(self, scales: int, tokenizer: runtime.Managed | None) -> None:
        # Inside `execute`: the bar binds to the running prompt on creation, and raises when interrupted.
        self._bar = runtime.progress_bar(scales)
        self._tokenizer = tokenizer
        self.drawn: Bits | None = None
        """All that was drawn, in main memory; None before the last scale."""

    def report(self, step: ScaleStep) -> None:
        """Call after each scale. The last preview is the finished picture (a grid for a batch)."""
        preview = None
        if step.last:
            self.drawn = replace(step.bits, scales=tuple(scale.cpu() for scale in step.bits.scales))
        if self._tokenizer is not None:
            sheet = self._finished(step) if step.last else _sketched(step, self._tokenizer)
            # no maximum size: ComfyUI would enlarge small pictures to it
            preview = ("JPEG", sheet, None)
        self._bar.update_absolute(step.index + 1, step.total, preview)

    def _finished(self, step: ScaleStep) -> Image.Image:
        assert self._tokenizer is not None and self.drawn is not None
        pictures_B3hw = decode(self.drawn, self._tokenizer)
        _keep(self.drawn, self._tokenizer, pictures_B3hw)
        _sketcher(self._tokenizer).learn(step.codes_BdHW[:1], pictures_B3hw[:1])
        return contact_sheet(pictures_B3hw)


def _sketched(step: ScaleStep, tokenizer: runtime.Managed) -> Image.Image:
    """The pictures as far as they are drawn, at their own size unless that is large."""
    sheet = contact_sheet(_sketcher(tokenizer).draw(step.codes_BdHW))
    enlarged = tokenizer.module.config.drawn_patch / Sketcher.SCALE
    scale = min(enlarged, _LONGEST_SKETCH / max(sheet.size))
    size = (round(sheet.width * scale), round(sheet.height * scale))
    return sheet.resize(size, Image.Resampling.BICUBIC)


def _sketcher(tokenizer: runtime.Managed) -> Sketcher:
    """That of a tokenizer, which must be loaded. It starts with a photograph."""
    module: BitTokenizer = tokenizer.module
    if module not in _sketchers:
        side = max(1, _PHOTOGRAPH_SIDE // module.config.patch)
        scales = [(2**n, 2**n) for n in range(side) if 2**n < side] + [(side, side)]
        pixels = side * module.config.patch
        photograph = cover_crop(open_sample(_PHOTOGRAPH, GROUNDS).convert("RGB"), (pixels, pixels))
        picture_13hw = from_pil(photograph)[None]
        with torch.inference_mode():
            encoded = module.encode(picture_13hw.to(tokenizer.device), scales)
        _sketchers[module] = Sketcher()
        _sketchers[module].learn(encoded.quantized_BDHW, picture_13hw)
    return _sketchers[module]


def decode(bits: Bits, tokenizer: runtime.Managed) -> Tensor:
    """[B, 3, h, w]: finished pictures; the tokenizer must be loaded."""
    return runtime.decode(tokenizer, sum_codes(bits.scales, bits.schedule.scales))


class _Decoded(NamedTuple):
    scale: weakref.ref[Tensor]  # the first one of the bits, which lives as long as they do
    tokenizer: runtime.Managed
    pictures_B3hw: Tensor


_latest: list[_Decoded] = []  # one at most


def _keep(bits: Bits, tokenizer: runtime.Managed, pictures_B3hw: Tensor) -> None:
    _latest.clear()
    if pictures_B3hw.nbytes <= _MOST_BYTES:
        _latest.append(_Decoded(weakref.ref(bits.scales[0], _drop), tokenizer, pictures_B3hw))


def _drop(scale: weakref.ref[Tensor]) -> None:
    _latest[:] = [kept for kept in _latest if kept.scale is not scale]


def taken(bits: Bits, tokenizer: runtime.Managed) -> Tensor | None:
    """[B, 3, h, w]: the pictures of bits that a run has just shown, decoded by that tokenizer; once."""
    if any(kept.scale() is bits.scales[0] and kept.tokenizer is tokenizer for kept in _latest):
        return _latest.pop().pictures_B3hw
    return None
