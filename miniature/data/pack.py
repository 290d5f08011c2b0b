"""Prepared data in a small form, to travel: `python -m miniature pack --data DATA --out PACKED`.

Subjects and icons become WebP sheets, panoramas pictures from which the scenes' crops are cut again: about
40 MB where the prepared folder has 2 GB. PACKED holds data-00-of-NN.zip and so on, at most --part-mib each.
`--unpack` goes the other way, DATA being written: a folder like the one that `prepare` wrote, its colours
within a few grey levels.
Shapes: N subjects, V views, S side of a view; h and w views of a sheet.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echogen_core.optional_packages import MissingPackageError
from echogen_core.training.run_folder import only_run
from echogen_core.writing import write_whole

from . import panoramas
from .files import save_array
from .prepare import META, read_sizes

logger = logging.getLogger(__name__)

COLUMNS = 6
"""Views side by side in a sheet; 24 views make four rows."""

JSONS = (META, "subjects/subjects.json", "icons/icons.json")
TABLES = ("subjects/train_views", "subjects/heldout_views", "icons/train_views")

Array = NDArray[Any]


def pack(data: Path, npm: Path, out: Path, part_bytes: int, quality: int = 80) -> list[Path]:
    """Writes the parts and returns them.

    npm: the node_modules folder with the panoramas. quality: WebP's, of colours.
    Raises FileNotFoundError or MissingPackageError when something is not there, ValueError for an --out that
    holds other parts already.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.glob("data-*.zip")):
        raise ValueError(f"{out} holds parts already: give another folder or remove them.")
    groups: list[list[tuple[str, bytes]]] = [[]]
    for name, content in _entries(data, npm, quality):
        if groups[-1] and sum(len(c) for _, c in groups[-1]) + len(content) > part_bytes:
            groups.append([])
        groups[-1].append((name, content))
    paths = [out / f"data-{index:02}-of-{len(groups):02}.zip" for index in range(len(groups))]
    for path, entries in zip(paths, groups, strict=True):
        write_whole(path, partial(_write_archive, entries=entries))
        logger.info("%s: %.1f MiB", path, path.stat().st_size / 2**20)
    return paths


