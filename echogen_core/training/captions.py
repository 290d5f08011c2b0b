"""How a caption varies from one time to the next."""

from __future__ import annotations

import numpy as np

from .manifest import Row

LONG_SENTENCE = 15
"""Words from which a first sentence makes a short caption by itself; a shorter one takes the second along."""


def vary_caption(row: Row, rng: np.random.Generator, short: float) -> str:
    """The caption for this step.

    A caption written by a model is cut: with probability `short` to its first sentence (its first two if the
    first has fewer than 15 words), otherwise to a random number of sentences beyond that. A user's prompt is
    never cut. Everything from the first `--` on is removed (other programs' settings). Source: the official
    data set class.
    """
    caption = row.caption
    if row.written_by_model:
        sentences = [sentence for sentence in caption.split(".") if sentence]
        words = sentences[0].split() if sentences else []
        few = 1 if len(words) >= LONG_SENTENCE else 2
        uniform = rng.random()
        if uniform < short:
            caption = ".".join(sentences[:few])
        elif len(sentences) > few:
            caption = ".".join(sentences[: rng.integers(few + 1, len(sentences) + 1)])
    return (caption.split("--")[0].strip() or caption).strip()
