"""From a subject's picture to the cut-out on white that the encoders see."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ..checkpoints.segmentation_models import load_detector, load_salient, load_segmenter
from ..pictures import from_pil
from ..subject.cutout import cut_out
from ..subject.find import Tools, find_subjects

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Segmentation:
    """The tools that cut subjects out; `name` describes them on the page."""

    tools: Tools
    name: str

    def cut(self, image: Image.Image, phrase: str) -> Tensor:
        """The subject on white, [1, 3, S, S] in 0..1; the whole picture if nothing is found."""
        image_13HW = from_pil(image.convert("RGB"))[None]
        found = find_subjects(image_13HW, self.tools, phrase if self.tools.detector is not None else "")[0]
        mask_1HW = found.mask_HW[None].cpu()
        if not bool(mask_1HW.any()):
            logger.warning("No subject (%s) found in a reference picture: using all of it.", phrase)
            mask_1HW = torch.ones_like(mask_1HW)
        return cut_out(image_13HW, mask_1HW).images_B3SS


def load_segmentation(
    detector: Path | None, segmenter: Path | None, device: torch.device | str = "cpu"
) -> Segmentation:
    """The built-in segmentation; with files, GroundingDINO (given the class word) and SAM.

    Raises ValueError for SAM alone, which needs a box; otherwise as `load_detector`.
    """
    if segmenter and not detector:
        raise ValueError("--segmenter needs the box that --detector finds: give both, or neither.")
    tools = Tools(
        load_salient(),
        detector=load_detector(detector).to(device) if detector else None,
        segmenter=load_segmenter(segmenter).to(device) if segmenter else None,
    )
    names = [
        f"GroundingDINO ({detector.name}), asked for the class word" if detector else "",
        f"SAM ({segmenter.name})" if segmenter else "the built-in cut",
    ]
    return Segmentation(tools, ", then ".join(name for name in names if name))