def _write_archive(file: BinaryIO, entries: Sequence[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(file, "w") as archive:  # stored: what is in it is compressed
        for name, content in entries:
            archive.writestr(name, content)


def unpack(packed: Path, data: Path, workers: int) -> None:
    """Writes a folder of prepared data. Raises FileNotFoundError when a part is missing."""
    parts = sorted(packed.glob("data-*.zip"))
    wanted = int(parts[0].stem.rpartition("-")[2]) if parts else 1
    if len(parts) != wanted:
        raise FileNotFoundError(
            f"{packed} holds {len(parts)} of {wanted} parts (data-*-of-{wanted:02}.zip): bring all of "
            "them, or make them with `python -m miniature pack`."
        )
    files: dict[str, bytes] = {}
    for path in parts:
        with zipfile.ZipFile(path) as archive:
            files |= {name: archive.read(name) for name in archive.namelist()}
    for name in JSONS:
        _write_bytes(data / name, files[name])
    with ThreadPoolExecutor(workers) as pool:
        for table in TABLES:
            _unpack_table(files, table, data / f"{table}.npy", pool)
    folder = data / "panoramas"
    for scene in panoramas.SCENES:
        if not scene.plain:
            _write_bytes(folder / f"{scene.source}.webp", files[f"panoramas/{scene.source}.webp"])
    size, seed = read_sizes(data).picture, json.loads(files[META])["seed"]
    panoramas.prepare_scenes(data, partial(read_picture, folder=folder), seed, size, workers=workers)


def _write_bytes(path: Path, content: bytes) -> None:
    write_whole(path, lambda file: file.write(content), len(content))


def to_sheet(views_VSS4: Array) -> Image.Image:
    """Views in rows of COLUMNS; places of the last row may stay empty."""
    count, side = len(views_VSS4), views_VSS4.shape[1]
    rows = -(-count // COLUMNS)
    cells = np.zeros((rows * COLUMNS, side, side, 4), np.uint8)
    cells[:count] = views_VSS4
    grid_hwSS4 = cells.reshape(rows, COLUMNS, side, side, 4)
    return Image.fromarray(grid_hwSS4.transpose(0, 2, 1, 3, 4).reshape(rows * side, COLUMNS * side, 4))


def from_sheet(sheet: Image.Image, count: int) -> Array:
    """The first `count` views of a sheet, [V, S, S, 4]."""
    pixels = np.asarray(sheet.convert("RGBA"))
    side = pixels.shape[1] // COLUMNS
    grid = pixels.reshape(-1, side, COLUMNS, side, 4).transpose(0, 2, 1, 3, 4)
    views_VSS4: Array = grid.reshape(-1, side, side, 4)[:count]
    return views_VSS4


def read_picture(scene: panoramas.Scene, folder: Path) -> Array:
    """A packed panorama's colours in 0..1, [P,Q,3]."""
    with Image.open(folder / f"{scene.source}.webp") as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255


def _entries(data: Path, npm: Path, quality: int) -> Iterator[tuple[str, bytes]]:
    shapes = {}
    for table in TABLES:
        views_NVSS4 = np.load(data / f"{table}.npy", mmap_mode="r")
        shapes[table] = views_NVSS4.shape
        # single views, as icons are, share sheets
        per_sheet = 1 if views_NVSS4.shape[1] > 1 else 4 * COLUMNS
        for start in range(0, len(views_NVSS4), per_sheet):
            views_VSS4 = views_NVSS4[start : start + per_sheet].reshape(-1, *views_NVSS4.shape[2:])
            yield f"{table}/{start:04}.webp", _webp(to_sheet(views_VSS4), quality)
    for name in JSONS:
        yield name, (data / name).read_bytes()
    yield "shapes.json", json.dumps(shapes).encode()
    for scene in panoramas.SCENES:
        if not scene.plain:
            colours = np.round(panoramas.read_mapped(scene, npm) * 255).astype(np.uint8)
            yield f"panoramas/{scene.source}.webp", _webp(Image.fromarray(colours), 95)


def _webp(picture: Image.Image, quality: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=quality, method=4)
    return stream.getvalue()


def _unpack_table(files: dict[str, bytes], table: str, path: Path, pool: ThreadPoolExecutor) -> None:
    shape = tuple(json.loads(files["shapes.json"])[table])
    flat = np.zeros((shape[0] * shape[1], *shape[2:]), np.uint8)
    names = sorted(name for name in files if name.startswith(f"{table}/"))
    starts = [int(Path(name).stem) * shape[1] for name in names]

    def fill(name: str, start: int, end: int) -> None:
        with Image.open(io.BytesIO(files[name])) as sheet:
            flat[start:end] = from_sheet(sheet, end - start)

    list(pool.map(fill, names, starts, [*starts[1:], len(flat)]))
    save_array(path, flat.reshape(shape))
    logger.info("%s: %s", table, shape)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m miniature pack", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="folder of prepared data")
    parser.add_argument("--out", type=Path, help="folder for the parts")
    parser.add_argument("--unpack", type=Path, metavar="PACKED", help="write DATA from these parts")
    parser.add_argument("--npm", type=Path, default=Path("node_modules"), help="holds the panoramas")
    parser.add_argument("--part-mib", type=float, default=48.0, help="largest size of a part")
    parser.add_argument("--quality", type=int, default=80, help="WebP quality of subjects and icons")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(argv)
    if (options.out is None) == (options.unpack is None):
        parser.error("give --out with a folder for the parts, or --unpack with one that holds them")
    try:
        with only_run(options.out or options.data):
            if options.unpack:
                unpack(options.unpack, options.data, options.workers)
            else:
                pack(options.data, options.npm, options.out, int(options.part_mib * 2**20), options.quality)
    except (FileNotFoundError, MissingPackageError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0
