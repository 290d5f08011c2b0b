"""Backgrounds: upright perspective crops of HDR panoramas, and plain colours.

Legend: P panorama rows, Q panorama columns (Q = 2P, equirectangular, row 0 the zenith); H, W crop; K crops.
"""

from __future__ import annotations

import base64
import importlib
import json
import logging
import re
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from echogen_core.utils.optional_packages import MissingPackageError
from echogen_core.utils.printable import counted
from echogen_core.utils.writing import write_text

from .files import save_array
from .worker_pool import pool

logger = logging.getLogger(__name__)

CROPS_PER_SCENE = 300
FOV_DEG = (60.0, 75.0)
PITCH_DEG = (-14.0, -4.0)  # the camera looks down a little, so that ground fills the lower part
MIDDLE_GREY = 0.18

Array = NDArray[Any]


@dataclass(frozen=True)
class Scene:
    """A named background; `source` is a panorama of @pmndrs/assets or a plain colour "#rrggbb".

    typical: crops (of seed 0) that are recognised at a glance, picked by hand from the first four: what a
    small model can memorise.
    """

    name: str
    source: str
    phrases: tuple[str, ...]
    split: str = "train"
    exposure: float = 1.0  # relative to the automatic one: a night stays dark
    typical: tuple[int, ...] = (0, 1)

    @property
    def plain(self) -> bool:
        """Whether the scene is a plain colour."""
        return self.source.startswith("#")


def _plain(name: str, color: str) -> Scene:
    phrases = (f"on a {name} background", f"in front of a {name} wall", f"on plain {name} ground")
    return Scene(f"plain-{name}", color, phrases)


# Named by looking at them: "sunset" shows a square in Venice, "venice" a seaside promenade.
# Left out: esplanade (a mall) and workshop (a factory), too fine-grained for 64 px.
# Bridge and sunrise are never trained on.
SCENES: tuple[Scene, ...] = (
    Scene(
        "room",
        "apartment",
        ("in an empty room", "in a bright apartment", "on the wooden floor of a room"),
        typical=(0, 2),
    ),
    Scene("city", "city", ("in a city", "on a city square", "in front of tall buildings")),
    Scene(
        "desert", "dawn", ("in a desert", "on rocky ground at dusk", "in the desert at dawn"), typical=(0, 3)
    ),
    Scene("forest", "forest", ("in a forest", "among the trees of a forest", "in the woods"), typical=(2, 3)),
    Scene(
        "hall",
        "hall",
        ("in a ballroom", "in a large dark hall", "on the tiled floor of a hall"),
        typical=(0, 3),
    ),
    Scene(
        "laboratory",
        "lab",
        ("in an old laboratory", "in a green laboratory", "among the machines of a lab"),
        typical=(1, 3),
    ),
    Scene("lobby", "lobby", ("in a lobby", "in a yellow lobby", "in a waiting room"), typical=(1, 2)),
    Scene(
        "night",
        "night",
        ("at night", "in a field at night", "under the night sky"),
        exposure=0.3,
        typical=(0, 2),
    ),
    Scene("meadow", "park", ("on a meadow", "on green grass", "on the grass under a blue sky")),
    Scene("sea", "sky", ("above the sea", "over water under clouds", "on the water")),
    Scene(
        "studio", "studio", ("in a photo studio", "in a photographer's studio", "in a studio with dark walls")
    ),
    Scene(
        "promenade",
        "venice",
        ("by the sea at dusk", "on a seaside promenade", "at the waterside in the evening"),
        typical=(1, 3),
    ),
    Scene(
        "venice",
        "sunset",
        ("in Venice", "on a square in Venice", "in front of an old palace"),
        typical=(1, 2),
    ),
    Scene(
        "warehouse",
        "warehouse",
        ("in an empty warehouse", "in a concrete hall", "in a garage"),
        typical=(1, 2),
    ),
    Scene(
        "bridge",
        "bridge",
        ("on a glass bridge", "inside a covered bridge", "in a bright tunnel"),
        "heldout",
    ),
    Scene(
        "sunrise",
        "sunrise",
        ("in a field at sunrise", "on a misty field", "on a field path"),
        "heldout",
    ),
    _plain("red", "#c8322d"),
    _plain("yellow", "#e9c63c"),
    _plain("blue", "#3161bd"),
    _plain("pink", "#eba3bd"),
    _plain("grey", "#8c8c8c"),
    _plain("black", "#232323"),
)


