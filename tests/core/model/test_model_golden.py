"""Inside the transformer: rotary tables, intermediate activations, the training pass and its gradients."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from echogen_core.checkpoints.keymap_transformer import (
    flatten_blocks,
    infer_config,
    published_name,
    translate_transformer,
)
from echogen_core.model import EchoGenTransformer
from echogen_core.model.branch import Conditions
from echogen_core.model.rope import sequence_rope
from echogen_core.scales import ASPECT_RATIOS, find_schedule

from .. import golden


@pytest.mark.parametrize("h_div_w", ["1.0", "1.5"])
def test_rotary_tables(h_div_w: str) -> None:
    official = golden.tensors("rope_tables")[f"rope_tiny_headdim32.h_div_w{h_div_w}"]
    golden.assert_close(sequence_rope(golden.schedule(h_div_w), 32, prefix=0), official, 1e-6)


def test_a_rotary_table_made_during_inference_serves_training() -> None:
    sequence_rope.cache_clear()
    with torch.inference_mode():
        table = sequence_rope(golden.schedule("1.0"), 32, prefix=1)
    assert not table.is_inference()


def test_schedules_are_the_official_ones() -> None:
    table = json.loads((golden.FOLDER / "scale_schedules.json").read_text())
    ours = {f"{find_schedule('1M', ratio).h_div_w:g}": ratio for ratio in ASPECT_RATIOS}
    assert sorted(map(float, ours)) == sorted(table["h_div_w_templates"])
    for template, budgets in table["schedules"].items():
        for budget, official in budgets.items():
            schedule = find_schedule(budget, ours[f"{float(template):g}"])
            assert [list(grid) for grid in schedule.scales] == official["image_scales_hw"]
            assert list(schedule.pixels_hw) == official["pixel_hw"]
            assert schedule.tokens == official["seq_len"]


@pytest.mark.parametrize("budget, ratio", [("2M", "1:1"), ("1M", "16:9"), ("nano", "2:3")])
def test_unknown_schedules_name_the_choices(budget: str, ratio: str) -> None:
    with pytest.raises(ValueError, match="1:1"):
        find_schedule(budget, ratio) if budget != "2M" else find_schedule("1M", "x")


def test_prefill_intermediates() -> None:
    official = golden.tensors("echogen_tiny_case01_greedy_intermediates")
    model = golden.model()
    semantic, content = golden.subject("a")
    text = golden.text("text_len7")
    kinds = [(text, semantic, content), (text, None, None), (None, None, None)]
    for row, kind in enumerate(kinds):
        cache = model.prefill(model.conditions(*kind, null_length=7))
        golden.assert_close(cache.pooled_BC[0], official["cond_BD"][row])
        golden.assert_close(cache.signals_B6C, official["gss_image"][row])
        prefix = cache.prefix_BPC + model.levels(1, torch.device("cpu"))[0]
        golden.assert_close(prefix[0], official["scale0.block_input"][row])


@pytest.mark.parametrize("kind", ["clean", "noise"])
def test_training_forward(kind: str) -> None:
    official = golden.tensors("echogen_tiny_train_forward")
    model, inputs = golden.training_inputs()
    logits = model.teacher_forced(inputs, official[f"x_BLC_wo_prefix.{kind}"], golden.schedule("1.0"))
    golden.assert_close(logits, official[f"logits.{kind}"].unflatten(-1, (-1, 2)))


def test_training_forward_with_everything_dropped() -> None:
    official = golden.tensors("echogen_tiny_train_forward")
    model, inputs = golden.training_inputs(drop_all=True)
    logits = model.teacher_forced(inputs, official["x_BLC_wo_prefix.noise"], golden.schedule("1.0"))
    golden.assert_close(logits, official["logits.alldrop"].unflatten(-1, (-1, 2)))


def test_training_forward_of_the_infinity_base() -> None:
    official = golden.tensors("echogen_tiny_train_forward")
    _, inputs = golden.training_inputs()
    plain = Conditions(inputs.text_BLT, None, None, None, inputs.text_mask_BL)
    model = golden.model(subject=False)
    logits = model.teacher_forced(plain, official["x_BLC_wo_prefix.noise"], golden.schedule("1.0"))
    golden.assert_close(logits, official["infinity_logits.noise"].unflatten(-1, (-1, 2)))


@pytest.mark.parametrize("name", ["echogen_2b", "echogen_layer12", "infinity_2b", "infinity_layer12"])
def test_key_tables_load_on_the_meta_device(name: str) -> None:
    table = json.loads((golden.FOLDER / f"keys_{name}.json").read_text())
    counts = json.loads((golden.FOLDER / "param_counts.json").read_text())[name]
    state = {key: torch.empty(shape, device="meta") for key, (shape, *_) in table.items()}
    config = infer_config(state)
    model = EchoGenTransformer(config, device="meta")
    model.load_state_dict(translate_transformer(state, config), strict=True, assign=True)
    assert sum(p.numel() for p in model.parameters()) == counts["params_total"]
    published = {published_name(key) for key in model.state_dict()}
    parameters = {key for key, (*_, kind) in table.items() if kind == "parameter"}
    assert published == set(flatten_blocks(dict.fromkeys(parameters)))


def test_training_gradients() -> None:
    official = golden.tensors("echogen_tiny_train_forward")
    frozen, inputs = golden.training_inputs()
    model = EchoGenTransformer(frozen.config)
    model.load_state_dict(frozen.state_dict())
    schedule = golden.schedule("1.0")
    logits = model.teacher_forced(inputs, official["x_BLC_wo_prefix.noise"], schedule)
    labels = official["gt_bits.noise"].long()
    loss_BL = (
        F.cross_entropy(logits.flatten(0, 2), labels.flatten(), reduction="none").view(labels.shape).mean(-1)
    )
    areas = torch.tensor([h * w for h, w in schedule.scales], dtype=torch.float32)
    weights = torch.repeat_interleave(areas.rsqrt(), areas.long())
    loss = (loss_BL * weights / weights.sum()).sum(-1).mean()
    loss.backward()
    ours = {published_name(name): p.grad for name, p in model.named_parameters()}
    official_grads = {key.removeprefix("grad."): g for key, g in official.items() if key.startswith("grad.")}
    # one key of the last block makes the chunk size known
    flat = flatten_blocks({"block_chunks.1.module.1.": None, **official_grads})
    assert len(official_grads) > 20
    for name, expected in flat.items():
        if expected is None:
            continue
        grad = ours[name]
        if grad is None:  # dead weights of the last block's content stream
            assert not expected.any(), name
        else:
            golden.assert_close(grad.reshape(expected.shape), expected, 1e-3)
