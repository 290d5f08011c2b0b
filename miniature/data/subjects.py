"""Views of the 3-D models: rendered in parallel into one file each, then assembled into arrays."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from echogen_core.utils.optional_packages import MissingPackageError
from echogen_core.utils.printable import counted
from echogen_core.utils.writing import write_text

from . import furniture, render
from .files import save_array
from .furniture import FurnitureModel, Split
from .worker_pool import pool

logger = logging.getLogger(__name__)

SIGNATURE_VIEWS = (1, 4, 14)  # two sides from low, one from above
NEAR_DUPLICATE = 0.015  # mean absolute difference of signatures below which two models count as one
HELDOUT_NEAR_DUPLICATE = 0.022

Array = NDArray[Any]


def prepare_subjects(
    out: Path, folder: Path, workers: int, size: int, lights: int = 1, models: int | None = None
) -> dict[str, int]:
    """Writes subjects/{train,heldout}_views.npy and subjects.json; renders that exist are kept.

    size: side of a view in pixels. lights: as in `render.render_views`. models: number per split, for a
    trial;
    None: all. Returns the number of subjects per split.
    """
    target, parts = out / "subjects", out / "parts"
    target.mkdir(parents=True, exist_ok=True)
    parts.mkdir(parents=True, exist_ok=True)
    split = furniture.split_models(furniture.read_catalog(folder), furniture.read_heldout_names())
    split = Split(split.train[:models], split.heldout[:models])
    jobs = [
        RenderJob(model, folder, parts / f"{model.id}.npy", size, lights)
        for model in (*split.heldout, *split.train)
    ]
    jobs = [job for job in jobs if not job.path.exists()]
    if jobs:
        _render_all(jobs, workers)
    heldout = _assemble(split.heldout, parts, "heldout")
    train = drop_near_duplicates(*_assemble(split.train, parts, "train"), heldout[0])
    records: list[dict[str, Any]] = []
    counts = {}
    for name, (views_NVHW4, entries) in (("train", train), ("heldout", heldout)):
        save_array(target / f"{name}_views.npy", views_NVHW4)
        records += entries
        counts[name] = len(entries)
    write_text(target / "subjects.json", json.dumps(records, indent=1, ensure_ascii=False))
    return counts


def drop_near_duplicates(
    views_NVHW4: Array, entries: list[dict[str, Any]], heldout_MVHW4: Array
) -> tuple[Array, list[dict[str, Any]]]:
    """Drops models that look like an earlier one or, whatever their name, like a held-out one.

    The catalog has wall sockets, windows and cabinets that differ in a detail no small picture shows, and a
    dryer that is the held-out washing machine. Rows are renumbered.
    """
    signatures_ND = signatures(views_NVHW4)
    known = list(signatures(heldout_MVHW4))
    limits = [HELDOUT_NEAR_DUPLICATE] * len(known)
    kept = []
    for row, signature_D in enumerate(signatures_ND):
        distances = np.abs(np.stack(known) - signature_D).mean(axis=1)
        if (distances < limits).any():
            continue
        kept.append(row)
        known.append(signature_D)
        limits.append(NEAR_DUPLICATE)
    logger.info("Dropped %s.", counted(len(entries) - len(kept), "near-duplicate model"))
    return views_NVHW4[kept], [{**entries[row], "row": new} for new, row in enumerate(kept)]


def signatures(views_NVHW4: Array) -> Array:
    """Thumbnails to compare models by: three views at 16x16 px, on white and with alpha, [N, D] in 0..1."""
    side = views_NVHW4.shape[2] // 16
    rows = []
    for views_VHW4 in views_NVHW4:
        picked = views_VHW4[list(SIGNATURE_VIEWS)].astype(np.float32) / 255
        alpha = picked[..., 3:]
        picked = np.concatenate([picked[..., :3] * alpha + 1 - alpha, alpha], axis=-1)
        rows.append(picked.reshape(len(picked), 16, side, 16, side, 4).mean(axis=(2, 4)).ravel())
    return np.stack(rows)


class RenderJob(NamedTuple):
    """One model's views, to be written to `path`."""

    model: FurnitureModel
    folder: Path
    path: Path
    size: int
    lights: int


def _render_all(jobs: list[RenderJob], workers: int) -> None:
    logger.info("Rendering %s with %s.", counted(len(jobs), "model"), counted(workers, "worker"))
    # One thread per process: processes use the cores better than Mesa's own threads.
    os.environ["LP_NUM_THREADS"] = "0"
    with pool(workers, tasks=100) as processes:
        for done, message in enumerate(processes.imap_unordered(_render_job, jobs), 1):
            if message:
                logger.warning("%s", message)
            if done % 50 == 0 or done == len(jobs):
                logger.info("%d of %s.", done, counted(len(jobs), "model"))


def _render_job(job: RenderJob) -> str:
    """Writes one model's views, or an empty array if it cannot be rendered. Returns a warning or ''."""
    model, folder, path, size, lights = job
    views_VHW4: Array = np.zeros((0, size, size, 4), np.uint8)
    message = ""
    supersample = 3 if size <= 96 else 2  # large views are downscaled again when they are composed
    try:
        views_VHW4 = render.render_views(render.load_parts(model, folder), size, supersample, lights=lights)
    except MissingPackageError:
        raise
    except Exception as error:  # a damaged model must not end the run: it is reported and left out
        message = f"Left out {model.id} ({model.name}): {type(error).__name__}: {error}"
    save_array(path, views_VHW4)
    return message


def _assemble(
    models: Sequence[FurnitureModel], parts: Path, split: str
) -> tuple[Array, list[dict[str, Any]]]:
    views, entries = [], []
    for model in models:
        views_VHW4 = np.load(parts / f"{model.id}.npy")
        filled = render.fill_empty_views(views_VHW4) if len(views_VHW4) else None
        if filled is None:
            logger.info("Left out %s (%s): most views are empty.", model.id, model.name)
            continue
        views.append(filled[0])
        entries.append(
            {
                "id": model.id,
                "name": model.name,
                "source": f"sweethome3d-furniture/{model.archive}",
                "creator": model.creator,
                "category": model.category,
                "licence": model.licence,
                "split": split,
                "row": len(views) - 1,
                "replaced_views": filled[1],
            }
        )
    return np.stack(views), entries
