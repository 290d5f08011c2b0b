"""Makes the miniature's training data from installed packages: `python -m miniature prepare --out DATA`.

    DATA/subjects/{train,heldout}_views.npy  uint8 [N, V, S, S, 4], straight alpha, 0.9 of the frame
    DATA/subjects/subjects.json              id, name, source, creator, licence, split, row, replaced_views
    DATA/icons/train_views.npy               uint8 [N, 1, S, S, 4], and icons.json
    DATA/scenes/{name}.npy                   uint8 [K, P, P, 3], and scenes.json: name, phrases, typical,
                                             split, source, licence
    DATA/meta.json                           sizes, view order, seeds, sources

P is --picture, S is --sprite. Files that exist are kept, so an interrupted run can be continued. Nothing is
downloaded: a missing package is an error with its install command.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import output_folder, seed, whole
from echogen_core.utils.writing import write_text

from . import furniture, icons, panoramas, render, subjects

logger = logging.getLogger(__name__)

META = "meta.json"

NPM_PACKAGES = "@pmndrs/assets@1.7.0 @lobehub/fluent-emoji-3d@1.1.0 emojibase-data"


@dataclass(frozen=True)
class Sizes:
    """picture, sprite: sides of scenes and views in pixels.

    lights: number of set-ups that views alternate between.

    Neighbouring views are lit differently, so that lighting does not identify a subject, at no extra cost.
    Raises ValueError for sizes that do not fit.
    """

    picture: int = 128
    sprite: int = 160
    lights: int = 3

    def __post_init__(self) -> None:
        if self.picture % 8 or self.sprite % 16 or self.sprite < self.picture:
            raise ValueError(
                "Expected --picture to be a multiple of 8 and --sprite a multiple of 16 that is no smaller, "
                f"got {self.picture} and {self.sprite}."
            )
        if not 1 <= self.lights <= len(render.LIGHTS):
            raise ValueError(f"Expected --lights from 1 to {len(render.LIGHTS)}, got {self.lights}.")


LEGACY_SIZES = Sizes(64, 96, 1)
"""Sizes of folders whose meta.json does not name any."""


def prepare(
    out: Path,
    npm: Path = Path("node_modules"),
    furniture_folder: Path = furniture.CATALOG_FOLDER,
    workers: int | None = None,
    seed: int = 0,
    sizes: Sizes = Sizes(),
    models: int | None = None,
) -> dict[str, Any]:
    """Writes the data folder and returns how many scenes, icons and subjects it holds.

    Args:
        out: the data folder, created if necessary.
        npm: node_modules folder with the npm packages.
        furniture_folder: folder of sweethome3d-furniture's .sh3f archives.
        workers: rendering processes; None: one per core.
        seed: of the scenes' random crops; subjects and icons are not random.
        models: number of 3-D models per split, for a trial; None: all.

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
    write_text(out / META, json.dumps(_meta(sizes, seed, summary), indent=1))
    return summary


def _meta(sizes: Sizes, seed: int, counts: dict[str, Any]) -> dict[str, Any]:
    return {
        **asdict(sizes),
        "view_order": "index = elevation * 12 + azimuth; azimuth wraps around",
        "azimuths_deg": render.AZIMUTHS_DEG,
        "elevations_deg": render.ELEVATIONS_DEG,
        "fill": render.FILL,
        "field_of_view_deg": render.FIELD_OF_VIEW_DEG,
        "scene_fov_deg": panoramas.FOV_DEG,
        "scene_pitch_deg": panoramas.PITCH_DEG,
        "seed": seed,
        "counts": counts,
        "sources": ["sweethome3d-furniture 1.8 (Debian)", *NPM_PACKAGES.split()],
    }


def read_sizes(data: Path) -> Sizes:
    """The sizes that a prepared folder was made with."""
    meta = asdict(LEGACY_SIZES) | json.loads((data / META).read_text(encoding="utf-8"))
    return Sizes(**{name: meta[name] for name in asdict(LEGACY_SIZES)})


def claim(out: Path, sizes: Sizes) -> None:
    """Records the sizes in a folder. Raises ValueError when it was made with others."""
    if not (out / META).exists():
        with suppress(FileExistsError):  # another command was first: its sizes count
            write_text(out / META, json.dumps(asdict(sizes)), new=True)
    if read_sizes(out) != sizes:
        raise ValueError(
            f"Expected pictures of {sizes} in {out}, found {read_sizes(out)}: choose another folder."
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Command line of this stage; returns the exit code."""
    parser = OptionParser(prog="python -m miniature prepare", description=__doc__)
    parser.add_argument("--out", type=output_folder, required=True, help="data folder to write or complete")
    parser.add_argument(
        "--npm", type=Path, default=Path("node_modules"), help=f"node_modules with {NPM_PACKAGES}"
    )
    parser.add_argument(
        "--furniture",
        type=Path,
        default=furniture.CATALOG_FOLDER,
        help="folder of .sh3f archives",
    )
    parser.add_argument("--workers", type=whole(1), help="rendering processes (default: one per core)")
    parser.add_argument("--seed", type=seed, default=0, help="seed of the scenes' crops")
    parser.add_argument(
        "--picture", type=whole(8), default=Sizes.picture, help="side of the pictures in pixels"
    )
    parser.add_argument("--sprite", type=whole(8), default=Sizes.sprite, help="side of a view in pixels")
    parser.add_argument(
        "--lights",
        type=whole(1),
        default=Sizes.lights,
        help="lighting set-ups that views alternate between",
    )
    parser.add_argument(
        "--models", type=whole(1), help="number of 3-D models per split, for a trial (default: all)"
    )
    options = parser.parse_args(argv)
    logging.getLogger("trimesh").setLevel(logging.WARNING)
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
    sys.stdout.write(json.dumps(summary) + "\n")
    return 0
