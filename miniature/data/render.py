"""Renders 3-D models with alpha: trimesh reads, pyrender draws on OSMesa, so no display is needed.

Legend: H, W pixels; V views; alpha is straight (not premultiplied) in everything that is returned.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echogen_core.utils.optional_packages import MissingPackageError

from .furniture import FurnitureModel

logger = logging.getLogger(__name__)

AZIMUTHS_DEG = tuple(range(0, 360, 30))
ELEVATIONS_DEG = (15, 35)
VIEW_COUNT = len(AZIMUTHS_DEG) * len(ELEVATIONS_DEG)
FILL = 0.9  # of the frame's side, by the longer side of the silhouette
FIELD_OF_VIEW_DEG = 35.0
MIN_COVERAGE = (
    0.03  # of the frame's area; below it a view shows next to nothing (a picture frame seen edge-on)
)

# Three lamps each, which turn with the camera: (azimuth, elevation, intensity). No side is black. The first
# is soft and from the left; the second comes low from the right, the third from above.
LIGHTS = (
    ((-40.0, 45.0, 2.3), (55.0, 20.0, 1.2), (170.0, 60.0, 1.1)),
    ((65.0, 25.0, 2.7), (-50.0, 15.0, 0.7), (-150.0, 50.0, 0.9)),
    ((10.0, 75.0, 2.8), (-70.0, 10.0, 0.7), (90.0, 10.0, 0.7)),
)
AMBIENT = 0.37

Array = NDArray[Any]


@dataclass(frozen=True)
class Part:
    """A mesh with one material, as arrays for the renderer."""

    positions: Array  # [N,3]
    indices: Array  # [F,3]
    normals: Array  # [N,3]
    uv: Array | None  # [N,2]
    colors: Array  # [N,3] linear RGB, white under a texture
    opacity: float
    texture: Image.Image | None

    @property
    def blended(self) -> bool:
        """Whether it has to be alpha-blended."""
        return self.opacity < 1 or (self.texture is not None and np.asarray(self.texture)[..., 3].min() < 250)


def view_index(azimuth: int, elevation: int) -> int:
    """Index of the view at AZIMUTHS_DEG[azimuth] and ELEVATIONS_DEG[elevation]; azimuths wrap around.

    Raises ValueError out of range.
    """
    if not 0 <= elevation < len(ELEVATIONS_DEG):
        raise ValueError(f"Elevation index is {elevation}, expected 0 to {len(ELEVATIONS_DEG) - 1}.")
    return elevation * len(AZIMUTHS_DEG) + azimuth % len(AZIMUTHS_DEG)


def view_angles(index: int) -> tuple[int, int]:
    """(azimuth, elevation) in degrees of a view; the inverse of view_index.

    Raises ValueError out of range.
    """
    if not 0 <= index < VIEW_COUNT:
        raise ValueError(f"View index is {index}, expected 0 to {VIEW_COUNT - 1}.")
    elevation, azimuth = divmod(index, len(AZIMUTHS_DEG))
    return AZIMUTHS_DEG[azimuth], ELEVATIONS_DEG[elevation]


def camera_pose(azimuth_deg: float, elevation_deg: float, distance: float) -> Array:
    """Camera-to-world [4,4]: y is up, azimuth 0 looks at the front (+z), the camera looks at the origin."""
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    back = np.array(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)]
    )
    right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = right, np.cross(back, right), back, back * distance
    return pose


def fit_projection(points_N3: Array, pose: Array, fill: float = FILL) -> Array:
    """Perspective projection [4,4] cropped so that the points' image is centred and `fill` of the frame."""
    near, far = 0.05, 20.0
    scale = 1.0 / np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2)
    projection = np.array(
        [
            [scale, 0, 0, 0],
            [0, scale, 0, 0],
            [0, 0, (far + near) / (near - far), 2 * far * near / (near - far)],
            [0, 0, -1, 0],
        ]
    )
    camera_N3 = (points_N3 - pose[:3, 3]) @ pose[:3, :3]
    ndc_N2 = scale * camera_N3[:, :2] / -camera_N3[:, 2:]
    low, high = ndc_N2.min(axis=0), ndc_N2.max(axis=0)
    zoom = 2 * fill / max(float((high - low).max()), 1e-6)
    center = (low + high) / 2
    crop = np.diag([zoom, zoom, 1.0, 1.0])
    crop[:2, 3] = -zoom * center
    result: Array = crop @ projection
    return result


