"""What super-resolution is trained on: pictures, and what the frozen decoder makes of their codes.

Drawn once and kept on disk, because drawing a picture takes as long as three steps with it.
Shapes: N pictures, F features of the decoder, h w their cells, H W pixels of the decoded picture, Y X pixels
of the larger one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from echogen_core.checkpoints import Bundle
from echogen_core.utils.printable import counted

from ..data.dataset import Mix
from ..data.files import load_array, save_array
from ..data.image_sources import CodedImages, CompositeSource
from .decoder import MixedCodes, SampledCodes

logger = logging.getLogger(__name__)

CHUNK = 64
"""Pictures in a file."""


class Drawn(NamedTuple):
    """Decoded pictures in -1..1 with the decoder's features, and the larger pictures wanted, in 0..1."""

    features_NFhw: Tensor
    decoded_N3HW: Tensor
    wanted_N3YX: Tensor


class DrawnPictures:
    """The drawn pictures of a folder, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError when the folder has none."""
        names = sorted(path.name.removesuffix("_features.npy") for path in folder.glob("*_features.npy"))
        self._chunks = [
            [load_array(folder / f"{name}_{part}.npy") for part in ("features", "decoded", "wanted")]
            for name in names
        ]
        if not names:
            raise FileNotFoundError(f"No drawn pictures in {folder}: expected at least one.")

    def __len__(self) -> int:
        return sum(len(chunk[0]) for chunk in self._chunks)

    def crops(self, count: int, cells: int, rng: np.random.Generator) -> Drawn:
        """Random crops of `cells` x `cells` features, each of a random picture.

        They are not mirrored here: the features of a mirrored picture are not the mirrored features.
        """
        taken = []
        for _ in range(count):
            chunk = self._chunks[int(rng.integers(len(self._chunks)))]
            row = int(rng.integers(len(chunk[0])))
            side = chunk[0].shape[-1]
            top, left = (int(value) for value in rng.integers(0, side - cells + 1, 2))
            taken.append([_crop(array[row], top / side, left / side, cells / side) for array in chunk])
        return _drawn([np.stack(parts) for parts in zip(*taken, strict=True)])

    def whole(self, count: int) -> Drawn:
        """The first `count` pictures, or all there are."""
        return _drawn([np.concatenate(parts)[:count] for parts in zip(*self._chunks, strict=True)])


def _crop(array_CHW: np.ndarray, top: float, left: float, share: float) -> np.ndarray:
    """A square crop; the numbers are shares of the side."""
    side = array_CHW.shape[-1]
    y, x, size = round(top * side), round(left * side), round(share * side)
    return array_CHW[:, y : y + size, x : x + size]


def _drawn(arrays: Sequence[np.ndarray]) -> Drawn:
    features, decoded, wanted = (torch.from_numpy(np.array(array)) for array in arrays)
    return Drawn(features.float(), decoded.float(), wanted.float() / 255)


def draw_pictures(
    bundle: Bundle, data: Path, split: str, count: int, folder: Path, seed: int, device: torch.device
) -> DrawnPictures:
    """Draws what `folder` lacks of `count` pictures of a split, in whole chunks."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(-(-count // CHUNK)):
        if (folder / f"{index:04d}_features.npy").exists():
            continue
        chosen = seed + index
        source = MixedCodes(
            SampledCodes(bundle, data, split, chosen, device),
            CompositeSource(data, split, chosen, device, Mix(turned=0.0)),
            bundle,
        )
        parts = [_decoded(bundle, source.draw(min(16, count))) for _ in range(-(-min(CHUNK, count) // 16))]
        features, decoded, wanted = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
        save_array(folder / f"{index:04d}_wanted.npy", (wanted * 255).round().byte().numpy())
        save_array(folder / f"{index:04d}_decoded.npy", decoded.half().numpy())
        save_array(folder / f"{index:04d}_features.npy", features.half().numpy())
        logger.info("Drawn: %s.", counted((index + 1) * CHUNK, "picture"))
    return DrawnPictures(folder)


@torch.no_grad()
def _decoded(bundle: Bundle, pictures: CodedImages) -> Drawn:
    decoder = bundle.tokenizer.decoder
    features_NFhw = decoder.features(pictures.codes_BDHW.to(next(decoder.parameters()).dtype))
    return Drawn(features_NFhw, decoder.picture(features_NFhw), pictures.images_B3HW)
