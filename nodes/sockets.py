"""What must arrive at a node's sockets.

ComfyUI compares the names of types where nodes are wired up, but lets pass whatever is written into a prompt
in place of a wire, and whatever comes over a link of any type, as switches and loops have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from echogen_core.encoders import SemanticEncoder, TextEncoder
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.printable import printable
from echogen_core.sampling import Bits, GuidanceSchedule
from echogen_core.tokenizer import BitTokenizer

from . import runtime

_SHOWN = 80  # characters of a value in a message


class Socket(NamedTuple):
    """What arrives at sockets of a type: in words, and whether a value is that."""

    expected: str
    fits: Callable[[Any], bool]


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _holds(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, runtime.Managed) and isinstance(value.module, kinds)


def _real(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_complex()


def _encodes_content(value: Any) -> bool:
    # Another one's VAE may be in its place, which is no class of the core's.
    others = (BitTokenizer, TextEncoder, SemanticEncoder)
    return (
        isinstance(value, runtime.Managed)
        and hasattr(value.module, "encode")
        and not isinstance(value.module, others)
    )


SOCKETS: dict[str, Socket] = {
    "ECHOGEN_MODEL": Socket("a model, from Load EchoGen", _is(runtime.ManagedModel)),
    "ECHOGEN_TOKENIZER": Socket("a tokenizer, from Load EchoGen", _holds(BitTokenizer)),
    "ECHOGEN_TEXT_ENCODER": Socket("a text encoder, from Load EchoGen", _holds(TextEncoder)),
    "ECHOGEN_SEMANTIC_ENCODER": Socket("a semantic encoder, from Load EchoGen", _holds(SemanticEncoder)),
    "ECHOGEN_CONTENT_ENCODER": Socket("a content encoder, from Load EchoGen", _encodes_content),
    "ECHOGEN_TEXT": Socket("text features, from Encode Text", _is(TextFeatures)),
    "ECHOGEN_SEMANTIC": Socket("semantic features, from Encode Semantic", _is(SemanticFeatures)),
    "ECHOGEN_CONTENT": Socket("content features, from Encode Content", _is(ContentFeatures)),
    "ECHOGEN_GUIDANCE": Socket("guidance, from Guidance Schedule", _is(GuidanceSchedule)),
    "ECHOGEN_BITS": Socket("bits, from EchoGen Sampler", _is(Bits)),
    "IMAGE": Socket("pictures, from Load Image or any node that makes some", _real),
    "MASK": Socket("a mask, from Load Image or any node that makes one", _real),
    "VAE": Socket("a VAE, from Load VAE", lambda value: hasattr(value, "first_stage_model")),
}
"""Wire types whose values are checked here; boxes have forms of their own (see boxes.py)."""


def expected(io_type: str, value: Any) -> str | None:
    """What should have come to a socket of that type, in words; None where the value fits."""
    socket = SOCKETS.get(io_type)
    return None if socket is None or socket.fits(value) else socket.expected


def described(value: Any) -> str:
    """A value in a message: texts and numbers as they are, others by what they are."""
    if isinstance(value, str | bool | int | float | None):
        # A whole number of ten thousand digits is more than Python writes.
        short = value if not isinstance(value, int) or abs(value) < 1 << 128 else f"{value:#x}"
        return f"'{printable(short, _SHOWN)}'"
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return f"a value of type {printable(type(value).__name__, _SHOWN)}"