def unpremultiply(black_HW3: Array, white_HW3: Array) -> Array:
    """RGBA [H,W,4] uint8 from the same picture drawn on black and on white, floats in 0..1."""
    alpha_HW = np.clip(1.0 - (white_HW3 - black_HW3).mean(axis=2), 0.0, 1.0)
    color_HW3 = np.where(alpha_HW[..., None] > 1e-3, black_HW3 / np.maximum(alpha_HW[..., None], 1e-3), 0.0)
    rgba_HW4 = np.concatenate([color_HW3, alpha_HW[..., None]], axis=2)
    result: Array = np.round(np.clip(rgba_HW4, 0.0, 1.0) * 255).astype(np.uint8)
    return result


def box_downscale(image_HWC: Array, factor: int) -> Array:
    """Mean over factor x factor blocks; the image's colours must be premultiplied or opaque."""
    height, width, channels = image_HWC.shape
    blocks = image_HWC.reshape(height // factor, factor, width // factor, factor, channels)
    result: Array = blocks.mean(axis=(1, 3))
    return result


def coverage(rgba_HW4: Array) -> float:
    """Share of the frame that the subject covers."""
    return float((rgba_HW4[..., 3] > 127).mean())


def fill_empty_views(views_VHW4: Array) -> tuple[Array, list[int]] | None:
    """Near-empty views replaced by the nearest useful azimuth of the same elevation, and their indices.

    None when fewer than half of the views show anything: the model is then left out.
    """
    useful = [coverage(view) >= MIN_COVERAGE for view in views_VHW4]
    if sum(useful) * 2 < len(useful):
        return None
    filled, replaced, azimuths = views_VHW4.copy(), [], len(AZIMUTHS_DEG)
    for index, good in enumerate(useful):
        if good:
            continue
        elevation, azimuth = divmod(index, azimuths)
        steps = [s for distance in range(1, azimuths // 2 + 1) for s in (distance, -distance)]
        rows = [elevation, *(e for e in range(len(ELEVATIONS_DEG)) if e != elevation)]
        candidates = [view_index(azimuth + step, row) for row in rows for step in steps]
        filled[index] = views_VHW4[next(c for c in candidates if useful[c])]
        replaced.append(index)
    return filled, replaced


def load_parts(model: FurnitureModel, folder: Path) -> list[Part]:
    """Meshes of one model, turned by the catalog's rotation, centred, the longest half side 1."""
    trimesh = _import("trimesh")
    with zipfile.ZipFile(folder / f"{model.archive}.sh3f") as archive:
        parent = model.model_path.rpartition("/")[0] + "/"
        files = {
            name[len(parent) :]: io.BytesIO(archive.read(name))
            for name in archive.namelist()
            if name.startswith(parent) and not name.endswith("/")
        }
    scene = trimesh.load_scene(
        files[model.model_path[len(parent) :]],
        file_type="obj",
        resolver=trimesh.resolvers.ZipResolver(files),
        process=False,
    )
    meshes = [mesh for mesh in scene.dump(concatenate=False) if len(getattr(mesh, "faces", ()))]
    if not meshes:
        raise ValueError(f"{model.id} ({model.name}) holds no faces.")
    rotation = np.array(model.rotation).reshape(3, 3)
    for mesh in meshes:
        mesh.vertices = mesh.vertices @ rotation.T
    used = np.concatenate([mesh.vertices[np.unique(mesh.faces)] for mesh in meshes])
    low, high = used.min(axis=0), used.max(axis=0)
    scale = 2.0 / max(float((high - low).max()), 1e-9)
    return merge_plain_parts([_part(mesh, (low + high) / 2, scale) for mesh in meshes])


def merge_plain_parts(parts: list[Part]) -> list[Part]:
    """Opaque parts without texture as one with colours per vertex: each part costs a draw call a view."""
    plain = [part for part in parts if part.texture is None and not part.blended]
    if len(plain) < 2:
        return parts
    offsets = np.cumsum([0, *(len(part.positions) for part in plain[:-1])])
    merged = Part(
        positions=np.concatenate([part.positions for part in plain]),
        indices=np.concatenate(
            [part.indices + np.uint32(offset) for part, offset in zip(plain, offsets, strict=True)]
        ),
        normals=np.concatenate([part.normals for part in plain]),
        uv=None,
        colors=np.concatenate([part.colors for part in plain]),
        opacity=1.0,
        texture=None,
    )
    return [merged, *(part for part in parts if part.texture is not None or part.blended)]


def _part(mesh: Any, center: Array, scale: float) -> Part:
    material = getattr(mesh.visual, "material", None)
    uv = getattr(mesh.visual, "uv", None)
    texture = getattr(material, "image", None) if uv is not None else None
    diffuse = np.array(getattr(material, "diffuse", (180, 180, 180, 255)), dtype=float) / 255
    opacity = float(np.ravel(getattr(material, "kwargs", {}).get("d") or 1.0)[0])
    rgb = np.ones(3) if texture is not None else diffuse[:3] ** 2.2
    return Part(
        positions=((mesh.vertices - center) * scale).astype(np.float32),
        indices=np.asarray(mesh.faces, dtype=np.uint32),
        normals=np.asarray(mesh.vertex_normals, dtype=np.float32),
        uv=None if texture is None else np.asarray(uv, dtype=np.float32),
        colors=np.tile(rgb.astype(np.float32), (len(mesh.vertices), 1)),
        opacity=min(max(opacity, 0.25), 1.0),  # clear glass stays visible
        texture=None if texture is None else texture.convert("RGBA"),
    )


def light_of(azimuth_deg: int, elevation_deg: int, lights: int) -> int:
    """Index of the view's lighting among the first `lights` of LIGHTS; neighbours differ."""
    return (AZIMUTHS_DEG.index(azimuth_deg) + ELEVATIONS_DEG.index(elevation_deg)) % lights


def render_views(
    parts: list[Part],
    size: int,
    supersample: int = 3,
    angles: list[tuple[int, int]] | None = None,
    lights: int = 1,
) -> Array:
    """RGBA uint8 [V,size,size,4] of all views in view order (or of the given (azimuth, elevation) pairs).

    lights: how many of LIGHTS views alternate between; 1: an object has the same colours in all views.
    Raises MissingPackageError without the rendering packages.
    """
    pyrender = _import("pyrender")
    scene = pyrender.Scene(ambient_light=np.full(3, AMBIENT))
    scene.add(_mesh(pyrender, parts))
    camera_node = scene.add(_camera(pyrender, np.eye(4)))
    lamps = [scene.add(pyrender.DirectionalLight(np.ones(3), 1.0)) for _ in LIGHTS[0]]
    points_N3 = np.concatenate([part.positions[np.unique(part.indices)] for part in parts]).astype(float)
    renderer = pyrender.OffscreenRenderer(size * supersample, size * supersample)
    _cache_programs(renderer._renderer._program_cache)
    draw = _draw_blended if any(part.blended for part in parts) else _draw_opaque
    views = []
    try:
        for azimuth, elevation in angles or [view_angles(index) for index in range(VIEW_COUNT)]:
            pose = camera_pose(azimuth, elevation, distance=5.0)
            camera_node.camera.matrix = fit_projection(points_N3, pose)
            scene.set_pose(camera_node, pose)
            light = LIGHTS[light_of(azimuth, elevation, lights)]
            for node, (turn, height, intensity) in zip(lamps, light, strict=True):
                node.light.intensity = intensity
                scene.set_pose(node, camera_pose(azimuth + turn, height, 1.0))
            views.append(draw(scene, renderer, supersample))
    finally:
        renderer.delete()
    return np.stack(views)


def _cache_programs(cache: Any) -> None:
    """Makes pyrender's cache of shader programs hit.

    Its keys include the current context, and on OSMesa PyOpenGL returns a new object for it at every call:
    each draw call would compile its shaders again, which takes ten times as long as drawing. A renderer has
    one context.
    """
    compiled: dict[Any, Any] = {}
    original = cache.get_program

    def get_program(vertex_shader: str, fragment_shader: str, **options: Any) -> Any:
        defines = options.get("defines") or {}
        key = (vertex_shader, fragment_shader, options.get("geometry_shader"), tuple(sorted(defines.items())))
        if key not in compiled:
            compiled[key] = original(vertex_shader, fragment_shader, **options)
        return compiled[key]

    cache.get_program = get_program


def _draw_opaque(scene: Any, renderer: Any, supersample: int) -> Array:
    """One pass: alpha is where the depth buffer was written."""
    scene.bg_color = np.zeros(4)
    color_HW3, depth_HW = renderer.render(scene)
    alpha_HW1 = box_downscale((depth_HW > 0).astype(np.float32)[..., None], supersample)
    black_HW3 = box_downscale(color_HW3.astype(np.float32) / 255, supersample)
    return unpremultiply(black_HW3, black_HW3 + 1 - alpha_HW1)


def _draw_blended(scene: Any, renderer: Any, supersample: int) -> Array:
    """Two passes, on black and on white: their difference gives the alpha of transparent parts."""
    drawn = []
    for level in (0.0, 1.0):
        scene.bg_color = np.array([level, level, level, 1.0])
        color_HW3, _ = renderer.render(scene)
        drawn.append(box_downscale(color_HW3.astype(np.float32) / 255, supersample))
    return unpremultiply(*drawn)


def _camera(pyrender: Any, matrix: Array) -> Any:
    class CroppedCamera(pyrender.Camera):  # type: ignore[misc]
        """A camera with a given projection matrix."""

        def __init__(self) -> None:
            super().__init__(znear=0.05, zfar=20.0)
            self.matrix = matrix

        def get_projection_matrix(self, width: int | None = None, height: int | None = None) -> Array:
            return self.matrix

    return CroppedCamera()


def _mesh(pyrender: Any, parts: list[Part]) -> Any:
    primitives = []
    for part in sorted(parts, key=lambda p: (p.blended, -p.opacity)):  # transparent parts last
        material = pyrender.MetallicRoughnessMaterial(
            baseColorFactor=(1.0, 1.0, 1.0, part.opacity),
            baseColorTexture=part.texture,
            metallicFactor=0.0,
            roughnessFactor=0.75,
            doubleSided=True,
            alphaMode="BLEND" if part.blended else "OPAQUE",
        )
        primitives.append(
            pyrender.Primitive(
                positions=part.positions,
                normals=part.normals,
                texcoord_0=part.uv,
                color_0=part.colors,
                indices=part.indices,
                material=material,
            )
        )
    return pyrender.Mesh(primitives)


def _import(name: str) -> Any:
    """A rendering library, imported here alone: training does not need it."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "osmesa")
    if not hasattr(np, "infty"):
        setattr(np, "infty", np.inf)  # noqa: B010 (pyrender 0.1.45 was written for numpy 1)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            f"Rendering needs {name} ({error}). Install the extra with `pip install -e .[miniature]`, "
            "`pip install 'PyOpenGL>=3.1.7'` after it (pyrender pins an older one), and the system library "
            "OSMesa (Debian: `apt-get install libosmesa6`)."
        ) from error
