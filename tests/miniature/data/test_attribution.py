"""The attribution file."""

from __future__ import annotations

import json
from pathlib import Path

from miniature.data.attribution import attribution


def test_attribution_names_trained_models_by_creator_and_licence(tmp_path: Path) -> None:
    rows = [
        {"name": "Lamp", "source": "x/BlendSwap", "creator": "Ann", "licence": "CC-BY-3.0", "split": "train"},
        {
            "name": "Bear",
            "source": "x/BlendSwap",
            "creator": "Bob",
            "licence": "CC-BY-3.0",
            "split": "heldout",
        },
    ]
    scenes = [{"name": "wood", "split": "train", "source": "hdri/forest"}]
    for name, content in (("subjects", rows), ("scenes", scenes)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.json").write_text(json.dumps(content))
    text = attribution(tmp_path)
    assert "- Ann: Lamp" in text and "licenses/by/3.0" in text and "forest" in text
    assert "Bob" not in text
