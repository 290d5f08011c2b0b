"""Training of subject parameters: the start, the data, and what a run does with them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from live_bytes import LiveBytes
from PIL import Image
from random_models import SMALL

from echogen_core.checkpoints import ASSETS
from echogen_core.checkpoints.keymap_transformer import flatten_blocks, published_name
from echogen_core.config import PRESETS
from echogen_core.encoders import ENCODERS
from echogen_core.model import EchoGenTransformer, unused_names
from echogen_core.model.rope import sequence_rope
from echogen_core.scales import find_schedule
from echogen_core.tokenizer.bsq import quantize_with_bit_flips
from echogen_core.training import PROGRAM
from echogen_core.training.__main__ import main
from echogen_core.training.batch_encoder import BatchEncoder
from echogen_core.training.batch_sampler import BucketBatchSampler, SampleIndex
from echogen_core.training.captions import vary_caption
from echogen_core.training.dataset import Example, SubjectDataset
from echogen_core.training.estimate import Machine, activation_bytes, estimate
from echogen_core.training.feature_cache import FeatureCache
from echogen_core.training.frozen_encoders import FrozenEncoders
from echogen_core.training.initialise import initialise, subject_names
from echogen_core.training.loss import bit_loss, token_losses
from echogen_core.training.manifest import FaultyRow, Manifest, Row, schedules
from echogen_core.training.moving_average import update_average
from echogen_core.training.recipe import Recipe, rate_share
from echogen_core.training.row_pictures import row_picture, square_on_white
from echogen_core.training.subject_model import (
    OPERATIONS,
    TeacherForcedModel,
    load_model,
    parameter_groups,
    trained_names,
)
from echogen_core.utils import processes

from .. import golden
from . import training_runs as small

SIZES = {"semantic_width": 192, "semantic_length": 65, "content_width": 16, "content_length": 64}
NANO = find_schedule("nano")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_base(tmp_path_factory.mktemp("base"))


# --- the start


def _gradients(model: EchoGenTransformer) -> tuple[torch.Tensor, dict[str, float]]:
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, model.config.bits, *NANO.scales[-1], generator=generator)
    forced = quantize_with_bit_flips(latent, NANO.scales, strength=0.0)
    given = small.random_inputs(model.config, generator)
    logits = model.teacher_forced(given, forced.inputs_BLD, NANO)
    bit_loss(logits, forced.labels_BLD, NANO).backward()
    norms = {n: float(p.grad.norm()) for n, p in model.named_parameters() if p.grad is not None}
    return logits.detach(), norms


def test_start_is_the_official_one_but_lets_the_content_path_learn(base: Path) -> None:
    ours, official = (load_model(base, None, SIZES, 3, official) for official in (False, True))
    state = ours.state_dict()
    for name in ("semantic_cls.weight", "blocks.1.attn.content_to_image.weight", "semantic_start"):
        assert not state[name].any(), name
    assert not state["blocks.0.cross.semantic_to_kv.weight"].any()
    assert torch.equal(state["semantic_adaln.1.weight"], state["text_adaln.1.weight"])
    assert not state["semantic_adaln.1.bias"].any()
    drawn = state["blocks.0.content_ffn.up.weight"]
    assert drawn.std() == pytest.approx((1 / small.PLAIN.width / 3) ** 0.5, rel=0.05)
    assert state["null_content"].std() == pytest.approx(0.24, rel=0.1), "1.2 cut at 2, by the root of 16"
    outputs, norms = _gradients(ours)
    outputs_official, norms_official = _gradients(official)
    assert torch.equal(outputs, outputs_official), "the first pictures are the same"
    content = [name for name in norms if "content" in name]
    assert content and not any(norms_official[name] for name in content), "the released start never learns"
    assert all(norms[f"blocks.{i}.attn.content_to_image.weight"] > 0 for i in range(2))


def test_the_trainers_forward_is_the_official_one() -> None:
    """What accelerate wraps, with the trainer's layers and recomputed blocks: logits, loss and gradients."""
    official, schedule = golden.tensors("echogen_tiny_train_forward"), golden.schedule("1.0")
    frozen, given = golden.training_inputs()
    model = EchoGenTransformer(frozen.config, OPERATIONS)
    model.load_state_dict(frozen.state_dict())
    model.requires_grad_(False)
    trained = {name: model.get_parameter(name).requires_grad_(True) for name in trained_names(model)}
    forward, inputs = TeacherForcedModel(model, checkpointing=True), official["x_BLC_wo_prefix.noise"]
    logits = forward(given, torch.ones(3, 2, dtype=torch.bool), inputs, schedule)
    golden.assert_close(logits.detach(), official["logits.noise"].unflatten(-1, (-1, 2)))
    loss = bit_loss(logits, official["gt_bits.noise"], schedule)
    assert float(loss.detach()) == pytest.approx(
        float(official["loss_reweighted.noise"].sum(-1).mean()), rel=1e-5
    )
    loss.backward()
    norms = json.loads((golden.FOLDER / "echogen_tiny_train_gradnorms.json").read_text())["grad_l2_norm"]
    chunk_size = {"block_chunks.1.module.1.": 0.0}  # a name of the last block makes it known
    known = flatten_blocks({**chunk_size, **norms})
    found = {published_name(name): p.grad for name, p in trained.items() if published_name(name) in known}
    missing = set(known) - set(found)
    assert len(found) > 90 and not any(known[name] for name in missing), "dead weights alone are not trained"
    for name, grad in found.items():
        assert grad is not None and float(grad.norm()) == pytest.approx(known[name], rel=2e-3), name
    with torch.no_grad():
        dropped = forward(given, torch.zeros(3, 2, dtype=torch.bool), inputs, schedule)
    # the nulls stand in at the length of the longer prompt, whose end the mask hides
    golden.assert_close(dropped, official["logits.alldrop"].unflatten(-1, (-1, 2)))


