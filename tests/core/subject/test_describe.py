"""Phrases: cleaned from what models and people write, and asked of a small random Qwen2.5-VL."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_subject_models import write_describer

from echogen_core.checkpoints.segmentation_models import load_describer
from echogen_core.subject.describe import INSTRUCTION, Describer, describe
from echogen_core.subject.phrases import MAX_PHRASE, clean_phrase


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Qwen2.5-VL-3B-Instruct")
    write_describer(folder)
    return folder


@pytest.fixture(scope="module")
def describer(folder: Path) -> Describer:
    return load_describer(folder, torch.float32)


def test_each_picture_is_asked_about_with_the_papers_words(
    describer: Describer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    generate = describer.model.generate

    def watch(**inputs: torch.Tensor) -> torch.Tensor:
        seen.append(inputs["input_ids"])
        return generate(**inputs)

    monkeypatch.setattr(describer.model, "generate", watch)
    images = torch.rand(2, 3, 60, 90, generator=torch.Generator().manual_seed(0))
    answers = describe(images, describer)
    assert answers == describe(images, describer), "no chance in it"
    assert len(answers) == 2 and all("\n" not in answer and len(answer) <= MAX_PHRASE for answer in answers)
    asked = describer.processor.tokenizer.decode(seen[0][0])
    assert INSTRUCTION in asked and asked.endswith("<|im_start|>assistant\n")
    assert asked.count("<|image_pad|>") == 2 * 3, "one for each 28 px square"


def test_odd_pictures_are_described_too(describer: Describer) -> None:
    for shape in ((1, 3, 8, 900), (1, 4, 40, 40), (1, 1, 40, 40)):
        assert len(describe(torch.rand(shape), describer)) == 1


def test_the_artists_phrase_comes_first_and_the_model_is_not_asked(folder: Path) -> None:
    images = torch.rand(2, 3, 20, 20)
    assert describe(images, None, " A Teddy Bear. ") == ["Teddy Bear"] * 2
    assert describe(images, None) == ["", ""]


def test_a_folder_that_will_not_do_says_why(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        load_describer(folder / "model.safetensors")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="Download the whole folder again"):
        load_describer(tmp_path)


@pytest.mark.parametrize(
    ("answer", "phrase"),
    [
        ("A fluffy white cat.", "fluffy white cat"),
        ('"Teddy bear"', "Teddy bear"),
        ("**Red ball**\n\nIt lies on the floor.", "Red ball"),
        ("The primary subject is a wooden chair", "wooden chair"),
        ("The main subject of the image is: an old car", "old car"),
        ("The image shows the Eiffel Tower!", "Eiffel Tower"),
        ("Subject: bonsai tree", "bonsai tree"),
        ("objects in a row", "objects in a row"),
        ("A", "A"),
        ("一只猫。", "一只猫"),
        ("café\u0301 table\x00\ud83d", "café\u0301 table"),
        (" \n\t ", ""),
        ("...", ""),
        ("cat. dog", "cat. dog"),
    ],
)
def test_phrases_are_cleaned(answer: str, phrase: str) -> None:
    assert clean_phrase(answer) == phrase


def test_a_very_long_phrase_is_cut_between_words_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    cut = clean_phrase("bear " * 4000)
    assert cut.split() == ["bear"] * 50 and "19999" in caplog.text
    assert len(clean_phrase("猫" * 20_000)) == MAX_PHRASE
