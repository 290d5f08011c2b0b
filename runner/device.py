"""The device that a ComfyUI computes on, as ComfyUI itself picks it, and why that isn't the graphics card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import cards, pins, pythons
from .say import command_line, say

# ComfyUI's own choice without options: it knows more makers than we do, and raises where there is no device.
DEVICE_PROBE = """
import importlib.util
import torch
sys.path.insert(0, sys.argv[2])
answer = {"torch": torch.__version__, "directml": importlib.util.find_spec("torch_directml") is not None}
try:
    from comfy.model_management import get_torch_device
    answer["device"] = get_torch_device().type
except ImportError:
    raise
except Exception as error:
    answer["reason"] = f"{type(error).__name__}: {error}"
"""
PROBE_SECONDS = 300  # torch from a slow disk takes a minute


@dataclass(frozen=True)
class Device:
    """What a ComfyUI said of its device: "cuda", "mps", "xpu" and so on; "cpu" where it has none, and why."""

    kind: str
    torch: str
    directml: bool = False
    reason: str = ""


def detect(python: Path, comfy: Path) -> Device:
    """Which device the ComfyUI in folder `comfy`, run by `python`, would take.

    Raises pythons.ProbeFailed when it does not load or takes too long.
    """
    report = pythons.probe(python, DEVICE_PROBE, str(comfy), folder=comfy, seconds=PROBE_SECONDS)
    # An error may have several lines: the first says what happened.
    reason = (str(report.get("reason", "")).splitlines() or [""])[0]
    return Device(report.get("device", "cpu"), report["torch"], report["directml"], reason)


def start_arguments(python: Path, comfy: Path, cpu: bool = False) -> list[str]:
    """What main.py needs to start on this machine's device, or with `cpu` on the CPU. Prints which it is.

    ComfyUI ends at once where torch has no device and `--cpu` is missing.
    """
    if cpu:
        say("ComfyUI computes on: CPU, because of --cpu")
        return ["--cpu"]
    try:
        device = detect(python, comfy)
    except pythons.ProbeFailed as reason:
        say(f"Couldn't tell which device ComfyUI uses ({reason}); see its log.")
        return []
    if device.kind != "cpu":
        say(f"ComfyUI computes on: {device.kind} (PyTorch {device.torch})")
        return []
    if device.directml:
        say(f"ComfyUI computes on: DirectML (PyTorch {device.torch})")
        return ["--directml"]
    say(on_the_cpu(device, cards.find(), python))
    return ["--cpu"]


def on_the_cpu(device: Device, card: cards.Card | None, python: Path) -> str:
    """Why ComfyUI computes on the CPU, and with a card how that is changed."""
    because = f"PyTorch {device.torch}" + (f": {device.reason}" if device.reason else "")
    if card is None:
        return f"ComfyUI computes on: CPU; no graphics card was found ({because})"
    unused = f"{card.name} is there, but the PyTorch of {python} cannot use it ({because}).\n"
    then = "ComfyUI computes on: CPU, which is slow. "
    if not card.build and not card.heading:
        return unused + then + "Current PyTorch no longer supports this card."
    if not card.build:
        return unused + then + f'ComfyUI\'s README says which PyTorch to install, under "{card.heading}".'
    if device.torch.endswith(f"+{card.build}"):
        return unused + then + "It is the right build: check the card's driver, then run this again."
    return (
        f"{unused}{then}This command installs one for the card (some 5 GB); run this again afterwards:\n"
        f"  {install_command(python, card.build)}"
    )


def install_command(python: Path, build: str) -> str:
    """pip's command for PyTorch's `build` of the versions that were seen working."""
    wheels = [f"{wheel}+{build}" for wheel in pins.TORCH_TRIO]
    index = f"{pins.TORCH_BUILDS}/{build}"
    return command_line([str(python), "-m", "pip", "install", *wheels, "--index-url", index])
