"""The transformer in training: loaded with its frozen base, called through one forward, saved without it.

Mixed precision is the model's own: weights stay in float32 and are cast where they are used, so that blocks
compute in bfloat16 and the rest in float32, as in sampling. Autocast would round both.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..checkpoints import load_transformer, save_part
from ..checkpoints.adapter import (
    base_digests,
    base_mismatch,
    base_names,
    check_frozen,
    tensor_digests,
    total_digest,
)
from ..checkpoints.format import BASE_NAME, BASE_SHA256, write_metadata
from ..checkpoints.formats.safetensors_writer import write_safetensors
from ..checkpoints.identify import identify
from ..config import TransformerConfig
from ..layers import CastLinear
from ..model import EchoGenTransformer, unused_names
from ..model.block import Block
from ..model.branch import Conditions
from ..scales import ScaleSchedule
from .condition_dropout import drop_conditions
from .initialise import initialise_subject, subject_names

logger = logging.getLogger(__name__)

OPERATIONS = SimpleNamespace(Linear=CastLinear, LayerNorm=nn.LayerNorm, Embedding=nn.Embedding)
BASE_FILE = "base.safetensors"
SUBJECT_FILE = "subject.safetensors"


@dataclass(frozen=True)
class BaseIdentity:
    """The model's sizes, and the base that its subject parameters belong to: file name and digest."""

    config: TransformerConfig
    base_name: str
    base_sha256: str


class TeacherForcedModel(nn.Module):
    """Condition dropping and the teacher-forced pass as one forward, for accelerate to wrap."""

    _no_split_modules = ("Block",)  # the unit of FSDP's sharding

    def __init__(self, model: EchoGenTransformer, checkpointing: bool) -> None:
        """checkpointing: blocks recompute their activations in the backward pass."""
        super().__init__()
        self.model = model
        if checkpointing:
            again = partial(partial, checkpoint, use_reentrant=False, preserve_rng_state=False)
            for block in model.blocks:
                for method in ("forward", "condition"):
                    setattr(block, method, again(getattr(block, method)))

    def forward(
        self, given: Conditions, keep_3B: Tensor, next_inputs_BLd: Tensor, schedule: ScaleSchedule
    ) -> Tensor:
        """Logits [B, L, d, 2] of the sequence of all scales; see EchoGenTransformer.teacher_forced.

        given: the conditions of B pictures. keep_3B: which of text, semantic and content each one keeps, see
        drop_conditions. next_inputs_BLd: of all scales but the first, [B, L - first, d].
        """
        conditions = drop_conditions(self.model, given, keep_3B)
        return self.model.teacher_forced(conditions, next_inputs_BLd, schedule)


def load_model(
    base: Path | None, init_from: Path | None, sizes: Mapping[str, int], seed: int, official: bool = False
) -> EchoGenTransformer:
    """The model to train, on the CPU in float32; only its subject parameters require gradients.

    base: an Infinity model. init_from: an EchoGen model in any form; without one the subject parameters are
    drawn (see initialise_subject), for features of `sizes`.
    Raises ValueError when the two don't belong together, or neither is given.
    """
    if init_from is None and base is None:
        raise ValueError("Expected a model to train: give --base (Infinity) or --init-from (EchoGen).")
    if init_from is not None:
        adapter = identify(init_from).adapter
        model = load_transformer(init_from, operations=OPERATIONS, base=base if adapter else None).module
        if not model.config.subject:
            raise ValueError(f"{init_from} is a base model, not an EchoGen model: give it with --base.")
        if base is not None and not adapter:
            names = base_names(model.config)
            check_frozen(tensor_digests(model.state_dict, names), _digests(base, model), base)
    else:
        assert base is not None
        model = _with_subject(base, sizes, seed, official)
    model.train().requires_grad_(False)
    for name in trained_names(model):
        parameter = model.get_parameter(name)
        parameter.data = parameter.data.clone()  # it may lie in the mapped file
        parameter.requires_grad_(True)
    return model


