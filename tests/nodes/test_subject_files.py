"""Save Subject and Load Subject: the same pictures from the file, and nothing outside ComfyUI's folders."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from test_execution import SAMPLER, run, same_bits

PREFIX = "EchoGen/subjects/cat"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, pack: dict[str, Any]) -> Iterator[Path]:
    """Input and output folders of the test's own."""
    import folder_paths

    before = (folder_paths.get_input_directory(), folder_paths.get_output_directory())
    for name in ("input", "output"):
        (tmp_path / name).mkdir()
    folder_paths.set_input_directory(str(tmp_path / "input"))
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield tmp_path
    folder_paths.set_input_directory(before[0])
    folder_paths.set_output_directory(before[1])


@pytest.fixture
def subject(pack: dict[str, Any], models: Any) -> dict[str, Any]:
    image = torch.rand(2, 40, 40, 3, generator=torch.Generator().manual_seed(0))
    (semantic,) = run(
        pack, "EchoGenEncodeSemantic", semantic_encoder=models.semantic_encoder, image=image, strength=1.2
    )
    (content,) = run(
        pack, "EchoGenEncodeContent", content_encoder=models.content_encoder, image=image, strength=0.4
    )
    return {"semantic": semantic, "content": content}


def offered(pack: dict[str, Any]) -> list[str]:
    return list(pack["EchoGenLoadSubject"].GET_SCHEMA().inputs[0].options)


def test_the_file_gives_the_same_picture_as_the_encoders(
    pack: dict[str, Any], models: Any, subject: dict[str, Any], folders: Path
) -> None:
    run(pack, "EchoGenSaveSubject", filename_prefix=PREFIX, **subject)
    assert offered(pack) == ["EchoGen/subjects/cat_00001_.safetensors [output]"]
    semantic, content = run(pack, "EchoGenLoadSubject", file=offered(pack)[0])
    assert semantic.strength == 1.2 and content.strength == 0.4
    expected, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER, **subject)
    found, _ = run(pack, "EchoGenSampler", model=models.model, **SAMPLER, semantic=semantic, content=content)
    assert same_bits(expected, found)

    run(pack, "EchoGenSaveSubject", filename_prefix=PREFIX, semantic=subject["semantic"])
    assert len(offered(pack)) == 2, "numbered, not overwritten"
    _, nothing = run(pack, "EchoGenLoadSubject", file=offered(pack)[1])
    assert nothing is None, "a path that was not saved is off"


def test_a_shared_file_is_found_in_the_input_folder_and_other_files_are_not_listed(
    pack: dict[str, Any], subject: dict[str, Any], folders: Path
) -> None:
    assert offered(pack) == ["(save a subject first)"]
    run(pack, "EchoGenSaveSubject", filename_prefix=PREFIX, **subject)
    (file,) = (folders / "output").rglob("*.safetensors")
    file.rename(folders / "input" / "shared.safetensors")
    (folders / "input" / "weights.safetensors").write_bytes(b"no subject")
    assert offered(pack) == ["shared.safetensors"]
    assert run(pack, "EchoGenLoadSubject", file="shared.safetensors")[0].strength == 1.2


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("", "EchoGen/subjects/subject"),
        (" / ", "EchoGen/subjects/subject"),
        ("EchoGen\\\\cats\\\\", "EchoGen/cats/subject"),
        ("EchoGen\\猫 🐈", "EchoGen/猫 🐈"),
        ("%date:yyyy%/%year%", f"{datetime.now():%Y}/{datetime.now():%Y}"),
    ],
)
def test_a_name_of_any_system_gives_a_file_that_is_seen(
    pack: dict[str, Any], subject: dict[str, Any], folders: Path, prefix: str, path: str
) -> None:
    for number in (1, 2):
        saved = pack["EchoGenSaveSubject"].execute(filename_prefix=prefix, **subject)
        name = f"{path}_0000{number}_.safetensors"
        assert (folders / "output" / name).is_file()
        (said,) = saved.ui.as_dict()["text"]
        assert said.startswith(f"Saved {name}")
        assert ("it looks in EchoGen/ only" in said) is not path.startswith("EchoGen/")
    found = [f"{path}_0000{number}_.safetensors [output]" for number in (1, 2)]
    assert offered(pack) == (found if path.startswith("EchoGen/") else ["(save a subject first)"])


@pytest.mark.parametrize(
    "prefix", [".cat", "...", "a/.b/c", "a\0b", "a\nb", "x" * 230, "%EchoGenSampler.seed%"]
)
def test_a_name_that_makes_no_visible_file_is_refused(
    pack: dict[str, Any], subject: dict[str, Any], folders: Path, prefix: str
) -> None:
    with pytest.raises(
        ValueError, match=r"can't be the name of a file or folder: .*\. |is not filled in here"
    ):
        run(pack, "EchoGenSaveSubject", filename_prefix=prefix, **subject)
    assert not list((folders / "output").iterdir())


def test_a_file_in_the_way_of_a_folder_is_said(
    pack: dict[str, Any], subject: dict[str, Any], folders: Path
) -> None:
    (folders / "output" / "EchoGen").write_bytes(b"")
    with pytest.raises(OSError, match=r"EchoGen.*a file is where a folder should be"):
        run(pack, "EchoGenSaveSubject", filename_prefix=PREFIX, **subject)


@pytest.mark.parametrize("prefix", ["../outside", "/tmp/outside", "a/../../outside"])
def test_nothing_is_written_outside_the_output_folder(
    pack: dict[str, Any], subject: dict[str, Any], folders: Path, prefix: str
) -> None:
    with pytest.raises(ValueError, match="inside ComfyUI's output folder"):
        run(pack, "EchoGenSaveSubject", filename_prefix=prefix, **subject)
    assert not list(folders.rglob("*.safetensors"))


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/hostname", "../../x [output]"])
def test_nothing_is_read_outside_the_folders(pack: dict[str, Any], folders: Path, name: str) -> None:
    (folders / "secret.safetensors").write_bytes(b"secret")
    said = pack["EchoGenLoadSubject"].validate_inputs(file=name)
    assert "input or output folder" in said
    with pytest.raises(ValueError, match="input or output folder"):
        run(pack, "EchoGenLoadSubject", file=name)


def test_what_cannot_be_saved_or_loaded_is_said(
    pack: dict[str, Any], subject: dict[str, Any], folders: Path
) -> None:
    with pytest.raises(ValueError, match="got none"):
        run(pack, "EchoGenSaveSubject", filename_prefix=PREFIX)
    broken = subject["content"]._replace(latents_VCHW=torch.full((1, 16, 8, 8), float("nan")))
    with pytest.raises(ValueError, match="NaN or infinite"):
        run(pack, "EchoGenSaveSubject", filename_prefix=PREFIX, content=broken)
    run(pack, "EchoGenSaveSubject", filename_prefix=PREFIX, **subject)
    (file,) = (folders / "output").rglob("*.safetensors")
    assert pack["EchoGenLoadSubject"].validate_inputs(file="gone.safetensors") != True  # noqa: E712
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged or truncated"):
        run(pack, "EchoGenLoadSubject", file=f"{file.relative_to(folders / 'output').as_posix()} [output]")
