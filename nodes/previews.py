"""Previews of the picture while it is drawn, the last of which Decode Bits takes over.

Shape suffixes: B pictures, D bits per token, H W size of the last scale in tokens, h w in pixels.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from echogen_core.sampling import Bits, ScaleStep
from echogen_core.tokenizer import sum_codes
from echogen_core.tokenizer.bsq import enlarge

from . import runtime
from .adapters import contact_sheet

_TOKENS = 32  # a side; decoding a large picture in full at every scale would double the time
_MOST_BYTES = 256 << 20  # of finished pictures that wait for Decode Bits


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
            pictures_B3hw = self._finished() if step.last else self._partial(step)
            # no maximum size: ComfyUI would enlarge small pictures to it
            preview = ("JPEG", contact_sheet(pictures_B3hw), None)
        self._bar.update_absolute(step.index + 1, step.total, preview)

    def _finished(self) -> Tensor:
        assert self._tokenizer is not None and self.drawn is not None
        pictures_B3hw = decode(self.drawn, self._tokenizer)
        _keep(self.drawn, self._tokenizer, pictures_B3hw)
        return pictures_B3hw

    def _partial(self, step: ScaleStep) -> Tensor:
        assert self._tokenizer is not None
        return runtime.decode(self._tokenizer, _reduced(step.codes_BdHW))


def _reduced(codes_BDHW: Tensor) -> Tensor:
    """Codes of at most _TOKENS a side, resized as the transformer does it."""
    # Much smaller ones would be quicker, but decode to pictures without the subject.
    height, width = codes_BDHW.shape[-2:]
    share = min(1.0, _TOKENS / max(height, width))
    return enlarge(codes_BDHW, (max(1, round(height * share)), max(1, round(width * share))))


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
