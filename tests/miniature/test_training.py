"""The transformer's trainer: its loss against the official one, its data, and a run at a tiny size."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from echogen_core.checkpoints import ASSETS, load_bundle, load_part
from echogen_core.checkpoints.save import save_part
from echogen_core.config import CANDIDATES, PRESETS, TokenizerConfig, find_preset
from echogen_core.encoders import (
    ENCODERS,
    ContentEncoder,
    SemanticEncoder,
    TextEncoder,
    build_tokenizer,
    wrap_tokenizer,
)
from echogen_core.encoders.sizes import find_encoders
from echogen_core.model import EchoGenTransformer
from echogen_core.pipeline import EchoGenPipeline
from echogen_core.scales import BUDGETS, find_schedule
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.initialise import initialise
from echogen_core.training.loss import bit_loss, scale_weights
from miniature.data.attribution import attribution
from miniature.data.compose import rotate_hue
from miniature.data.dataset import SUBJECT_WORDS, Compositor, ImageTable, Mix
from miniature.data.prompt_words import NIGHT, with_size
from miniature.training.content import main as train_content
from miniature.training.options import check_picture_size
from miniature.training.tokenizer import main as train_tokenizer
from miniature.training.transformer import bundle_modules, main, prompt_corpus
from miniature.training.transformer_recipe import NANO_MIX, TransformerRecipe
from miniature.training.transformer_trainer import Modules, Trainer, split_pairs
from miniature.training.weighted_loss import scale_accuracy, subject_emphasis, weighted_bit_loss

from .prepared import SIZE, write_prepared

# Drawn by the code that drew for the shipped nano.
GOLDEN_PROMPTS = [
    "a train 0 in a town",
    "the subject in a wood",
    "the subject in a town",
    "this object in a wood",
]
GOLDEN_INDICES = ([1, 0, 1, 0], [0, 1, 0, 0])
GOLDEN_MEANS = {
    "references_B3HW": [0.921985, 0.813377, 0.920363, 0.913754],
    "targets_B3HW": [0.60616, 0.60562, 0.471445, 0.468343, 0.60525, 0.605306, 0.526775, 0.519913],
    "subject_masks_B1HW": [0.214102, 0.171258, 0.123537, 0.140135, 0.123144, 0.11895, 0.168183, 0.124849],
}


def test_weights_and_accuracy_of_scales() -> None:
    schedule = find_schedule("nano")
    weights = scale_weights(schedule)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] / weights[-1] == pytest.approx(16.0)  # sides 1 and 16
    labels = torch.zeros(1, schedule.tokens, 3, dtype=torch.uint8)
    logits = torch.zeros(1, schedule.tokens, 3, 2)
    logits[..., 0] = 1
    start, end = schedule.spans[-1]
    logits[:, start:end, 0, 1] = 2  # one of three bits wrong at the last scale
    assert scale_accuracy(logits, labels, schedule) == pytest.approx([1, 1, 1, 1, 2 / 3])


def test_tokens_of_the_subject_count_more() -> None:
    schedule = find_schedule("nano")
    masks = torch.zeros(2, 1, SIZE, SIZE)
    masks[0, :, :, : SIZE // 2] = 1
    emphasis = subject_emphasis(masks, schedule, 2.0)
    start, end = schedule.spans[-1]
    assert [emphasis[:, a:b].mean().item() for a, b in schedule.spans] == pytest.approx([1] * 5)
    left, right = emphasis[0, start:end].view(schedule.scales[-1])[0, [0, -1]]
    assert left == pytest.approx(3 * right) and emphasis[1, start] == right
    logits, labels = torch.randn(2, schedule.tokens, 3, 2), torch.zeros(2, schedule.tokens, 3)
    plain = bit_loss(logits, labels, schedule)
    assert torch.equal(plain, weighted_bit_loss(logits, labels, schedule))
    assert torch.equal(plain, weighted_bit_loss(logits, labels, schedule, torch.ones_like(emphasis)))
    assert weighted_bit_loss(logits, labels, schedule, emphasis) != plain


def test_bits_count_by_their_margin() -> None:
    schedule = find_schedule("nano")
    logits, labels = torch.randn(2, schedule.tokens, 4, 2), torch.zeros(2, schedule.tokens, 4)
    plain = weighted_bit_loss(logits, labels, schedule)
    assert torch.allclose(
        plain, weighted_bit_loss(logits, labels, schedule, None, torch.full_like(labels, 0.3))
    )
    half = torch.tensor([0.0, 0.0, 0.2, 0.2]).expand_as(labels)
    assert torch.allclose(
        weighted_bit_loss(logits, labels, schedule, None, half),
        weighted_bit_loss(logits[:, :, 2:], labels[:, :, 2:], schedule),
        rtol=1e-5,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data"))


def test_pairs_are_reproducible_and_complete(data: Path) -> None:
    first, second = (Compositor(data, "train", seed=3).batch(4, Mix(), targets=2) for _ in range(2))
    assert first.references_B3HW.shape == (4, 3, SIZE, SIZE)
    assert first.targets_B3HW.shape == (8, 3, SIZE, SIZE)
    assert torch.equal(first.targets_B3HW, second.targets_B3HW) and first.prompts == second.prompts
    assert all("wood" in prompt or "town" in prompt for prompt in first.prompts)
    assert float(first.targets_B3HW.min()) >= 0 and float(first.targets_B3HW.max()) <= 1
    assert float(first.references_B3HW[:, :, 0, 0].min()) == 1  # references stand on white


def test_the_drawn_pictures_stay_what_they_were(data: Path) -> None:
    """The shipped model's figures are measured on pictures drawn from a seed: they must not move."""
    pairs = Compositor(data, "train", seed=3).batch(4, Mix(icons=0.0), targets=2)
    assert pairs.prompts == GOLDEN_PROMPTS
    assert (pairs.scenes_B.tolist(), pairs.subjects_B.tolist()) == GOLDEN_INDICES
    for name, expected in GOLDEN_MEANS.items():
        assert getattr(pairs, name).mean((1, 2, 3)).tolist() == pytest.approx(expected, abs=2e-6), name


