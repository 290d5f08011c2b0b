"""Trains the BSQ tokenizer on composed pictures: `python -m miniature tokenizer --data DATA --out RUN`.

Run it again to continue. Besides tokenizer.safetensors it writes sheet.png: held-out pictures above their
reconstructions.
Shapes: B batch, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from echogen_core.checkpoints import load_part
from echogen_core.config import Preset, find_preset
from echogen_core.pictures import to_pil
from echogen_core.scales import find_schedule
from echogen_core.tokenizer import BitTokenizer, Scale
from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import output_folder
from echogen_core.utils.writing import write_picture

from ..data.image_sources import CompositeSource
from ..encoded_size import without_super_resolution
from .options import check_picture_size, find_device, share
from .pixel_unshuffle import enlarge_unshuffle
from .tokenizer_recipe import TokenizerRecipe, add_recipe_options, recipe_from
from .tokenizer_trainer import HELDOUT, WEIGHTS, TokenizerTrainer, export, train


@torch.no_grad()
def write_sheet(model: BitTokenizer, scales: Sequence[Scale], pictures_B3HW: Tensor, path: Path) -> None:
    """Writes a PNG with rows of eight pictures, each above its reconstruction; small ones upscaled."""
    decoded_B3HW = model.decode(model.encode(pictures_B3HW, scales).quantized_BDHW)
    rows = [
        torch.cat(list(part), dim=2)
        for start in range(0, len(pictures_B3HW), 8)
        for part in (pictures_B3HW[start : start + 8], decoded_B3HW[start : start + 8])
    ]
    array = np.asarray(to_pil(torch.cat(rows, dim=1)))
    times = max(1, 256 // pictures_B3HW.shape[-1])
    write_picture(path, Image.fromarray(np.repeat(np.repeat(array, times, 0), times, 1)), "PNG")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    defaults = TokenizerRecipe()
    parser = OptionParser(prog="python -m miniature tokenizer", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder made by `prepare`")
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder of the run, which continues an earlier one"
    )
    parser.add_argument(
        "--start",
        type=Path,
        help="tokenizer.safetensors to start from, also one for smaller pictures; name it again to continue",
    )
    parser.add_argument(
        "--decoder-phase",
        type=share,
        default=defaults.decoder_phase,
        help="last share of the run, with frozen codes",
    )
    add_recipe_options(parser, defaults)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)  # --workers threads share a batch instead
    device = find_device(options.device)
    recipe = replace(recipe_from(options, defaults, device), decoder_phase=options.decoder_phase)
    if options.start:  # it is past the phases that ease training in
        recipe = replace(recipe, quantizer_warmup=0.0, perceptual_start=0.0)
    with only_run(options.out):
        run(find_preset(options.preset), recipe, options.data, options.out, device, options.start)
    return 0


def run(
    preset: Preset,
    recipe: TokenizerRecipe,
    data: Path,
    out: Path,
    device: torch.device,
    start: Path | None = None,
) -> None:
    """A whole run: training (from `start`, if given), the exported file, log and sheet.

    Raises as `load_part`, `check_picture_size` and `enlarge_unshuffle`.
    """
    check_picture_size(data, preset)
    config = replace(preset.tokenizer, super_resolution=1)  # which is trained last
    trainer = TokenizerTrainer(config, find_schedule(preset.budget).scales, recipe, out, device)
    resumed = trainer.resume()
    if start and not resumed:
        begun = without_super_resolution(load_part(start, "tokenizer"))
        trainer.model.load_state_dict(enlarge_unshuffle(begun, config))
    trainer.log({"resumed": resumed, "recipe": asdict(recipe), "config": asdict(trainer.config)})
    heldout = CompositeSource(data, "heldout", 1, device).draw(HELDOUT)
    train(trainer, CompositeSource(data, "train", recipe.seed + trainer.step, device), heldout)
    stored = export(trainer, out / WEIGHTS)
    write_sheet(stored, trainer.scales, heldout.images_B3HW[:32].cpu(), out / "sheet.png")
