"""Runs that resume, fail or get other options: what is saved, what is refused, what holds."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from echogen_core.checkpoints import ASSETS, identify, load_transformer, save_part
from echogen_core.checkpoints.format import BASE_SHA256
from echogen_core.checkpoints.read import read_weights
from echogen_core.config import PRESETS
from echogen_core.encoders import ENCODERS
from echogen_core.model import EchoGenTransformer
from echogen_core.scales import find_schedule
from echogen_core.training import PROGRAM
from echogen_core.training.__main__ import main
from echogen_core.training.command import make_trainer
from echogen_core.training.estimate import Machine, estimate
from echogen_core.training.initialise import initialise
from echogen_core.training.recipe import Recipe
from echogen_core.training.run_log import RunLog
from echogen_core.training.run_options import make_parser
from echogen_core.training.state_file import write_state
from echogen_core.utils.locks import exclusive_lock
from tests.core import warm_process
from tests.core.stopped import POSIX, Process

from . import training_runs as small
from .training_runs import TRAINING, Bench

SHIPPED = ASSETS / "nano" / "transformer.safetensors"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def first(bench: Bench) -> Path:
    """One step of four pictures, with the gradient clipped far below its size; to be copied, not changed."""
    return bench.run("first", steps=1, batch=2, accumulate=2, clip=0.001, base_rate=0.5, slow=0.25)


def copied(bench: Bench, first: Path, name: str) -> Path:
    return Path(shutil.copytree(first, bench.folder / name))


def groups(state: dict[str, Any]) -> set[tuple[float, float]]:
    """(rate of the last step, weight decay) of the optimiser's groups."""
    return {(group["lr"], group["weight_decay"]) for group in state["optimizer"]["param_groups"]}


def other_base(folder: Path, width: int) -> Path:
    """A base with other numbers: of the bench's sizes at width 128."""
    config = replace(small.PLAIN, width=width)
    model = EchoGenTransformer(config)
    initialise(model, torch.Generator().manual_seed(7))
    return save_part(folder / f"other-{width}.safetensors", "transformer", model, config, None)


# --- a step


def test_the_rate_follows_the_pictures_a_step(bench: Bench, first: Path) -> None:
    peak = 0.5 * 2 * 2 / 256
    assert small.records(first)[0]["lr"] == pytest.approx(peak)
    rates = {(peak, 0.005), (peak, 0.0), (peak / 4, 0.005), (peak / 4, 0.0)}
    assert groups(bench.state("first")) == rates


def test_the_gradient_is_clipped(bench: Bench, first: Path) -> None:
    """AdamW's first moment after one step is a tenth of the gradient that it was given."""
    assert small.records(first)[0]["grad_norm"] > 0.01
    moments = [moment["exp_avg"] for moment in bench.state("first")["optimizer"]["state"].values()]
    norm = math.sqrt(sum(float(moment.double().square().sum()) for moment in moments))
    assert norm == pytest.approx((1 - 0.9) * 0.001, rel=1e-3)


def test_a_gradient_that_is_no_number_stops_the_run_before_it_is_used(bench: Bench, first: Path) -> None:
    copied(bench, first, "infinite")
    words = bench.arguments("infinite", steps=2, batch=2, accumulate=2, save_every=1)
    trainer = make_trainer(make_parser().parse_args(words))
    weight = next(iter(trainer.trained.values()))
    before = weight.detach().clone()
    weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(ValueError, match=r"norm of the gradient is (nan|inf) at step 2: lower --base-rate"):
        trainer.run()
    assert torch.equal(weight, before) and bench.state("infinite")["step"] == 1


# --- going on


def test_changed_rates_and_decay_hold_from_where_a_run_goes_on(bench: Bench, first: Path) -> None:
    copied(bench, first, "changed")
    bench.run("changed", steps=2, batch=4, base_rate=0.25, slow=0.5, weight_decay=0.1)
    peak = 0.25 * 4 / 256
    rates = {(peak, 0.1), (peak, 0.0), (peak / 2, 0.1), (peak / 2, 0.0)}
    assert groups(bench.state("changed")) == rates
    assert [record["lr"] for record in small.records(bench.folder / "changed")][1] == pytest.approx(peak)