def test_pictures_are_as_large_as_the_prepared_ones(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "large")
    for name in ("wood", "town"):
        crops = np.load(data / "scenes" / f"{name}.npy").repeat(2, 1).repeat(2, 2)
        np.save(tmp_path / "large" / "scenes" / f"{name}.npy", crops)
    small, large = (Compositor(folder, seed=3).batch(4, Mix()) for folder in (data, tmp_path / "large"))
    assert large.targets_B3HW.shape[-1] == large.references_B3HW.shape[-1] == 2 * SIZE
    assert large.prompts == small.prompts
    halved = torch.nn.functional.avg_pool2d(large.targets_B3HW, 2)
    assert (halved - small.targets_B3HW).abs().mean() < 0.02, "the same pictures, with their shadows"


def test_pictures_are_made_on_the_device(data: Path) -> None:
    """On "meta", which has shapes only; a step that forgets the device would raise."""
    mix = Mix(plain=0.3, placed=0.5, sized=0.5, night=0.5)
    there, here = (Compositor(data, seed=5, device=device).batch(4, mix, 2) for device in ("meta", "cpu"))
    for name in ("references_B3HW", "targets_B3HW", "subject_masks_B1HW"):
        assert getattr(there, name).device.type == "meta"
        assert getattr(there, name).shape == getattr(here, name).shape
    assert there.prompts == here.prompts and torch.equal(there.subjects_B, here.subjects_B)


