"""Pictures of the command `generate`."""

from __future__ import annotations

import shutil
from pathlib import Path

from echogen_core.__main__ import main

PROMPT, OTHER_PROMPT = "a teddy bear in a forest", "a chair on a beach"


def pictures(folder: Path, *options: str | Path) -> dict[str, bytes]:
    """Name -> content of what a run writes; nothing where it is refused."""
    shutil.rmtree(folder, ignore_errors=True)
    if main(["generate", "--prompt", PROMPT, "--out", str(folder / "out.png"), *map(str, options)]) != 0:
        return {}
    return {path.name: path.read_bytes() for path in folder.iterdir()}
