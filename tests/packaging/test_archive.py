"""What is in the registry's archive: all that an artist's ComfyUI needs, and nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

LIMIT = 45 * 10**6
WHOLE_FOLDERS = {"echogen_core", "locales", "nodes", "subgraphs", "web", "workflows"}
FILES = {
    "__init__.py",
    "pyproject.toml",
    "requirements.txt",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
}
NOT_SHIPPED = {"benchmarks", "miniature", "run", "runner", "tests"}


def tracked(checkout: Path) -> set[str]:
    """Every file that git knows, with forward slashes."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, check=True, capture_output=True)
    return {name for name in listed.stdout.decode().split("\0") if name}


def test_it_holds_these_folders_whole_and_the_pages(archive: Path, checkout: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
    expected = {name for name in tracked(checkout) if name.split("/")[0] in WHOLE_FOLDERS} | FILES
    pages = {name for name in names if name.startswith("docs/")}
    assert names - pages == expected
    assert pages and all(page.endswith(".md") for page in pages), "the pages, without their pictures"


def test_it_is_small(archive: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        unpacked = sum(member.file_size for member in packed.infolist())
    assert archive.stat().st_size < unpacked <= LIMIT


def test_what_is_shipped_imports_nothing_that_is_not(installed: Path) -> None:
    for file in installed.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported = {(node.module or "").split(".")[0]}
            else:
                continue
            assert not imported & NOT_SHIPPED, f"{file.relative_to(installed)}:{node.lineno}"


def test_the_command_line_works_from_the_archive(installed: Path, tmp_path: Path) -> None:
    sample = installed / "echogen_core" / "assets" / "samples" / "teddy_bear.png"
    out = tmp_path / "picture.png"
    command = ["generate", "--reference", str(sample), "--prompt", "a toy in a forest", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "echogen_core", *command], cwd=installed, check=True)
    assert out.is_file()


def test_a_wheel_holds_the_core_with_its_weights_alone(checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path)]
    subprocess.run([*command, str(checkout)], check=True)
    (wheel,) = tmp_path.glob("echogen-*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked(checkout) if name.startswith("echogen_core/")}
