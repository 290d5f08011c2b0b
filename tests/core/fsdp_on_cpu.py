"""Training as `accelerate launch --use_fsdp` starts it, on processors.

accelerate offers FSDP on accelerators alone; PyTorch's own FSDP 2 works on any device. Two methods of
accelerate's, which look for GPUs, are replaced: the rest, ours and theirs, is what runs on GPUs.
"""

from __future__ import annotations

import sys

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType

from echogen_core.training.__main__ import main

ENVIRONMENT = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "Block",
    "ACCELERATE_MIXED_PRECISION": "bf16",
}
"""What accelerate's launcher sets for the options in docs/training.md."""

if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    PartialState.set_device = lambda state: setattr(state, "device", torch.device("cpu"))
    raise SystemExit(main(sys.argv[1:]))
