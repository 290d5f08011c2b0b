"""Near-duplicates among the 3-D models."""

from __future__ import annotations

import numpy as np

from miniature.data import subjects


def test_twins_are_left_out_and_so_is_what_looks_like_a_held_out_model() -> None:
    views_NVHW4 = np.zeros((4, 24, 32, 32, 4), np.uint8)
    for row, shade in enumerate((0, 1, 100, 200)):
        views_NVHW4[row, :, 8:24, 8:24] = (shade, shade, shade, 255)
    entries = [{"id": str(row), "row": row} for row in range(4)]
    kept_NVHW4, kept = subjects.drop_near_duplicates(views_NVHW4, entries, views_NVHW4[3:])
    assert kept == [{"id": "0", "row": 0}, {"id": "2", "row": 1}]
    np.testing.assert_array_equal(kept_NVHW4, views_NVHW4[[0, 2]])
