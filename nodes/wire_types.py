"""Which values fit the pack's wire types.

ComfyUI compares the names of types where nodes are connected, but accepts any value that a prompt has in
place of a link, and any that arrives over a link of type *, as switches and loops have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from echogen_core.encoders import SemanticEncoder, TextEncoder
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.sampling import Bits, GuidanceSchedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.utils.printable import printable

from . import runtime
from .edit_wires import PictureEdit, RegionInputs

_SHOWN = 80  # characters of a value in a message


class WireType(NamedTuple):
    """The values of a type: a description, a test, and what to do where a link brings nothing."""

    expected: str
    fits: Callable[[Any], bool]
    missing: str = "Change the node connected to it."


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _holds(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, runtime.Managed) and isinstance(value.module, kinds)


def _real(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_complex()


def _is_regions(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(each, RegionInputs) for each in value)


def _encodes_content(value: Any) -> bool:
    # ComfyUI's VAE may stand in for it, which is not one of the core's classes.
    other_encoders = (BitTokenizer, TextEncoder, SemanticEncoder)
    return (
        isinstance(value, runtime.Managed)
        and hasattr(value.module, "encode")
        and not isinstance(value.module, other_encoders)
    )


WIRE_TYPES: dict[str, WireType] = {
    "ECHOGEN_MODEL": WireType("a model, from Load EchoGen", _is(runtime.ManagedModel)),
    "ECHOGEN_TOKENIZER": WireType("a tokenizer, from Load EchoGen", _holds(BitTokenizer)),
    "ECHOGEN_TEXT_ENCODER": WireType("a text encoder, from Load EchoGen", _holds(TextEncoder)),
    "ECHOGEN_SEMANTIC_ENCODER": WireType("a semantic encoder, from Load EchoGen", _holds(SemanticEncoder)),
    "ECHOGEN_CONTENT_ENCODER": WireType("a content encoder, from Load EchoGen", _encodes_content),
    "ECHOGEN_TEXT": WireType("text features, from Encode Text", _is(TextFeatures)),
    "ECHOGEN_SEMANTIC": WireType("semantic features, from Encode Semantic", _is(SemanticFeatures)),
    "ECHOGEN_CONTENT": WireType("content features, from Encode Content", _is(ContentFeatures)),
    "ECHOGEN_GUIDANCE": WireType("guidance, from Guidance Schedule", _is(GuidanceSchedule)),
    "ECHOGEN_BITS": WireType("bits, from EchoGen Sampler or Encode Bits", _is(Bits)),
    "ECHOGEN_EDIT": WireType(
        "an edit, from Edit Picture or EchoGen Sampler",
        _is(PictureEdit),
        "The sampler has no edit: connect Edit Picture to its edit input, or bypass Paste Back too.",
    ),
    "ECHOGEN_REGIONS": WireType("regions, from Subject Region", _is_regions),
    "IMAGE": WireType("pictures, from Load Image or any node that makes some", _real),
    "MASK": WireType("a mask, from Load Image or any node that makes one", _real),
    "VAE": WireType("a VAE, from Load VAE", lambda value: hasattr(value, "first_stage_model")),
}
"""Wire type -> its values. BOUNDING_BOX is missing: it has several forms, see boxes.py."""


def describe_value(value: Any) -> str:
    """A value for a message: texts and numbers as they are, others by their type."""
    if value is None:
        return "nothing"
    if isinstance(value, str | bool | int | float):
        # Python refuses to write integers of thousands of digits in decimal.
        short = value if not isinstance(value, int) or abs(value) < 1 << 128 else f"{value:#x}"
        return f"'{printable(short, _SHOWN)}'"
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    return f"a value of type {printable(type(value).__name__, _SHOWN)}"
