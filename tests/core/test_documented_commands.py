"""Every command that a page prints: run as printed at a tiny size, or read by the real parser of its program.

A new command needs a line in REHEARSALS. Where it can be run, VALUES swaps what it names for small things of
the test's own, and the rehearsal's `sizes` are appended (an option given twice counts the second time).
"""

from __future__ import annotations

import argparse
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import pytest

from echogen_core.__main__ import main as core
from echogen_core.checkpoints import ASSETS, load_part, save_part
from echogen_core.encoders import SemanticEncoder
from echogen_core.evaluation.__main__ import main as evaluation
from echogen_core.model import EchoGenTransformer
from echogen_core.subject.samples import FOLDER as SAMPLES
from echogen_core.training.__main__ import main as training
from miniature.__main__ import main as miniature

from .documented import PAGES, ROOT, Command, documented_commands
from .small_scorers import write_dreambench, write_networks
from .training_runs import make_rows

pytestmark = pytest.mark.usefixtures("one_thread")

NANO = ASSETS / "nano"
COMMANDS = [command for page in PAGES for command in documented_commands(page)]
MODULES: dict[str, Callable[[list[str]], int]] = {
    "echogen_core": core,
    "echogen_core.training": training,
    "echogen_core.evaluation": evaluation,
    "miniature": miniature,
}


class Understood(BaseException):
    """Raised in the place of a parser's result: the command line was accepted, nothing is to be done."""


@dataclass(frozen=True)
class Rehearsal:
    """How a command is tried. sizes: appended. parsed: why it is only read by its parser, "" if it is run.

    exempt: why not even that.
    """

    sizes: str = ""
    parsed: str = ""
    exempt: str = ""


SCORES = "--subjects 1 --prompts 1 --pictures 1 --dino {dino} --clip {clip} --device cpu --threads 1"
TRAINING = "--images {images} --steps 1 --batch 1 --accumulate 1 --workers 0 --pictures-every 0"
DOWNLOADS = "loads packages or weights from the network"
SECONDS_EACH = "tests/miniature runs every stage; here its options are read"
REHEARSALS: Mapping[str, Rehearsal] = {
    "python run.py": Rehearsal(parsed="sets up an environment; tests/e2e does it"),
    "python -m echogen_core generate": Rehearsal(),
    "python -m echogen_core models": Rehearsal("--comfyui {comfyui}"),
    "python -m echogen_core models download": Rehearsal(parsed="downloads 20 GB; test_download has a hub"),
    "python -m echogen_core convert": Rehearsal(),
    "python -m echogen_core.training": Rehearsal(TRAINING),
    "python -m echogen_core.evaluation dreambench": Rehearsal(SCORES),
    "python -m echogen_core.evaluation ablations": Rehearsal(f"{SCORES} --grid-t 1 --grid-i 0"),
    "python -m echogen_core.evaluation latency": Rehearsal("--runs 1 --device cpu --threads 1"),
    "python -m miniature": Rehearsal(parsed=SECONDS_EACH),
    "python benchmarks/": Rehearsal(parsed="takes hours"),
    "torchrun --nproc-per-node 2 -m echogen_core.training": Rehearsal(TRAINING),
    "torchrun --nproc-per-node 2 -m echogen_core.evaluation dreambench": Rehearsal(SCORES),
    "accelerate launch": Rehearsal(parsed="needs GPUs; test_training_runs has FSDP on CPUs"),
    "pip install": Rehearsal(exempt=DOWNLOADS),
    "git clone": Rehearsal(exempt=DOWNLOADS),
    "hf download": Rehearsal(exempt=DOWNLOADS),
    ".venv/bin/pytest": Rehearsal(exempt="a test in a test; the files must be there, see below"),
}
"""Beginning of a command -> rehearsal; the longest counts."""


def rehearsal(command: Command) -> Rehearsal:
    """The command's own. KeyError, saying what to add, for a command without one."""
    fitting = [begin for begin in REHEARSALS if command.text.startswith(begin)]
    if not fitting:
        raise KeyError(
            f"{command.page}:{command.line} prints a command that no test runs: {command.text}. Add its "
            "beginning to REHEARSALS in tests/core/test_documented_commands.py."
        )
    return REHEARSALS[max(fitting, key=len)]


# --- what the pages name


