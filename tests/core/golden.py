"""The official code's numbers and our models loaded with the same weights, for the golden tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file

from echogen_core.checkpoints.keymap_transformer import infer_config, translate_transformer
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.model import EchoGenTransformer
from echogen_core.model.branch import Conditions
from echogen_core.scales import ScaleSchedule, find_schedule

FOLDER = Path(__file__).parents[1] / "golden"
TOLERANCE = 1e-4  # of the largest magnitude


@cache
def tensors(name: str) -> dict[str, torch.Tensor]:
    return load_file(FOLDER / f"{name}.safetensors")


@cache
def model(subject: bool = True) -> EchoGenTransformer:
    state = tensors("echogen_tiny_weights")
    if not subject:
        state = {key: value for key, value in state.items() if "control" not in key}
    config = infer_config(state)
    built = EchoGenTransformer(config, device="meta")
    built.load_state_dict(translate_transformer(state, config), strict=True, assign=True)
    return built.eval().requires_grad_(False)


@cache
def text(name: str) -> TextFeatures:
    return TextFeatures(tensors("echogen_tiny_inputs")[name])


@cache
def subject(name: str) -> tuple[SemanticFeatures, ContentFeatures]:
    inputs = tensors("echogen_tiny_inputs")
    semantic = SemanticFeatures(inputs[f"semantic_cls_{name}"], inputs[f"semantic_patch_{name}"])
    return semantic, ContentFeatures(inputs[f"content_{name}"])


def training_inputs(drop_all: bool = False) -> tuple[EchoGenTransformer, Conditions]:
    """The model and the conditions of the teacher-forced files; with `drop_all` the model's nulls."""
    built = model()
    texts = [text("text_len7").tokens_LC, text("text_len12").tokens_LC]
    subjects = [subject("a"), subject("b")]
    if drop_all:
        texts = [built.null_text_features(len(t)) for t in texts]
        subjects = [(None, None), (None, None)]
    parts = [built.conditions(None, *given, null_length=1) for given in subjects]
    padded = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    mask = torch.arange(padded.shape[1]) < torch.tensor([len(t) for t in texts])[:, None]
    joined = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name in ("cls_BE", "patches_BPE", "content_BSF")
    }
    return built, Conditions(padded, text_mask_BL=mask, **joined)


def schedule(h_div_w: str) -> ScaleSchedule:
    return find_schedule("0.06M", {"1.0": "1:1", "1.5": "2:3"}[h_div_w])


def assert_close(ours: torch.Tensor, official: torch.Tensor, tolerance: float = TOLERANCE) -> float:
    """Largest difference as a share of the largest magnitude; fails above the tolerance."""
    assert ours.shape == official.shape, f"{tuple(ours.shape)} instead of {tuple(official.shape)}"
    share = float((ours.float() - official.float()).abs().max() / official.float().abs().max())
    assert share <= tolerance, f"differs by {share:.2e} of the largest magnitude, allowed {tolerance:.0e}"
    return share