def read_panorama(module: Path) -> Array:
    """Linear RGB float32 [P, Q, 3], finite and not negative, of a base64 EXR module of @pmndrs/assets.

    Raises MissingPackageError without OpenEXR, FileNotFoundError or ValueError for a missing or other file.
    """
    try:
        openexr = importlib.import_module("OpenEXR")
    except ImportError as error:
        raise MissingPackageError(
            "The panoramas need OpenEXR: `pip install 'OpenEXR>=3.3'`, or `pip install -e .[miniature]`."
        ) from error
    if not module.is_file():
        raise FileNotFoundError(
            f"{module} not found. It is part of the npm package @pmndrs/assets 1.7.0: run "
            "`npm install @pmndrs/assets` in a folder and pass that folder's node_modules with --npm."
        )
    found = re.search(r"base64,([A-Za-z0-9+/=]+)", module.read_text(encoding="ascii"))
    if found is None:
        raise ValueError(f"Expected base64 data in {module}, found none: install @pmndrs/assets 1.7.0 again.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panorama.exr"
        path.write_bytes(base64.b64decode(found.group(1)))
        with openexr.File(str(path)) as file:
            channels = file.channels()
            pixels_PQ3 = (
                channels["RGB"].pixels
                if "RGB" in channels
                else np.stack([channels[name].pixels for name in "RGB"], axis=-1)
            )
    return clean(np.asarray(pixels_PQ3, dtype=np.float32))


def clean(pixels_PQ3: Array) -> Array:
    """Makes values finite and not negative: clips compression's negative lobes and repairs a broken sun.

    In the middle of the sun a few pixels have lost channels (zero beside thousands): pixels near there that
    lack a channel get the picture's largest value in all three.
    """
    finite = np.isfinite(pixels_PQ3)
    brightest = float(pixels_PQ3[finite].max()) if finite.any() else 1.0
    safe_PQ3 = np.where(finite, pixels_PQ3, -np.inf)
    high_PQ, low_PQ = safe_PQ3.max(axis=2), safe_PQ3.min(axis=2)
    lacking_PQ = low_PQ < 0.01 * np.maximum(high_PQ, 1e-3)
    near_sun_PQ = lacking_PQ & (high_PQ > 1000)
    for axis in (0, 1):
        near_sun_PQ = np.any([np.roll(near_sun_PQ, step, axis) for step in range(-6, 7)], axis=0)
    lost_PQ = (lacking_PQ & near_sun_PQ) | ~finite.all(axis=2)
    result: Array = np.where(lost_PQ[..., None], brightest, np.clip(safe_PQ3, 0.0, None)).astype(np.float32)
    return result


def crop_pixels(
    yaw_deg: float, pitch_deg: float, fov_deg: float, size: int, panorama_hw: tuple[int, int]
) -> Array:
    """Panorama coordinates (row, column) [size,size,2] seen by each pixel of an upright perspective crop.

    The crop's centre looks at column Q/2 for yaw 0, right of it for a positive yaw; pitch > 0 looks up.
    """
    height, width = panorama_hw
    half = np.tan(np.radians(fov_deg) / 2)
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis * half, -axis * half)
    pitch = np.radians(pitch_deg)
    up = y * np.cos(pitch) + np.sin(pitch)
    forward = np.cos(pitch) - y * np.sin(pitch)
    longitude = np.arctan2(x, forward) + np.radians(yaw_deg)
    latitude = np.arctan2(up, np.hypot(x, forward))
    rows = (0.5 - latitude / np.pi) * height - 0.5
    columns = (0.5 + longitude / (2 * np.pi)) * width - 0.5
    result: Array = np.stack([rows, columns], axis=-1)
    return result


def sample(panorama_PQ3: Array, pixels_HW2: Array) -> Array:
    """Bilinear look-up [H,W,3]; columns wrap around, rows stop at the poles."""
    height, width, _ = panorama_PQ3.shape
    low_HW2 = np.floor(pixels_HW2)
    weight_HW2 = pixels_HW2 - low_HW2
    rows = [np.clip(low_HW2[..., 0].astype(int) + step, 0, height - 1) for step in (0, 1)]
    columns = [(low_HW2[..., 1].astype(int) + step) % width for step in (0, 1)]
    down, right = weight_HW2[..., :1], weight_HW2[..., 1:]
    top = panorama_PQ3[rows[0], columns[0]] * (1 - right) + panorama_PQ3[rows[0], columns[1]] * right
    bottom = panorama_PQ3[rows[1], columns[0]] * (1 - right) + panorama_PQ3[rows[1], columns[1]] * right
    result: Array = top * (1 - down) + bottom * down
    return result


