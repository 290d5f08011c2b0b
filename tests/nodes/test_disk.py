"""Disks that take no more: what is only shown costs no result; subjects of several servers keep apart."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import graphs
import pytest
import torch
from graphs import Comfy, node
from test_execution import run
from test_sweep import sweep

CUT = dict(margin=0.0, background="white", mask_marks="auto")


@pytest.fixture
def comfy(pack: dict[str, Any]) -> Comfy:
    graphs.register()
    return Comfy()


@pytest.fixture
def no_folder(tmp_path: Path, pack: dict[str, Any]) -> Iterator[Path]:
    """A file in the place of ComfyUI's temporary folder: everything that is to go there is refused."""
    import folder_paths

    path = tmp_path / "temp"
    path.write_bytes(b"")
    before = folder_paths.get_temp_directory()
    folder_paths.set_temp_directory(str(path))
    yield path
    folder_paths.set_temp_directory(before)


@pytest.fixture
def output(tmp_path: Path, pack: dict[str, Any]) -> Iterator[Path]:
    import folder_paths

    before = folder_paths.get_output_directory()
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield tmp_path / "output"
    folder_paths.set_output_directory(before)


def shown_and_used() -> dict[str, Any]:
    """Every kind of node that shows a picture and needs no model, each with a result behind it."""
    return {
        "sample": node("EchoGenSamplePicture", picture="teddy_bear.png"),
        "cut": node("EchoGenCutOutSubject", image=["sample", 0], mask=["sample", 1], **CUT),
        "words": node("EchoGenDescribeSubject", image=["cut", 0], phrase="bear", describer="none"),
        "end": node("Keep", value=["cut", 0]),
        "said": node("Keep", value=["words", 0]),
    }


def test_previews_that_cannot_be_written_cost_no_result(
    comfy: Comfy, no_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        outcome = Comfy().run(shown_and_used())
        assert not outcome.error and not outcome.refused, outcome
        assert outcome.kept["end"] and outcome.kept["said"] == ["bear"]
        assert outcome.shown["sample"]["images"], "shown from its own file"
        for name in ("cut", "words"):
            assert outcome.shown[name]["images"] == []
            assert outcome.shown[name]["text"][-1].startswith("Not shown: "), "the node says it"
    (said,) = (text for record in caplog.records if "Previews are left out" in (text := record.getMessage()))
    assert str(no_folder) in said and "folder, or" in said and said.endswith("The results are not affected.")


def test_a_temporary_folder_that_was_removed_comes_back(comfy: Comfy, no_folder: Path) -> None:
    """As ComfyUI's cleaners do while it runs."""
    no_folder.unlink()
    outcome = comfy.run(shown_and_used())
    assert not outcome.error and len(list(no_folder.iterdir())) == 2
    assert not outcome.shown["sample"]["text"]


def test_a_sweep_is_drawn_without_its_small_pictures(
    pack: dict[str, Any], models: Any, no_folder: Path
) -> None:
    told = sweep(pack, models)
    grids, bits = told.result
    assert grids.shape[0] == 1 and len(bits) == 6
    assert [cell["picture"] for cell in told.ui["echogen_sweep"][0]["cells"]] == [{}] * 6


def features(pack: dict[str, Any], models: Any) -> dict[str, Any]:
    image = torch.rand(1, 40, 40, 3, generator=torch.Generator().manual_seed(0))
    encoder = models.semantic_encoder
    return {
        "semantic": run(pack, "EchoGenEncodeSemantic", semantic_encoder=encoder, image=image, strength=1)[0]
    }


def test_subjects_that_are_saved_at_the_same_time_are_all_kept(
    pack: dict[str, Any], models: Any, output: Path
) -> None:
    """Each finds the same number free, as two servers do on one folder."""
    subject = features(pack, models)

    def save(strength: float) -> None:
        given = subject["semantic"]._replace(strength=strength)
        with torch.inference_mode():
            run(pack, "EchoGenSaveSubject", filename_prefix="EchoGen/cat", semantic=given)

    strengths = [number / 100 for number in range(40)]
    with ThreadPoolExecutor(4) as servers:
        list(servers.map(save, strengths))
    files = pack["EchoGenLoadSubject"].GET_SCHEMA().inputs[0].options
    found = [run(pack, "EchoGenLoadSubject", file=file)[0].strength for file in files]
    assert sorted(found) == strengths
    assert len(list((output / "EchoGen").iterdir())) == len(strengths), "and nothing else"


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("a\0b", "can't be seen"),
        ("\ud800", "can't be seen"),
        ("taken/cat", "where a folder should be|cannot be written"),
        ("n" * 300, "Use at most 240"),
        ("n" * 201, "of 200 allowed"),
    ],
)
def test_names_that_no_file_can_have(
    prefix: str, words: str, pack: dict[str, Any], models: Any, output: Path
) -> None:
    output.mkdir()
    (output / "taken").write_bytes(b"a file")
    with pytest.raises((ValueError, OSError), match=words):
        run(pack, "EchoGenSaveSubject", filename_prefix=prefix, **features(pack, models))
    assert [path.name for path in output.iterdir()] == ["taken"]
