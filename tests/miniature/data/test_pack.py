"""Packed data come back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from miniature.__main__ import main
from miniature.data import pack, panoramas, prepare


def _prepared(folder: Path) -> None:
    """A prepared folder of 16 px with a subject a split and 30 icons."""
    rng = np.random.default_rng(0)
    prepare.claim(folder, prepare.Sizes(16, 16, 1))
    meta = json.loads((folder / "meta.json").read_text()) | {"seed": 4}
    (folder / "meta.json").write_text(json.dumps(meta))
    for table, shape in zip(pack.TABLES, ((2, 24), (1, 24), (30, 1)), strict=True):
        (folder / table).parent.mkdir(exist_ok=True)
        views = np.zeros((*shape, 16, 16, 4), np.uint8)
        views[:, :, 4:12, 4:12] = 255
        views[:, :, 4:12, 4:12, :3] = rng.integers(0, 255, (*shape, 1, 1, 3))
        np.save(folder / f"{table}.npy", views)
    for name in pack.JSONS[1:]:
        (folder / name).write_text(f'["{name}"]')


def test_packed_data_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panoramas, "read_mapped", lambda scene, npm: np.full((32, 64, 3), 0.5))
    monkeypatch.setattr(panoramas, "SCENES", [panoramas.SCENES[0], panoramas.SCENES[-1]])
    data, packed, back = tmp_path / "data", tmp_path / "packed", tmp_path / "back"
    data.mkdir()
    _prepared(data)
    command = ["pack", "--data", str(data), "--out", str(packed), "--part-mib", "0.001"]
    assert main(command) == 0
    assert main(command) == 2, "parts are not mixed"
    parts = sorted(packed.iterdir())
    assert len(parts) > 1 and parts[0].name == f"data-00-of-{len(parts):02}.zip"
    assert main(["pack", "--data", str(back), "--unpack", str(packed), "--workers", "1"]) == 0
    for table in pack.TABLES:
        before, after = (np.load(folder / f"{table}.npy").astype(int) for folder in (data, back))
        assert np.array_equal(before[..., 3], after[..., 3])
        middle = np.s_[:, :, 7:9, 7:9, :3]  # WebP spreads colours over a few pixels of so small a picture
        assert np.abs(before[middle] - after[middle]).mean() < 12
    assert all((data / name).read_bytes() == (back / name).read_bytes() for name in pack.JSONS)
    crops = np.load(back / "scenes" / f"{panoramas.SCENES[0].name}.npy")
    assert crops.shape == (300, 16, 16, 3) and np.abs(crops.astype(int) - 128).max() <= 1
    parts[0].unlink()
    assert main(["pack", "--data", str(back), "--unpack", str(packed)]) == 2


@pytest.mark.parametrize(
    ("way", "option"),
    [
        ("--unpack", "--npm n"),
        ("--unpack", "--part-mib 1"),
        ("--unpack", "--quality 1"),
        ("--out", "--workers 2"),
    ],
)
def test_an_option_of_the_other_direction_is_refused(
    way: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", "--data", str(tmp_path), way, str(tmp_path / "parts"), *option.split()]) == 2
    assert f"{option.split()[0]} has no effect with" in capsys.readouterr().err
