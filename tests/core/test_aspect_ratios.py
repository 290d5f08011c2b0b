"""Names of aspect ratios that artists use, and sizes that a model can't draw."""

from __future__ import annotations

import json
import re
from pathlib import Path

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


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_the_drop_down_names_the_ratios_that_artists_look_for(language: str) -> None:
    texts = Path(__file__).parents[2] / "locales" / language / "main.json"
    options = json.loads(texts.read_text(encoding="utf-8"))["echogen_options"]
    named = {
        ratio: re.findall(r"\d+:\d+", options.get(ratio.replace(":", "_"), "")) for ratio in ASPECT_RATIOS
    }
    found = {other: ratio for ratio, shown in named.items() for other in shown if other != ratio}
    assert found.keys() == {"16:9", "9:16", "21:9", "9:21"}
    assert all(find_aspect_ratio(other).official == ratio for other, ratio in found.items())


@pytest.mark.parametrize(
    "name", ["", "abc", "0:1", "16:0", "-16:9", "1:1:1", "nan", "portrait landscape", "9" * 40]
)
def test_what_names_no_ratio_is_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not an aspect ratio. Write one such as 16:9.*1:1, 4:5"):
        find_aspect_ratio(name)


def test_a_size_that_the_model_does_not_draw_is_refused_in_plain_words() -> None:
    with pytest.raises(ValueError, match=r"^nano draws 256×256 only: set size to auto\.$"):
        preset_schedule(PRESETS["nano"], "1M")
    with pytest.raises(ValueError, match=r"^nano draws square pictures only, not 7:4: set the aspect"):
        preset_schedule(PRESETS["nano"], None, "7:4")
