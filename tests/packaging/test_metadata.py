"""Names, addresses, pictures and versions that have to agree."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from PIL import Image, ImageChops, ImageStat

from runner import comfyui

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tests" / "tools"
FORK = "somebody/a.fork-1"
SET_REPOSITORY = [sys.executable, str(TOOLS / "set_repository.py"), FORK]


def metadata(folder: Path = ROOT) -> dict[str, Any]:
    """pyproject.toml."""
    return tomlkit.parse((folder / "pyproject.toml").read_text(encoding="utf-8")).unwrap()


def test_one_name() -> None:
    project = metadata()["project"]
    assert project["name"] == comfyui.PACK_NAME and "comfyui" not in project["name"]
    assert metadata()["tool"]["comfy"]["DisplayName"].lower().startswith(project["name"])


def test_the_extensions_of_the_front_end_bear_the_packs_name() -> None:
    sources = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "web" / "js").glob("*.js")}
    named = re.findall(r"registerExtension\(\{\s*name: ([^,\n]+),", "\n".join(sources.values()))
    calls = sum(source.count("registerExtension(") for source in sources.values())
    assert len(named) == calls > 0
    name = re.search(r'export const PACK = "(\w+)";', sources["pack.js"])
    assert name is not None and name[1].lower() == metadata()["project"]["name"]
    assert all(re.fullmatch(r"PACK|`\$\{PACK\}\.\w+`", each) for each in named), named
    assert len(set(named)) == len(named)


def test_the_version_is_the_changelogs_newest_or_still_to_be_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", text, re.MULTILINE)
    assert released[0] == metadata()["project"]["version"]
    assert re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)[:2] == ["Unreleased", released[0]]


def test_icon_and_banner_are_what_the_script_draws(tmp_path: Path) -> None:
    code = f"import sys, pathlib; sys.path.append({str(TOOLS)!r}); import make_branding as made\n"
    code += f"made.write(pathlib.Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True)
    for key, ratio, limit in (("Icon", 1, 400), ("Banner", 21 / 9, 1260)):
        path = ROOT / metadata()["tool"]["comfy"][key]
        shipped, drawn = Image.open(path), Image.open(tmp_path / path.name)
        assert (shipped.mode, shipped.size) == (drawn.mode, drawn.size)
        # Letters are not drawn to the same pixel by every release of Pillow.
        assert max(ImageStat.Stat(ImageChops.difference(shipped, drawn)).mean) < 0.5
        assert shipped.width / shipped.height == ratio and shipped.width <= limit
        assert path.stat().st_size < 100_000


@pytest.fixture(scope="module")
def to_be_published(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the addresses of a repository."""
    folder = Path(shutil.copytree(checkout, tmp_path_factory.mktemp("publish") / "pack", symlinks=True))
    subprocess.run([*SET_REPOSITORY, str(folder)], check=True)
    return folder


def test_publishing_adds_the_repositorys_addresses(to_be_published: Path) -> None:
    before, after = metadata(), metadata(to_be_published)
    urls, comfy = after["project"]["urls"], after["tool"]["comfy"]
    assert urls["Repository"] == f"https://github.com/{FORK}"
    for key in ("Icon", "Banner"):
        assert comfy[key].startswith("https://") and comfy[key].endswith(f"/{before['tool']['comfy'][key]}")
        comfy[key] = before["tool"]["comfy"][key]
    after["project"]["urls"] = before["project"]["urls"]
    assert after == before, "nothing else is changed"
    again = subprocess.run(
        [*SET_REPOSITORY, str(to_be_published)], capture_output=True, text=True, check=False
    )
    assert again.returncode != 0 and "has this run before" in again.stderr


def test_published_pages_link_to_what_the_archive_holds_or_to_the_repository(
    to_be_published: Path, installed: Path
) -> None:
    addresses: set[str] = set()
    for page in installed.rglob("*.md"):
        text = (to_be_published / page.relative_to(installed)).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
            elif FORK in target:
                addresses.add(target)
    raw, blob = f"https://raw.githubusercontent.com/{FORK}/HEAD/", f"https://github.com/{FORK}/blob/HEAD/"
    for address in addresses:
        path = address.removeprefix(raw).removeprefix(blob)
        assert path != address and (ROOT / path).is_file() and not (installed / path).exists(), address
    assert f"{raw}docs/quickstart.png" in addresses and f"{blob}miniature/README.md" in addresses


def test_contributing_says_how_each_generated_file_is_made() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    generators = {file.name for file in TOOLS.glob("make_*.py")}
    assert generators == set(re.findall(r"\bmake_\w+\.py", text))
