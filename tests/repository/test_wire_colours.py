"""Every type of wire has a colour."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_wire_of_ours_has_a_colour() -> None:
    types, colours = (
        set(re.findall(r"ECHOGEN_\w+", (ROOT / path).read_text(encoding="utf-8")))
        for path in ("nodes/adapters.py", "web/js/wire_colours.js")
    )
    assert types and types == colours
