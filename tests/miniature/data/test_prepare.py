"""The prepare stage: sizes of a folder, and missing packages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miniature.__main__ import main
from miniature.data import files, furniture, icons, prepare


def test_a_missing_package_is_named_with_its_install_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileNotFoundError, match="apt-get install sweethome3d-furniture"):
        furniture.read_catalog(tmp_path)
    with pytest.raises(FileNotFoundError, match="npm install @lobehub/fluent-emoji-3d"):
        icons.prepare_icons(tmp_path, tmp_path / "node_modules", 96)
    assert main(["prepare", "--out", str(tmp_path / "data"), "--npm", str(tmp_path)]) == 2
    assert "install" in capsys.readouterr().err


def test_a_folder_is_of_one_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = prepare.Sizes(128, 160, 3)
    prepare.claim(tmp_path, sizes)
    prepare.claim(tmp_path, sizes)
    assert prepare.read_sizes(tmp_path) == sizes
    with pytest.raises(ValueError, match="another folder"):
        prepare.claim(tmp_path, prepare.Sizes(64, 96))
    assert main(["prepare", "--out", str(tmp_path), "--npm", str(tmp_path), "--picture", "64"]) == 2
    assert "another folder" in capsys.readouterr().err
    (tmp_path / "meta.json").write_text("{}")  # as written before there was a choice
    assert prepare.read_sizes(tmp_path) == prepare.LEGACY_SIZES
    with pytest.raises(ValueError, match="--sprite a multiple of 16"):
        prepare.Sizes(64, 100)
    with pytest.raises(ValueError, match="--lights from 1 to 3, got 4"):
        prepare.Sizes(lights=4)


def test_an_array_appears_whole(tmp_path: Path) -> None:
    files.save_array(tmp_path / "a.npy", np.arange(3))
    files.save_array(tmp_path / "a.npy", np.arange(4))
    assert np.load(tmp_path / "a.npy").tolist() == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
