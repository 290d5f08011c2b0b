"""Builds the miniature's training data from packages: `python -m echogen_core.training.prepare --out DATA`.

    DATA/subjects/{train,heldout}_views.npy  uint8 [N,V,96,96,4]: straight alpha, centred, 0.9 of the frame
    DATA/subjects/subjects.json              id, name, source, creator, licence, split, row, replaced_views
    DATA/icons/train_views.npy               uint8 [N,1,96,96,4], and icons.json
    DATA/scenes/{name}.npy                   uint8 [K,64,64,3], and scenes.json: name, phrases, split, licence
    DATA/meta.json                           view order, seeds, sources

What exists is kept, so an interrupted run goes on where it stopped. Nothing is downloaded: a missing package
is an error that names it and says how to install it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from echogen_core.training import furniture, icons, panoramas, render, subjects
from echogen_core.training.missing import MissingPackageError

logger = logging.getLogger(__name__)

NPM_PACKAGES = "@pmndrs/assets@1.7.0 @lobehub/fluent-emoji-3d@1.1.0 emojibase-data"


def prepare(
    out: Path,
    npm: Path = Path("node_modules"),
    furniture_folder: Path = furniture.CATALOG_FOLDER,
    workers: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes the whole data folder and returns a summary of counts.

    Args:
        out: the data folder, made when it is not there.
        npm: the node_modules folder that holds the npm packages.
        furniture_folder: where sweethome3d-furniture's .sh3f archives lie.
        workers: rendering processes; None: one for each core.
        seed: of the scenes' random yaws; subjects and icons involve no chance.

    Raises FileNotFoundError or MissingPackageError with an install command for whatever is missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    summary: dict[str, Any] = {
        "scenes": panoramas.prepare_scenes(out, npm, seed),
        "icons": icons.prepare_icons(out, npm),
        "subjects": subjects.prepare_subjects(out, furniture_folder, workers or os.cpu_count() or 1),
    }
    meta = {
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
    (out / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    return summary


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m echogen_core.training.prepare", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, help="data folder to write")
    parser.add_argument("--npm", type=Path, default=Path("node_modules"), help=f"holds {NPM_PACKAGES}")
    parser.add_argument(
        "--furniture", type=Path, default=furniture.CATALOG_FOLDER, help="folder of .sh3f archives"
    )
    parser.add_argument("--workers", type=int, help="rendering processes (default: one for each core)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("trimesh").setLevel(logging.WARNING)
    try:
        summary = prepare(options.out, options.npm, options.furniture, options.workers, options.seed)
    except (FileNotFoundError, MissingPackageError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(summary) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