@pytest.mark.parametrize("kind", ["clean", "noise"])
def test_loss_equals_official(kind: str) -> None:
    official = golden.tensors("echogen_tiny_train_forward")
    schedule = golden.schedule("1.0")
    logits = official[f"logits.{kind}"].unflatten(-1, (-1, 2))
    labels = official[f"gt_bits.{kind}"]
    expected = official[f"loss_reweighted.{kind}"]
    assert torch.allclose(bit_loss(logits, labels, schedule), expected.mean(), rtol=1e-5)
    assert torch.allclose(
        token_losses(logits, labels).mean(), official[f"loss_mean.{kind}"].mean(), rtol=1e-5
    )


def test_only_subject_parameters_with_an_effect_are_trained(base: Path) -> None:
    model = load_model(base, None, SIZES, 0)
    frozen = load_model(base, None, SIZES, 9).state_dict()
    trained = set(trained_names(model))
    assert trained == {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained | unused_names(model) == subject_names(model)
    assert "blocks.1.content_ffn.up.weight" in unused_names(model)
    assert all(
        torch.equal(t, frozen[n]) for n, t in model.state_dict().items() if n not in subject_names(model)
    )
    groups = parameter_groups(model, 1.0, 0.005, 0.1)
    assert {(g["peak"], g["weight_decay"]) for g in groups} == {(1, 0.005), (1, 0), (0.1, 0.005), (0.1, 0)}
    with pytest.raises(ValueError, match="give --base"):
        load_model(None, None, SIZES, 0)


def test_rate_warms_up_and_falls() -> None:
    recipe = Recipe(steps=110, warmup=10, schedule="cosine")
    assert [rate_share(step, recipe) for step in (0, 9, 10)] == pytest.approx([0.1, 1, 1])
    assert rate_share(60, recipe) == pytest.approx(0.5) and rate_share(110, recipe) == pytest.approx(0)
    assert rate_share(109, Recipe(steps=110)) == 1


def test_the_average_moves_faster_at_first() -> None:
    weight, average = torch.nn.Parameter(torch.tensor([1.0])), {"w": torch.tensor([0.0])}
    # shares of the old: 2/11, then 3/12, then at most 0.25
    for step, expected in ((1, 9 / 11), (2, 9 / 11 / 4 + 3 / 4), (3, (9 / 11 / 4 + 3 / 4) / 4 + 3 / 4)):
        update_average(average, [("w", weight)], step, decay=0.25)
        assert float(average["w"]) == pytest.approx(expected)


def test_conditions_are_left_out_one_by_one() -> None:
    encoders = FrozenEncoders.load("nano", [ASSETS / "nano"], torch.device("cpu"))
    preset = PRESETS["nano"]
    ratios, cpu = schedules(preset.budget), torch.device("cpu")
    preparation = BatchEncoder(encoders, preset, ratios, 3, 0.1, 0.3, None, cpu)
    grid = ratios["1:1"].scales[-1]
    features = {
        "text": {"tokens": torch.zeros(2, 4)},
        "reference": {"cls": torch.zeros(3), "patches": torch.zeros(2, 3), "content": torch.zeros(4, 2, 2)},
        "target": {"latent": torch.randn(1, preset.tokenizer.bits, *grid, generator=torch.Generator())},
    }
    items = [SampleIndex(0, step, place) for step in range(25) for place in range(12)]
    batch = preparation.batch([Example(item, "", "1:1", None, None, features) for item in items])
    left_out = ~batch.keep_3B
    assert left_out.float().mean(1).tolist() == pytest.approx([0.1] * 3, abs=0.04)
    pairs = [(left_out[a] & left_out[b]).float().mean().item() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert pairs == pytest.approx([0.01] * 3, abs=0.015), "independent of each other"
    first = items[:12]
    again = preparation.batch([Example(item, "", "1:1", None, None, features) for item in first])
    assert torch.equal(again.keep_3B, batch.keep_3B[:, :12]), "a picture's own, whatever it comes with"
    assert torch.equal(again.forced.inputs_BLD, batch.forced.inputs_BLD[:12])


# --- rows


FAULTS = {
    "no JSON": "{",
    "no JSON object": "[1]",
    "no output_image": small.row(0, output_image=""),
    "no cond_image": small.row(0, cond_image=None),
    "no long_caption": small.row(0, long_caption="  "),
    "no h_div_w": small.row(0, h_div_w="tall"),
}
DEEP, HUGE = "[" * 100_000, small.row(0, h_div_w=10**400)
"""Lines that Python's parser or a float has no room for."""


def test_every_fault_of_a_row_is_counted(tmp_path: Path) -> None:
    rows = [small.row(0), *FAULTS.values(), DEEP, HUGE, small.row(1)]
    path = small.write_rows(tmp_path, rows)
    with path.open("ab") as file:
        file.write(b'\n{"long_caption": "\xff"}\n')
    (tmp_path / "notes.jsonl").write_text("{}")
    found = Manifest(tmp_path, "nano")
    counts = Counter(fault.kind for fault in found.faults)
    assert counts == Counter([*FAULTS, "no JSON", "no h_div_w", "no UTF-8", "file name", "row count"])
    assert len(found) == 2 and found[1].where == f"{path.name}:{len(rows)}"
    assert next(fault.where for fault in found.faults if fault.kind == "no UTF-8").endswith(
        f":{len(rows) + 2}"
    )
    with pytest.raises(FileNotFoundError, match=r"No folder at .*nowhere: expected one with training rows"):
        Manifest(tmp_path / "nowhere", "nano")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"\[h_div_w\]_\[count\]\.jsonl"):
        Manifest(tmp_path / "empty", "nano")


def test_rows_go_to_the_nearest_aspect_ratio(tmp_path: Path) -> None:
    tall = [1.0, 1.02, 1.5, 0.666, 1.79, 9.0]
    small.write_rows(tmp_path, [small.row(0, h_div_w=value) for value in tall[:2]], "1.000_000000002.jsonl")
    small.write_rows(tmp_path, [small.row(0, h_div_w=value) for value in tall[2:]], "1.500_000000004.jsonl")
    rows = Manifest(tmp_path, "0.06M")
    assert not rows.faults
    ratios = {number: ratio for ratio, numbers in rows.buckets.items() for number in numbers}
    assert [ratios[i] for i in range(6)] == ["1:1", "1:1", "2:3", "3:2", "4:7", "1:3"]
    assert rows.schedules["2:3"].pixels_hw == (336, 224)


def test_captions_are_cut_to_whole_sentences() -> None:
    row = Row("", Path(), Path(), "One two. Three. Four. Five --ar 3:4", True, "1:1")
    cut = {vary_caption(row, np.random.default_rng(seed), 0.5) for seed in range(40)}
    assert cut == {"One two. Three", "One two. Three. Four", "One two. Three. Four. Five"}
    long = Row("", Path(), Path(), " ".join("a" * 15) + ". End.", True, "1:1")
    assert vary_caption(long, np.random.default_rng(0), 1.0) == " ".join("a" * 15)
    own = Row("", Path(), Path(), "One. Two. Three", False, "1:1")
    assert vary_caption(own, np.random.default_rng(0), 1.0) == "One. Two. Three"


def test_the_pictures_of_a_row_stand_on_white(tmp_path: Path) -> None:
    clear = tmp_path / "clear.png"
    Image.new("RGBA", (4, 4), (9, 9, 9, 0)).save(clear)
    assert row_picture(clear.read_bytes(), clear, "").getpixel((0, 0)) == (255, 255, 255)
    with pytest.raises(FaultyRow, match="unreadable picture"):
        row_picture(b"GIF89a nothing", clear, "row 3")


# --- the plan


def test_an_epoch_sees_every_row_once_in_batches_of_one_ratio() -> None:
    buckets = {"1:1": np.arange(10), "2:3": np.arange(10, 14), "3:2": np.array([14])}
    plan = BucketBatchSampler(buckets, batch_size=2, accumulate=2, seed=5, steps=range(8))
    assert plan.steps_per_epoch == 4
    epochs = [[plan.rows(step).tolist() for step in range(start, start + 4)] for start in (0, 4)]
    assert epochs[0] != epochs[1]
    for epoch in epochs:
        for rows in epoch:
            assert len({next(r for r, b in buckets.items() if row in b) for row in rows}) == 1
        seen = Counter(row for rows in epoch for row in rows)
        assert seen[14] == 4 and max(seen[row] for row in range(14)) == 1
        assert sum(row in seen for row in range(10)) == 8 and all(row in seen for row in range(10, 14))
    batches = list(plan)
    assert len(batches) == len(plan) == 16 and [item.place for b in batches[:2] for item in b] == [0, 1, 2, 3]
    later = list(BucketBatchSampler(buckets, 2, 2, 5, range(6, 8)))
    assert later == batches[12:], "a resumed run draws the same rows"
    assert SampleIndex(1, 2, 3).rng(0, 1).random() == SampleIndex(9, 2, 3).rng(0, 1).random()
    assert SampleIndex(1, 2, 3).rng(0, 1).random() != SampleIndex(1, 2, 4).rng(0, 1).random()


# --- the estimate


def test_dry_run_says_what_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = small.make_rows(tmp_path / "data", 2)
    small.write_rows(
        rows, [small.row(0), "{", small.row(1, cond_image="img/gone.png")], "0.500_000000003.jsonl"
    )
    words = small.arguments(rows, tmp_path / "out", model="echogen-2b", batch=4, dry_run=True, ema=0)
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "4 usable, 1 fault; of 4 rows checked, 1 without a picture" in printed
    assert "no JSON" in printed and "missing picture" in printed and "gone.png" in printed
    assert "trained weights" in printed and "moving average" in printed and "h for 10,000 steps" in printed
    assert not (tmp_path / "out").exists()


def test_the_estimate_knows_the_published_sizes() -> None:
    preset, encoders = PRESETS["echogen-2b"], ENCODERS["echogen-2b"]
    recipe = Recipe(batch=1)

    def found(processes: int, sharded: bool) -> dict[str, int]:
        machine = Machine(processes, sharded, half=True, cuda=True, flops=4e14)
        result = estimate(
            preset.transformer, encoders, preset.tokenizer, find_schedule("1M"), recipe, machine
        )
        assert result.trained + result.frozen == 4_843_978_560
        assert result.trained < 2_639_414_528, "without what has no effect"
        assert 1e14 < result.flops < 1e15
        return dict(result.memory)

    alone, sharded = found(1, False), found(8, True)
    for name in ("frozen weights", "trained weights", "AdamW", "moving average"):
        assert alone[name] == pytest.approx(8 * sharded[name], rel=1e-6)
    assert alone["encoders and tokenizer"] == sharded["encoders and tokenizer"]


@pytest.mark.parametrize("again", [False, True])
def test_the_estimate_of_activations_is_near_the_truth(again: bool) -> None:
    config, schedule = SMALL, find_schedule("0.06M")
    model = EchoGenTransformer(config, OPERATIONS)
    initialise(model, torch.Generator().manual_seed(0))
    model.requires_grad_(False)
    for name in trained_names(model):
        model.get_parameter(name).requires_grad_(True)
    trained = TeacherForcedModel(model, again)
    generator = torch.Generator().manual_seed(1)
    given = small.random_inputs(config, generator)
    inputs = torch.randn(1, schedule.tokens - 1, config.bits, generator=generator)
    sequence_rope(schedule, config.head_width, model.prefix)  # kept for all runs
    expected = activation_bytes(model, schedule, Recipe(batch=1, checkpointing=again), half=False)
    with LiveBytes(model) as counted:
        before = counted.live
        logits = trained(given, torch.ones(3, 1, dtype=torch.bool), inputs, schedule)
        if again:
            logits.sum().backward()
        gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
        assert counted.peak - before - gradients < expected * 1.15
        assert counted.peak - before > expected * 0.75


# --- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "nowhere"}, "No folder at nowhere: expected one with training rows"),
        ({"init_from": "base", "official_init": True}, "--official-init has no effect with --init-from"),
        ({"init_from": "base"}, "is a base model, not an EchoGen model: give it with --base"),
        ({"parts": "nowhere", "base": "base"}, "text, semantic, content, tokenizer of nano not found"),
        (
            {"images": "elsewhere"},
            "Of 1 row checked, none has its pictures. The first: 1.000_000000001.jsonl:1, elsewhere",
        ),
    ],
)
def test_bad_input_is_said_in_one_line(
    options: dict[str, object],
    message: str,
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = small.make_rows(tmp_path, 1)
    chosen = {name: base if value == "base" else value for name, value in options.items()}
    assert main(small.arguments(rows, tmp_path / "out", **chosen)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "state.pt").exists()


def test_a_ratio_without_a_readable_row_ends_the_run(tmp_path: Path) -> None:
    rows = Manifest(small.make_rows(tmp_path, 2), "nano", tmp_path)
    assert rows.check_pictures_exist() == (2, [])
    for number in range(2):
        (tmp_path / "img" / f"output_{number}.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(ValueError, match=r"can be used \(2 rows tried\).*unreadable picture"):
        SubjectDataset(rows, 64, 0, 0.5, None)[SampleIndex(0, 0, 0)]


def test_texts_that_no_file_system_or_encoding_takes_cost_only_their_row(tmp_path: Path) -> None:
    folder = small.make_rows(tmp_path, 2)
    half = "\ud83d"  # of an emoji
    names = ["img/a\0b.png", f"img/{half}.png", "img/" + "long" * 999, "img"]
    broken = [small.row(0, cond_image=name) for name in names]
    small.write_rows(folder, [*broken, small.row(1, long_caption=f"a chair {half}")])
    (folder / "1.000_000000002.jsonl").unlink()
    rows = Manifest(folder, "nano", tmp_path)
    looked_at, missing = rows.check_pictures_exist()
    assert (looked_at, len(missing)) == (5, 4)
    cache = FeatureCache(tmp_path / "cache", {"text": "t", "reference": "r", "target": "l"})
    examples = SubjectDataset(rows, 64, 0, 0.5, cache)
    example = examples[SampleIndex(0, 0, 0)]
    assert example.prompt == f"a chair {half}" and set(example.keys) == {"text", "reference", "target"}
    assert [fault.kind for fault in example.faults] == ["missing picture"] * 4
    for fault in (*missing, *example.faults):
        fault.detail.encode()  # a console has to take it
    assert examples[SampleIndex(0, 1, 0)].faults == (), "said once"


def test_a_readable_row_is_found_however_many_before_it_are_broken(tmp_path: Path) -> None:
    folder = small.make_rows(tmp_path, 1)
    gone = [small.row(0, cond_image=f"img/gone_{number}.png") for number in range(1500)]
    small.write_rows(folder, [*gone, small.row(0)], "1.000_000001501.jsonl")
    (folder / "1.000_000000001.jsonl").unlink()
    example = SubjectDataset(Manifest(folder, "nano", tmp_path), 64, 0, 0.5, None)[SampleIndex(1, 0, 0)]
    assert example.reference_3HW is not None
    assert len({fault.where for fault in example.faults}) == 1499


def test_processes_that_cannot_see_each_other_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert processes.world_size() == 1 and not processes.needs_cpu_backend()
    processes.check_world_size(1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert processes.needs_cpu_backend() != getattr(torch, "accelerator", torch.cuda).is_available()
    with pytest.raises(ValueError, match="2 processes were started, but accelerate sees 1"):
        processes.check_world_size(1)


def test_a_reference_that_is_not_square_loses_nothing(tmp_path: Path) -> None:
    for size in ((90, 30), (30, 90), (30, 31)):
        picture = Image.new("RGB", size, "blue")
        squared = square_on_white(picture)
        assert squared.size == (max(size),) * 2
        blue = np.asarray(squared) == (0, 0, 255)
        assert blue.all(-1).sum() == size[0] * size[1]
    square = Image.new("RGB", (8, 8), "red")
    assert square_on_white(square) is square
    strip = square_on_white(Image.new("RGB", (1, 40_000)))
    assert strip.size == (2048, 2048) and strip.getpixel((0, 0)) == (255, 255, 255)
    # in training: both ends of a wide subject reach the encoders
    folder = small.make_rows(tmp_path, 1)
    wide = Image.new("RGB", (120, 40), "white")
    wide.paste("red", (0, 0, 20, 40))
    wide.paste("blue", (100, 0, 120, 40))
    wide.save(tmp_path / "img" / "cond_0.png")
    reference_3HW = SubjectDataset(Manifest(folder, "nano", tmp_path), 64, 0, 0.5, None)[
        SampleIndex(0, 0, 0)
    ].reference_3HW
    assert reference_3HW is not None and reference_3HW.shape == (3, 64, 64)
    assert reference_3HW[:, 32, 3].tolist() == pytest.approx([1, 0, 0], abs=0.05)
    assert reference_3HW[:, 32, 60].tolist() == pytest.approx([0, 0, 1], abs=0.05)
    assert reference_3HW[:, 3, 32].tolist() == [1, 1, 1]


# --- the command


@pytest.mark.parametrize("dry_run", [True, False])
def test_the_learning_rate_is_said_before_a_run(
    dry_run: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = small.make_rows(tmp_path / "data", 2)
    options = {"batch": 2, "base_rate": 0.02, "steps": 1, "parts": tmp_path}
    words = small.arguments(rows, tmp_path / "out", **options)
    with caplog.at_level("INFO"):
        status = main([*words, "--dry-run"] if dry_run else words)
    said = capsys.readouterr().out if dry_run else caplog.text
    assert status == (0 if dry_run else 2), "without encoders there is no run"
    assert "learning rate: 0.000156 = 0.02 (--base-rate) x 2 / 256" in said
    assert "steps: 1 of 2 pictures; epochs: 1.0" in said and "Python and its libraries" in said


def test_help_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.startswith(f"usage: {PROGRAM} [-h] --data DATA --out OUT") and "--init-from" in said


def test_numbers_have_their_nouns() -> None:
    one, two = (str(Machine(count, False, False, False, 1e12)) for count in (1, 2))
    assert one.startswith("machine: CPU, 1 process, ") and two.startswith("machine: CPU, 2 processes, ")
