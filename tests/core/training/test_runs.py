"""Whole training runs at a small size: what resumes, what is equal, what comes out."""

from __future__ import annotations

import math
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from short_nano import write_short_nano
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from echogen_core.checkpoints import identify, load_bundle, load_transformer
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.sampling import Guidance, PrefillCache, SamplingSettings, sample
from echogen_core.scales import find_schedule
from echogen_core.training.__main__ import main
from echogen_core.training.run_log import RunLog, progress
from echogen_core.training.subject_model import TeacherForcedModel, load_model
from tests.core import warm_process
from tests.repository.documented import documented_commands

from . import training_runs as small
from .training_runs import FSDP, Bench

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def straight(bench: Bench) -> Path:
    """Six steps in one go, in this process."""
    return bench.run("straight", steps=6, batch=2, save_every=2)


def losses(out: Path) -> list[float]:
    return [record["loss"] for record in small.records(out)]


def exact(out: Path) -> list[dict[str, Any]]:
    """The log without times."""
    return [{name: v for name, v in record.items() if name != "seconds"} for record in small.records(out)]


def assert_same_state(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first["step"] == second["step"]
    for part in ("trained", "average"):
        assert first[part].keys() == second[part].keys() and first[part]
        for name, tensor in first[part].items():
            assert torch.equal(tensor, second[part][name]), f"{part} {name}"
    moments, others = (state["optimizer"]["state"] for state in (first, second))
    for name, own in moments.items():
        assert all(torch.equal(torch.as_tensor(own[k]), torch.as_tensor(others[name][k])) for k in own), name


def test_two_processes_learn_as_one(bench: Bench, straight: Path) -> None:
    processes = bench.start("two", 2, steps=6, batch=1, save_every=6)
    assert [warm_process.status(process) for process in processes] == [0, 0]
    assert losses(bench.folder / "two") == pytest.approx(losses(straight), abs=1e-4)
    for name, tensor in bench.state("two")["trained"].items():
        assert torch.allclose(tensor, bench.state("straight")["trained"][name], atol=2e-3), name


def test_weights_shared_by_fsdp_in_bf16_learn_as_one_process(bench: Bench) -> None:
    """Two processes with half the weights each take up what one process saved, and go on as it does.

    The one has four pictures at once, the two have one each, twice a step.
    """
    base = small.make_base(bench.folder / "narrow", width=64)  # many processors have no bf16: it takes long
    options = {"precision": "bf16", "data": bench.pair, "base": base}
    whole, shared = bench.run("whole", steps=1, batch=4, **options), bench.folder / "shared"
    shutil.copytree(whole, shared)
    bench.run("whole", steps=3, batch=4, **options)
    each = {"batch": 1, "accumulate": 2, "pictures_every": 3}
    processes = bench.start("shared", 2, FSDP, steps=3, **each, **options)
    assert [warm_process.status(process) for process in processes] == [0, 0]
    assert losses(shared) == pytest.approx(losses(whole), abs=2e-4)
    norms = [[record["grad_norm"] for record in small.records(out)] for out in (shared, whole)]
    assert norms[0] == pytest.approx(norms[1], rel=5e-3)
    first, second = bench.state("shared"), bench.state("whole")
    for part in ("trained", "average"):
        assert first[part].keys() == second[part].keys() and first[part]
        for name, tensor in first[part].items():
            assert tensor.shape == second[part][name].shape
            assert torch.allclose(tensor, second[part][name], atol=2e-3), name
    pixels = np.asarray(Image.open(shared / "pictures" / "0000003.png"), dtype=float)
    side = 256  # of nano's pictures
    assert pixels.shape == (3 * side, 2 * side, 3) and pixels[2 * side :].std() > 1, "something was drawn"
    bench.run("shared", steps=4, batch=4, **options)
    assert bench.state("shared")["step"] == 4, "and one process takes up what two saved"


def test_killed_and_run_again_gives_the_same_bits(bench: Bench, straight: Path) -> None:
    """Killed at whatever step and moment, before the first state or after it."""
    moment = random.Random(time.time_ns()).randint(1, 5)
    options = {"steps": 6, "batch": 2, "save_every": 2}
    (process,) = bench.start("killed", **options)
    log = bench.folder / "killed" / "log.jsonl"
    deadline = time.monotonic() + 500
    while not (log.is_file() and f'"step": {moment}' in log.read_text()) and time.monotonic() < deadline:
        assert process.exitcode in (None, 0)
        time.sleep(0.005)
    process.kill()
    process.join(60)
    # a step is recorded before it is saved
    assert moment <= 2 or bench.state("killed")["step"] in (2, 4, 6)
    bench.run("killed", **options)
    assert_same_state(bench.state("killed"), bench.state("straight"))
    assert exact(bench.folder / "killed") == exact(straight), f"killed after step {moment}"


def test_tensorboard_has_every_scale_and_the_pictures(straight: Path, tmp_path: Path) -> None:
    record = {"loss": 0.5, "scale_loss": [0.7, 0.3], "bit_accuracy": [0.6, 0.9], "faults": {}}
    journal = RunLog(tmp_path, 0)
    for step in (1, 2, 3):
        journal.record(step, {**record, "loss": 0.1 * step})
    journal.pictures(2, torch.rand(3, 16, 8))
    journal.close()
    resumed = RunLog(tmp_path, 2)  # what came after step 2 is done again
    resumed.record(3, {**record, "loss": 0.9})
    resumed.close()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, round(e.value, 3)) for e in board.Scalars("loss")] == [(1, 0.1), (2, 0.2), (3, 0.9)]
    assert [e.value for e in board.Scalars("bit_accuracy/scale_02")] == pytest.approx([0.9] * 3)
    (image,) = board.Images(board.Tags()["images"][0])
    assert (image.width, image.height) == (8, 16)
    assert [line["step"] for line in small.records(tmp_path)] == [1, 2, 3]

    board = EventAccumulator(str(straight / "tensorboard")).Reload()
    for place in range(len(find_schedule("nano").scales)):
        for kind in ("scale_loss", "bit_accuracy"):
            logged = [record[kind][place] for record in small.records(straight)]
            drawn = [event.value for event in board.Scalars(f"{kind}/scale_{place + 1:02}")]
            assert drawn == pytest.approx(logged)


