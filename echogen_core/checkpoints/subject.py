"""The subject path's models from their files: packaged U²-Netp, GroundingDINO, SAM and Qwen2.5-VL."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import torch

from ..subject.describe import Describer
from ..subject.detect import Detector
from ..subject.salient import SalientSubject
from ..subject.segment import Segmenter


class Backend(str, Enum):
    """Whose code runs the weights. Both give the same boxes and masks."""

    TRANSFORMERS = "transformers"
    ORIGINAL = "original package"


def load_salient() -> SalientSubject:
    """The packaged U²-Netp, in float32 on the CPU."""
    raise NotImplementedError


def load_detector(
    path: str | Path,
    backend: Backend = Backend.TRANSFORMERS,
    vocabulary: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> Detector:
    """GroundingDINO from a folder of the hub (grounding-dino-tiny, -base) or groundingdino_*.pth.

    Either form serves either backend. backend ORIGINAL needs the package groundingdino-py.
    vocabulary: folder or file of bert-base-uncased's tokenizer for a .pth; by default beside the file.
    Raises FileNotFoundError or ValueError (which file, expected, got, what to do), and ImportError (how to
    install it without disturbing the rest) when the package is asked for and absent.
    """
    raise NotImplementedError


def load_segmenter(
    path: str | Path, backend: Backend = Backend.TRANSFORMERS, dtype: torch.dtype = torch.float32
) -> Segmenter:
    """SAM from a folder of the hub (sam-vit-base, -large, -huge) or sam_vit_{b,l,h}_*.pth, told by content.

    Either form serves either backend. backend ORIGINAL needs the package segment-anything. Errors as
    `load_detector`.
    """
    raise NotImplementedError


def load_describer(path: str | Path, dtype: torch.dtype = torch.bfloat16) -> Describer:
    """Qwen2.5-VL from a folder of the hub (3B or 7B Instruct). Errors as `load_detector`."""
    raise NotImplementedError
