"""One part's weights from any accepted form, under the names of our own files, still mapped from the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from .adapter import Base, add_base
from .format import EXAMPLES, KINDS, TITLES
from .formats.expanded_tensors import check_stored_size
from .identify import Identity, classify
from .keymap_content import translate_content
from .keymap_semantic import to_hub_names
from .keymap_text import stored_text
from .keymap_tokenizer import translate_tokenizer
from .keymap_transformer import translate_transformer
from .kinds import describe
from .read import RawFile, read_weights

USER_SETTINGS = ("reference_size", "image_size", "max_tokens")
"""Settings of encoders that the user chooses, not the weights."""

NOT_IN_SHAPES = (*USER_SETTINGS, "norm_groups")
"""Settings that no shape in a published file shows."""


@dataclass(frozen=True)
class Source:
    """A part as it lies on the disk: what it is, its configuration, and its tensors by our names."""

    raw: RawFile
    identity: Identity
    config: Any
    state: Mapping[str, Tensor]
    base: Base = None

    def reopened(self) -> Mapping[str, Tensor]:
        """`state` from a new mapping of the file, where it is mapped."""
        return read_source(self.raw.path, base=self.base).state if self.raw.mapped else self.state

    @property
    def kind(self) -> str:
        """Which part of a bundle the file holds."""
        assert self.identity.kind is not None
        return self.identity.kind


def read_source(
    path: str | Path, kind: str | None = None, *, config: Any = None, base: Base = None
) -> Source:
    """Open a file or a folder from the hub. No weight is read yet (except from torch's older stream format).

    Args:
        kind: the slot that it is meant for; None: any.
        config, base: as `load`.
    Raises:
        FileNotFoundError, ValueError: as `load`.
    """
    raw = read_weights(path)
    try:
        identity = classify(raw)
        _check_kind(identity, kind)
        config = _configure(identity, config)
        state = _state(raw, identity, config, base)
        check_stored_size(state)
        return Source(raw, identity, config, state, base)
    except ValueError as error:
        raise raw.named(error) from error


def _check_kind(identity: Identity, kind: str | None) -> None:
    if identity.kind is not None and kind in (identity.kind, None):
        return
    if kind is None:
        raise ValueError(
            f"this is {identity.title}. Expected a part of EchoGen: {'; '.join(TITLES.values())}."
        )
    raise ValueError(
        f"expected {TITLES[kind]} weights ({EXAMPLES[kind]}), got {identity.title}. "
        "Choose the file that belongs to this slot."
    )


def _configure(identity: Identity, wanted: Any) -> Any:
    """The configuration in the file with the settings that it does not hold; a mismatch is an error."""
    found, kind = identity.config, identity.kind
    if wanted is None or (kind == "transformer" and identity.ours):
        return found
    if kind == "transformer":
        return wanted  # the nulls may be longer in the file; all else is checked name by name
    names = USER_SETTINGS if identity.ours else NOT_IN_SHAPES
    merged = replace(found, **{name: getattr(wanted, name) for name in names if hasattr(wanted, name)})
    if merged != wanted and not identity.ours:
        pairs = zip(asdict(merged).items(), asdict(wanted).values(), strict=True)
        mismatches = [
            f"{name} {got} instead of {expected}" for (name, got), expected in pairs if got != expected
        ]
        assert kind is not None
        raise ValueError(
            f"expected {describe(kind, wanted)}, got {describe(kind, merged)}: {', '.join(mismatches)}. "
            f"Use the file that belongs to the model ({EXAMPLES[kind]})."
        )
    return merged


def _state(raw: RawFile, identity: Identity, config: Any, base: Base) -> Mapping[str, Tensor]:
    kind = identity.kind
    assert kind in KINDS
    if identity.adapter:
        return add_base(raw, config, base)
    if identity.ours:
        return raw.tensors
    if kind == "transformer":
        return translate_transformer(raw.tree, config)
    if kind == "tokenizer":
        return translate_tokenizer(raw.tree, config)
    if kind == "text":
        return stored_text(raw.tensors)
    return to_hub_names(raw.tensors) if kind == "semantic" else translate_content(raw.tensors)
