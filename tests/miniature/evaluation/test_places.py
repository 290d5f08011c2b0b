"""Finding the subject by statistics of pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miniature.evaluation import (
    places,
    protocol,
)


@pytest.mark.parametrize("size", [64, 128])
def test_a_subject_is_found_where_the_words_put_it(data: Path, size: int) -> None:
    for number in range(4):
        crops = np.full((5, size, size, 3), 50 + number * 20, np.uint8)
        np.save(data / "scenes" / f"s{number}.npy", crops)
    asked = places.build_place_task(data, 3, seed=2)
    assert asked.task.prompts[:2] == [
        f"the subject in scene 0 said a {w}" for w in ("on the left", "in the middle")
    ]
    real = asked.task.real(protocol.REFERENCE_VIEW)
    assert real.shape == (9, 3, size, size)
    assert asked.row("real", real).right.value == 1
    swapped = asked.row("mirrored", real.flip(-1))
    assert swapped.by_place() == [0, 1, 0] and swapped.right.value == pytest.approx(1 / 3)
