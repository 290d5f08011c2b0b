"""Builds the miniature's training data from packages: `python -m miniature prepare --out DATA`.

    DATA/subjects/{train,heldout}_views.npy  uint8 [N,V,S,S,4]: straight alpha, centred, 0.9 of the frame
    DATA/subjects/subjects.json              id, name, source, creator, licence, split, row, replaced_views
    DATA/icons/train_views.npy               uint8 [N,1,S,S,4], and icons.json
    DATA/scenes/{name}.npy                   uint8 [K,P,P,3], and scenes.json: name, phrases, typical,
                                             split, source, licence
    DATA/meta.json                           sizes, view order, seeds, sources

P is --picture, S is --sprite. What exists is kept, so an interrupted run goes on where it stopped. Nothing is
downloaded: a missing package is an error that names it and says how to install it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from echogen_core.optional_packages import MissingPackageError
from echogen_core.training.run_folder import only_run
from echogen_core.writing import write_text

from . import furniture, icons, panoramas, render, subjects

logger = logging.getLogger(__name__)

META = "meta.json"

NPM_PACKAGES = "@pmndrs/assets@1.7.0 @lobehub/fluent-emoji-3d@1.1.0 emojibase-data"


@dataclass(frozen=True)
class Sizes:
    """What is made. picture, sprite: sides in pixels. lights: that the views take turns in.

    Neighbouring views have different lights: several cost nothing more, and light does not tell a subject.
    """

    picture: int = 128
    sprite: int = 160
    lights: int = 3

    def __post_init__(self) -> None:
        if self.picture % 8 or self.sprite % 16 or self.sprite < self.picture:
            raise ValueError(
                f"expected a picture of a multiple of 8 pixels and a sprite of a multiple of 16 that is no "
                f"smaller, got {self.picture} and {self.sprite}."
            )
        if not 1 <= self.lights <= len(render.LIGHTS):
            raise ValueError(f"expected 1 to {len(render.LIGHTS)} lights, got {self.lights}.")


FIRST_SIZES = Sizes(64, 96, 1)
"""Of folders from before there was a choice."""


def prepare(
    out: Path,
    npm: Path = Path("node_modules"),
    furniture_folder: Path = furniture.CATALOG_FOLDER,
    workers: int | None = None,
    seed: int = 0,
    sizes: Sizes = Sizes(),
    models: int | None = None,
) -> dict[str, Any]:
    """Writes the whole data folder and returns a summary of counts.

    Args:
        out: the data folder, made when it is not there.
        npm: the node_modules folder that holds the npm packages.
        furniture_folder: where sweethome3d-furniture's .sh3f archives lie.
        workers: rendering processes; None: one for each core.
        seed: of the scenes' random yaws; subjects and icons involve no chance.
        models: only the first so many 3-D models of each split, for a trial.

    Raises FileNotFoundError or MissingPackageError with an install command for whatever is missing,
    ValueError when the folder holds pictures of other sizes.
    """
    out.mkdir(parents=True, exist_ok=True)
    claim(out, sizes)
    workers = workers or os.cpu_count() or 1
    summary: dict[str, Any] = {
        "scenes": panoramas.prepare_scenes(
            out, partial(panoramas.read_mapped, npm=npm), seed, sizes.picture, workers=workers
        ),
        "icons": icons.prepare_icons(out, npm, sizes.sprite),
        "subjects": subjects.prepare_subjects(
            out, furniture_folder, workers, sizes.sprite, sizes.lights, models
        ),
    }
    meta = {
        **asdict(sizes),
        "view_order": "index = elevation * 12 + azimuth; azimuth wraps around",
        "azimuths_deg": render.AZIMUTHS_DEG,
        "elevations_deg": render.ELEVATIONS_DEG,
        "fill": render.FILL,
        "field_of_view_deg": render.FIELD_OF_VIEW_DEG,
        "scene_fov_deg": panoramas.FOV_DEG,
        "scene_pitch_deg": panoramas.PITCH_DEG,
        "seed": seed,
        "counts": summary,
        "sources": ["sweethome3d-furniture 1.8 (Debian)", *NPM_PACKAGES.split()],
    }
    write_text(out / META, json.dumps(meta, indent=1))
    return summary


def read_sizes(data: Path) -> Sizes:
    """The sizes of a prepared folder."""
    meta = asdict(FIRST_SIZES) | json.loads((data / META).read_text(encoding="utf-8"))
    return Sizes(**{name: meta[name] for name in asdict(FIRST_SIZES)})


def claim(out: Path, sizes: Sizes) -> None:
    """Marks a folder as one of these sizes. Raises ValueError when it is one of others already."""
    if not (out / META).exists():
        with suppress(FileExistsError):  # another command came first: its sizes count
            write_text(out / META, json.dumps(asdict(sizes)), new=True)
    if read_sizes(out) != sizes:
        raise ValueError(
            f"{out} holds pictures made with {read_sizes(out)}, asked for is {sizes}: give another folder."
        )


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m miniature prepare", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="data folder to write")
    parser.add_argument("--npm", type=Path, default=Path("node_modules"), help=f"holds {NPM_PACKAGES}")
    parser.add_argument(
        "--furniture", type=Path, default=furniture.CATALOG_FOLDER, help="folder of .sh3f archives"
    )
    parser.add_argument("--workers", type=int, help="rendering processes (default: one for each core)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=int, default=Sizes.picture, help="side of the pictures in pixels")
    parser.add_argument("--sprite", type=int, default=Sizes.sprite, help="side of a subject's view")
    parser.add_argument(
        "--lights", type=int, default=Sizes.lights, help="lights that the views take turns in"
    )
    parser.add_argument("--models", type=int, help="only so many 3-D models of each split, for a trial")
    options = parser.parse_args(arguments)
    logging.getLogger("trimesh").setLevel(logging.WARNING)
    try:
        sizes = Sizes(options.picture, options.sprite, options.lights)
        with only_run(options.out):
            summary = prepare(
                options.out,
                options.npm,
                options.furniture,
                options.workers,
                options.seed,
                sizes,
                options.models,
            )
    except (FileNotFoundError, MissingPackageError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(summary) + "\n")
    return 0
