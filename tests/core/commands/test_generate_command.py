"""`python -m echogen_core generate` on a small model: pictures, errors, and no option without effect."""

from __future__ import annotations

import argparse
import itertools
import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from echogen_core.__main__ import main
from echogen_core.commands import generate
from echogen_core.subject.samples import FOLDER as SAMPLES

from .generated import OTHER_PROMPT, PROMPT, pictures

pytestmark = pytest.mark.usefixtures("kept_looks")


@pytest.fixture(scope="module")
def reference() -> Path:
    return SAMPLES / "teddy_bear.png"


@pytest.mark.usefixtures("random_nano")
def test_command_line_writes_the_picture(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out.png"
    arguments = ["generate", "--reference", str(reference), "--prompt", PROMPT, "--out", str(out)]
    assert main([*arguments, "--enlarge", "2"]) == 0
    assert Image.open(out).size == (512, 512)
    assert "nano knows" not in capsys.readouterr().err
    strange = ["--prompt", OTHER_PROMPT]
    assert main([*arguments, "--batch", "2", "--dtype", "bf16", "--device", "cpu", *strange]) == 0
    assert "nano knows 20 scenes, and this prompt names none" in capsys.readouterr().err
    assert {p.name for p in out.parent.iterdir()} == {"out.png", "out_00.png", "out_01.png"}


@pytest.mark.usefixtures("random_nano")
@pytest.mark.parametrize(
    "change, words",
    [
        (["--reference", "nowhere.png"], "No picture at nowhere.png"),
        *(
            (["--out", f"picture{end}"], "must end in .png, .jpg or .webp")
            for end in (".txt", ".pdf", ".GIF", "")
        ),
        (["--transformer", "nowhere.safetensors"], "nowhere.safetensors does not exist"),
        (["--aspect-ratio", "2:3"], "square"),
        (["--model", "echogen-2b"], "echogen_2b.pth"),
    ],
)
def test_faulty_input_is_explained(
    change: list[str],
    words: str,
    reference: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.png"
    (tmp_path / "models").mkdir()  # of a ComfyUI without any model
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    arguments = ["generate", "--reference", str(reference), "--prompt", PROMPT, "--out", str(out)]
    assert main([*arguments, *change]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_damaged_and_empty_pictures_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"\x89PNG nothing more")
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(clear)
    for path, words in ((damaged, "Can't read the picture"), (clear, "mask")):
        arguments = [
            "generate",
            "--reference",
            str(path),
            "--prompt",
            PROMPT,
            "--out",
            str(tmp_path / "o.png"),
        ]
        assert main(arguments) == 2
        assert words in capsys.readouterr().err


# --- which files are used


@pytest.mark.usefixtures("random_nano")
def test_a_transformer_is_named_whatever_the_folders_hold(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, named = tmp_path / "out", ("--reference", files["reference.png"], "--transformer")
    own = pictures(out, "--reference", files["reference.png"])
    assert own and pictures(out, *named, files["subject.safetensors"]) == own, "with the base beside it"
    assert pictures(out, *named, files["other.safetensors"]) not in ({}, own)
    moved = Path(shutil.copy(files["subject.safetensors"], tmp_path / "trained.safetensors"))
    assert not pictures(out, *named, moved)
    assert "subject parameters" in capsys.readouterr().err
    folders = ("--weights", files["assets"] / "nano", tmp_path / "base")
    (tmp_path / "base").mkdir()
    shutil.copy(files["base.safetensors"], tmp_path / "base" / "any name.safetensors")
    assert pictures(out, *named, moved, *folders) == own, "with the base among the model's files"
    assert not pictures(out, *named, files["base.safetensors"])
    assert "without a subject path" in capsys.readouterr().err
    assert pictures(out, "--transformer", files["base.safetensors"])


def photo(path: Path) -> Path:
    """A red disc before a busy background, in a picture without transparency."""
    picture = Image.effect_noise((160, 120), 60).convert("RGB")
    ImageDraw.Draw(picture).ellipse((30, 20, 110, 100), fill=(200, 30, 30))
    picture.save(path)
    return path


@pytest.mark.usefixtures("random_nano")
def test_a_photo_is_cut_out_and_what_was_done_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By itself, within a box, by a mask; a picture that is cut out already is taken as it is."""
    made = {}
    Image.new("L", (160, 120), 255).save(tmp_path / "all.png")
    for name, options, said in (
        ("itself", [], "built-in cut. If it took the wrong thing, help with --box"),
        ("box", ["--box", "60,10,100,110"], "built-in cut within the box"),
        ("mask", ["--mask", str(tmp_path / "all.png"), "--box", "0,0,80,120"], "by the mask"),
    ):
        out, file = tmp_path / f"{name}.png", photo(tmp_path / "photo.jpg")
        command = ["generate", "--reference", str(file), "--prompt", PROMPT, "--out", str(out), *options]
        assert main(command) == 0
        assert said in capsys.readouterr().err
        made[name] = out.read_bytes()
    assert len(set(made.values())) == 3
    for box, words in (("1,2,3", "such as 40, 20"), ("1,2,0,4", "such as 40, 20")):
        with pytest.raises(SystemExit):
            main([*command[:7], "--box", box])
        assert words in capsys.readouterr().err
    for box, words in (
        ("500,1,9,9", "marks nothing in the 160×120"),
        ("1,1,9,9 of 9x9", "was drawn on another picture"),
    ):
        assert main([*command[:7], "--box", box]) == 2
        assert f"--box {words}" in capsys.readouterr().err


def test_a_phrase_needs_what_finds_it(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    (tmp_path / "models").mkdir()
    for file, words in (
        (photo(tmp_path / "photo.png"), "without GroundingDINO"),
        (reference, "transparency"),
    ):
        options = ["--prompt", PROMPT, "--out", str(tmp_path / "out.png"), "--phrase", "red ball"]
        assert main(["generate", "--reference", str(file), *options]) == 2
        assert "--phrase has no effect" in (said := capsys.readouterr().err) and words in said


OPTIONS: dict[str, str | tuple[str, ...]] = {
    # each with a value other than its default; files by their names in `files`
    "--reference": "reference.png",
    "--mask": "mask.png",
    "--box": "14,14,12,30",
    "--phrase": "a bear",
    "--weights": "weights",
    "--comfyui": "comfyui",
    "--transformer": "other.safetensors",
    "--gamma-t": "8",
    "--gamma-i": "3.5",
    "--tau": "0.7",
    "--seed": "7",
    "--batch": "2",
    "--enlarge": "2",
    "--dtype": "bf16",
    "--prompt": OTHER_PROMPT,
    "--negative": "a bench in snow",
    "--region": ("area=left half", "prompt=a lamp in a street"),
}
NO_OTHER_VALUE = {"--help", "--out", "--model", "--aspect-ratio", "--device"}
"""Options that change no picture, or have one value only for nano and on the CPU."""
OF_EDITS = {"--into", "--way", "--keep-scales", "--feather", "--fit"}
"""test_generate_edits has them."""


@pytest.mark.usefixtures("random_nano")
def test_no_option_is_ignored_whatever_else_is_given(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of any two options each changes the result, or the run is refused with the name of one of them."""
    parser = generate.add_parser(argparse.ArgumentParser().add_subparsers())
    assert {max(action.option_strings, key=len) for action in parser._actions} == {
        *OPTIONS,
        *OF_EDITS,
        *NO_OTHER_VALUE,
    }

    def run(*names: str) -> dict[str, bytes] | None:
        words: list[str | Path] = []
        for name in names:
            value = OPTIONS[name]
            words += [name, *((files.get(value, value),) if isinstance(value, str) else value)]
        made = pictures(tmp_path / "out", *words)
        said = capsys.readouterr().err
        assert made or any(f"{name} has no effect" in said for name in names), (names, said)
        return made or None

    assert (
        not pictures(tmp_path / "out", "--gamma-i", "0")
        and "--gamma-i has no effect" in capsys.readouterr().err
    )
    alone = {name: run(name) for name in OPTIONS}
    assert [name for name, made in alone.items() if made is None] == [
        "--mask", "--box", "--phrase", "--comfyui", "--gamma-i",
    ]  # fmt: skip
    for pair in itertools.combinations(OPTIONS, 2):
        both = run(*pair)
        for other in pair:
            assert both is None or both != alone[other], f"{pair}: only {other} has an effect"
