"""Packs prepared data to move it to another machine: `python -m miniature pack --data DATA --out PACKED`.

Subjects and icons become WebP sheets, and panoramas are stored whole, for the scenes' crops to be cut from
again: about 32 MiB instead of 1.4 GB. PACKED holds data-00-of-NN.zip and so on, at most --part-mib each.
--unpack PACKED writes DATA again: the same folder, with colours within a few levels of 255.
Shapes: N subjects, V views, S side of a view; h and w views down and across a sheet.
"""

from __future__ import annotations

import io
import json
import logging
import os
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echogen_core.training.run_folder import only_run
from echogen_core.utils.option_checks import Unused, refuse_unused
from echogen_core.utils.option_parser import OptionParser
from echogen_core.utils.option_types import number, output_folder, whole
from echogen_core.utils.printable import counted
from echogen_core.utils.writing import write_atomically

from . import panoramas
from .files import save_array
from .prepare import META, read_sizes

logger = logging.getLogger(__name__)

COLUMNS = 6
"""Views side by side in a sheet; 24 views make four rows."""

JSONS = (META, "subjects/subjects.json", "icons/icons.json")
TABLES = ("subjects/train_views", "subjects/heldout_views", "icons/train_views")

NPM, PART_MIB, QUALITY = Path("node_modules"), 48.0, 80
"""Defaults of --npm, --part-mib and --quality."""

UNUSED = (
    *(
        Unused(option, lambda args: args.unpack is not None, "with --unpack: leave it out.")
        for option in ("--npm", "--part-mib", "--quality")
    ),
    Unused("--workers", lambda args: args.unpack is None, "without --unpack: leave it out."),
)

Array = NDArray[Any]
T = TypeVar("T")


def pack(data: Path, npm: Path, out: Path, part_bytes: int, quality: int = QUALITY) -> list[Path]:
    """Writes the parts and returns their paths.

    npm: node_modules folder with the panoramas. part_bytes: largest part. quality: WebP quality, 0 to 100.
    Raises FileNotFoundError or MissingPackageError when something is not there, ValueError when `out` already
    holds parts.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.glob("data-*.zip")):
        raise ValueError(
            f"Expected an empty --out, but {out} already holds parts: choose another folder or delete them."
        )
    groups: list[list[tuple[str, bytes]]] = [[]]
    for name, content in _entries(data, npm, quality):
        if groups[-1] and sum(len(c) for _, c in groups[-1]) + len(content) > part_bytes:
            groups.append([])
        groups[-1].append((name, content))
    paths = [out / f"data-{index:02}-of-{len(groups):02}.zip" for index in range(len(groups))]
    for path, entries in zip(paths, groups, strict=True):
        write_atomically(path, partial(_write_archive, entries=entries))
        logger.info("%s: %.1f MiB", path, path.stat().st_size / 2**20)
    return paths


def _write_archive(file: BinaryIO, entries: Sequence[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(file, "w") as archive:  # stored: the content is compressed already
        for name, content in entries:
            archive.writestr(name, content)


def unpack(packed: Path, data: Path, workers: int) -> None:
    """Writes a folder of prepared data from its parts. Raises FileNotFoundError when one is missing."""
    parts = sorted(packed.glob("data-*.zip"))
    wanted = int(parts[0].stem.rpartition("-")[2]) if parts else 1
    if len(parts) != wanted:
        raise FileNotFoundError(
            f"Expected {counted(wanted, 'part')} in {packed} (data-*-of-{wanted:02}.zip), "
            f"found {len(parts)}: copy all of them, or make them with `python -m miniature pack`."
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
    write_atomically(path, lambda file: file.write(content), len(content))


def to_sheet(views_VSS4: Array) -> Image.Image:
    """Views [V, S, S, 4] as a sheet in rows of COLUMNS, the last of which may stay incomplete."""
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
    """A packed panorama in 0..1, [P, Q, 3]."""
    with Image.open(folder / f"{scene.source}.webp") as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float32) / 255


def _entries(data: Path, npm: Path, quality: int) -> Iterator[tuple[str, bytes]]:
    shapes = {}
    for table in TABLES:
        views_NVSS4 = np.load(data / f"{table}.npy", mmap_mode="r")
        shapes[table] = views_NVSS4.shape
        # subjects with a single view, the icons, share sheets
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
    """Command line of this stage; returns the exit code."""
    parser = OptionParser(prog="python -m miniature pack", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of prepared data, written with --unpack"
    )
    parser.add_argument("--out", type=output_folder, help="folder to write the parts to")
    parser.add_argument("--unpack", type=Path, metavar="PACKED", help="folder of parts to write DATA from")
    parser.add_argument("--npm", type=Path, help=f"node_modules with the panoramas (default: {NPM})")
    parser.add_argument(
        "--part-mib", type=number(0, above=True), help=f"largest part in MiB (default: {PART_MIB:g})"
    )
    parser.add_argument(
        "--quality", type=whole(1, 100), help=f"WebP quality of subjects and icons (default: {QUALITY})"
    )
    parser.add_argument("--workers", type=whole(1), help="threads for --unpack (default: all cores)")
    options = parser.parse_args(argv)
    if (options.out is None) == (options.unpack is None):
        parser.error("expected either --out (to pack) or --unpack (to unpack)")
    refuse_unused(options, UNUSED)
    with only_run(options.out or options.data):
        if options.unpack:
            unpack(options.unpack, options.data, _given(options.workers, os.cpu_count() or 1))
        else:
            part_bytes = int(_given(options.part_mib, PART_MIB) * 2**20)
            quality = _given(options.quality, QUALITY)
            pack(options.data, _given(options.npm, NPM), options.out, part_bytes, quality)
    return 0


def _given(value: T | None, default: T) -> T:
    return default if value is None else value
