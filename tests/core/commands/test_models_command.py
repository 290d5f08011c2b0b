"""`python -m echogen_core models`: ComfyUI's folders, what is there, and the download from end to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from echogen_core.__main__ import main
from echogen_core.checkpoints import save_part
from echogen_core.checkpoints.catalog.folders import find_comfyui, model_folders
from echogen_core.config import TokenizerConfig
from echogen_core.tokenizer import BitTokenizer

from ..checkpoints.hub_server import Hub, serving

ROOT = Path(__file__).parents[3]
D32 = TokenizerConfig(bits=32, base_channels=8, res_blocks=1, norm_groups=4)


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path


def write_tokenizer(path: Path, config: TokenizerConfig = D32) -> Path:
    return save_part(path, "tokenizer", BitTokenizer(config), config)


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["models", *arguments]) == 0
    return capsys.readouterr().out


def test_the_list_says_what_is_there_and_what_is_missing(
    comfyui: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_tokenizer(comfyui / "models" / "vae" / "sub" / "any name.safetensors")
    said = listed(capsys, "--comfyui", str(comfyui))
    assert "echogen-2b: 1 of 5 parts installed" in said and str(file) in said
    assert "echogen-0.1b: 0 of 5" in said, "a tokenizer of 32 bits is none of that model"
    for word in (
        "echogen_2b.pth, about 9.7 GB", "https://huggingface.co/UmiSonoda16/EchoGen", "accept its licence",
        str(comfyui / "models" / "diffusion_models"), str(comfyui / "models" / "text_encoders"),
        "nowhere yet",
    ):  # fmt: skip
        assert word in said, f"{word} not in {said}"
    assert "echogen-2b" not in listed(capsys, "list", "infinity-2b", "--comfyui", str(comfyui))


def test_a_proper_name_on_a_wrong_file_is_pointed_out(
    comfyui: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vae = comfyui / "models" / "vae"
    write_tokenizer(vae / "infinity_vae_d32reg.pth", TokenizerConfig(16, 8, res_blocks=1, norm_groups=4))
    (vae / "ae.safetensors").write_bytes(b"<!DOCTYPE html><title>Sign in</title>")
    said = listed(capsys, "list", "echogen-2b", "--comfyui", str(comfyui))
    assert "0 of 5" in said
    assert "infinity_vae_d32reg.pth is a BSQ tokenizer of 16 bits" in said
    assert "ae.safetensors is a web page" in said


def test_extra_model_paths_are_searched_and_a_default_one_is_written_to(
    comfyui: Path, tmp_path: Path
) -> None:
    (comfyui / "extra_model_paths.yaml").write_text(
        "other:\n"
        "  base_path: shared\n"
        "  is_default: true\n"
        "  vae: models/VAE\n"
        "  unet: |\n"
        "    one\n"
        "    two\n"
        "  loras: loras\n"
        "empty:\n"
    )
    further = tmp_path / "further.yaml"
    further.write_text(f"more:\n  clip_vision: {tmp_path / 'eyes'}\n")
    folders = model_folders(comfyui, [further])
    assert folders["vae"] == [comfyui / "shared" / "models" / "VAE", comfyui / "models" / "vae"]
    assert set(folders["diffusion_models"][:2]) == {comfyui / "shared" / "one", comfyui / "shared" / "two"}
    assert folders["clip_vision"] == [comfyui / "models" / "clip_vision", tmp_path / "eyes"]

    further.write_text("a: [")
    with pytest.raises(ValueError, match="Can't read"):
        model_folders(comfyui, [further])


def test_comfyui_is_found_or_asked_for(comfyui: Path, tmp_path: Path) -> None:
    pack = tmp_path / "custom_nodes" / "echogen"
    assert find_comfyui(None, {}, pack) == tmp_path
    assert find_comfyui(None, {"PWD": str(pack)}, tmp_path / "elsewhere" / "pack") == tmp_path, (
        "a linked pack"
    )
    assert find_comfyui(None, {"COMFYUI_PATH": str(comfyui)}, tmp_path / "pack") == comfyui
    (tmp_path / "pack" / ".comfy" / "base").mkdir(parents=True)
    assert find_comfyui(None, {}, tmp_path / "pack") == tmp_path / "pack" / ".comfy" / "base"
    with pytest.raises(ValueError, match="--comfyui PATH"):
        find_comfyui(None, {}, tmp_path / "alone")
    with pytest.raises(ValueError, match="no folder 'models'"):
        find_comfyui(str(tmp_path / "pack"), {}, pack)


def test_generate_looks_where_the_download_went(
    comfyui: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tokenizer(comfyui / "models" / "vae" / "tokenizer.safetensors")
    arguments = ["generate", "--model", "echogen-2b", "--prompt", "a cat", "--out", str(tmp_path / "out.png")]
    assert main([*arguments, "--comfyui", str(comfyui)]) == 2
    said = capsys.readouterr().err
    assert (
        "EchoGen-2B is not complete: 4 of its 5 files are missing, about 22 to 31 GB." in said
        and "echogen_2b.pth" in said
        and "d32reg" not in said
    )


def test_a_wrong_word_lists_the_choices(comfyui: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", "--comfyui", str(comfyui)]) == 2
    assert "echogen-2b, echogen-0.1b, infinity-2b" in capsys.readouterr().err
    assert main(["models", "download", "infinity-2b", "content", "--comfyui", str(comfyui)]) == 2
    assert "Its parts are transformer, tokenizer, text" in capsys.readouterr().err
    assert main(["models", "list", "infinity-2b", "text", "--comfyui", str(comfyui)]) == 2
    assert "PART has no effect on the list" in capsys.readouterr().err


def test_download_from_end_to_end(comfyui: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a user would: a process of its own, HF_ENDPOINT, one part gated; then the list."""
    weights = write_tokenizer(tmp_path / "made.safetensors").read_bytes()
    name = "FoundationVision/Infinity/infinity_vae_d32reg.pth"
    flux = "black-forest-labs/FLUX.1-dev"
    hub = Hub({name: weights, f"{flux}/ae.safetensors": b"x"}, large={name}, gated={flux})
    with serving(hub):
        environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "PYTHONPATH": str(ROOT)}
        environment.pop("HF_TOKEN", None)
        environment["TQDM_POSITION"] = "-1"  # a bar although nobody watches
        arguments = ["models", "download", "echogen-2b", "tokenizer", "content", "--comfyui", str(comfyui)]
        command = [sys.executable, "-m", "echogen_core", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    file = comfyui / "models" / "vae" / "infinity_vae_d32reg.pth"
    assert file.read_bytes() == weights, done.stderr
    assert f"tokenizer: {file}" in done.stdout
    assert done.returncode == 2 and "content:" in done.stderr and "hf auth login" in done.stderr
    assert "100%" in done.stderr, "progress is shown"
    assert "1 of 5 parts installed" in listed(capsys, "list", "echogen-2b", "--comfyui", str(comfyui))
