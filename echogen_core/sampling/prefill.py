"""Prefill: what the branches of a run share with other runs, computed once and kept while it is useful.

The full branch depends on subject and prompt, the text-only branch on the prompt, and the unconditional
branch only on the prompt's token count (the null prompt has the same length, official behaviour). None
depends on guidance weights, tau or seed, so tuning those costs no prefill at all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

import torch

from ..features import ContentFeatures, SemanticFeatures, TextFeatures
from ..model import BranchCache, EchoGenTransformer

NO_PROMPT_TOKENS = 32
"""Length of the null prompt when there is no prompt to take it from."""


@dataclass(frozen=True)
class Branches:
    """The three branches of the guidance formula; the same object twice where conditions coincide."""

    full: BranchCache
    text: BranchCache
    null: BranchCache

    def merged_weights(self, weights: tuple[float, float, float]) -> list[tuple[BranchCache, float]]:
        """Distinct branches with their summed weights, in the formula's order; zero weights included."""
        merged: list[tuple[BranchCache, float]] = []
        for branch, weight in zip((self.full, self.text, self.null), weights, strict=True):
            for i, (known, sofar) in enumerate(merged):
                if known is branch:
                    merged[i] = (known, sofar + weight)
                    break
            else:
                merged.append((branch, weight))
        return merged


class PrefillCache:
    """Branch caches of one model, least recently used ones dropped first.

    Features are recognised by identity: the same TextFeatures object means the same prompt.
    """

    def __init__(
        self, model: EchoGenTransformer, capacity: int = 6, device: torch.device | str | None = None
    ) -> None:
        """capacity: branches kept, up to three a run. device: where to compute (default: as the model)."""
        if capacity < 3:
            raise ValueError(
                f"A run needs up to three branches: expected a capacity of at least 3, got {capacity}."
            )
        self._model = model
        self._capacity = capacity
        self._device = device
        self._kept: OrderedDict[Hashable, tuple[tuple[object, ...], BranchCache]] = OrderedDict()
        self.computed = 0  # prefills done so far, for tests and logs

    def branches(
        self,
        text: TextFeatures | None,
        semantic: SemanticFeatures | None,
        content: ContentFeatures | None,
    ) -> Branches:
        """The branches of a run. Absent conditions fall back to the learned nulls, so branches may coincide.

        Raises ValueError when features do not fit the model.
        """
        if text is None:
            length = min(NO_PROMPT_TOKENS, self._model.config.text_length)
        else:
            length = text.tokens_LC.shape[0]
        full = self._branch(text, semantic, content, length)
        return Branches(full, self._branch(text, None, None, length), self._branch(None, None, None, length))

    def clear(self) -> None:
        """Forget everything (the model moved, or its memory is wanted back)."""
        self._kept.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values held."""
        return sum(cache.nbytes for _, cache in self._kept.values())

    def _branch(
        self,
        text: TextFeatures | None,
        semantic: SemanticFeatures | None,
        content: ContentFeatures | None,
        length: int,
    ) -> BranchCache:
        key = (("null", length) if text is None else id(text), _identity(semantic), _identity(content))
        if key not in self._kept:
            while len(self._kept) >= self._capacity:
                self._kept.popitem(last=False)
            device = self._model.null_text.device if self._device is None else self._device
            with torch.inference_mode():
                inputs = self._model.conditions(text, semantic, content, length, device)
                # the features are kept as well, so that their identities stay taken
                self._kept[key] = ((text, semantic, content), self._model.prefill(inputs))
            self.computed += 1
        self._kept.move_to_end(key)
        return self._kept[key][1]


def _identity(features: SemanticFeatures | ContentFeatures | None) -> Hashable:
    return None if features is None else (id(features[0]), features.strength)
