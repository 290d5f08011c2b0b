"""How much sharper a decoder draws than another one's pictures enlarged, from the same bits.

    python benchmarks/super_resolution.py --data DATA --before BUNDLE --weights BUNDLE --out FOLDER \
        [--stamps STAMPS]

--data is prepared at the size that --weights draws; --before draws at the size that it encodes. Real pictures
are reduced to that size, encoded, decoded, and compared at their own size: PSNR, and the distance of
EfficientNet-Lite0's and Lite2's features after LPIPS (Lite0 is what training looks at, Lite2 only judges).
They are held-out subjects with the encoder's codes, the same with a last scale that the transformer draws,
and the photographic cut-outs of Debian's tuxpaint-stamps-default (GPL-2+: they are measured with, never
trained on). Beside the tables it writes sheet_*.png, a row a picture: bicubic, Lanczos, --weights, real.
Shapes: N pictures, H W their pixels, D bits per token, h w tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from echogen_core.checkpoints import Bundle, load_bundle
from echogen_core.pictures import reduced, to_pil
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer, quantize_multiscale
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
from miniature.training.sampled_codes import CodePainter

PICTURES, BATCH, SHEET = 120, 8, 8
LITE2_DEPTHS = (2, 4, 10)
SEED = 3


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


def lanczos(pictures_B3HW: Tensor, times: int) -> Tensor:
    """Pictures in 0..1 enlarged by Lanczos' filter, through 8-bit colours, [B, 3, times*H, times*W]."""
    size = [side * times for side in pictures_B3HW.shape[:-3:-1]]
    arrays = [np.asarray(to_pil(picture).resize(size, Image.Resampling.LANCZOS)) for picture in pictures_B3HW]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255


def ways(before: BitTokenizer, after: BitTokenizer, codes_BDhw: Tensor) -> dict[str, Tensor]:
    """Pictures of codes, in 0..1 and of the larger size, by how they are made."""
    times = after.config.super_resolution // before.config.super_resolution
    small_B3hw = before.reconstruct(codes_BDhw)
    return {
        "bicubic": enlarged(small_B3hw, times).clamp(0, 1),
        "Lanczos": lanczos(small_B3hw.clamp(0, 1), times),
        "weights": after.decode(codes_BDhw),
    }


@torch.no_grad()
def encoded(bundle: Bundle, pictures_N3HW: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of pictures [B, 3, H, W] and their codes [B, D, h, w]."""
    schedule = find_schedule(bundle.preset.budget)
    for real_B3HW in pictures_N3HW.split(BATCH):
        latent_BDhw = bundle.tokenizer.latent(reduced(real_B3HW, schedule.pixels_hw))
        yield real_B3HW, quantize_multiscale(latent_BDhw, schedule.scales).codes_BDHW


def drawn(bundle: Bundle, data: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of held-out subjects' pictures [B, 3, H, W], and codes with a last scale of the transformer."""
    painter = CodePainter(bundle, data, "heldout", SEED, torch.device("cpu"))
    generator = torch.Generator().manual_seed(SEED)
    for start in range(0, PICTURES, BATCH):
        painted = painter.paint(min(BATCH, PICTURES - start))
        yield painted.pictures_N3HW / 255, painted.drawn(bundle.preset.top_p, generator)


@torch.no_grad()
def compared(
    tokenizers: tuple[BitTokenizer, BitTokenizer],
    batches: Iterator[tuple[Tensor, Tensor]],
    judges: Mapping[str, Perceptual],
) -> tuple[dict[str, dict[str, float]], Tensor]:
    """Way -> figures, and a sheet [3, H, W] of some of the pictures."""
    sums: dict[str, dict[str, list[Tensor]]] = {}
    rows = []
    for real_B3HW, codes_BDhw in batches:
        shown = ways(*tokenizers, codes_BDhw)
        for name, made_B3HW in shown.items():
            found = sums.setdefault(name, {})
            found.setdefault("psnr", []).append(psnr((made_B3HW - real_B3HW).square().mean((1, 2, 3))))
            for judge, perceptual in judges.items():
                pairs = zip(made_B3HW.split(1), real_B3HW.split(1), strict=True)
                found.setdefault(judge, []).append(
                    torch.stack([perceptual.distance(*pair) for pair in pairs])
                )
        rows.append(torch.stack([*shown.values(), real_B3HW], 1))
    figures = {
        name: {figure: float(torch.cat(parts).mean()) for figure, parts in found.items()}
        for name, found in sums.items()
    }
    made = torch.cat(rows)
    sheet = made[:: max(1, len(made) // SHEET)][:SHEET].permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    return figures, sheet


def main() -> int:
    """Prints the tables as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder made by `prepare --picture 256`")
    parser.add_argument("--before", type=Path, required=True, help="bundle whose pictures are enlarged")
    parser.add_argument("--weights", type=Path, required=True, help="bundle that draws larger pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder of the sheets")
    parser.add_argument("--stamps", type=Path, help="Tux Paint's stamps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    cpu = torch.device("cpu")
    judges = {"lite0": Perceptual.lite0(cpu), "lite2": lite2(cpu)}
    before, after = (load_bundle("nano", folder) for folder in (options.before, options.weights))
    if after.tokenizer.config.super_resolution <= before.tokenizer.config.super_resolution:
        raise ValueError("Expected --weights to draw larger pictures than --before.")
    sets = {
        "subjects": encoded(after, subjects(options.data)),
        "subjects, drawn": drawn(after, options.data),
    }
    if options.stamps:
        sets["cut-outs"] = encoded(after, cut_outs(options.data, options.stamps))
    for name, batches in sets.items():
        figures, sheet = compared((before.tokenizer, after.tokenizer), batches, judges)
        write_picture(options.out / f"sheet_{name.replace(', ', '_')}.png", to_pil(sheet), "PNG")
        sys.stdout.write(json.dumps({"pictures": name, **figures}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
