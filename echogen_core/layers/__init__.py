"""Layers that several models are built from; every one is made by a LayerFactory."""

from .factory import LayerFactory
from .linear import CastLinear, match
from .residual import ResidualBlock, downsample

__all__ = ["CastLinear", "LayerFactory", "ResidualBlock", "downsample", "match"]