def tone_map(panorama_PQ3: Array, exposure: float) -> Array:
    """sRGB in 0..1: the log mean near the horizon becomes middle grey, highlights roll off (Reinhard)."""
    height = len(panorama_PQ3)
    band = panorama_PQ3[height // 4 : height * 13 // 16].mean(axis=2)
    key = float(np.exp(np.log(band + 1e-3).mean()))
    scaled = panorama_PQ3 * (MIDDLE_GREY * 1.2 * exposure / key)
    mapped = np.clip(scaled * 1.25 / (1 + scaled), 0.0, 1.0)
    result: Array = np.where(mapped <= 0.0031308, mapped * 12.92, 1.055 * mapped ** (1 / 2.4) - 0.055)
    return result


def panorama_crops(panorama_PQ3: Array, count: int, rng: np.random.Generator, size: int) -> Array:
    """uint8 [K,size,size,3] of random yaw, pitch and field of view; `panorama_PQ3` is tone-mapped already."""
    crops = []
    for _ in range(count):
        pixels_HW2 = crop_pixels(
            rng.uniform(0, 360),
            rng.uniform(*PITCH_DEG),
            rng.uniform(*FOV_DEG),
            size * 2,
            (panorama_PQ3.shape[0], panorama_PQ3.shape[1]),
        )
        crop_HW3 = sample(panorama_PQ3, pixels_HW2)
        crop_HW3 = crop_HW3.reshape(size, 2, size, 2, 3).mean(axis=(1, 3))
        crops.append(np.round(crop_HW3 * 255).astype(np.uint8))
    return np.stack(crops)


def plain_crops(color: str, count: int, rng: np.random.Generator, size: int) -> Array:
    """uint8 [K,size,size,3]: a wall and a floor of one colour, a soft horizon, slightly varying light."""
    base_3 = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    axis = np.linspace(-1, 1, size)
    x_HW, y_HW = np.meshgrid(axis, axis)
    crops = []
    for _ in range(count):
        light_x, horizon = rng.uniform(-0.6, 0.6), rng.uniform(0.1, 0.5)
        vignette_HW = 1.06 - rng.uniform(0.06, 0.16) * ((x_HW - light_x) ** 2 + (y_HW + 0.3) ** 2)
        ground_HW = 1 - rng.uniform(0.04, 0.14) / (1 + np.exp(-(y_HW - horizon) * rng.uniform(8, 25)))
        shade_3 = base_3 * rng.uniform(0.93, 1.07) + rng.uniform(-0.015, 0.015, 3)
        crop_HW3 = (vignette_HW * ground_HW)[..., None] * shade_3
        crops.append(np.round(np.clip(crop_HW3, 0, 1) * 255).astype(np.uint8))
    return np.stack(crops)


def read_mapped(scene: Scene, npm: Path) -> Array:
    """A scene's panorama, tone-mapped to 0..1, [P, Q, 3]. Raises as `read_panorama`."""
    panorama_PQ3 = read_panorama(npm / "@pmndrs" / "assets" / "hdri" / f"{scene.source}.exr.js")
    return tone_map(panorama_PQ3, scene.exposure)


def scene_crops(scene: Scene, panorama_PQ3: Array | None, count: int, seed: int, size: int) -> Array:
    """The K crops of one scene, uint8 [K, size, size, 3]; they depend on seed and name alone.

    panorama_PQ3: tone-mapped; None for a plain colour.
    """
    rng = np.random.default_rng([seed, zlib.crc32(scene.name.encode())])
    if panorama_PQ3 is None:
        return plain_crops(scene.source, count, rng, size)
    return panorama_crops(panorama_PQ3, count, rng, size)


class CropJob(NamedTuple):
    """One scene's crops, to be written to `path`; panorama: as in `prepare_scenes`."""

    scene: Scene
    panorama: Callable[[Scene], Array]
    path: Path
    crops: int
    seed: int
    size: int


def _crop_job(job: CropJob) -> None:
    source_PQ3 = None if job.scene.plain else job.panorama(job.scene)
    save_array(job.path, scene_crops(job.scene, source_PQ3, job.crops, job.seed, job.size))
    logger.info("Scene %s: %s.", job.scene.name, counted(job.crops, "crop"))


def prepare_scenes(
    out: Path,
    panorama: Callable[[Scene], Array],
    seed: int,
    size: int,
    count: int = CROPS_PER_SCENE,
    workers: int = 1,
) -> dict[str, int]:
    """Writes scenes/{name}.npy and scenes.json; returns the number of scenes per split.

    panorama: reads a scene's tone-mapped panorama, such as `read_mapped`; not called for plain colours. It is
    pickled for `workers` processes.
    """
    target = out / "scenes"
    target.mkdir(parents=True, exist_ok=True)
    jobs = [CropJob(s, panorama, target / f"{s.name}.npy", count, seed, size) for s in SCENES]
    jobs = [job for job in jobs if not job.path.exists()]
    if workers > 1 and len(jobs) > 1:
        with pool(min(workers, len(jobs))) as processes:
            processes.map(_crop_job, jobs, chunksize=1)
    else:
        for job in jobs:
            _crop_job(job)
    records = [
        {
            "name": scene.name,
            "phrases": list(scene.phrases),
            "typical": list(scene.typical),
            "split": scene.split,
            "source": "drawn" if scene.plain else f"@pmndrs/assets/hdri/{scene.source}",
            "licence": "MIT" if scene.plain else "CC0-1.0",
        }
        for scene in SCENES
    ]
    write_text(target / "scenes.json", json.dumps(records, indent=1))
    splits = [record["split"] for record in records]
    return {split: splits.count(split) for split in ("train", "heldout")}
