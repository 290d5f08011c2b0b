"""`python run.py` on the user's own ComfyUI and on machines with a card: how it starts, and what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner import cards, comfyui, device, pythons, server
from runner.say import command_line

from .users_comfyui import RAISES, TAKES, TORCH, start, users_comfyui

FIND = cards.find
CUDA_MISSING = "AssertionError: Torch not compiled with CUDA enabled"


@pytest.fixture(autouse=True)
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' machine may have a card: none of it must show."""
    monkeypatch.setattr(cards, "find", lambda: None)


# --- the user's own ComfyUI ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["cuda", "npu"])
def test_it_starts_as_its_user_starts_it(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch = "" if kind == "cuda" else TORCH  # the real one in one of the tests
    comfy = users_comfyui(tmp_path / "comfy", TAKES.format(kind), torch=torch)
    before = sorted(comfy.path.rglob("*"))
    arguments, page = start(comfy, tmp_path, monkeypatch)
    port = arguments[1]
    assert arguments == ["--port", port]
    assert page == f"http://127.0.0.1:{port}/?template=Quickstart&source=echogen"
    link = comfy.path / "custom_nodes" / comfyui.PACK_NAME
    assert sorted(comfy.path.rglob("*")) == sorted([*before, link]), "only the link is new"
    said = capsys.readouterr().out
    assert f"computes on: {kind}" in said and "Starting ComfyUI 0.46.0" in said


def test_without_a_device_it_starts_on_the_cpu_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, _ = start(users_comfyui(tmp_path / "comfy", RAISES), tmp_path, monkeypatch)
    assert arguments[2:] == ["--cpu"]
    said = capsys.readouterr().out
    assert "computes on: CPU; no graphics card was found" in said and CUDA_MISSING in said


def test_with_the_option_it_starts_on_the_cpu_whatever_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    comfy = users_comfyui(tmp_path / "comfy", TAKES.format("mps"))
    arguments, _ = start(comfy, tmp_path, monkeypatch, cpu=True)
    assert arguments[2:] == ["--cpu"]
    assert "computes on: CPU, because of --cpu" in capsys.readouterr().out


def test_one_that_does_not_load_is_started_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    comfy = users_comfyui(tmp_path / "comfy", "import not_installed")
    arguments, _ = start(comfy, tmp_path, monkeypatch)
    assert arguments[2:] == [], "its own log tells what is missing"
    said = capsys.readouterr().out
    assert (
        "Couldn't tell which device ComfyUI uses (ModuleNotFoundError: No module named 'not_installed')"
        in said
    )


@pytest.mark.parametrize(
    "noise",
    ["print('at the start', end='')", "import atexit; atexit.register(print, 'at the end')"],
    ids=["start", "end"],
)
def test_what_else_is_printed_is_not_taken_for_the_answer(noise: str, tmp_path: Path) -> None:
    comfy = users_comfyui(tmp_path / "comfy", f"{TAKES.format('cuda')}{noise}\n")
    python = pythons.in_environment(comfy.path / "venv")
    (comfy.path / "sitecustomize.py").write_text(noise, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(comfy.path))
        assert device.detect(python, comfy.path).kind == "cuda"
        assert pythons.unfit_reason(python, comfy.path) == ""


def test_one_that_hangs_is_started_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    comfy = users_comfyui(tmp_path / "comfy", "import time\nwhile True: time.sleep(1)\n")
    monkeypatch.setattr(device, "PROBE_SECONDS", 0.5)
    assert device.start_arguments(pythons.in_environment(comfy.path / "venv"), comfy.path) == []
    assert "Couldn't tell which device ComfyUI uses (no answer in 0 s)" in capsys.readouterr().out


def test_the_quickstart_is_asked_of_the_folder_that_the_pack_lies_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    comfy = users_comfyui(tmp_path / "comfy", TAKES.format("mps"))
    (tmp_path / "pack").mkdir()
    comfyui.link_pack(tmp_path / "pack", comfy.path).rename(comfy.path / "custom_nodes" / "My EchoGen")
    _, page = start(comfy, tmp_path, monkeypatch)
    assert page.endswith("&source=My%20EchoGen")


def test_only_our_own_server_is_closed() -> None:
    python, comfy, base = Path("python"), Path("comfy"), Path("base")
    closed = server.command(python, comfy, base, 8188, ["--cpu"])
    shut = {"--base-directory", "--database-url", "--disable-api-nodes", "--disable-auto-launch", "--listen"}
    assert shut < set(closed) and closed[-1] == "--cpu"
    own = server.command(python, comfy, base, 8188, ["--cpu"], closed=False)
    assert own == ["python", "-u", str(comfy / "main.py"), "--port", "8188", "--cpu"]


def test_directml_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = device.Device("cpu", "2.4.1+cpu", directml=True, reason=CUDA_MISSING)
    monkeypatch.setattr(device, "detect", lambda python, comfy: found)
    assert device.start_arguments(Path("python"), Path("comfy")) == ["--directml"]


# --- what is said of a card ------------------------------------------------------------------------------


def test_a_card_that_torch_cannot_use_comes_with_the_one_command() -> None:
    card = cards.Card("NVIDIA GeForce RTX 4090", "cu130")
    said = device.on_the_cpu(
        device.Device("cpu", "2.13.0+cpu", reason=CUDA_MISSING), card, Path("/venv/python")
    )
    assert "RTX 4090 is there, but the PyTorch of" in said and "2.13.0+cpu" in said and CUDA_MISSING in said
    assert said.splitlines()[-1].split() == [
        *("/venv/python", "-m", "pip", "install"),
        *("torch==2.11.0+cu130", "torchvision==0.26.0+cu130", "torchaudio==2.11.0+cu130"),
        *("--index-url", "https://download.pytorch.org/whl/cu130"),
    ]


@pytest.mark.parametrize("folder", ["plain", "a b", "it's", "$HOME", "a(b)", "a&b"])
def test_the_command_can_be_pasted_whatever_the_path(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    tool(tmp_path / folder, "python", "it ran")
    program = tmp_path / folder / ("python.bat" if os.name == "nt" else "python")
    command = device.install_command(program, "xpu")
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "it ran"


def test_a_card_that_is_too_old_gets_no_command() -> None:
    said = device.on_the_cpu(device.Device("cpu", "2.11.0+cpu"), cards.Card("GT 710", ""), Path("python"))
    assert "pip install" not in said and "README" not in said and "no longer supports this card" in said


def test_the_right_build_is_not_installed_again() -> None:
    card = cards.Card("NVIDIA GeForce RTX 4090", "cu130")
    said = device.on_the_cpu(device.Device("cpu", "2.11.0+cu130", reason="no driver"), card, Path("python"))
    assert "pip install" not in said and "check the card's driver" in said


def test_a_card_without_builds_leads_to_comfyuis_readme() -> None:
    card = cards.Card("AMD Radeon RX 9070 XT", "", "AMD GPUs")
    said = device.on_the_cpu(device.Device("cpu", "2.11.0+cpu"), card, Path("python"))
    assert "pip install" not in said and 'README says which PyTorch to install, under "AMD GPUs"' in said


# --- which card there is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "card"),
    [
        ("NVIDIA GeForce RTX 4090, 581.29, 8.9", ("NVIDIA GeForce RTX 4090", "cu130")),
        ("NVIDIA GeForce RTX 4090, 560.35.03, 8.9", ("NVIDIA GeForce RTX 4090", "cu128")),
        ("NVIDIA GeForce GTX 1080, 580.95.05, 6.1", ("NVIDIA GeForce GTX 1080", "cu126")),
        ("Tesla T4, 470.1, 7.5\nNVIDIA H100, 470.1, 9.0", ("NVIDIA H100", "cu128")),
        ("Tesla M40, 450.1", ("Tesla M40", "cu128")),
        ("NVIDIA Thing, [N/A], [N/A]", ("NVIDIA Thing", "cu128")),
        ("H100 MIG 1g, 10gb, 580.1, 9.0", ("H100 MIG 1g, 10gb", "cu130")),
        ("NVIDIA GeForce GT 710, 470.1, 3.5", ("NVIDIA GeForce GT 710", "")),
        ("Tesla M40, 570.1, 5.2", ("Tesla M40", "cu126")),
        ("Unable to determine the device handle: Unknown Error\nRTX 3060, 580.1, 8.6", ("RTX 3060", "cu130")),
    ],
)
def test_the_build_goes_by_card_and_driver(answer: str, card: tuple[str, str]) -> None:
    assert cards.nvidia_card(answer) == cards.Card(*card)


@pytest.mark.parametrize(
    "answer", ["No devices were found", "Failed to initialize NVML: Driver/library version mismatch", ""]
)
def test_a_line_of_words_is_no_card(answer: str) -> None:
    assert cards.nvidia_card(answer) is None


def test_a_card_that_can_be_used_comes_before_one_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = cards.Card("GT 710", ""), cards.Card("An Intel card", "xpu")
    monkeypatch.setattr(cards, "nvidia", lambda root: old)
    monkeypatch.setattr(cards, "intel", lambda root: new)
    assert FIND() == new
    monkeypatch.setattr(cards, "intel", lambda root: None)
    assert FIND() == old


def tool(folder: Path, name: str, prints: str, status: int = 0) -> None:
    """A program of that name that prints a line and ends."""
    code = f"print({prints!r}); raise SystemExit({status})"
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    call = command_line([sys.executable, f"{folder / name}.py"])
    program = folder / (f"{name}.bat" if os.name == "nt" else name)
    program.write_text(f"@{call}\n" if os.name == "nt" else f"#!/bin/sh\nexec {call}\n", encoding="utf-8")
    program.chmod(0o755)


def test_a_makers_tool_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cards.by_tool() is None
    tool(tmp_path, "nvidia-smi", "NVIDIA L40S, 570.86.10, 8.9")
    assert cards.nvidia(tmp_path) == cards.Card("NVIDIA L40S", "cu128")
    tool(tmp_path, "npu-smi", "")
    assert cards.by_tool() == cards.Card("An Ascend NPU", "", "Ascend NPUs")


def test_a_tool_that_fails_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    tool(tmp_path, "nvidia-smi", "NVIDIA-SMI has failed because it could not talk to the driver.", 9)
    assert cards.nvidia(tmp_path) is None
    assert cards.output_of(str(tmp_path)) == "", "a folder is no program"


def place(root: Path, files: dict[str, str]) -> None:
    """Writes files of a system below `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def test_nvidias_driver_is_read_where_its_tool_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    driver, card = "proc/driver/nvidia/version", "proc/driver/nvidia/gpus/0000:01:00.0/information"
    place(tmp_path, {driver: "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.133.07  Fri Mar 14"})
    place(tmp_path, {card: "Model: \t\t NVIDIA GeForce RTX 3090\nIRQ: 1\n"})
    assert cards.nvidia(tmp_path) is None, "a container that was not given the card"
    place(tmp_path, {"dev/nvidia0": ""})
    assert cards.nvidia(tmp_path) == cards.Card("NVIDIA GeForce RTX 3090", "cu128")


def test_amds_compute_driver_is_read(tmp_path: Path) -> None:
    nodes = "sys/class/kfd/kfd/topology/nodes"
    processor = "cpu_cores_count 16\nsimd_count 0\ngfx_target_version 0\n"
    place(tmp_path, {f"{nodes}/0/properties": processor, f"{nodes}/1/properties": _kfd_node(4, 100306)})
    assert cards.amd(tmp_path) is None, "graphics inside the processor"
    place(tmp_path, {f"{nodes}/2/properties": _kfd_node(192, 110000)})
    assert cards.amd(tmp_path) == cards.Card("An AMD card (gfx1100)", "rocm7.2")
    place(tmp_path, {f"{nodes}/3/properties": _kfd_node(440, 90010)})
    assert cards.amd(tmp_path) == cards.Card("An AMD card (gfx90a)", "rocm7.2")


def _kfd_node(simds: int, target: int) -> str:
    return f"cpu_cores_count 0\nsimd_count {simds}\ngfx_target_version {target}\n"


def test_intels_own_cards_are_told_from_processors(tmp_path: Path) -> None:
    devices = "sys/bus/pci/devices"
    inside, card = (
        {"class": "0x030000\n", "vendor": "0x8086\n"},
        {"class": "0x038000\n", "vendor": "0x8086\n"},
    )
    place(tmp_path, {f"{devices}/0000:00:02.0/{name}": text for name, text in inside.items()})
    assert cards.intel(tmp_path) is None
    place(tmp_path, {f"{devices}/0000:03:00.0/{name}": text for name, text in card.items()})
    assert cards.intel(tmp_path) == cards.Card("An Intel card", "xpu")


@pytest.mark.parametrize(
    ("adapter", "build"),
    [
        ("Intel(R) Arc(TM) B580 Graphics", "xpu"),
        ("AMD Radeon RX 7900 XTX", ""),
        ("AMD Radeon(TM) 8060S Graphics", ""),
    ],
)
def test_windows_adapters_are_known_by_name(adapter: str, build: str) -> None:
    found = cards.on_windows(["Microsoft Remote Display Adapter", adapter])
    assert found is not None and (found.name, found.build) == (adapter, build)


def test_an_ordinary_adapter_is_no_card() -> None:
    assert cards.on_windows(["Intel(R) UHD Graphics 630", "AMD Radeon(TM) Graphics"]) is None
