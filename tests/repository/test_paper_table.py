"""The README's table from the paper's ideas to the code names what is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENTRY = re.compile(r"`(?:echogen_core/)?([a-z_0-9/]+\.py):(\w+)`")
IDEAS = ("content_injection.py", "semantic_injection.py", "adaln.py", "kv_cache.py", "guidance.py", "bsq.py")
"""Files that a reader of the paper looks for first."""


def named() -> list[tuple[str, str]]:
    """File and name of every entry `file.py:Name` in the README's tables."""
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    return [entry for line in lines if line.startswith("|") for entry in ENTRY.findall(line)]


def test_every_file_and_name_of_the_table_exists() -> None:
    entries = named()
    assert {Path(file).name for file, _ in entries} >= set(IDEAS)
    missing = []
    for file, name in entries:
        path = ROOT / "echogen_core" / file
        defined = {
            node.name
            for node in (ast.parse(path.read_text("utf-8")).body if path.is_file() else [])
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
        }
        if name not in defined:
            missing.append(f"{file}:{name}")
    assert not missing
