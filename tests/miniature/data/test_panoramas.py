"""Crops of panoramas, and the list of scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miniature.data import panoramas


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
