"""The transformer in training: loaded beside its frozen base, called through one forward, saved as adapter.

Precision is the model's own: matrices are kept in float32 and cast where they are used, so that blocks
compute in bfloat16 and what is around them in float32, as when pictures are made. Autocast would round both.
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
from ..checkpoints.adapter import base_digests, base_names, check_frozen, fault, tensor_digests, total_digest
from ..checkpoints.format import BASE_NAME, BASE_SHA256, write_metadata
from ..checkpoints.identify import identify
from ..checkpoints.safetensors_writer import write_safetensors
from ..config import TransformerConfig
from ..layers import CastLinear
from ..model import EchoGenTransformer, unused_names
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
    """Sizes of a model to train, and the base that its subject parameters belong to (name and digest)."""

    config: TransformerConfig
    base_name: str
    base_sha256: str


class TeacherForcedModel(nn.Module):
    """Dropping and training pass as one forward, which is what accelerate wraps."""

    _no_split_modules = ("Block",)  # what FSDP shards by

    def __init__(self, model: EchoGenTransformer, checkpointing: bool) -> None:
        """checkpointing: blocks forget their activations and compute them again for the gradients."""
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
        """Logits [B, tokens, d, 2]; see EchoGenTransformer.teacher_forced and drop_conditions."""
        conditions = drop_conditions(self.model, given, keep_3B)
        return self.model.teacher_forced(conditions, next_inputs_BLd, schedule)


def load_model(
    base: Path | None, start: Path | None, sizes: Mapping[str, int], seed: int, official: bool = False
) -> EchoGenTransformer:
    """The model to train, on the CPU in float32; its subject parameters alone want gradients.

    base: an Infinity model. start: an EchoGen model in any form, to go on from; without it the subject
    parameters are drawn (see initialise_subject), for features of `sizes`.
    Raises ValueError when the two do not belong together, or neither is given.
    """
    if start is None and base is None:
        raise ValueError("Expected a model to start from: give --base (Infinity) or --start (EchoGen).")
    if start is not None:
        adapter = identify(start).adapter
        model = load_transformer(start, operations=OPERATIONS, base=base if adapter else None).module
        if not model.config.subject:
            raise ValueError(f"{start} is a base model, not an EchoGen model: give it with --base.")
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
    """The subject parameters that an output depends on."""
    wanted = subject_names(model) - unused_names(model)
    return [name for name, _ in model.named_parameters() if name in wanted]


def identify_base(model: EchoGenTransformer, base: Path | None, out: Path, write: bool) -> BaseIdentity:
    """Names the base of the adapters to come.

    Without a base file the model's own frozen tensors are written as one (by the process with `write`), so
    that what is trained can be loaded.
    Raises ValueError when `out` has another one already: adapters of an earlier run may need it.
    """
    if base is not None:
        return BaseIdentity(model.config, base.name, total_digest(_digests(base, model)))
    plain, path = replace(model.config, subject=False), out / BASE_FILE
    digests = tensor_digests(model.state_dict, base_names(model.config))
    digest = total_digest(digests)
    if path.is_file():
        if fault(identify(path), model.config) or total_digest(_digests(path, model)) != digest:
            raise ValueError(
                f"{path} is the base of another run, not that of the model given with --start: use the same "
                "--start to go on, or another --out."
            )
    elif write:
        module = EchoGenTransformer(plain, device="meta")
        state = model.state_dict()
        module.load_state_dict({name: state[name] for name in digests}, assign=True)
        save_part(path, "transformer", module, plain, None)
    return BaseIdentity(model.config, BASE_FILE, digest)


def save_subject(path: Path, start: BaseIdentity, subject: Mapping[str, Tensor]) -> Path:
    """The subject parameters (all of them) alone, as `convert --adapter-only` writes them, in float32."""
    facts = {BASE_SHA256: start.base_sha256, BASE_NAME: start.base_name}
    cast = {name: tensor.detach().float().cpu() for name, tensor in subject.items()}
    return write_safetensors(path, cast, write_metadata("transformer", start.config) | facts)


def parameter_groups(
    named: Mapping[str, nn.Parameter], peak: float, weight_decay: float, slow: float
) -> list[dict[str, Any]]:
    """AdamW's groups: no decay on vectors, start tokens and AdaLN tables; a slower rate in self-attention.

    slow: the rate of the content path inside self-attention, as a share (0.1 in the official training).
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in named.items():
        decays = parameter.ndim > 1 and not name.endswith(("content_adaln", "content_log_scale"))
        groups.setdefault((decays, ".attn." in name), []).append(parameter)
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
        raise ValueError(f"{base} is an EchoGen model, not a base: give it with --start.")
    model = EchoGenTransformer(replace(loaded.info.config, subject=True, **sizes), OPERATIONS, device="meta")
    # what is not in the base becomes numbers here; the base's own tensors are taken over, not copied
    frozen = loaded.module.state_dict()
    empty = {
        name: tensor if (tensor := frozen.get(name)) is not None else torch.zeros(wanted.shape)
        for name, wanted in model.state_dict().items()
    }
    model.load_state_dict(empty, assign=True)
    initialise_subject(model, torch.Generator().manual_seed(seed), official)
    return model


def _digests(base: Path, model: EchoGenTransformer) -> dict[str, str]:
    if title := fault(identify(base), model.config):
        raise ValueError(f"{base} is {title}: expected the base of the model to train.")
    return base_digests(base, model.config)
