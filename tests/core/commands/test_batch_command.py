"""`python -m echogen_core batch`: beside `generate`, dry runs, refusals, rows mended later."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from echogen_core.__main__ import main
from echogen_core.checkpoints import load_bundle
from echogen_core.checkpoints.subject_file import save_subject
from echogen_core.commands import reference_options
from echogen_core.pictures import from_pil, open_picture
from echogen_core.pipeline import EchoGenPipeline
from echogen_core.utils import parquet

from .generated import PROMPT, pictures

pytestmark = pytest.mark.usefixtures("one_thread", "small_looks", "random_nano")


@pytest.fixture
def folder(files: dict[str, Path], tmp_path: Path) -> Path:
    """Where the jobs are, with the pictures that they name."""
    for name in ("reference.png", "mask.png"):
        shutil.copy(files[name], tmp_path / name)
    return tmp_path


def write(folder: Path, *rows: dict[str, Any], name: str = "jobs.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def batch(jobs: Path, *options: str, out: str = "out") -> int:
    return main(["batch", str(jobs), "--out", str(jobs.parent / out), *options])


def drawn(folder: Path, out: str = "out") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / out / "pictures").rglob("*") if path.is_file()}


def test_a_row_alone_is_the_picture_of_generate(folder: Path) -> None:
    jobs = write(
        folder,
        {"reference": "reference.png", "seeds": 7, "gamma_i": 3.5, "tau": 0.7, "negative": "a bench"},
        {"reference": "reference.png", "mask": "mask.png", "seeds": 7},
        {"reference": "reference.png", "box": "5,5,20,35", "name": "boxed"},
    )
    options = ("--prompt", PROMPT, "--gamma-t", "4", "--batch-size", "1")
    assert batch(jobs, *options, out="png") == 0
    own = drawn(folder, "png")
    reference = ("--reference", folder / "reference.png", "--gamma-t", "4")
    expected = (
        ("000001_7.png", ("--seed", "7", "--gamma-i", "3.5", "--tau", "0.7", "--negative", "a bench")),
        ("000002_7.png", ("--seed", "7", "--mask", folder / "mask.png")),
        ("boxed_0.png", ("--box", "5,5,20,35")),
    )
    assert own == {
        name: pictures(folder / "one", *reference, *of_row)["out.png"] for name, of_row in expected
    }
    assert len(set(own.values())) == 3


def test_a_saved_subject_and_several_views_are_references(folder: Path) -> None:
    pipeline = EchoGenPipeline(load_bundle("nano"))
    subject = pipeline.subject(from_pil(open_picture(folder / "reference.png"))[None])
    save_subject(folder / "saved.safetensors", subject)
    Image.open(folder / "reference.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "side.png")
    jobs = write(
        folder,
        {"name": "picture", "reference": "reference.png"},
        {"name": "saved", "reference": "saved.safetensors"},
        {"name": "views", "reference": ["reference.png", "side.png"]},
        {"name": "no effect", "reference": "saved.safetensors", "mask": "mask.png"},
    )
    assert batch(jobs, "--prompt", PROMPT, "--batch-size", "1", "--format", "webp") == 2
    own = drawn(folder)
    assert own.keys() == {"picture_0.webp", "saved_0.webp", "views_0.webp"}
    assert own["picture_0.webp"] == own["saved_0.webp"] != own["views_0.webp"]


def test_a_broken_row_is_tried_again_and_its_neighbours_are_not_drawn_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = write(
        folder,
        {"reference": "later.png", "prompt": PROMPT},
        {"reference": "reference.png", "prompt": PROMPT},
        {"prompt": "in a forest " * 200},
        {"reference": "reference.png", "mask": "no mask.png", "prompt": PROMPT},
    )
    assert batch(jobs) == 2
    said = capsys.readouterr().err
    assert "Row 1, reference: No picture at" in said and "1 of 4 pictures in" in said
    assert "Row 4, mask: No picture at" in said
    assert "Row 3, prompt: it has " in said and "and the model reads 64. Shorten it." in said
    (before,) = (folder / "out/pictures").rglob("*.png")
    stored = before.stat().st_mtime_ns
    assert batch(jobs) == 2 and before.stat().st_mtime_ns == stored
    shutil.copy(folder / "reference.png", folder / "later.png")
    assert batch(jobs) == 2
    assert drawn(folder).keys() == {"000001_0.png", "000002_0.png"}
    assert before.stat().st_mtime_ns == stored
    assert [json.loads(line)["row"] for line in (folder / "out/broken.jsonl").read_text().splitlines()] == [
        3,
        4,
    ]


def test_a_mask_or_a_box_that_is_not_used_breaks_its_row(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    own = Image.open(folder / "mask.png")
    for name, colour in (("black.png", 0), ("white.png", 255)):
        Image.new("L", own.size, colour).save(folder / name)
    Image.new("L", (64, 64)).save(folder / "64.png")  # of the size that stands for no mask in ComfyUI
    jobs = write(
        folder,
        {"mask": "black.png"},
        {"mask": "64.png"},
        {"mask": "mask.png", "box": "0,0,1,1"},
        {"mask": "white.png", "seeds": "0-1"},
    )
    assert (
        batch(jobs, "--reference", str(folder / "reference.png"), "--prompt", PROMPT, "--batch-size", "1")
        == 2
    )
    said = capsys.readouterr().err
    for words in (
        "Row 1, mask: The mask is empty",
        "Row 2, mask: The mask is empty",
        "Row 3, box: The mask marks",
    ):
        assert words in said
    assert drawn(folder).keys() == {"000004_0.png", "000004_1.png"}
    assert caplog.text.count("Row 4: The mask covers the whole picture") == 1


def test_a_phrase_that_nothing_can_find_breaks_its_row_alone(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(folder))
    (folder / "models").mkdir()
    Image.open(folder / "reference.png").convert("RGB").save(folder / "opaque.png")
    jobs = write(
        folder,
        {"reference": "opaque.png", "phrase": "red ball"},
        {"reference": "opaque.png"},
        {},
        {"reference": "reference.png", "phrase": "red ball"},
    )
    options = ("--prompt", PROMPT, "--reference", str(folder / "opaque.png"), "--phrase", "a ball")
    assert batch(jobs, *options, "--dry-run") == 2
    said = capsys.readouterr()
    assert "4 rows, 3 broken" in said.out
    assert batch(jobs, *options) == 2
    said = capsys.readouterr()
    assert "1 of 4 pictures in" in said.err and drawn(folder).keys() == {"000002_0.png"}
    assert "Row 1, phrase: it has no effect without GroundingDINO, which finds what it names. Put" in said.err
    third = next(line for line in said.err.splitlines() if line.startswith("Row 3, phrase: it has no effect"))
    assert third.endswith("or use a box or a mask. It comes from --phrase.")


def test_a_model_that_cannot_be_loaded_breaks_the_rows_that_need_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(folder))
    Image.open(folder / "reference.png").convert("RGB").save(folder / "opaque.png")
    for kind, model in (("grounding-dino", "grounding-dino"), ("sams", "sam")):
        place = folder / "models" / kind / model
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps({"model_type": model}))
        (place / "model.safetensors").write_bytes(b"torn")
    tried: list[Path] = []
    for name in ("load_detector", "load_segmenter"):
        load = getattr(reference_options, name)
        monkeypatch.setattr(reference_options, name, lambda path, load=load: tried.append(path) or load(path))
    jobs = write(
        folder,
        {"reference": "opaque.png", "phrase": "red ball"},
        {"reference": "opaque.png", "phrase": "blue ball"},
        {"reference": "opaque.png", "box": "5,5,20,35"},
        {"reference": "opaque.png", "mask": "mask.png"},
    )
    assert batch(jobs, "--prompt", PROMPT) == 2
    said = capsys.readouterr().err
    assert drawn(folder).keys() == {"000004_0.png"}
    for words in (
        "Row 1, phrase: it needs GroundingDINO, which is there but can't be loaded: ",
        "Row 2, phrase: it needs GroundingDINO, which is there but can't be loaded: ",
        "Row 3, box: it needs SAM, which is there but can't be loaded: ",
    ):
        assert words in said
    assert [path.name for path in tried] == ["grounding-dino", "sam"], "each once"


def test_a_box_or_a_mask_that_does_not_fit_is_named_with_its_own_column(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = Image.new("L", (90, 30))
    mask.paste(255, (5, 5, 25, 20))
    mask.save(folder / "wide.png")
    jobs = write(
        folder,
        {"box": "90,90,5,5"},
        {"box": "1,1,9,9 of 9x9"},
        {"mask": "wide.png"},
        {},
        {"reference": "reference.png"},
    )
    options = ("--prompt", PROMPT, "--reference", str(folder / "reference.png"), "--box", "80,80,9,9")
    assert batch(jobs, *options) == 2
    said = capsys.readouterr().err
    for words in (
        "Row 1, box: it marks nothing in the 48×48 px picture: expected left, top, width and height of a box "
        "within it, got 90, 90, 5, 5.\n",
        "Row 2, box: it was drawn on another picture. Give the box of this one.\n",
        "Row 3, box: it marks nothing in the 48×48",
        "got 80, 80, 9, 9. It comes from --box.\n",
        "Row 4, box: it marks nothing",
    ):
        assert words in said
    assert batch(write(folder, {"mask": "wide.png"}), *options[:4], out="masks") == 2
    assert "Row 1, mask: The mask is 90×30 px and does not fit the 48×48" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        batch(jobs, "--seeds", "0-3 (+0.5)")
    assert "got 0.5. Write whole numbers separated by commas, or ranges: 1, 2, 5" in capsys.readouterr().err


def test_other_jobs_or_options_need_another_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = write(folder, {"prompt": PROMPT})
    assert batch(jobs) == 0
    for options, words in (
        (("--gamma-t", "3"), "for all rows: seeds 0 then, seeds 0; gamma_t 3.0 now"),
        (("--batch-size", "2"), "batch size: 4 then, 2 now"),
        (("--format", "jpg"), "format: png then, jpg now"),
        (("--dtype", "bf16"), "model: nano, fp32"),
    ):
        assert batch(jobs, *options) == 2
        assert words in capsys.readouterr().err
    assert batch(write(folder, {"prompt": "other"})) == 2
    assert "holds pictures made with other settings (jobs: SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["broken.jsonl", "pictures-0.jsonl", "pictures.parquet"])
def test_a_table_that_the_run_would_overwrite_is_refused(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = write(folder, {"prompt": PROMPT}, name=name)
    before = jobs.read_bytes()
    assert batch(jobs, out=".") == 2
    assert f"{name} would be overwritten" in capsys.readouterr().err and jobs.read_bytes() == before


def test_what_an_earlier_start_left_and_cannot_be_removed_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "out/broken.jsonl").mkdir(parents=True)
    assert batch(write(folder, {"prompt": PROMPT})) == 2
    assert "broken.jsonl cannot be written (" in capsys.readouterr().err


def test_a_dry_run_counts_and_draws_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"reference": "reference.png", "prompt": prompt, "seeds": "0-9"} for prompt in ("a", "b")]
    jobs = write(folder, *rows, {"reference": "nowhere.png", "prompt": "a"}, {"prompt": "a", "tau": -1})
    options = ("--dry-run", "--gamma-t", "3", "--gamma-i", "3", "--batch-size", "8")
    assert batch(jobs, *options) == 2
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "4 rows, 2 broken",
        "21 pictures in 3 batches of up to 8",
        "2 subjects, 2 prompts",
        "4 prefills if each is computed once, 42 picture by picture",
    ]
    assert "Row 3, reference: no file at" in said.err and "Row 4, tau: expected a number above 0" in said.err
    assert not (folder / "out").exists()


def test_options_without_effect_are_refused(
    folder: Path, files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = write(folder, {"prompt": PROMPT})
    reference = ("--reference", str(folder / "reference.png"))
    for options, words in (
        (("--mask", "m.png"), "--mask has no effect without --reference, the"),
        (("--phrase", "dog"), "--phrase has no effect without --reference"),
        ((*reference, "--phrase", "dog", "--box", "1,1,9,9"), "--phrase has no effect beside"),
        (("--gamma-i", "2"), "--gamma-i has no effect without a reference"),
        (("--comfyui", str(files["comfyui"])), "--comfyui has no effect on this model"),
        ((*reference, "--transformer", str(files["base.safetensors"])), "without a subject path"),
    ):
        assert batch(jobs, *options) == 2
        assert words in capsys.readouterr().err


def test_broken_rows_are_named_before_options_that_only_they_use(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = write(folder, {"prompt": PROMPT, "reference": "reference.png", "seeds": -3})
    assert batch(jobs, "--gamma-i", "2") == 2
    said = capsys.readouterr().err
    assert "Row 1, seeds" in said and "at least one row to draw" in said and "--gamma-i" not in said


def test_without_pyarrow_the_log_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    assert not parquet.has_parquet()
    assert batch(write(folder, {"prompt": PROMPT})) == 0
    assert "pip install pyarrow" in capsys.readouterr().err
    assert len((folder / "out/pictures-0.jsonl").read_text("utf-8").splitlines()) == 1
    (folder / "jobs.parquet").touch()
    assert batch(folder / "jobs.parquet") == 2
    assert "is Parquet, which needs pyarrow" in capsys.readouterr().err
