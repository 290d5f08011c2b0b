"""Every command that a page prints: run as printed at a tiny size, or read by the real parser of its program.

A new command needs a line in REHEARSALS. Where it can be run, VALUES swaps what it names for small things of
the test's own, and the rehearsal's `sizes` are appended (an option given twice counts the second time).
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
from kept_looks import small_looks
from short_nano import BLOCKS, first_blocks, write_short_nano

from echogen_core.__main__ import main as core
from echogen_core.checkpoints import bundle as bundle_module
from echogen_core.checkpoints import load_bundle, load_part, save_bundle, save_part
from echogen_core.config import PRESETS
from echogen_core.encoders import SemanticEncoder
from echogen_core.evaluation.__main__ import main as evaluation
from echogen_core.subject.samples import FOLDER as SAMPLES
from echogen_core.tokenizer import BitTokenizer
from echogen_core.training.__main__ import main as training
from miniature.__main__ import main as miniature
from miniature.data import panoramas
from miniature.encoded_size import without_super_resolution
from miniature.evaluation.sheet import BLIND_SCENES
from tests.core.evaluation.small_scorers import write_dreambench, write_networks
from tests.core.training.training_runs import free_port, make_rows
from tests.miniature import small_packages as workshop
from tests.miniature.prepared import write_prepared

from .documented import PAGES, ROOT, Command, documented_commands

pytestmark = pytest.mark.usefixtures("one_thread", "kept_looks")

ROOMS = ("echogen_core", "miniature", "nodes", "runner", "benchmarks")
COMMANDS: dict[tuple[object, ...], Command] = {}
for _command in (command for page in PAGES for command in documented_commands(page)):
    COMMANDS.setdefault((_command.text, *_command.environment.items()), _command)
"""Each once, where it is printed first."""
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
    """How a command is tried.

    sizes: appended. own: word -> small thing in its place, before `values`. constants: of a script, replaced.
    parsed: why it is only read by its parser, "" if it is run. exempt: why not even that.
    """

    sizes: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, object] = field(default_factory=dict)
    parsed: str = ""
    exempt: str = ""


SCORES = "--subjects 1 --prompts 1 --pictures 1 --dino {dino} --clip {clip} --device cpu --threads 1"
TRAINING = "--images {images} --steps 1 --batch 1 --accumulate 1 --workers 0 --pictures-every 0"
SECONDS = "--minutes 0.0001 --device cpu"
EVALUATION = "--subjects 2 --prompts 1 --sweep-prompts 0 --seeds 1 --device cpu"
DOWNLOADS = "loads packages or weights from the network"
SERVERS = "takes no options, starts ComfyUI for minutes; tests/e2e sends a sample"
REHEARSALS: Mapping[str, Rehearsal] = {
    "python run.py": Rehearsal(parsed="sets up an environment; tests/e2e does it"),
    "python -m echogen_core generate": Rehearsal(),
    "python -m echogen_core batch": Rehearsal("--device cpu --threads 1"),
    "python -m echogen_core batch jobs.csv --out pictures --model": Rehearsal(
        "--device cpu --threads 1", own={"jobs.csv": "{one job}"}
    ),
    "python -m echogen_core models": Rehearsal("--comfyui {comfyui}"),
    "python -m echogen_core models download": Rehearsal(parsed="downloads 20 GB; test_download has a hub"),
    "python -m echogen_core convert": Rehearsal(),
    "python -m echogen_core.training": Rehearsal(TRAINING),
    "python -m echogen_core.evaluation": Rehearsal(),
    "python -m echogen_core.evaluation dreambench": Rehearsal(SCORES),
    "python -m echogen_core.evaluation ablations": Rehearsal(f"{SCORES} --grid-t 1 --grid-i 0"),
    "python -m echogen_core.evaluation latency": Rehearsal("--runs 1 --device cpu --threads 1"),
    "python -m miniature": Rehearsal(),
    "python -m miniature STAGE": Rehearsal(exempt="test_commands asks every stage for its help"),
    "python -m miniature prepare": Rehearsal(
        "--picture 16 --sprite 16 --workers 1 --furniture {furniture} --npm {npm}"
    ),
    "python -m miniature pack --data data --npm": Rehearsal(own={"data": "{small data}"}),
    "python -m miniature pack --data data256": Rehearsal(own={"data256": "{small data}"}),
    "python -m miniature pack": Rehearsal("--workers 1", {"data": "unpacked"}),
    "python -m miniature tokenizer": Rehearsal(f"{SECONDS} --batch 2 --workers 1"),
    "python -m miniature semantic": Rehearsal(f"{SECONDS} --threads 1 --pairs 4"),
    "python -m miniature content": Rehearsal(f"{SECONDS} --threads 1 --pictures 4"),
    "python -m miniature transformer": Rehearsal(f"{SECONDS} --batch 2 --targets 1"),
    "python -m miniature null-features": Rehearsal(f"{SECONDS} --conditions 1"),
    "python -m miniature all": Rehearsal(
        parsed="tests/miniature/training/test_all_stages.py cuts it off and goes on"
    ),
    "python -m miniature decoder": Rehearsal(f"{SECONDS} --pictures 4 --batch 2"),
    "python -m miniature enlarge": Rehearsal(),
    "python -m miniature evaluate": Rehearsal(f"{EVALUATION} --threads 1"),
    "python -m miniature evaluate --data data --weights": Rehearsal(
        f"{EVALUATION} --threads 1 --sheet-subjects 'heldout 0'"
    ),
    "python -m miniature editing": Rehearsal(
        parsed="tests/miniature/evaluation/editing runs it with a random nano"
    ),
    "python -m miniature cut": Rehearsal("--minutes 0.0001 --furniture {furniture}"),
    "python benchmarks/end_to_end.py": Rehearsal(parsed="test_end_to_end_benchmark runs it, tiny"),
    "python benchmarks/batch.py": Rehearsal(
        parsed="starts nine processes; tests/core/batch kills and finishes a small table"
    ),
    "python benchmarks/decoding.py": Rehearsal("--runs 1 --preset nano"),
    "python benchmarks/edits.py": Rehearsal("--runs 1"),
    "python benchmarks/previews.py": Rehearsal(parsed="runs nodes in a ComfyUI, not here"),
    "python benchmarks/nano_settings.py": Rehearsal(
        "--subjects 2 --gamma-t 2 --gamma-i 2 --tau 0.5 --device cpu --threads 1"
    ),
    "python benchmarks/super_resolution.py": Rehearsal(constants={"PICTURES": 2}),
    "python benchmarks/late_scales.py": Rehearsal(
        "--subjects 2 --prompts 1 --runs 1", constants={"PRESET": "nano"}
    ),
    "python benchmarks/segmentation.py": Rehearsal(
        "--furniture {furniture}", constants={"SINGLES": 1, "SMALL": 0, "PAIRS": 1, "RUNS": 1}
    ),
    "python benchmarks/segmentation_photos.py": Rehearsal(
        "--out sheet.png", constants={"PHOTOS": {"chelsea.png": (20, 0, 385, 300)}}
    ),
    "python benchmarks/model_lists.py": Rehearsal(parsed="lists nodes' models in a ComfyUI, not here"),
    "python tests/tools/fuzz_files.py": Rehearsal(parsed="test_fuzz_files opens a sample of its files"),
    "python tests/tools/load_server.py": Rehearsal(parsed="hundreds of pictures in a ComfyUI"),
    "python tests/tools/hostile_server.py": Rehearsal(exempt=SERVERS),
    "python tests/tools/try_start_options.py": Rehearsal(exempt=SERVERS),
    "python tests/tools/make_u2netp.py": Rehearsal(exempt="takes no options, reads a package of weights"),
    "torchrun --nproc-per-node 2 -m echogen_core batch": Rehearsal(own={"jobs.csv": "{one job}"}),
    "torchrun --nproc-per-node 2 -m echogen_core.training": Rehearsal(TRAINING),
    "torchrun --nproc-per-node 2 -m echogen_core.evaluation dreambench": Rehearsal(SCORES),
    "accelerate launch": Rehearsal(parsed="needs GPUs; test_training_runs has FSDP on CPUs"),
    "tensorboard": Rehearsal(exempt="serves a page until it is stopped"),
    "pip install": Rehearsal(exempt=DOWNLOADS),
    "git clone": Rehearsal(exempt=DOWNLOADS),
    "git log": Rehearsal(exempt="needs the repository's history"),
    "hf download": Rehearsal(exempt=DOWNLOADS),
    ".venv/bin/pytest": Rehearsal(
        exempt="tests/packaging/test_contributing.py has a ComfyUI to try them with"
    ),
}
"""Beginning of a command -> rehearsal; the longest counts."""


def rehearsal(command: Command) -> Rehearsal:
    """The command's own. KeyError, saying what to add, for a command without one."""
    fitting = [begin for begin in REHEARSALS if command.text.startswith(begin)]
    if not fitting:
        raise KeyError(
            f"{command.page}:{command.line} prints a command that no test runs: {command.text}. Add its "
            "beginning to REHEARSALS in tests/repository/test_documented_commands.py."
        )
    return REHEARSALS[max(fitting, key=len)]


