"""Checks a tokenizer.json before the tokenizers library builds or runs any of it.

That library trusts the file: steps that double a text thirty times, pieces of a million characters (its tries
are freed recursively) or ids with gaps of billions kill the whole process without an exception. Real files
have up to 256,000 pieces of at most a few hundred characters.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

MAX_GROWTH = 2000
"""Characters that the steps of a pipeline may make of one. ALBERT's, the most of real ones, come to 1,300 by
this count, which takes every character for the one that grows most."""
TOKENIZER_MEMORY_FACTOR = 12
"""Memory that a tokenizer.json may take, as a multiple of its size. Gemma's takes ten times its 33 MB:
its half a million merges are lists of two pieces each."""
MAX_STEPS = 200
MAX_CHARACTERS = 1000  # of a piece of the vocabulary
MAX_PIECES = 1_000_000
MAX_IN_TRIE = 3 << 20
"""Characters of a Unigram model's pieces together: each may take 300 bytes in a trie."""
MAX_ADDED = 100  # tokens around a prompt

_PIPELINES = (("normalizer", "pre_tokenizer"), ("post_processor",), ("decoder",))
"""What a text, its tokens, and tokens to be decoded go through."""
_INNER = ("normalizers", "pretokenizers", "decoders", "processors")
_GROWTH = {
    "NFD": 4, "NFC": 3, "NFKD": 18, "NFKC": 18, "Lowercase": 3, "BertNormalizer": 24, "Nmt": 1,
    "ByteLevel": 5, "Metaspace": 2,
}  # fmt: skip
"""Step -> the most characters that it makes of one, a space before it included."""


def check_tokenizer(document: Any) -> None:
    """Raises ValueError where a tokenizer.json would take time or memory out of proportion, or is none."""
    if not isinstance(document, dict):
        raise ValueError(f"expected a JSON object, got a {type(document).__name__}")
    check_tokens(document)
    _check_pieces(document)
    for pipeline in _PIPELINES:
        growth = 1
        for step in _steps([document.get(place) for place in pipeline]):
            growth *= _growth(step)
            if growth > MAX_GROWTH:
                raise ValueError(f"steps that make more than {MAX_GROWTH} characters of one")
    if _around(document.get("post_processor")) > MAX_ADDED:
        raise ValueError(f"more than {MAX_ADDED} tokens around each prompt")


def check_tokens(document: dict[str, Any]) -> None:
    """Raises ValueError where tokens in a tokenizer.json have ids far beyond their count.

    The tokenizers library counts through every id that is missing.
    """
    model, added = document.get("model"), document.get("added_tokens")
    known = model.get("vocab") if isinstance(model, dict) else None
    ids = [*known.values()] if isinstance(known, dict) else []
    if isinstance(added, list):
        ids += [token.get("id") for token in added if isinstance(token, dict)]
    limit = 2 * (len(ids) + (len(known) if isinstance(known, list) else 0)) + 1000
    if wrong := [token for token in ids if type(token) is not int or not 0 <= token < limit]:
        raise ValueError(f"a token with the id {str(wrong[0])[:40]}, expected 0 to {limit}")


def _check_pieces(document: dict[str, Any]) -> None:
    model, added = document.get("model"), document.get("added_tokens")
    model = model if isinstance(model, dict) else {}
    known = model.get("vocab")
    pieces = [*known] if isinstance(known, dict) else []
    if isinstance(known, list):
        pieces += [entry[0] for entry in known if isinstance(entry, list) and entry]
        if sum(len(piece) for piece in pieces if isinstance(piece, str)) > MAX_IN_TRIE:
            raise ValueError(f"pieces of more than {MAX_IN_TRIE:,} characters together")
    if isinstance(added, list):
        pieces += [token.get("content") for token in added if isinstance(token, dict)]
    if len(pieces) > MAX_PIECES:
        raise ValueError(f"{len(pieces):,} pieces, expected at most {MAX_PIECES:,}")
    pieces += [value for name, value in model.items() if name != "type" and isinstance(value, str)]
    longest = max((len(piece) for piece in pieces if isinstance(piece, str)), default=0)
    if longest > MAX_CHARACTERS:
        raise ValueError(f"a piece of {longest:,} characters, expected at most {MAX_CHARACTERS:,}")
    word = model.get("max_input_chars_per_word", 0)
    if type(word) is int and word > MAX_CHARACTERS:
        raise ValueError(f"words of up to {word} characters, expected at most {MAX_CHARACTERS:,}")


def _steps(values: list[Any]) -> Iterator[dict[str, Any]]:
    """All steps, nested ones included. Raises ValueError for too many."""
    rest, count = [*values], 0
    while rest:
        step = rest.pop()
        if not isinstance(step, dict):
            continue
        count += 1
        if count > MAX_STEPS:
            raise ValueError(f"more than {MAX_STEPS} steps")
        rest += [inner for name in _INNER if isinstance(step.get(name), list) for inner in step[name]]
        yield step


def _growth(step: dict[str, Any]) -> int:
    """The most characters that a step makes of one."""
    kind = step.get("type")
    if kind == "Replace":
        pattern, content = step.get("pattern"), str(step.get("content", ""))
        literal = pattern.get("String") if isinstance(pattern, dict) else None
        # A regular expression may fit no letter at all, and does so before each.
        return -(-len(content) // len(literal)) or 1 if literal else 1 + len(content)
    if kind == "Prepend":
        return 1 + len(str(step.get("prepend", "")))
    if kind == "Precompiled":
        return _longest_in_map(step.get("precompiled_charsmap"))
    if kind == "TemplateProcessing":
        return max(1, sum("Sequence" in piece for piece in _pieces(step.get("single"))))
    return _GROWTH.get(str(kind), 1)


def _longest_in_map(packed: Any) -> int:
    """Characters of the longest text in SentencePiece's map: a trie after its size, then the texts."""
    try:
        content = base64.b64decode(packed or "")
    except (binascii.Error, TypeError, ValueError):
        return 1  # the library refuses it
    texts = content[4 + int.from_bytes(content[:4], "little") :]
    return max(1, *(len(text.decode("utf-8", "replace")) for text in texts.split(b"\0")))


def _around(processor: Any) -> int:
    """Tokens that a processor puts around a text, at most."""
    count = 0
    for step in _steps([processor]):
        known = step.get("special_tokens")
        for text in (step.get("single"), step.get("pair")):
            for piece in _pieces(text):
                named = piece.get("SpecialToken")
                name = named.get("id") if isinstance(named, dict) else None
                token = known.get(name) if isinstance(name, str) and isinstance(known, dict) else None
                numbers = token.get("ids") if isinstance(token, dict) else None
                count += max(1, len(numbers)) if isinstance(numbers, list) else 1
    return count


def _pieces(text: Any) -> list[dict[str, Any]]:
    return [piece for piece in text if isinstance(piece, dict)] if isinstance(text, list) else []
