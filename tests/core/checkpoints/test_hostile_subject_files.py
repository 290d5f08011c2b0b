"""Subject files that no encoder makes are refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from echogen_core.checkpoints.subject_file import load_subject, save_subject
from echogen_core.features import ContentFeatures, SemanticFeatures, Subject

from .refusals import refused


def subject(**changes: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors = {
        "semantic.cls": torch.zeros(2, 8),
        "semantic.patches": torch.zeros(2, 4, 8),
        "content.latents": torch.zeros(1, 4, 3, 5),
    }
    metadata = {
        "format": "echogen", "version": "1", "kind": "subject",
        "semantic.strength": "1.0", "content.strength": "0.5",
    }  # fmt: skip
    for name, value in changes.items():
        name = name.replace("_", ".")
        target: dict[str, Any] = tensors if name in tensors or isinstance(value, Tensor) else metadata
        target[name] = value
    return {n: t for n, t in tensors.items() if t is not None}, {
        n: t for n, t in metadata.items() if t is not None
    }


def test_a_subject_as_it_should_be(tmp_path: Path) -> None:
    tensors, metadata = subject()
    save_file(tensors, tmp_path / "s.safetensors", metadata)
    loaded = load_subject(tmp_path / "s.safetensors")
    assert loaded.semantic is not None and loaded.content is not None
    assert (loaded.semantic.strength, loaded.content.strength) == (1.0, 0.5)
    for strength in ("0", "2.0"):
        save_file(tensors, tmp_path / "s.safetensors", {**metadata, "content.strength": strength})
        load_subject(tmp_path / "s.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        *({f"{part}_strength": value} for part in ("semantic", "content")
          for value in ("nan", "inf", "-inf", "1e30", "-0.1", "2.01", "", "one", None, "9" * 5000, "\x1b[m")),
        {"semantic_cls": None, "semantic_patches": None, "content_latents": None},
        {"semantic_cls": None}, {"semantic_patches": None},
        {"semantic_patches": torch.zeros(2, 8, 4)}, {"semantic_patches": torch.zeros(3, 4, 8)},
        {"semantic_patches": torch.zeros(4, 2, 8)}, {"semantic_patches": torch.zeros(2, 0, 8)},
        {"semantic_cls": torch.zeros(0, 8), "semantic_patches": torch.zeros(0, 4, 8)},
        {"semantic_cls": torch.zeros(2, 0), "semantic_patches": torch.zeros(2, 4, 0)},
        {"semantic_cls": torch.zeros(5000, 8), "semantic_patches": torch.zeros(5000, 1, 8)},
        {"semantic_cls": torch.zeros(2, 8, dtype=torch.int32)},
        {"semantic_cls": torch.full((2, 8), torch.nan)},
        {"content_latents": torch.zeros(1, 4, 0, 5)}, {"content_latents": torch.zeros(1, 3, 5)},
        {"content_latents": torch.zeros(1, 4, 3, 5, dtype=torch.complex64)},
        {"content_latents": torch.full((1, 4, 3, 5), torch.inf)}, {"other": torch.zeros(1)},
        {"version": "2"}, {"kind": "tokenizer"}, {"format": "other"},
    ],
)  # fmt: skip
def test_subjects_that_no_encoder_makes(changes: dict[str, Any], tmp_path: Path) -> None:
    tensors, metadata = subject(**changes)
    save_file(tensors, tmp_path / "s.safetensors", metadata)
    refused(load_subject, tmp_path / "s.safetensors", "the subject file|not a subject file")


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), 1e30, -1.0, 2.5])
def test_no_such_subject_is_saved(strength: float, tmp_path: Path) -> None:
    path = tmp_path / "s.safetensors"
    latents = torch.zeros(1, 4, 3, 5)
    with pytest.raises(ValueError, match=r"content\.strength: expected 0 to 2"):
        save_subject(path, Subject(None, ContentFeatures(latents, strength)))
    with pytest.raises(ValueError, match=r"semantic\.patches: expected 2 views and 8 channels"):
        save_subject(path, Subject(SemanticFeatures(torch.zeros(2, 8), torch.zeros(2, 8, 4)), None))
    with pytest.raises(ValueError, match="Expected features of a subject"):
        save_subject(path, Subject(None, None))
    assert not path.exists()