def test_the_subject_stands_where_the_words_say(data: Path) -> None:
    mix = Mix(placed=1.0, sized=0.7, night=0.5, recolour=0.0)
    pairs = Compositor(data, "train", seed=0, icons=False).batch(64, mix, targets=2)
    masks = pairs.subject_masks_B1HW[:, 0]
    columns = (torch.arange(SIZE) + 0.5) / SIZE
    middles = ((masks.sum(1) * columns).sum(1) / masks.sum((1, 2))).view(64, 2)
    sides = (masks > 0.5).any(2).sum(1).view(64, 2) / SIZE  # heights: the test's subjects are tall
    light = (pairs.targets_B3HW.mean((1, 2, 3))).view(64, 2).mean(1)
    for prompt, middle, side in zip(pairs.prompts, middles, sides, strict=True):
        low, high = {"left": (0, 0.39), "middle": (0.42, 0.58), "right": (0.61, 1)}[
            re.search("left|middle|right", prompt)[0]
        ]
        assert low < middle.min() and middle.max() < high, prompt
        assert side.max() < 0.36 if "small" in prompt else side.min() > 0.2, prompt
    night = torch.tensor([prompt.endswith(NIGHT) for prompt in pairs.prompts])
    assert light[night].mean() < 0.6 * light[~night].mean()
    assert {bool(re.search("small|large", prompt)) for prompt in pairs.prompts} == {True, False}


def test_a_settled_subject_is_its_reference_moved_and_scaled(data: Path) -> None:
    mix = Mix(fixed_layout=True, turned=0.0, placed=0.6, sized=0.6)
    pairs = Compositor(data, "train", seed=0, icons=False).batch(48, mix, targets=2)
    references = (pairs.references_B3HW < 0.999).any(1)
    mappings: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    for index, prompt in enumerate(pairs.prompts):
        first, second = pairs.subject_masks_B1HW[2 * index : 2 * index + 2, 0]
        assert torch.equal(first, second)
        (top, bottom, left, right), (high, low, west, east) = _box(references[index]), _box(first > 0.02)
        wording = tuple(re.findall("small|large|left|middle|right", prompt))
        scale = (low - high) / (bottom - top)
        across, down = west + east - scale * (left + right), high + low - scale * (top + bottom)
        mappings.setdefault(wording, []).append((scale, across / 2, down / 2))
    assert len(mappings) >= 10
    for wording, same in mappings.items():
        scales, *moves = (max(values) - min(values) for values in zip(*same, strict=True))
        assert scales < 0.08 and max(moves) < 2, wording


def _box(mask_HW: torch.Tensor) -> tuple[int, int, int, int]:
    """First and last row, first and last column that are marked."""
    rows, columns = (mask_HW.any(axis).nonzero()[:, 0].tolist() for axis in (1, 0))
    return rows[0], rows[-1], columns[0], columns[-1]


def test_few_backgrounds_of_a_scene_are_drawn_typical_ones_and_never_mirrored(data: Path) -> None:
    compositor = Compositor(data, "train", seed=0, icons=False)
    left_HW3 = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    left_HW3[:, SIZE // 2 :] = 50
    crops = left_HW3 + 100 * np.arange(3, dtype=np.uint8)[:, None, None, None]
    compositor.backgrounds = ImageTable([crops, crops], torch.device("cpu"))
    every, mirrored_too = {0, 100, 200}, {0, 50, 100, 150, 200, 250}
    for known, wood, town in ((0, mirrored_too, mirrored_too), (2, {0, 100}, {200, 0}), (9, every, every)):
        pairs = compositor.batch(128, Mix(crops=known))
        corners = (pairs.targets_B3HW[:, 0, 0, 0] * 255).round().int()
        for scene, expected in enumerate((wood, town)):
            assert set(corners[pairs.scenes_B == scene].tolist()) == expected


def test_sizes_go_before_the_noun() -> None:
    found = [with_size(word, "small") for word in (*SUBJECT_WORDS, "a teddy bear")]
    assert found == [
        "the small subject", "the same small subject", "this small object", "a small object",
        "a small teddy bear",
    ]  # fmt: skip


def test_only_the_given_share_of_pairs_turns(data: Path) -> None:
    compositor = Compositor(data, "train", seed=0, icons=False)
    views = np.zeros((2, 24, 96, 96, 4), dtype=np.uint8)
    views[..., 3] = 255
    views[..., :3] = 10 * np.arange(24)[:, None, None, None]  # the grey of a picture tells its view
    compositor.sprites = ImageTable([views], torch.device("cpu"))
    still = Mix(turned=0.0, recolour=0.0, plain=1.0)
    for mix, same in ((still, True), (replace(still, turned=1.0), False)):
        pairs = compositor.batch(8, mix, targets=2)
        reference = (pairs.references_B3HW[:, 0, 32, 32] * 25.5).round()
        target = (pairs.targets_B3HW[:, 0, 40, 32] * 25.5).round().view(8, 2)
        assert torch.equal(target, reference[:, None].expand(8, 2)) == same


def test_missing_data_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="miniature prepare"):
        Compositor(tmp_path)


