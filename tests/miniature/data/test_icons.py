"""The choice of icons, and their place in the frame."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from miniature.data import icons


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