def test_the_console_says_how_far_a_run_is() -> None:
    record = {
        "loss": 0.61234,
        "bit_accuracy": [0.9, 0.8, 0.75],
        "faults": {"no JSON": 2, "missing picture": 1},
    }
    words = progress(20, 140, record, pace=30.5)
    assert words.startswith("step 20 of 140: loss 0.6123, bits right 90.0% (first scale) to 75.0% (last), ")
    assert words.endswith("30.50 s per step, 1:01:00 left, faults in the data: 3")
    assert progress(1, 2, {**record, "faults": {}}, 1.0).endswith("0:00:01 left")


def test_accumulated_batches_are_one_step(bench: Bench, straight: Path) -> None:
    out = bench.run("accumulated", steps=3, batch=1, accumulate=2, save_every=3, no_checkpointing=True)
    assert losses(out) == pytest.approx(losses(straight)[:3], abs=1e-5)


def test_a_run_goes_on_under_the_same_settings_only(
    bench: Bench, straight: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, words in (
        ({"seed": 4, "batch": 2}, "seed 0 instead of 4"),
        ({"batch": 3}, "2 pictures per step"),
    ):
        assert main(bench.arguments("straight", steps=8, **options)) == 2
        assert words in capsys.readouterr().err
    before = exact(straight)
    bench.run("straight", steps=6, batch=2)
    assert bench.state("straight")["step"] == 6 and exact(straight) == before, "nothing left to do"


def test_features_from_the_cache_are_the_same(bench: Bench, straight: Path) -> None:
    entries = sorted((bench.folder / "cache").rglob("*.safetensors"))
    assert {path.parents[1].name for path in entries} == {"text", "reference", "target"}
    entries[0].write_bytes(b"damaged")
    before = {path: path.stat().st_mtime_ns for path in entries[1:]}
    for name, options in (("again", {}), ("without", {"cache": bench.folder / "other"})):
        out = bench.run(name, steps=2, batch=2, **options)
        assert exact(out) == exact(straight)[:2]
    assert {path: path.stat().st_mtime_ns for path in before} == before, "read, not made again"
    assert entries[0].read_bytes() != b"damaged", "made again, as it was needed"


def test_subject_parameters_load_beside_their_base_and_change_the_picture(
    bench: Bench, straight: Path
) -> None:
    adapter = straight / "subject.safetensors"
    assert identify(adapter).adapter
    with pytest.raises(FileNotFoundError, match=r"put infinity\.safetensors"):
        load_transformer(adapter)
    models = bench.folder / "models"
    models.mkdir()
    shutil.copy(bench.base, models)
    loaded = load_transformer(shutil.copy(adapter, models)).module
    average = bench.state("straight")["average"]
    assert all(torch.equal(loaded.get_parameter(name), tensor) for name, tensor in average.items())
    kinds = ("semantic_width", "semantic_length", "content_width", "content_length")
    sizes = {name: getattr(loaded.config, name) for name in kinds}
    untrained = load_model(bench.base, None, sizes, 0)
    first, second = _sampled(untrained), _sampled(loaded)
    assert first.shape == second.shape == (1, 3, 256, 256) and not torch.equal(first, second)


@torch.no_grad()
def _sampled(model: Any) -> torch.Tensor:
    """A picture of random features."""
    noise, config = torch.Generator().manual_seed(2), model.config
    text = TextFeatures(torch.randn(4, config.text_width, generator=noise))
    patches = torch.randn(1, config.semantic_length - 1, config.semantic_width, generator=noise)
    semantic = SemanticFeatures(torch.randn(1, config.semantic_width, generator=noise), patches)
    side = math.isqrt(config.content_length)
    content = ContentFeatures(torch.randn(1, config.content_width, side, side, generator=noise))
    settings = SamplingSettings(Guidance.constant(2.0, 3.0, 5), greedy=True)
    branches = PrefillCache(model).branches(text, semantic, content)
    *_, last = sample(model, branches, find_schedule("nano"), [0], settings)
    return load_bundle("nano").tokenizer.decode(last.codes_BdHW)


def test_an_echogen_model_is_trained_on_beside_its_own_base(bench: Bench) -> None:
    shipped, out = write_short_nano(bench.folder / "short") / "transformer.safetensors", bench.folder / "nano"
    bench.run("nano", base=None, steps=1, batch=1, ema=0, init_from=shipped, pictures_every=1)
    trained, before = (load_transformer(path).module for path in (out / "subject.safetensors", shipped))
    changed = [n for n, t in trained.state_dict().items() if not torch.equal(t, before.state_dict()[n])]
    assert changed and set(changed) == set(bench.state("nano")["trained"])
    assert identify(out / "base.safetensors").config.subject is False
    whole = load_bundle("nano", transformer=out / "subject.safetensors").transformer.state_dict()
    assert all(torch.equal(whole[name], tensor) for name, tensor in trained.state_dict().items())
    sheet = Image.open(out / "pictures" / "0000001.png")
    assert sheet.size == (4 * 256, 3 * 256)


def test_broken_pictures_are_replaced_and_counted(bench: Bench) -> None:
    folder = bench.folder / "faulty"
    rows = [small.row(i) for i in range(4)] + [
        small.row(0, output_image="img/gone.png"),
        small.row(1, cond_image="img/broken.png"),
        "{",
    ]
    small.write_rows(folder, rows)
    (bench.folder / "img" / "broken.png").write_bytes(b"\x89PNG broken")
    words = small.arguments(folder, bench.folder / "run-faulty", base=bench.base, steps=1, batch=7, workers=1)
    words += ["--images", str(bench.folder), "--cache", str(bench.folder / "cache")]
    assert main(words) == 0
    (record,) = small.records(bench.folder / "run-faulty")
    assert record["faults"] == {"missing picture": 1, "unreadable picture": 1, "no JSON": 1}


def test_one_batch_is_learnt_by_heart(bench: Bench) -> None:
    """Every bit of a picture can be learnt: inputs, labels, loss and steps belong together."""
    # a base that can attend to single tokens and be certain of bits: a softer one takes four times the steps
    base = small.make_base(bench.folder / "decided", head=60, attention=math.log(30))
    plain = {"flips": 0, "drop": 0, "short": 0, "ema": 0, "no_checkpointing": True}
    learning = {"base_rate": 256 * 0.006, "slow": 1, "schedule": "cosine", "warmup": 10}
    run = {"steps": 160, "batch": 1, "log_every": 10, "data": bench.single}
    out = bench.run("by-heart", base=base, **plain, **learning, **run)
    last = small.records(out)[-1]
    tokens = [h * w for h, w in find_schedule("nano").scales]
    right = sum(share * count for share, count in zip(last["bit_accuracy"], tokens, strict=True)) / sum(
        tokens
    )
    assert right > 0.99, last


@pytest.mark.parametrize("half", [False, True])
def test_checkpointing_changes_no_gradient(half: bool, bench: Bench) -> None:
    sizes = {"semantic_width": 32, "semantic_length": 17, "content_width": 16, "content_length": 16}
    gradients = []
    for again in (False, True):
        model = load_model(bench.base, None, sizes, 1)
        model.dtype = torch.bfloat16 if half else torch.float32
        generator = torch.Generator().manual_seed(3)
        schedule = find_schedule("nano")
        given = small.random_inputs(model.config, generator, 2)
        keep = torch.tensor([[True, False], [False, True], [True, True]])
        inputs = torch.randn(2, schedule.tokens - 1, model.config.bits, generator=generator)
        TeacherForcedModel(model, again)(given, keep, inputs, schedule).square().mean().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient.dtype == torch.float32 and gradient.isfinite().all()
        assert torch.equal(gradient, gradients[1][name]), name


PEAK = """
import sys
from echogen_core.training.__main__ import main
from tests.peak_memory import peak_bytes
status = main(sys.argv[1:])
print(peak_bytes())
sys.exit(status)
"""


def test_the_documented_miniature_learns_and_takes_the_memory_that_it_says(tmp_path: Path) -> None:
    """The printed command, shortened: the same two pictures at every step, with nothing drawn at random."""
    (printed,) = (
        command
        for command in documented_commands("docs/training.md")
        if "nano" in command.words and command.words[:3] == ("python", "-m", "echogen_core.training")
    )
    rows = small.make_rows(tmp_path, 2)
    swapped = {"rows": str(rows), "run": str(tmp_path / "run")}
    words = [swapped.get(word, word) for word in printed.words[3:]]
    words += f"--images {tmp_path} --steps 4 --workers 0 --log-every 1 --pictures-every 0".split()
    words += ["--drop", "0", "--flips", "0", "--short", "1"]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *words], cwd=small.ROOT, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, *_, last = losses(tmp_path / "run")
    assert last < 0.9 * first
    assert small.records(tmp_path / "run")[0]["lr"] == pytest.approx(0.02 * 2 / 256)
    said = re.search(r"memory on each process, about ([\d.]+) GB", done.stderr)
    assert said and 0.75 < float(said[1]) / (int(done.stdout) / 1e9) < 1.33