def test_hue_rotation_keeps_grey_and_comes_back() -> None:
    grey, colour = torch.full((1, 3, 2, 2), 0.5), torch.tensor([0.6, 0.4, 0.5]).view(1, 3, 1, 1)
    assert torch.allclose(rotate_hue(grey, torch.tensor([1.0])), grey, atol=1e-3)
    turned = rotate_hue(colour, torch.tensor([2.0]))
    assert not torch.allclose(turned, colour, atol=0.02)
    assert torch.allclose(rotate_hue(turned, torch.tensor([-2.0])), colour, atol=1e-3)


def test_shares_keep_references_with_their_targets(data: Path) -> None:
    pairs = Compositor(data, "train", seed=1).batch(4, Mix(), targets=3)
    shares = split_pairs(pairs, 2)
    assert [share.prompts for share in shares] == [pairs.prompts[::2], pairs.prompts[1::2]]
    assert torch.equal(shares[1].targets_B3HW[3:6], pairs.targets_B3HW[9:12])


def test_content_latents_learn_pixels_and_place(data: Path, tmp_path: Path) -> None:
    config = TokenizerConfig(8, 8, (1, 1), 1, unshuffle=4, norm_groups=8)
    tokenizer = save_part(tmp_path / "tokenizer.safetensors", "tokenizer", BitTokenizer(config), config)
    files = ["--data", str(data), "--tokenizer", str(tokenizer), "--out", str(tmp_path)]
    figures = []
    for minutes in ("0.002", "0.03"):
        assert train_content([*files, "--pictures", "4", "--minutes", minutes]) == 0
        figures.append(json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1]))
    assert 1 <= figures[0]["step"] < figures[1]["step"], "goes on where it stopped"
    assert figures[1]["heldout_psnr"] > figures[0]["heldout_psnr"]
    assert figures[1]["heldout_place"] < figures[0]["heldout_place"]
    encoder = load_part(tmp_path / "content.safetensors", "content")
    latents = encoder.encode(torch.rand(1, 3, 64, 64)).latents_VCHW
    assert latents.shape == (1, 32, 14, 14) and torch.isfinite(latents).all()
    files[-1] = str(tmp_path / "on")
    started = ["--start", str(tmp_path / "content.safetensors"), "--minutes", "0.0001"]
    assert train_content([*files, "--pictures", "4", *started]) == 0
    went_on = load_part(tmp_path / "on" / "content.safetensors", "content")
    away = (went_on.conv_in.weight - encoder.conv_in.weight).abs().max()
    assert away < 0.5 * encoder.conv_in.weight.abs().max(), "a step from where it began"


def _parts() -> Modules:
    torch.manual_seed(0)
    config = replace(
        PRESETS["nano"].transformer, depth=1, width=64, heads=2, bits=8, semantic_width=32, semantic_length=65
    )
    transformer = EchoGenTransformer(config)
    initialise(transformer, torch.Generator().manual_seed(0))
    tokens = wrap_tokenizer(build_tokenizer(["the subject in a wood", "it in a town"], 300))
    text = replace(ENCODERS["nano"].text, depth=1)
    return Modules(
        transformer,
        TextEncoder(text, tokens),
        ContentEncoder(replace(ENCODERS["nano"].content, base_channels=8)),
        SemanticEncoder(replace(ENCODERS["nano"].semantic, width=32, depth=1, heads=2)),
        BitTokenizer(TokenizerConfig(8, 8, (1, 1), 1, unshuffle=4, norm_groups=8))
        .eval()
        .requires_grad_(False),
        find_schedule("nano"),
    )


