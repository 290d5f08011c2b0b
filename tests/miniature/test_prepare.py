"""The pure parts of the data preparation; none of the rendering packages is needed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miniature.__main__ import main
from miniature.data import files, furniture, icons, pack, panoramas, prepare, render, subjects

CATALOG = """
name#1=Teddy bear
model#1=/a/bear.obj
creator#1=Someone
name#2=teddy  Bear
model#2=/a/bear2.obj
name#3=Chair
model#3=/a/chair.obj
modelRotation#3=0 0 1 0 1 0 -1 0 0
name#4=Bill 10\\u20ac
model#4=/a/bill.obj
"""


def test_the_catalog_is_read_in_order_with_its_licence() -> None:
    models = furniture.parse_catalog(CATALOG, "BlendSwap-CC-BY")
    assert [model.name for model in models] == ["Teddy bear", "teddy  Bear", "Chair", "Bill 10€"]
    assert models[0].id == "BlendSwap-CC-BY-001"
    assert models[0].model_path == "a/bear.obj"
    assert models[0].licence == "CC-BY-3.0"
    assert models[2].rotation == (0, 0, 1, 0, 1, 0, -1, 0, 0)


def test_no_model_of_a_held_out_name_is_trained_on_and_only_the_first_is_measured() -> None:
    models = furniture.parse_catalog(CATALOG, "Scopia")
    split = furniture.split_models(models, ["Teddy bear"])
    assert [model.id for model in split.heldout] == ["Scopia-001"]
    assert [model.name for model in split.train] == ["Chair", "Bill 10€"]


def test_a_held_out_name_that_the_catalog_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="unicorn"):
        furniture.split_models(furniture.parse_catalog(CATALOG, "Scopia"), ["Unicorn"])


def test_the_packaged_list_names_sixty_subjects() -> None:
    names = furniture.read_heldout_names()
    assert len(names) == len(set(names)) == 60
    assert "Teddy bear" in names


def test_a_missing_package_is_named_with_its_install_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install sweethome3d-furniture"):
        furniture.read_catalog(tmp_path)
    with pytest.raises(FileNotFoundError, match="npm install @lobehub/fluent-emoji-3d"):
        icons.prepare_icons(tmp_path, tmp_path / "node_modules", 96)
    assert main(["prepare", "--out", str(tmp_path / "data"), "--npm", str(tmp_path)]) == 2
    assert "install" in capsys.readouterr().err


def test_view_index_and_angles_are_inverse_and_neighbours_are_small_turns() -> None:
    assert [render.view_angles(index) for index in (0, 1, 12, 23)] == [(0, 15), (30, 15), (0, 35), (330, 35)]
    for index in range(render.VIEW_COUNT):
        elevation, azimuth = divmod(index, 12)
        assert render.view_index(azimuth, elevation) == index
    assert render.view_index(-1, 0) == 11
    with pytest.raises(ValueError, match="0 to 23"):
        render.view_angles(24)
    with pytest.raises(ValueError, match="0 to 1"):
        render.view_index(0, 2)


def test_the_camera_looks_at_the_origin_from_the_given_side() -> None:
    pose = render.camera_pose(90, 0, 5)
    np.testing.assert_allclose(pose[:3, 3], [5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 1], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)


def test_the_projection_centres_the_points_and_fills_the_frame() -> None:
    points_N3 = np.array([[0.3, 0.1, 0.2], [0.9, 0.4, -0.5], [0.1, -0.7, 0.6]])
    pose = render.camera_pose(30, 35, 5)
    camera_N4 = np.c_[points_N3, np.ones(3)] @ np.linalg.inv(pose).T
    clip_N4 = camera_N4 @ render.fit_projection(points_N3, pose, fill=0.9).T
    ndc_N2 = clip_N4[:, :2] / clip_N4[:, 3:]
    low, high = ndc_N2.min(axis=0), ndc_N2.max(axis=0)
    np.testing.assert_allclose(low + high, 0, atol=1e-9)
    assert (high - low).max() == pytest.approx(1.8)


def test_unpremultiply_finds_colour_and_alpha_from_two_grounds() -> None:
    color, alpha = np.array([1.0, 0.5, 0.0]), 0.5
    black_HW3 = np.full((1, 1, 3), 1.0) * color * alpha
    rgba_HW4 = render.unpremultiply(black_HW3, black_HW3 + (1 - alpha))
    np.testing.assert_array_equal(rgba_HW4[0, 0], [255, 128, 0, 128])
    np.testing.assert_array_equal(render.unpremultiply(np.zeros((1, 1, 3)), np.ones((1, 1, 3)))[0, 0], 0)


def test_an_empty_view_is_replaced_by_its_nearest_useful_neighbour() -> None:
    views_VHW4 = np.zeros((24, 8, 8, 4), np.uint8)
    for index in range(24):
        views_VHW4[index, ..., 0] = index
        views_VHW4[index, ..., 3] = 255
    views_VHW4[3, ..., 3] = 0
    filled = render.fill_empty_views(views_VHW4)
    assert filled is not None
    assert filled[1] == [3]
    assert filled[0][3, 0, 0, 0] == 4
    views_VHW4[:13, ..., 3] = 0
    assert render.fill_empty_views(views_VHW4) is None


def test_twins_are_left_out_and_so_is_what_looks_like_a_held_out_model() -> None:
    views_NVHW4 = np.zeros((4, 24, 32, 32, 4), np.uint8)
    for row, shade in enumerate((0, 1, 100, 200)):
        views_NVHW4[row, :, 8:24, 8:24] = (shade, shade, shade, 255)
    entries = [{"id": str(row), "row": row} for row in range(4)]
    kept_NVHW4, kept = subjects.drop_near_duplicates(views_NVHW4, entries, views_NVHW4[3:])
    assert kept == [{"id": "0", "row": 0}, {"id": "2", "row": 1}]
    np.testing.assert_array_equal(kept_NVHW4, views_NVHW4[[0, 2]])


def test_a_crop_looks_where_yaw_and_pitch_say() -> None:
    pixels_HW2 = panoramas.crop_pixels(0, 0, 90, 65, (256, 512))
    np.testing.assert_allclose(pixels_HW2[32, 32], [127.5, 255.5], atol=1e-9)
    # A quarter turn to the right moves the view by a quarter of the panorama.
    turned_HW2 = panoramas.crop_pixels(90, 0, 90, 65, (256, 512))
    np.testing.assert_allclose(turned_HW2[..., 1] - pixels_HW2[..., 1], 128, atol=1e-9)
    edge = pixels_HW2[32, -1, 1]
    assert edge - 255.5 == pytest.approx(np.degrees(np.arctan(64 / 65)) / 360 * 512)
    down_HW2 = panoramas.crop_pixels(0, -30, 60, 65, (256, 512))
    assert down_HW2[32, 32, 0] == pytest.approx((0.5 + 30 / 180) * 256 - 0.5)
    assert (np.diff(down_HW2[:, 32, 0]) > 0).all()


def test_looking_up_wraps_around_the_panorama() -> None:
    panorama_PQ3 = np.zeros((4, 8, 3))
    panorama_PQ3[:, 0], panorama_PQ3[:, 7] = 1, 3
    found = panoramas.sample(panorama_PQ3, np.array([[[1.0, 7.5], [1.0, -0.25], [-3.0, 0.0]]]))
    np.testing.assert_allclose(found[0, :, 0], [2.0, 1.5, 1.0])


def test_a_broken_sun_is_made_whole_and_dark_places_stay_dark() -> None:
    panorama_PQ3 = np.full((32, 64, 3), 0.5, np.float32)
    panorama_PQ3[10, 20] = [0, 0, 11_800]
    panorama_PQ3[10, 21] = [0, 0, 0]
    panorama_PQ3[25, 50] = [-0.01, 0, 0]
    panorama_PQ3[25, 51] = [np.nan, 1, 1]
    clean_PQ3 = panoramas.clean(panorama_PQ3)
    np.testing.assert_array_equal(clean_PQ3[10, 20:22], 11_800)
    np.testing.assert_array_equal(clean_PQ3[25, 50], 0)
    assert np.isfinite(clean_PQ3).all()


def test_scenes_are_a_closed_list_with_two_panoramas_held_out() -> None:
    names = [scene.name for scene in panoramas.SCENES]
    phrases = [phrase for scene in panoramas.SCENES for phrase in scene.phrases]
    assert len(set(names)) == len(names)
    assert len(set(phrases)) == len(phrases)
    assert sum(scene.split == "heldout" for scene in panoramas.SCENES) == 2
    assert all(len(scene.phrases) >= 3 for scene in panoramas.SCENES)


def test_crops_depend_on_the_seed_alone(tmp_path: Path) -> None:
    scene = next(scene for scene in panoramas.SCENES if scene.plain)
    first, again, other = (panoramas.scene_crops(scene, None, 3, seed, 64) for seed in (0, 0, 1))
    assert first.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_array_appears_whole(tmp_path: Path) -> None:
    files.save_array(tmp_path / "a.npy", np.arange(3))
    files.save_array(tmp_path / "a.npy", np.arange(4))
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_icons_leave_out_skin_tones_symbols_twins_and_held_out_subjects() -> None:
    entries = [
        {"label": "dog face", "hexcode": "1F436", "group": 3, "subgroup": 34, "order": 2},
        {"label": "cat", "hexcode": "1F408", "group": 3, "subgroup": 34, "order": 1},
        {"label": "raised hand", "hexcode": "270B", "group": 1, "subgroup": 16, "order": 0},
        {"label": "five o’clock", "hexcode": "1F554", "group": 5, "subgroup": 58, "order": 3},
        {"label": "oncoming bus", "hexcode": "1F68D", "group": 5, "subgroup": 54, "order": 4},
        {"label": "cupcake", "hexcode": "1F9C1", "group": 4, "subgroup": 46, "order": 5},
        {"label": "flag: France", "hexcode": "1F1EB-1F1F7", "group": 9, "subgroup": 98, "order": 6},
        {"label": "regional indicator A", "hexcode": "1F1E6"},
    ]
    assert icons.select_icons(entries, ["Bus", "Cup cake"]) == [("1f408", "cat"), ("1f436", "dog face")]


def test_an_icon_is_centred_and_fills_the_frame_without_dark_rims() -> None:
    image = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (10, 100, 70, 130))
    icon_HW4 = icons.fit_to_frame(image, 96)
    rows, columns = np.nonzero(icon_HW4[..., 3] > 127)
    assert columns.max() - columns.min() + 1 == pytest.approx(0.9 * 96, abs=2)
    assert abs(int(rows.min()) + int(rows.max()) - 95) <= 2
    visible = icon_HW4[icon_HW4[..., 3] > 0]
    assert (visible[:, 0] >= 250).all()
    with pytest.raises(ValueError, match="transparent"):
        icons.fit_to_frame(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), 96)


def test_a_folder_is_of_one_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = prepare.Sizes(128, 160, 3)
    prepare.claim(tmp_path, sizes)
    prepare.claim(tmp_path, sizes)
    assert prepare.read_sizes(tmp_path) == sizes
    with pytest.raises(ValueError, match="another folder"):
        prepare.claim(tmp_path, prepare.Sizes(64, 96))
    assert main(["prepare", "--out", str(tmp_path), "--npm", str(tmp_path), "--picture", "64"]) == 2
    assert "another folder" in capsys.readouterr().err
    (tmp_path / "meta.json").write_text("{}")  # as written before there was a choice
    assert prepare.read_sizes(tmp_path) == prepare.LEGACY_SIZES
    with pytest.raises(ValueError, match="--sprite a multiple of 16"):
        prepare.Sizes(64, 100)
    with pytest.raises(ValueError, match="--lights from 1 to 3, got 4"):
        prepare.Sizes(lights=4)


def test_neighbouring_views_have_different_lights() -> None:
    found = {index: render.light_of(*render.view_angles(index), 3) for index in range(render.VIEW_COUNT)}
    assert sorted(set(found.values())) == [0, 1, 2]
    assert all(found[index] != found[(index + 1) % 12] for index in range(12))
    assert all(found[index] != found[index + 12] for index in range(12))
    assert {render.light_of(*render.view_angles(index), 1) for index in range(render.VIEW_COUNT)} == {0}


def _prepared(folder: Path) -> None:
    """A prepared folder of 16 px with a subject a split and 30 icons."""
    rng = np.random.default_rng(0)
    prepare.claim(folder, prepare.Sizes(16, 16, 1))
    meta = json.loads((folder / "meta.json").read_text()) | {"seed": 4}
    (folder / "meta.json").write_text(json.dumps(meta))
    for table, shape in zip(pack.TABLES, ((2, 24), (1, 24), (30, 1)), strict=True):
        (folder / table).parent.mkdir(exist_ok=True)
        views = np.zeros((*shape, 16, 16, 4), np.uint8)
        views[:, :, 4:12, 4:12] = 255
        views[:, :, 4:12, 4:12, :3] = rng.integers(0, 255, (*shape, 1, 1, 3))
        np.save(folder / f"{table}.npy", views)
    for name in pack.JSONS[1:]:
        (folder / name).write_text(f'["{name}"]')


def test_packed_data_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panoramas, "read_mapped", lambda scene, npm: np.full((32, 64, 3), 0.5))
    monkeypatch.setattr(panoramas, "SCENES", [panoramas.SCENES[0], panoramas.SCENES[-1]])
    data, packed, back = tmp_path / "data", tmp_path / "packed", tmp_path / "back"
    data.mkdir()
    _prepared(data)
    command = ["pack", "--data", str(data), "--out", str(packed), "--part-mib", "0.001"]
    assert main(command) == 0
    assert main(command) == 2, "parts are not mixed"
    parts = sorted(packed.iterdir())
    assert len(parts) > 1 and parts[0].name == f"data-00-of-{len(parts):02}.zip"
    assert main(["pack", "--data", str(back), "--unpack", str(packed), "--workers", "1"]) == 0
    for table in pack.TABLES:
        before, after = (np.load(folder / f"{table}.npy").astype(int) for folder in (data, back))
        assert np.array_equal(before[..., 3], after[..., 3])
        middle = np.s_[:, :, 7:9, 7:9, :3]  # WebP spreads colours over a few pixels of so small a picture
        assert np.abs(before[middle] - after[middle]).mean() < 12
    assert all((data / name).read_bytes() == (back / name).read_bytes() for name in pack.JSONS)
    crops = np.load(back / "scenes" / f"{panoramas.SCENES[0].name}.npy")
    assert crops.shape == (300, 16, 16, 3) and np.abs(crops.astype(int) - 128).max() <= 1
    parts[0].unlink()
    assert main(["pack", "--data", str(back), "--unpack", str(packed)]) == 2
