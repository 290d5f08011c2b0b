"""Cameras, projections, alpha and lights of the renderer; none of the rendering packages is needed."""

from __future__ import annotations

import numpy as np
import pytest

from miniature.data import render


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


def test_neighbouring_views_have_different_lights() -> None:
    found = {index: render.light_of(*render.view_angles(index), 3) for index in range(render.VIEW_COUNT)}
    assert sorted(set(found.values())) == [0, 1, 2]
    assert all(found[index] != found[(index + 1) % 12] for index in range(12))
    assert all(found[index] != found[index + 12] for index in range(12))
    assert {render.light_of(*render.view_angles(index), 1) for index in range(render.VIEW_COUNT)} == {0}