def test_a_run_learns_stops_and_goes_on(data: Path, tmp_path: Path) -> None:
    recipe = TransformerRecipe(minutes=60, batch=4, targets=2, workers=2, warmup=1, drop=0.2)
    trainer = Trainer(_parts(), data, tmp_path, recipe)
    losses = [trainer._train_step()["loss"] for _ in range(12)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    trainer.save()
    record = trainer._validate()
    assert set(record) == {"heldout_loss", "heldout_bits"}
    again = Trainer(_parts(), data, tmp_path, recipe)
    assert again.step == 12
    for name, parameter in trainer.trained.named_parameters():
        assert torch.equal(parameter, dict(again.trained.named_parameters())[name]), name
    with again.averaged():
        assert torch.equal(again.modules.transformer.start, again.average["transformer.start"])
    assert torch.equal(again.modules.transformer.start, trainer.modules.transformer.start)


def test_the_candidate_is_trained_by_the_same_commands(data: Path, tmp_path: Path) -> None:
    check_picture_size(data, find_preset("nano-fine"))
    with pytest.raises(ValueError, match="Expected a model out of nano, echogen"):
        find_preset("nano-256")
    with torch.device("meta"):
        preset, encoders = find_preset("nano-fine"), find_encoders("nano-fine")
        tokens = wrap_tokenizer(build_tokenizer(["it"], 300))
        modules = (
            EchoGenTransformer(preset.transformer),
            BitTokenizer(preset.tokenizer),
            TextEncoder(encoders.text, tokens),
            SemanticEncoder(encoders.semantic),
            ContentEncoder(encoders.content),
        )
    assert sum(2 * p.numel() for module in modules for p in module.parameters()) < 60e6, "bytes in fp16"
    assert encoders.semantic.grid**2 + 1 == preset.transformer.semantic_length
    assert encoders.content.grid**2 == preset.transformer.content_length
    assert find_schedule(preset.budget).pixels_hw == (128, 128)
    assert preset.reference_size == encoders.content.reference_size == encoders.semantic.reference_size
    assert preset.transformer.levels == len(find_schedule(preset.budget).scales)
    assert preset.name not in (*PRESETS, *ENCODERS, *BUDGETS), "no weights yet: nobody is offered it"


def test_pictures_of_another_size_are_named(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "scenes", tmp_path / "scenes")
    for path in (tmp_path / "scenes").glob("*.npy"):
        np.save(path, np.load(path)[:, ::2, ::2])
    with pytest.raises(ValueError, match=r"Expected pictures of 128 px.*got 64 px.*--picture 128"):
        check_picture_size(tmp_path, PRESETS["nano"])


@pytest.mark.parametrize("name", [*PRESETS, *CANDIDATES])
def test_tokens_are_as_large_as_the_schedule_says(name: str) -> None:
    preset = find_preset(name)
    assert preset.tokenizer.patch == find_schedule(preset.budget).patch


def test_references_come_as_large_as_the_encoders_want_them(data: Path, tmp_path: Path) -> None:
    trainer = Trainer(_parts(), data, tmp_path, TransformerRecipe(batch=2, workers=1))
    assert trainer.data.size == SIZE
    pairs = trainer._next_pairs()
    assert pairs.references_B3HW.shape == (2, 3, 112, 112) and pairs.targets_B3HW.shape[-1] == SIZE


def test_a_tokenizer_begins_as_another_one(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = ["--data", str(data), "--perceptual", "0", "--batch", "2", "--device", "cpu", "--workers", "1"]
    start = ["--start", str(ASSETS / "nano" / "tokenizer.safetensors")]
    train_tokenizer([*given, *start, "--out", str(run), "--minutes", "0.0001"])
    first, *_, last = (json.loads(line) for line in (run / "log.jsonl").read_text().splitlines())
    assert (first["recipe"]["quantizer_warmup"], first["recipe"]["perceptual_start"]) == (0, 0)
    assert last["step"] >= 1 and last["psnr"] > 15, "of a picture of one colour; from nothing: below 10"
    assert load_part(run / "tokenizer.safetensors", "tokenizer").config == PRESETS["nano"].tokenizer


def test_a_tokenizer_of_other_pictures_is_refused(tmp_path: Path) -> None:
    bundle, config = load_bundle("nano"), replace(PRESETS["nano"].tokenizer, unshuffle=8)
    other = BitTokenizer(config)
    for use in (
        lambda: bundle_modules(bundle, tokenizer=other),
        lambda: EchoGenPipeline(replace(bundle, tokenizer=other)),
    ):
        with pytest.raises(ValueError, match="has 16 px per token, the model expects 8"):
            use()


def test_words_are_in_the_vocabulary_where_they_are_said(data: Path) -> None:
    plain, has_prompt_words = (set(prompt_corpus(Compositor(data), mix)) for mix in (Mix(), NANO_MIX))
    for word in ("small", "on the right", NIGHT):
        assert any(word in prompt for prompt in has_prompt_words) and not any(
            word in prompt for prompt in plain
        )


def test_compiled_blocks_and_padded_prompts_change_nothing(data: Path, tmp_path: Path) -> None:
    recipe = TransformerRecipe(minutes=60, batch=2, targets=2, workers=1, warmup=1)
    records = []
    for backend in ("", "aot_eager"):
        trainer = Trainer(_parts(), data, tmp_path / f"run{backend}", replace(recipe, compiler=backend))
        records.append(trainer._train_step() | trainer._train_step())
        assert trainer._validate()["heldout_loss"] > 0
    assert records[0]["loss"] == pytest.approx(records[1]["loss"], rel=1e-3)


def test_attribution_names_trained_models_by_creator_and_licence(tmp_path: Path) -> None:
    rows = [
        {"name": "Lamp", "source": "x/BlendSwap", "creator": "Ann", "licence": "CC-BY-3.0", "split": "train"},
        {
            "name": "Bear",
            "source": "x/BlendSwap",
            "creator": "Bob",
            "licence": "CC-BY-3.0",
            "split": "heldout",
        },
    ]
    scenes = [{"name": "wood", "split": "train", "source": "hdri/forest"}]
    for name, content in (("subjects", rows), ("scenes", scenes)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.json").write_text(json.dumps(content))
    text = attribution(tmp_path)
    assert "- Ann: Lamp" in text and "licenses/by/3.0" in text and "forest" in text
    assert "Bob" not in text


def test_another_tokenizer_must_have_as_many_bits() -> None:
    bundle = load_bundle("nano", ASSETS / "nano")
    config = replace(bundle.tokenizer.config, bits=8, base_channels=8)
    with pytest.raises(ValueError, match=r"32 bits.*got one of 8"):
        bundle_modules(bundle, tokenizer=BitTokenizer(config))


def test_the_command_trains_the_shipped_bundle_on(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--start", str(ASSETS / "nano")]
    arguments += ["--batch", "2", "--targets", "1", "--device", "cpu"]
    with pytest.raises(SystemExit):
        main([*arguments, "--batch", "3"])
    assert main([*arguments, "--minutes", "60", "--at-most", "0.0001"]) == 0
    assert main([*arguments, "--minutes", "60", "--at-most", "0"]) == 0, "goes on, and is told to end at once"
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 1
    shipped, trained = (load_bundle("nano", folder) for folder in (ASSETS / "nano", tmp_path / "bundle"))
    assert not torch.equal(shipped.transformer.start, trained.transformer.start)
    for kind in ("tokenizer", "semantic", "content"):
        before, after = (bundle.parts()[kind].state_dict() for bundle in (shipped, trained))
        assert all(torch.equal(before[name], after[name]) for name in before), kind
