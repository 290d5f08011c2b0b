"""Phrases: cleaned from what models and people write, and asked of a small random Qwen2.5-VL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from echogen_core.checkpoints.subject import load_describer
from echogen_core.subject.describe import INSTRUCTION, Describer, describe
from echogen_core.subject.phrases import MAX_PHRASE, clean_phrase

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip

# What the published chat template makes of one question with one picture.
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PREPROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor",
    "min_pixels": 784, "max_pixels": 50176, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}  # fmt: skip


def write_folder(folder: Path) -> None:
    """A folder as Qwen publishes it: weights, configuration, tokenizer, preprocessor, chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([INSTRUCTION], trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    words = {word: tokenizer.token_to_id(word) for word in SPECIAL}
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": list(SPECIAL),
    }
    for name, content in (
        ("tokenizer_config.json", settings),
        ("preprocessor_config.json", PREPROCESSOR),
        ("chat_template.json", {"chat_template": TEMPLATE}),
    ):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": 48,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        text_config={
            "vocab_size": tokenizer.get_vocab_size(), "hidden_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 64,
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 4, 4]}, "max_position_embeddings": 2048,
            "bos_token_id": words["<|endoftext|>"], "eos_token_id": words["<|im_end|>"],
        },
        vision_start_token_id=words["<|vision_start|>"], vision_end_token_id=words["<|vision_end|>"],
        image_token_id=words["<|image_pad|>"], video_token_id=words["<|video_pad|>"],
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Qwen2.5-VL-3B-Instruct")
    write_folder(folder)
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
    with pytest.raises(FileNotFoundError, match="no folder"):
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
