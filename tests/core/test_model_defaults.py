"""The model defaults that the page shows are the presets'; tests/js holds the page to the same file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from echogen_core.config import PRESETS, TITLES
from echogen_core.scales import preset_schedule

SHOWN = json.loads((Path(__file__).parents[1] / "model_defaults.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("title, shown", SHOWN.items())
def test_the_page_shows_the_presets_defaults(title: str, shown: dict[str, Any]) -> None:
    name = next(name for name, written in TITLES.items() if title.startswith(written))
    preset = PRESETS[name]
    own = {setting: getattr(preset, setting) for setting in ("gamma_t", "gamma_i", "tau", "top_p")}
    assert shown == {**own, "sides": [height for height, _ in preset_schedule(preset).scales]}
