"""Names of aspect ratios that artists use, and sizes that a model can't draw."""

from __future__ import annotations

import pytest

from echogen_core.aspect_ratios import find_aspect_ratio
from echogen_core.config import PRESETS
from echogen_core.scales import ASPECT_RATIOS, preset_schedule

MEANT = {
    "1:1": ["square", "1", "1024x1024", " 1:1 ", "SDXL 1:1 Square (1024x1024)", "avatar"],
    "2:3": ["portrait", "Tall", "VERTICAL", "A4", "832 × 1216", "3:2 portrait", "poster"],
    "3:2": ["landscape", "wide", "1.5", "a4 landscape", "Landscape (3:2)", "35mm"],
    "7:4": ["16:9", "16 : 9", "16：9", "16/9", "16 by 9", "1080p", "4K", "Full HD", "1920x1080px"],
    "4:7": ["9:16", "1080x1920", "tiktok", "story", "720p vertical", "16:9 (Portrait)", "vertical_video"],
    "5:2": ["21:9", "2.39:1", "2,39:1", "cinematic", "ultra-wide"],
    "4:5": ["instagram", "1080x1350", "8x10"],
    "5:4": ["5:4", "1280x1024"],
    "4:3": ["4:3", "640x480", "letter landscape"],
    "3:1": ["banner", "10:1"],
}  # fmt: skip


@pytest.mark.parametrize("official", MEANT)
def test_a_name_finds_the_nearest_official_ratio_and_says_which(official: str) -> None:
    for name in MEANT[official]:
        found = find_aspect_ratio(name)
        assert found.official == official, name
        assert found.note == "" or (name.strip() in found.note and official in found.note)


def test_official_names_are_taken_without_a_word() -> None:
    assert [find_aspect_ratio(ratio) for ratio in ASPECT_RATIOS] == [(ratio, "") for ratio in ASPECT_RATIOS]


@pytest.mark.parametrize(
    "name", ["", "abc", "0:1", "16:0", "-16:9", "1:1:1", "nan", "portrait landscape", "9" * 40]
)
def test_what_names_no_ratio_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not an aspect ratio. Write one such as 16:9.*1:1, 4:5"):
        find_aspect_ratio(name)


def test_a_size_that_the_model_does_not_draw_is_refused_in_plain_words() -> None:
    with pytest.raises(ValueError, match=r"^nano draws 128×128 only: set size to auto\.$"):
        preset_schedule(PRESETS["nano"], "1M")
    with pytest.raises(ValueError, match=r"^nano draws square pictures only, not 7:4: set the aspect"):
        preset_schedule(PRESETS["nano"], None, "7:4")
