"""Seconds of edits and of two regions against a plain picture, on nano: `python benchmarks/edits.py`.

All are warm: subject and prompts are encoded, and the branches are in the cache, as when an artist tunes γ.
Medians of processor seconds, the ways by turns, so that what else the machine does counts for all.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[1]))

from echogen_core.editing import Edit, Fit, Way, area_mask
from echogen_core.pictures import from_pil
from echogen_core.pipeline import EchoGenPipeline, Settings
from echogen_core.subject.samples import open_sample, sample_names

PROMPT = "a toy on a meadow"
SIZE = 768  # of the square picture to edit, in pixels


def ways(pipeline: EchoGenPipeline) -> dict[str, Callable[[int], object]]:
    """Name -> draws a picture with a seed."""
    settings = Settings()
    one, other = (pipeline.subject(from_pil(open_sample(name))[None]) for name in sample_names()[:2])
    branches = pipeline.branches(PROMPT, one, settings)
    regions = [
        pipeline.region(area_mask(area), PROMPT, subject, settings)
        for area, subject in (("left half", one), ("right half", other))
    ]
    picture, mask = torch.rand(1, 3, SIZE, SIZE), torch.zeros(1, SIZE, SIZE)
    mask[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = 1

    def edited(way: Way) -> Callable[[int], object]:
        edit = Edit.of(pipeline.preset, picture, mask, way=way, fit=Fit.AROUND)

        def draw(seed: int) -> object:
            drawn = pipeline.generate(branches, [seed], edit=edit)
            assert drawn.canvas is not None
            return edit.pasted_back(drawn.canvas, drawn.images_B3HW)

        return draw

    return {
        "plain": lambda seed: pipeline.generate(branches, [seed]),
        "two regions": lambda seed: pipeline.generate(branches, [seed], regions=regions),
        "redraw": edited(Way.REDRAW),
        "place": edited(Way.PLACE),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs: int = parser.parse_args().runs
    torch.set_num_threads(1)
    draws = ways(EchoGenPipeline.from_bundle("nano"))
    seconds: dict[str, list[float]] = {name: [] for name in draws}
    for seed in range(runs + 1):
        for name, draw in draws.items():
            began = time.process_time()
            draw(seed)
            seconds[name].append(time.process_time() - began)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:12} {median:6.3f} s  {median / medians['plain']:5.2f}")


if __name__ == "__main__":
    main()