# --- what the pages name


@pytest.fixture(scope="module")
def values(
    one_thread: None, small_workshop: None, nano: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Value in a printed command -> small thing in its place."""
    folder = tmp_path_factory.mktemp("documented")
    dino, clip = write_networks(folder / "networks")
    model = load_part(nano / "transformer.safetensors", "transformer")
    base = first_blocks(model, subject=False)
    infinity = save_part(folder / "base.safetensors", "transformer", base, base.config, None)
    semantic = load_part(nano / "semantic.safetensors", "semantic").config
    save_part(folder / "other/semantic.safetensors", "semantic", SemanticEncoder(semantic), semantic, None)
    (folder / "comfyui/models").mkdir(parents=True)
    own = miniature_values(folder, nano) | {
        "rows": make_rows(folder / "pairs"),
        "{images}": folder / "pairs",
        "dreambooth": write_dreambench(folder / "dreambench"),
        "{dino}": dino,
        "{clip}": clip,
        "{comfyui}": folder / "comfyui",
        "cat.png": SAMPLES / "teddy_bear.png",
        "jobs.csv": documented_jobs(folder),
        "{one job}": write_job(folder / "one.jsonl"),
        **{f"reference={name}.png": f"reference={SAMPLES / 'teddy_bear.png'}" for name in ("cat", "dog")},
        **dict.fromkeys(("sofa.jpg", "sofa-mask.png"), SAMPLES / "siamese_cat.png"),
        "models/diffusion_models/infinity_2b_reg.pth": infinity,
        "infinity_2b_reg.pth": infinity,
        "echogen_core/assets/nano/transformer.safetensors": nano / "transformer.safetensors",
        "echogen_2b.pth": nano / "transformer.safetensors",
        "run/subject.safetensors": nano / "transformer.safetensors",
        "flan-t5-xl": nano / "text.safetensors",
        "models": nano,
        **{f"ComfyUI/models{kind}": nano for kind in ("", "/diffusion_models", "/vae", "/text_encoders")},
        "ComfyUI/models/clip_vision": nano,
        "echogen-2b": "nano",
        "semantic=other-dinov2": f"semantic={folder / 'other'}",
    }
    return {word: str(value) for word, value in own.items()}


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """nano with few blocks and a narrow random tokenizer, which commands may change.

    The preset has these sizes, and the pack these weights: for commands that name none.
    """
    folder, preset = write_short_nano(tmp_path_factory.mktemp("assets") / "nano"), PRESETS["nano"]
    narrow = replace(preset.tokenizer, base_channels=32)
    save_part(folder / "tokenizer.safetensors", "tokenizer", BitTokenizer(narrow), narrow)
    small = replace(preset, transformer=replace(preset.transformer, depth=BLOCKS), tokenizer=narrow)
    with mock.patch.object(bundle_module, "ASSETS", folder.parent), mock.patch.dict(PRESETS, nano=small):
        yield folder


@pytest.fixture(scope="module")
def small_workshop() -> Iterator[None]:
    """Stand-ins, few and small pictures, and a few backgrounds of each scene in the place of hundreds."""
    few = partial(panoramas.prepare_scenes, count=4)
    packages, sizes = workshop.small_packages(), workshop.small_sizes()
    with packages, sizes, small_looks(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(panoramas, "prepare_scenes", few)
        yield


def miniature_values(folder: Path, nano: Path) -> dict[str, Path]:
    """What the miniature's commands name: data of two sizes, packages, and the shipped weights as a run's."""
    npm, furniture = workshop.write_npm(folder / "npm"), workshop.write_furniture(folder / "furniture")
    small, packed = folder / "small", folder / "packed"
    sizes = f"--picture 16 --sprite 16 --workers 1 --npm {npm} --furniture {furniture}".split()
    assert miniature(["prepare", "--out", str(small), *sizes]) == 0
    assert miniature(["pack", "--data", str(small), "--npm", str(npm), "--out", str(packed)]) == 0
    stages = ("tokenizer", "semantic", "content")
    return {
        "data": write_prepared(make(folder / "prepared"), (*BLIND_SCENES, "night")),
        "data256": write_prepared(make(folder / "prepared256"), size=256),
        "{small data}": small,
        "packed": packed,
        "runs/scenes/bundle": write_smaller(folder / "smaller", nano),
        "runs/decoder/bundle": nano,
        "node_modules": npm,
        "{npm}": npm,
        "{furniture}": furniture,
        "skimage/data": workshop.write_textures(folder / "textures"),
        "build/photos/skimage/data": workshop.write_photos(folder / "photos", ["chelsea.png"]),
        "/usr/share/tuxpaint/stamps": workshop.write_stamps(folder / "stamps"),
        "tests/golden/u2netp.safetensors": ROOT / "tests/golden/u2netp.safetensors",
        **{f"runs/{stage}/{stage}.safetensors": nano / f"{stage}.safetensors" for stage in stages},
        **dict.fromkeys(("words", "runs/begin", "runs/transformer/bundle"), nano),
        "sharp/tokenizer.safetensors": nano / "tokenizer.safetensors",
        "runs/begin/content.safetensors": nano / "content.safetensors",
    }


def write_smaller(folder: Path, nano: Path) -> Path:
    """nano, drawing at the size that it encodes."""
    bundle = load_bundle("nano", nano)
    save_bundle(replace(bundle, tokenizer=without_super_resolution(bundle.tokenizer)), folder)
    return folder


def documented_jobs(folder: Path) -> Path:
    """The table that docs/batch.md shows, with its pictures below the folder that they are named from."""
    text = (ROOT / "docs/batch.md").read_text(encoding="utf-8")
    shutil.copytree(SAMPLES, folder / SAMPLES.relative_to(ROOT))
    table = folder / "jobs.csv"
    table.write_text(text.partition("```csv\n")[2].partition("```")[0], encoding="utf-8")
    return table


def write_job(table: Path) -> Path:
    table.write_text('{"prompt": "a city street"}', encoding="utf-8")
    return table


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def tiny(command: Command, values: Mapping[str, str]) -> list[str]:
    """The printed words, values swapped and sizes appended.

    What --out names is written, and stays. A dry run of the training reads no weights: it stays as it is.
    """
    how = rehearsal(command)
    sizes = shlex.split(how.sizes)
    if "--dry-run" in command.words and "echogen_core.training" in command.words:
        values, sizes = {name: values[name] for name in ("rows", "{images}")}, ["--images", "{images}"]
    if "--help" in command.words:
        sizes = []
    values = {**values, **{word: values.get(other, other) for word, other in how.own.items()}}
    begin = 4 if "-m" in command.words else 2
    words = [*command.words[begin:], *sizes]
    swapped = [
        word if before == "--out" else values.get(word, word)
        for before, word in itertools.pairwise(["", *words])
    ]
    return [*command.words[:begin], *swapped]


@pytest.fixture
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the command runs: what it writes by a relative path lands here."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path


# --- the commands


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: f"{command.page}:{command.line}")
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
    elif how.parsed and "--help" not in command.words:
        read(command)
    elif command.words[0] == "torchrun":
        launch(tiny(command, values), by_torchrun="echogen_core.training" in command.words)
    elif command.words[1] != "-m":
        run_script(tiny(command, values), how.constants, monkeypatch)
    elif "--help" in command.words:
        with pytest.raises(SystemExit, match="0"):
            raise SystemExit(MODULES[command.words[2]](tiny(command, values)[3:]))
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


def run_script(words: list[str], constants: Mapping[str, object], patch: pytest.MonkeyPatch) -> None:
    """Runs a script's `main` in this process."""
    script = load_script(words[1])
    for name, value in constants.items():
        patch.setattr(script, name, value)
    patch.setattr(sys, "argv", words[1:])
    assert not script.main()


def load_script(path: str) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_parse_args = argparse.ArgumentParser.parse_args


def _parse_only(parser: argparse.ArgumentParser, *given: object) -> argparse.Namespace:
    _parse_args(parser, *given)  # type: ignore[call-overload]
    raise Understood


def launch(words: list[str], by_torchrun: bool) -> None:
    """torchrun with one process on a port that nobody else has; two are test_runs' and test_dreambench's.

    by_torchrun: it starts the process; else what it would start there runs in this one.
    """
    from torch.distributed.run import config_from_args, parse_args
    from torch.distributed.run import main as torchrun

    options = ["1" if before == "--nproc-per-node" else word for before, word in itertools.pairwise(words)]
    if not by_torchrun:
        _, program, arguments = config_from_args(parse_args(options))
        assert (program, *arguments[:2]) == (sys.executable, "-u", "-m")
        assert MODULES[arguments[2]](arguments[3:]) == 0
        return
    with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1"):
        torchrun(["--master-port", str(free_port()), *options])  # raises ChildFailedError


def test_what_the_pages_install_exists() -> None:
    """Every extra that is named is one of pyproject.toml's: pip only warns about others."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    extras = set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))
    sources = [*PAGES, *(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
    named = {
        (str(source), extra)
        for source in sources
        for extras_of_one in re.findall(r"pip install -e \.\[([^\]]+)\]", (ROOT / source).read_text("utf-8"))
        for extra in extras_of_one.split(",")
    }
    assert {extra for _, extra in named} >= {"miniature"}
    assert not [(source, extra) for source, extra in named if extra not in extras]