@pytest.fixture(scope="module")
def values(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Value in a printed command -> small thing in its place."""
    folder = tmp_path_factory.mktemp("documented")
    dino, clip = write_networks(folder / "networks")
    model = load_part(NANO / "transformer.safetensors", "transformer")
    plain = replace(model.config, subject=False)
    state = model.state_dict()
    base = EchoGenTransformer(plain, device="meta")
    base.load_state_dict({name: state[name] for name in base.state_dict()}, assign=True)
    infinity = save_part(folder / "base.safetensors", "transformer", base, plain, None)
    semantic = load_part(NANO / "semantic.safetensors", "semantic").config
    save_part(folder / "other/semantic.safetensors", "semantic", SemanticEncoder(semantic), semantic, None)
    (folder / "comfyui/models").mkdir(parents=True)
    own = {
        "rows": make_rows(folder / "pairs"),
        "{images}": folder / "pairs",
        "dreambooth": write_dreambench(folder / "dreambench"),
        "{dino}": dino,
        "{clip}": clip,
        "{comfyui}": folder / "comfyui",
        "cat.png": SAMPLES / "teddy_bear.png",
        "models/diffusion_models/infinity_2b_reg.pth": infinity,
        "infinity_2b_reg.pth": infinity,
        "echogen_core/assets/nano/transformer.safetensors": NANO / "transformer.safetensors",
        "echogen_2b.pth": NANO / "transformer.safetensors",
        "run/subject.safetensors": NANO / "transformer.safetensors",
        "flan-t5-xl": NANO / "text.safetensors",
        "models": NANO,
        **{f"ComfyUI/models{kind}": NANO for kind in ("", "/diffusion_models", "/vae", "/text_encoders")},
        "ComfyUI/models/clip_vision": NANO,
        "echogen-2b": "nano",
        "semantic=other-dinov2": f"semantic={folder / 'other'}",
    }
    return {word: str(value) for word, value in own.items()}


def tiny(command: Command, values: Mapping[str, str]) -> list[str]:
    """The printed words, values swapped and sizes appended. A dry run reads no weights: it stays as it is."""
    sizes = rehearsal(command).sizes.split()
    if "--dry-run" in command.words:
        values, sizes = {name: values[name] for name in ("rows", "{images}")}, ["--images", "{images}"]
    return [*command.words[:4], *(values.get(word, word) for word in (*command.words[4:], *sizes))]


@pytest.fixture
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the command runs: what it writes by a relative path lands here."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path


# --- the commands


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page}:{command.line}")
def test_a_printed_command_does_what_it_says(
    command: Command,
    values: dict[str, str],
    work_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how = rehearsal(command)
    for name, value in command.environment.items():
        monkeypatch.setenv(name, value)
    if how.exempt:
        assert all((ROOT / word).exists() for word in command.words if word.startswith("tests/"))
    elif how.parsed:
        read(command)
    elif command.words[0] == "torchrun":
        launch(tiny(command, values))
    else:
        assert MODULES[command.words[2]](tiny(command, values)[3:]) == 0


def test_a_command_without_a_rehearsal_is_named() -> None:
    command = Command("docs/new.md", 7, {}, ("python", "new.py"))
    with pytest.raises(KeyError, match=r"docs/new\.md:7 prints a command that no test runs: python new\.py"):
        rehearsal(command)


def test_an_option_that_does_not_exist_is_noticed() -> None:
    command = Command("docs/new.md", 7, {}, ("python", "run.py", "--nothing"))
    with pytest.raises(SystemExit):
        read(command)


def read(command: Command) -> None:
    """Has the program's own parser read the words; it stops there."""
    if command.words[0] == "accelerate":
        from accelerate.commands.launch import launch_command_parser

        args = launch_command_parser().parse_args(list(command.words[2:]))
        assert args.module and args.training_script in MODULES
        command = command._replace(words=("python", "-m", args.training_script, *args.training_script_args))
    assert command.words[0] == "python"
    with pytest.raises(Understood), mock.patch.object(argparse.ArgumentParser, "parse_args", _parse_only):
        if command.words[1] == "-m":
            MODULES[command.words[2]](list(command.words[3:]))
        else:
            script = ROOT / command.words[1]
            with mock.patch.object(sys, "argv", [str(script), *command.words[2:]]):
                runpy.run_path(str(script), run_name="__main__")


_parse_args = argparse.ArgumentParser.parse_args


def _parse_only(parser: argparse.ArgumentParser, *given: object) -> argparse.Namespace:
    _parse_args(parser, *given)  # type: ignore[call-overload]
    raise Understood


def launch(words: list[str]) -> None:
    """torchrun as printed, on a port that nobody else has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--master-port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, *words[1:]], env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