@pytest.mark.parametrize("width", [128, 64])
def test_a_run_does_not_go_on_beside_another_base(
    width: int, bench: Bench, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(bench, first, f"rebased-{width}")
    other = other_base(bench.folder, width)
    assert main(bench.arguments(out.name, base=other, steps=2, batch=4)) == 2
    said = capsys.readouterr().err
    assert f"another base: it has {bench.base.name} (" in said and f"gives {other.name} (" in said
    assert "Use the same base to resume, or another --out" in said
    digests = [read_weights(folder / "subject.safetensors").metadata[BASE_SHA256] for folder in (out, first)]
    assert digests[0] == digests[1] == bench.state("first")[BASE_SHA256]


def test_a_run_does_not_go_on_with_other_sizes_of_the_subject(
    bench: Bench, first: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(bench, first, "resized")
    state = bench.state("resized")
    name = next(name for name in state["trained"] if "semantic" in name)
    state["trained"][name] = torch.zeros(3)
    torch.save(state, out / "state.pt")
    assert main(bench.arguments("resized", steps=2, batch=4)) == 2
    said = capsys.readouterr().err
    assert f"other subject parameters ({name} [3] instead of [" in said and "--init-from and --parts" in said


def test_a_written_base_is_not_mistaken_for_that_of_another_start(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder has the base of an earlier run that never got to its first state."""
    out = bench.folder / "stale"
    out.mkdir()
    shutil.move(other_base(out, 128), out / "base.safetensors")
    before = (out / "base.safetensors").read_bytes()
    words = small.arguments(
        bench.rows, out, init_from=SHIPPED, steps=1, batch=1, cache=bench.folder / "cache"
    )
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "base.safetensors is the base of another run" in said and "another --out" in said
    assert (out / "base.safetensors").read_bytes() == before


def test_processes_that_read_different_states_do_not_go_on(bench: Bench, first: Path) -> None:
    """Two machines with a folder each, of which one has the state."""
    copied(bench, first, "machine-0")
    processes = bench.start(("machine-0", "machine-1"), 2, steps=2, batch=2)
    assert [warm_process.status(process) for process in processes] == [2, 2]
    for number in range(2):
        text = bench.said(number).read_text("utf-8")
        assert (
            "different steps: 1 on process 0, 0 on process 1" in text and "a folder that they share" in text
        )


def test_faults_of_pictures_are_counted_on(bench: Bench) -> None:
    rows = [small.row(0), small.row(1, output_image="img/gone.png"), "{"]
    small.write_rows(bench.folder / "gappy", rows)
    options = {"batch": 2, "images": bench.folder, "data": bench.folder / "gappy"}
    bench.run("faulty", steps=1, **options)
    (bench.folder / "img" / "gone.png").write_bytes((bench.folder / "img" / "output_1.png").read_bytes())
    bench.run("faulty", steps=2, **options)
    counts = [record["faults"] for record in small.records(bench.folder / "faulty")]
    assert counts == [{"missing picture": 1, "no JSON": 1}] * 2


# --- saving


def test_the_subject_parameters_are_there_when_all_steps_are_done(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its place is taken at the last step: the same command again has to write it."""
    options = {"steps": 1, "batch": 1}
    adapter = bench.folder / "blocked" / "subject.safetensors"
    adapter.mkdir(parents=True)
    assert main(bench.arguments("blocked", **options)) == 2
    assert "subject.safetensors" in capsys.readouterr().err
    adapter.rmdir()
    bench.run("blocked", **options)
    assert identify(adapter).adapter and load_transformer(adapter, base=bench.base)


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_what_stops_the_writing_of_a_state_is_told_and_the_earlier_one_stays(
    stop: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's writer puts a RuntimeError before it."""
    path = tmp_path / "state.pt"
    write_state(path, {"step": 1})
    real = torch.save

    def stopped(state: Any, file: Any) -> None:
        def write(content: Any) -> int:
            raise stop

        real(state, SimpleNamespace(write=write, flush=file.flush))

    monkeypatch.setattr(torch, "save", stopped)
    words = r"state\.pt: it takes 4\.0 MB" if isinstance(stop, OSError) else None
    with pytest.raises(type(stop), match=words):
        write_state(path, {"step": 2, "weights": [torch.zeros(1_000_000)]})
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.pt"]
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_a_state_too_large_for_the_disk_is_not_begun(tmp_path: Path) -> None:
    """A tensor without memory, of a size that no disk has."""
    huge = torch.empty(1 << 48, device="meta")
    with pytest.raises(OSError, match=r"state\.pt: it takes 1125\.90 TB, and .* are free"):
        write_state(tmp_path / "state.pt", {"optimizer": {"moment": huge}})
    assert not list(tmp_path.iterdir())


def test_processes_wait_for_a_long_save_and_share_gradients_with_their_buckets(bench: Bench) -> None:
    words = bench.arguments("patient", steps=1, batch=1)
    accelerator = make_trainer(make_parser().parse_args(words)).accelerator
    assert accelerator.init_handler.timeout.total_seconds() > 3600
    assert accelerator.ddp_handler.gradient_as_bucket_view


def test_the_estimate_has_gradients_that_are_accumulated_before_they_are_exchanged() -> None:
    preset = PRESETS["nano"]

    def buckets(processes: int, sharded: bool, accumulate: int) -> int:
        machine, recipe = Machine(processes, sharded, False, False, 1e12), Recipe(accumulate=accumulate)
        sizes = preset.transformer, ENCODERS["nano"], preset.tokenizer, find_schedule("nano")
        found = estimate(*sizes, recipe, machine)
        assert found.memory["gradients to exchange"] in (0, 4 * found.trained)
        return found.memory["gradients to exchange"]

    assert buckets(2, False, accumulate=2) > 0
    assert not any((buckets(1, False, 2), buckets(2, True, 2), buckets(2, False, 1)))


# --- killed

WITH_SHEETS = {"steps": 2, "batch": 1, "save_every": 1, "pictures_every": 1}


@pytest.fixture(scope="module")
def drawn(bench: Bench) -> Path:
    """Two steps with a sheet of one picture each, never stopped."""
    return bench.run("drawn", **WITH_SHEETS, data=bench.single)


def test_a_kill_between_saving_and_drawing_costs_no_sheet(bench: Bench, drawn: Path) -> None:
    """The same sheet, bit for bit, when the run is started again; also when no step was left to do."""
    words = bench.arguments("killed", **WITH_SHEETS, data=bench.single)
    moment = "echogen_core.training.trainer.draw_sheet"
    with Process(moment, TRAINING, *words) as process:
        process.arrive().running.kill()
        process.running.join(300)
    out = bench.folder / "killed"
    expected = {path.name: path.read_bytes() for path in (drawn / "pictures").iterdir()}
    assert bench.state("killed")["step"] == 1 and not (out / "pictures").exists()
    bench.run("killed", **WITH_SHEETS, data=bench.single)
    assert len(expected) == 2
    assert {path.name: path.read_bytes() for path in (out / "pictures").iterdir()} == expected
    assert [record["step"] for record in small.records(out)] == [1, 2]
    (out / "pictures" / "0000002.png").unlink()
    bench.run("killed", **WITH_SHEETS, data=bench.single)
    assert {path.name: path.read_bytes() for path in (out / "pictures").iterdir()} == expected


def test_a_run_that_is_terminated_while_its_state_is_written(bench: Bench, first: Path) -> None:
    """It and the process that reads its pictures, which is at work for the steps to come."""
    out = copied(bench, first, "terminated")
    words = bench.arguments("terminated", steps=4, batch=2, accumulate=2, workers=1, save_every=1)
    with Process("os.replace@state.pt", TRAINING, *words) as process:
        status, said = process.arrive().end(signal.SIGTERM, group=True)
    assert bench.state("terminated")["step"] == 1, "the earlier state stays"
    if POSIX:
        assert status == 143 and said.endswith("echogen_core.training: stopped (SIGTERM).\n")
        assert "Traceback" not in said and "Exception" not in said
        assert not list(out.glob(".*"))
    bench.run("terminated", steps=2, batch=2, accumulate=2)
    assert bench.state("terminated")["step"] == 2


def test_a_log_is_cut_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on drops the records of steps that it repeats."""
    log = tmp_path / "log.jsonl"
    log.write_text("".join(f'{{"step": {step}}}\n' for step in range(1, 6)) + '{"st')
    before = log.read_bytes()

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(os, "replace", kill)
        RunLog(tmp_path, 3)
    assert log.read_bytes() == before
    journal = RunLog(tmp_path, 3)
    journal.record(4, {})
    journal.close()
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2, 3, 4]


def test_two_runs_do_not_write_into_one_folder(
    bench: Bench, first: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("echogen_core.utils.locks.WAITING_REPORT_SECONDS", 0.1)
    with exclusive_lock(first / ".lock"):
        assert main(bench.arguments("first", steps=2, batch=2, accumulate=2)) == 2
    assert "is in use by another run" in capsys.readouterr().err
    assert bench.state("first")["step"] == 1


# --- the command


def test_what_a_run_takes_is_said_before_it_starts(
    bench: Bench, first: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copied(bench, first, "said")
    with caplog.at_level("INFO"):
        bench.run("said", steps=1, batch=2, accumulate=2)
    lines = [record.getMessage() for record in caplog.records]
    begin = next(i for i, line in enumerate(lines) if line.startswith("memory on each process, about"))
    assert any("trained weights" in line for line in lines[begin:])
    assert any("trained, " in line and "frozen" in line for line in lines[:begin])
    assert lines.index("Nothing to do: 1 step done. Raise --steps to train on.") > begin


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "--steps: expected a whole number of at least 1, got '0'"),
        ({"drop": 1.5}, "--drop: expected a number from 0 to 1, got '1.5'"),
        ({"clip": -1}, "--clip: expected a number above 0, got '-1'"),
        ({"warmup": -1}, "--warmup: expected a whole number of at least 0, got '-1'"),
        ({"base_rate": "nan"}, "--base-rate: expected a number above 0, got 'nan'"),
        ({"base_rate": 0}, "--base-rate: expected a number above 0, got '0'"),
        ({"ema": 1}, "--ema: expected a number of at least 0 and below 1, got '1'"),
        ({"precision": "fp16"}, "--precision: expected fp32 or bf16, got 'fp16': small gradients vanish"),
    ],
)
def test_options_out_of_range_are_named_with_their_range(
    options: dict[str, Any], message: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(bench.arguments("refused", **options))
    said = capsys.readouterr().err
    assert said.startswith(f"{PROGRAM}: {message}") and said.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"base": ASSETS / "nano" / "tokenizer.safetensors"},
            "expected a transformer of EchoGen or Infinity with --base.",
        ),
        ({"parts": "nowhere"}, "--parts nowhere is not a folder"),
        ({"cache": ASSETS / "nano" / "README.md"}, "README.md is not a folder"),
        (
            {"base": "nowhere", "init_from": ASSETS / "nano" / "transformer.safetensors"},
            "--base nowhere does",
        ),
    ],
)
def test_a_dry_run_checks_the_named_files(
    options: dict[str, Any], message: str, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(bench.arguments("refused", **options, dry_run=True)) == 2
    assert message in capsys.readouterr().err


def test_a_warm_up_that_never_ends_is_said(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for warmup, said in ((3, False), (300, True)):
        assert main(bench.arguments("dry", steps=100, warmup=warmup, dry_run=True)) == 0
        assert ("warm-up (300 steps)" in capsys.readouterr().out) is said
