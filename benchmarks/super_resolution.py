"""How much sharper super-resolution draws than enlargement: held-out subjects, and photographic cut-outs.

    python benchmarks/super_resolution.py --data DATA --weights BUNDLE --out FOLDER [--stamps STAMPS]

--data is prepared at twice the size that nano encodes. Real pictures are reduced to that size, encoded,
decoded, and compared at their own size: PSNR, and the distance of EfficientNet-Lite0's features after LPIPS
(Lite0 is what training looks at, Lite2 only judges). The cut-outs are those of Debian's
tuxpaint-stamps-default (GPL-2+: they are measured with, never trained on). Beside the tables it writes
sheet_*.png, a row a picture: bicubic, Lanczos, super-resolution, real.
Shapes: N pictures, H W their pixels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.checkpoints import Bundle, load_bundle
from echogen_core.pictures import reduced, to_pil
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import quantize_multiscale
from echogen_core.tokenizer.super_resolution import enlarged
from echogen_core.utils.writing import write_picture
from miniature.data.compose import Placement, compose_masked
from miniature.data.dataset import Compositor, Mix, load_scenes
from miniature.data.icons import fit_to_frame
from miniature.data.prompt_words import PromptWords, fixed_layout
from miniature.data.stamps import read_stamps
from miniature.efficientnet import efficientnet_lite
from miniature.psnr import psnr
from miniature.training.perceptual import Perceptual
from miniature.training.super_resolution import TIMES, lanczos

PICTURES, BATCH, SHEET = 120, 8, 8
LITE2_DEPTHS = (2, 4, 10)
SEED = 3

Enlarge = Callable[[Tensor, Tensor], Tensor]
"""Decoded pictures in -1..1, and the features they were drawn from, to larger pictures in -1..1."""


def lite2(device: torch.device) -> Perceptual:
    """The same distance in the features of the network that only judges."""
    whole = efficientnet_lite(2, "The judge", device)
    stem = nn.Sequential(whole._conv_stem, whole._bn0, nn.ReLU6())
    return Perceptual(stem, list(whole._blocks), LITE2_DEPTHS)


def subjects(data: Path) -> Tensor:
    """[N, 3, H, W]: held-out subjects in the typical backgrounds of all scenes."""
    compositor = Compositor(data, "heldout", SEED)
    return compositor.batch(PICTURES, Mix(fixed_layout=True, turned=0.0, recolour=0.0, crops=2)).targets_B3HW


def cut_outs(data: Path, folder: Path) -> Tensor:
    """[N, 3, H, W]: every photographic cut-out once, in turn in the scenes."""
    scenes = load_scenes(data, "train")
    size = scenes[0].crops_KHW3.shape[1]
    sprites = []
    for _, sprite_4HW in read_stamps(folder):
        straight_4HW = torch.cat((sprite_4HW[:3] / sprite_4HW[3:].clamp_min(1e-3), sprite_4HW[3:])).clamp(
            0, 1
        )
        rgba_HW4 = (straight_4HW.movedim(0, -1).numpy() * 255).round().astype(np.uint8)
        sprites.append(fit_to_frame(Image.fromarray(rgba_HW4, "RGBA"), size))
    sprites_N4HW = torch.from_numpy(np.stack(sprites)).movedim(-1, 1).float() / 255
    chosen = [scenes[index % len(scenes)] for index in range(len(sprites))]
    crops = [scene.crops_KHW3[scene.order[0]] for scene in chosen]
    backgrounds_N3HW = torch.from_numpy(np.stack(crops)).movedim(-1, 1).float() / 255
    boxes = fixed_layout(PromptWords.none(len(sprites)))
    placement = Placement.in_boxes(boxes, torch.full((len(sprites),), 0.94))
    return compose_masked(sprites_N4HW, backgrounds_N3HW, placement, on_feet=False).images_B3HW


def methods(bundle: Bundle) -> dict[str, Enlarge]:
    """What is compared. Raises ValueError for a bundle without super-resolution."""
    part = bundle.tokenizer.decoder.super_resolution
    if part is None:
        raise ValueError("Expected a bundle that draws larger pictures: train one with `super-resolution`.")
    return {
        "bicubic": lambda decoded_B3HW, _: enlarged(decoded_B3HW, TIMES),
        "Lanczos": lambda decoded_B3HW, _: lanczos(decoded_B3HW, TIMES),
        "super-resolution": part,
    }


@torch.no_grad()
def compared(
    bundle: Bundle, pictures_N3HW: Tensor, judges: Mapping[str, Perceptual]
) -> tuple[dict[str, dict[str, float]], Tensor]:
    """Method -> figures, and a sheet [3, H, W] of the first pictures."""
    decoder, schedule = bundle.tokenizer.decoder, find_schedule(bundle.preset.budget)
    sums: dict[str, dict[str, list[Tensor]]] = {}
    rows = []
    for real_B3HW in pictures_N3HW.split(BATCH):
        latent_BDhw = bundle.tokenizer.latent(reduced(real_B3HW, schedule.pixels_hw))
        features = decoder.features(quantize_multiscale(latent_BDhw, schedule.scales).codes_BDHW)
        decoded_B3hw = decoder.picture(features)
        shown = []
        for name, enlarge in methods(bundle).items():
            made_B3HW = ((enlarge(decoded_B3hw, features) + 1) / 2).clamp(0, 1)
            shown.append(made_B3HW)
            found = sums.setdefault(name, {})
            found.setdefault("psnr", []).append(psnr((made_B3HW - real_B3HW).square().mean((1, 2, 3))))
            for judge, perceptual in judges.items():
                pairs = zip(made_B3HW.split(1), real_B3HW.split(1), strict=True)
                found.setdefault(judge, []).append(
                    torch.stack([perceptual.distance(*pair) for pair in pairs])
                )
        rows.append(torch.stack([*shown, real_B3HW], 1))
    figures = {
        name: {figure: float(torch.cat(parts).mean()) for figure, parts in found.items()}
        for name, found in sums.items()
    }
    every = max(1, len(pictures_N3HW) // SHEET)
    sheet = torch.cat(rows)[::every][:SHEET].permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    return figures, sheet


def main() -> int:
    """Prints the tables as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder made by `prepare --picture 256`")
    parser.add_argument("--weights", type=Path, required=True, help="bundle that draws larger pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    parser.add_argument("--stamps", type=Path, help="Tux Paint's stamps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    cpu = torch.device("cpu")
    judges = {"lite0": Perceptual.lite0(cpu), "lite2": lite2(cpu)}
    bundle = load_bundle("nano", options.weights)
    sets = {"subjects": subjects(options.data)}
    if options.stamps:
        sets["cut-outs"] = cut_outs(options.data, options.stamps)
    for name, pictures_N3HW in sets.items():
        figures, sheet = compared(bundle, pictures_N3HW, judges)
        write_picture(options.out / f"sheet_{name}.png", to_pil(sheet), "PNG")
        sys.stdout.write(json.dumps({"pictures": name, "count": len(pictures_N3HW), **figures}) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
