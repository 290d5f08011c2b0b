"""The transformer's stage: its vocabulary, its tokenizer, and training a bundle on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from short_nano import write_short_nano

from echogen_core.checkpoints import ASSETS, load_bundle
from echogen_core.config import PRESETS
from echogen_core.pipeline import EchoGenPipeline
from echogen_core.tokenizer import BitTokenizer
from miniature.data.dataset import Compositor, Mix
from miniature.data.prompt_words import NIGHT
from miniature.training.transformer import bundle_modules, main, prompt_corpus
from miniature.training.transformer_recipe import NANO_MIX


def test_words_are_in_the_vocabulary_where_they_are_said(data: Path) -> None:
    plain, has_prompt_words = (set(prompt_corpus(Compositor(data), mix)) for mix in (Mix(), NANO_MIX))
    for word in ("small", "on the right", NIGHT):
        assert any(word in prompt for prompt in has_prompt_words) and not any(
            word in prompt for prompt in plain
        )


def test_another_tokenizer_must_have_as_many_bits() -> None:
    bundle = load_bundle("nano", ASSETS / "nano")
    config = replace(bundle.tokenizer.config, bits=8, base_channels=8)
    with pytest.raises(ValueError, match=r"32 bits.*got one of 8"):
        bundle_modules(bundle, tokenizer=BitTokenizer(config))


def test_a_tokenizer_of_other_pictures_is_refused(tmp_path: Path) -> None:
    bundle, config = load_bundle("nano"), replace(PRESETS["nano"].tokenizer, unshuffle=8)
    other = BitTokenizer(config)
    for use in (
        lambda: bundle_modules(bundle, tokenizer=other),
        lambda: EchoGenPipeline(replace(bundle, tokenizer=other)),
    ):
        with pytest.raises(ValueError, match="has 16 px per token, the model expects 8"):
            use()


def test_the_command_trains_a_bundle_on(data: Path, tmp_path: Path) -> None:
    start, out = write_short_nano(tmp_path / "nano"), tmp_path / "run"
    arguments = ["--data", str(data), "--out", str(out), "--start", str(start)]
    arguments += ["--batch", "2", "--targets", "1", "--device", "cpu"]
    with pytest.raises(SystemExit):
        main([*arguments, "--batch", "3"])
    assert main([*arguments, "--minutes", "60", "--at-most", "0.0001"]) == 0
    assert main([*arguments, "--minutes", "60", "--at-most", "0"]) == 0, "goes on, and is told to end at once"
    assert torch.load(out / "state.pt", weights_only=True)["step"] == 1
    before, after = (load_bundle("nano", folder) for folder in (start, out / "bundle"))
    assert not torch.equal(before.transformer.start, after.transformer.start)
    for kind in ("tokenizer", "semantic", "content"):
        kept, state = (bundle.parts()[kind].state_dict() for bundle in (before, after))
        assert all(torch.equal(kept[name], state[name]) for name in kept), kind
