"""DINO, CLIP and a DreamBench folder: small and random, their classes, files and layout real."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

PROMPTS = ("in the jungle", "on the beach")
LIVE_PROMPTS = ("in the jungle", "wearing a red hat")
SUBJECTS = {"clock": "clock", "bear_plushie": "stuffed animal", "dog2": "dog"}


def write_dino(folder: Path) -> Path:
    """A ViTModel of three layers at 32 px."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=16,
    )  # fmt: skip
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def write_clip(folder: Path) -> Path:
    """A CLIPModel at 32 px with a tokenizer of bytes."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import CLIPConfig, CLIPModel

    marks = ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=marks, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["a clock in the jungle"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{marks[0]} $A {marks[1]}", special_tokens=[(marks[0], 0), (marks[1], 1)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": marks[1], "eos_token": marks[1]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    layers = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    }  # fmt: skip
    words = {"vocab_size": 300, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 1}
    torch.manual_seed(1)
    config = CLIPConfig(
        text_config={**layers, **words},
        vision_config={**layers, "image_size": 32, "patch_size": 16},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(folder)
    return folder


def write_networks(folder: Path) -> tuple[Path, Path]:
    """Both, each in a folder of its own."""
    return write_dino(folder / "dino"), write_clip(folder / "clip")


def small_options(data: Path, dino: Path, clip: Path) -> list[str]:
    """The command's options for these, on one thread of the processor."""
    named = {"data": data, "dino": dino, "clip": clip, "device": "cpu", "threads": 1}
    return [word for name, value in named.items() for word in (f"--{name}", str(value))]


def write_dreambench(folder: Path) -> Path:
    """Three subjects, two of them objects, with two or three pictures and two prompts each."""
    root = folder / "dataset"
    for place, name in enumerate(SUBJECTS):
        (root / name).mkdir(parents=True)
        for number in range(2 + place % 2):
            pixels = np.full((48, 64, 3), 200, np.uint8)
            pixels[12:40, 14 + 4 * number : 44] = (60 * place, 30, 160 - 60 * place)
            Image.fromarray(pixels).save(root / name / f"{number:02d}.jpg")
    lines = ["Classes", "", "subject_name,class", *(f"{name},{word}" for name, word in SUBJECTS.items())]
    lines += ["", "Prompts", "", "Object Prompts", ""]
    lines += ["prompt_list = [", *_listed(PROMPTS), "]", "", "Live Subject Prompts", ""]
    lines += ["prompt_list = [", *_listed(LIVE_PROMPTS), "]"]
    (root / "prompts_and_classes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _listed(prompts: tuple[str, ...]) -> list[str]:
    call = ".format(unique_token, class_token),"
    return [f"'a {{0}} {{1}} {prompt}'{call}" for prompt in prompts]