def trained_names(model: EchoGenTransformer) -> list[str]:
    """Names of the subject parameters that an output depends on."""
    wanted = subject_names(model) - unused_names(model)
    return [name for name, _ in model.named_parameters() if name in wanted]


def identify_base(model: EchoGenTransformer, base: Path | None, out: Path, write: bool) -> BaseIdentity:
    """The base that the trained parameters belong to.

    Without a base file, the model's own frozen tensors are written as one (by the process with `write`): the
    trained parameters can't be loaded without it.
    Raises ValueError when `out` already has another base: an earlier run may need it.
    """
    if base is not None:
        return BaseIdentity(model.config, base.name, total_digest(_digests(base, model)))
    plain, path = replace(model.config, subject=False), out / BASE_FILE
    digests = tensor_digests(model.state_dict, base_names(model.config))
    digest = total_digest(digests)
    if path.is_file():
        if base_mismatch(identify(path), model.config) or total_digest(_digests(path, model)) != digest:
            raise ValueError(
                f"{path} is the base of another run, not of the model given with --init-from: use the same "
                "--init-from to resume, or another --out."
            )
    elif write:
        module = EchoGenTransformer(plain, device="meta")
        state = model.state_dict()
        module.load_state_dict({name: state[name] for name in digests}, assign=True)
        save_part(path, "transformer", module, plain, None)
    return BaseIdentity(model.config, BASE_FILE, digest)


def save_subject_weights(path: Path, start: BaseIdentity, subject: Mapping[str, Tensor]) -> Path:
    """Writes the subject parameters alone, in float32, in the form of `convert --adapter-only`."""
    facts = {BASE_SHA256: start.base_sha256, BASE_NAME: start.base_name}
    cast = {name: tensor.detach().float().cpu() for name, tensor in subject.items()}
    return write_safetensors(path, cast, write_metadata("transformer", start.config) | facts)


def parameter_groups(
    model: EchoGenTransformer, peak: float, weight_decay: float, slow: float
) -> list[dict[str, Any]]:
    """AdamW's groups of what requires gradients: no decay on vectors, scales of attention and AdaLN tables.

    slow: learning rate of the content path in self-attention, as a share of `peak` (official: 0.1).
    """
    undecayed, in_attention = set(), set()
    for block in model.blocks:
        assert isinstance(block, Block)
        undecayed |= {id(block.content_adaln), id(block.attn.content_log_scale)}
        in_attention |= {id(parameter) for parameter in block.attn.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and id(parameter) not in undecayed
            groups.setdefault((decays, id(parameter) in in_attention), []).append(parameter)
    return [
        {
            "params": members,
            "lr": peak * (slow if inside else 1.0),
            "peak": peak * (slow if inside else 1.0),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for (decays, inside), members in groups.items()
    ]


def _with_subject(base: Path, sizes: Mapping[str, int], seed: int, official: bool) -> EchoGenTransformer:
    loaded = load_transformer(base, operations=OPERATIONS)
    if loaded.info.config.subject:
        raise ValueError(f"{base} is an EchoGen model, not a base: give it with --init-from.")
    model = EchoGenTransformer(replace(loaded.info.config, subject=True, **sizes), OPERATIONS, device="meta")
    # the base's own tensors are taken over, not copied
    frozen = loaded.module.state_dict()
    empty = {
        name: tensor if (tensor := frozen.get(name)) is not None else torch.zeros(wanted.shape)
        for name, wanted in model.state_dict().items()
    }
    model.load_state_dict(empty, assign=True)
    initialise_subject(model, torch.Generator().manual_seed(seed), official)
    return model


def _digests(base: Path, model: EchoGenTransformer) -> dict[str, str]:
    if title := base_mismatch(identify(base), model.config):
        raise ValueError(f"{base} is {title}: expected the base of the model to train.")
    return base_digests(base, model.config)
