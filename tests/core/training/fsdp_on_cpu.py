"""Training as `accelerate launch --use_fsdp` starts it, on processors.

accelerate offers FSDP on accelerators alone; PyTorch's own FSDP 2 works on any device. Two methods of
accelerate's, which look for GPUs, are replaced: the rest, ours and theirs, is what runs on GPUs.
"""

from __future__ import annotations

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType

from echogen_core.training.__main__ import main as train

ENVIRONMENT = {
    "ACCELERATE_MIXED_PRECISION": "bf16",
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_SHARDING_STRATEGY": "FULL_SHARD",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_OFFLOAD_PARAMS": "false",
    "FSDP_MIN_NUM_PARAMS": "100000000",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "Block",
    "FSDP_FORWARD_PREFETCH": "false",
    "FSDP_USE_ORIG_PARAMS": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
    "FSDP_SYNC_MODULE_STATES": "true",
    "FSDP_ACTIVATION_CHECKPOINTING": "false",
}
"""What the launcher of accelerate 1.15 sets for the options in docs/training.md."""


def main(arguments: list[str]) -> int:
    """The command, in one of several processes."""
    torch.distributed.init_process_group("gloo")
    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    PartialState.set_device = lambda state: setattr(state, "device", torch.device("cpu"))
    return train(arguments)
