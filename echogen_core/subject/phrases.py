"""Phrases that name a subject, as they come from models and people."""

from __future__ import annotations

import logging
import re

logger = logging.getLogger(__name__)

MAX_PHRASE = 250
"""Characters. A character is at most one token, and GroundingDINO reads 256 with the two that frame them."""

_LEAD_IN = re.compile(
    r"^(?:(?:the\s+)?(?:primary|main|central)?\s*(?:subject|object)(?:\s+(?:of|in)\s+(?:the|this)\s+(?:image|"
    r"picture|photo))?\s*(?:is|are)?\s*[:,]?|(?:this|it|the\s+(?:image|picture|photo))\s+(?:is|shows|depicts|"
    r"features|contains)|answer\s*:|noun\s+phrase\s*:)\s+",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"^(?:an?|the)\s+(?=\S)", re.IGNORECASE)
_EDGES = " \t\"'`*_#<>[](){}.,;:!?-–—“”‘’«»。，"


def clean_phrase(answer: str) -> str:
    """The noun phrase in a model's or an artist's words: no quotes, markup, lead-in, article or full stop.

    One line of at most MAX_PHRASE characters, in any language; '' when nothing is left.
    """
    # Control characters and lone surrogates (half a character from a broken paste) mean nothing to a model.
    text = answer.encode("utf-8", "ignore").decode("utf-8")
    lines = [line.strip(_EDGES) for line in re.sub(r"[^\S\n]+|[\x00-\x09\x0b-\x1f]", " ", text).split("\n")]
    phrase = next((line for line in lines if line), "")
    for pattern in (_LEAD_IN, _ARTICLE):
        phrase = pattern.sub("", phrase).strip(_EDGES)
    if len(phrase) > MAX_PHRASE:
        logger.warning(
            "A phrase of %d characters is cut to %d: expected a few words that name the subject.",
            len(phrase),
            MAX_PHRASE,
        )
        phrase = phrase[:MAX_PHRASE].rpartition(" ")[0].strip(_EDGES) or phrase[:MAX_PHRASE]
    return phrase
