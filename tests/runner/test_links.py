"""`python run.py` and custom_nodes: the pack is in there once, and nothing of the user's is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import comfyui
from runner.say import Problem


def make_pack(folder: Path, name: str = comfyui.PACK_NAME) -> Path:
    """A folder that is this pack by its metadata."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n', encoding="utf-8")
    return folder


def test_linking_is_repeatable_and_mends_a_stale_link(tmp_path: Path) -> None:
    old, pack, base = tmp_path / "old", tmp_path / "pack", tmp_path / "base"
    for folder in (old, pack):
        folder.mkdir()
        (folder / "kept").touch()
    comfyui.link_pack(old, base)
    link = comfyui.link_pack(pack, base)
    assert comfyui.link_pack(pack, base) == link
    assert link.resolve() == pack.resolve()
    assert (old / "kept").exists() and (pack / "kept").exists()


def test_a_link_that_leads_nowhere_is_replaced(tmp_path: Path) -> None:
    gone, pack, base = tmp_path / "gone", tmp_path / "pack", tmp_path / "base"
    gone.mkdir()
    pack.mkdir()
    comfyui.link_pack(gone, base)
    gone.rmdir()
    assert comfyui.link_pack(pack, base).resolve() == pack.resolve()


def test_a_real_folder_in_the_way_is_not_touched(tmp_path: Path) -> None:
    pack, base = tmp_path / "pack", tmp_path / "base"
    pack.mkdir()
    (base / "custom_nodes" / comfyui.PACK_NAME).mkdir(parents=True)
    with pytest.raises(Problem, match="is not a link to this pack"):
        comfyui.link_pack(pack, base)


def test_a_pack_already_in_custom_nodes_gets_no_second_link(tmp_path: Path) -> None:
    pack = tmp_path / "base" / "custom_nodes" / "my-echogen"
    pack.mkdir(parents=True)
    assert comfyui.link_pack(pack, tmp_path / "base") == pack
    assert [entry.name for entry in pack.parent.iterdir()] == ["my-echogen"]


@pytest.mark.parametrize("name", ["EchoGen-main", "echogen", "comfyui-echogen"])
def test_a_copy_of_the_pack_gets_no_link_beside_it(name: str, tmp_path: Path) -> None:
    pack, copy = make_pack(tmp_path / "pack"), make_pack(tmp_path / "base" / "custom_nodes" / name)
    with pytest.raises(Problem, match=f"{name}") as told:
        comfyui.link_pack(pack, tmp_path / "base")
    assert "Move it away" in str(told.value) or "load this pack twice" in str(told.value)
    assert list(copy.parent.iterdir()) == [copy]


@pytest.mark.parametrize("name", comfyui.PACK_NAMES)
def test_a_copy_is_known_by_its_old_name_too(name: str, tmp_path: Path) -> None:
    copy = make_pack(tmp_path / "base" / "custom_nodes" / "a-copy", name)
    with pytest.raises(Problem, match=r"load this pack twice: from .* and from .*a-copy\."):
        comfyui.link_pack(make_pack(tmp_path / "pack"), tmp_path / "base")
    assert list(copy.parent.iterdir()) == [copy]


def test_a_link_by_the_old_name_is_used_as_it_is(tmp_path: Path) -> None:
    pack, custom_nodes = make_pack(tmp_path / "pack"), tmp_path / "base" / "custom_nodes"
    custom_nodes.mkdir(parents=True)
    comfyui.make_link(custom_nodes / "comfyui-echogen", pack)
    assert comfyui.link_pack(pack, tmp_path / "base").name == "comfyui-echogen"
    assert [entry.name for entry in custom_nodes.iterdir()] == ["comfyui-echogen"]


def test_a_pack_in_custom_nodes_with_a_copy_beside_it_is_told(tmp_path: Path) -> None:
    custom_nodes = tmp_path / "base" / "custom_nodes"
    pack = make_pack(custom_nodes / "mine")
    link = custom_nodes / "another"
    comfyui.make_link(link, make_pack(tmp_path / "copy"))
    with pytest.raises(Problem, match=r"twice: from .*mine, and from .*another\. Move"):
        comfyui.link_pack(pack, tmp_path / "base")
    comfyui.make_link(link, pack)
    with pytest.raises(Problem, match="twice"):
        comfyui.link_pack(pack, tmp_path / "base")


def test_what_comfyui_would_not_load_is_no_copy(tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "pack")
    make_pack(tmp_path / "base" / "custom_nodes" / "EchoGen.disabled")
    other = make_pack(tmp_path / "base" / "custom_nodes" / "other")
    (other / "pyproject.toml").write_text('[project]\nname = "echogen-extras"\n', encoding="utf-8")
    assert comfyui.link_pack(pack, tmp_path / "base").name == comfyui.PACK_NAME


def test_a_link_to_an_older_checkout_is_replaced(tmp_path: Path) -> None:
    base, old, new = tmp_path / "base", make_pack(tmp_path / "old"), make_pack(tmp_path / "new")
    comfyui.link_pack(old, base)
    assert comfyui.link_pack(new, base).resolve() == new.resolve()


def test_a_custom_nodes_that_is_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "custom_nodes").touch()
    with pytest.raises(Problem, match=r"custom_nodes is .*, where no folder can be made"):
        comfyui.link_pack(make_pack(tmp_path / "pack"), tmp_path / "base")
