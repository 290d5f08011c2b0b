"""What a ComfyUI computes on: asked of ComfyUI itself, and said when it is not the card that is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import cards, pins, pythons
from .say import command_line, say

# ComfyUI's own choice without options: it knows more makers than we do, and raises where there is no device.
QUESTION = """
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
ASK_SECONDS = 300  # torch from a slow disk takes a minute


@dataclass(frozen=True)
class Device:
    """What a ComfyUI said of its device: "cuda", "mps", "xpu" and so on; "cpu" where it has none, and why."""

    kind: str
    torch: str
    directml: bool = False
    reason: str = ""


def ask(python: Path, comfy: Path) -> Device:
    """Which device the ComfyUI in folder `comfy`, run by `python`, would take.

    Raises pythons.NoAnswer when it does not load or takes too long.
    """
    told = pythons.ask(python, QUESTION, str(comfy), folder=comfy, seconds=ASK_SECONDS)
    # An error may have several lines: the first says what happened.
    reason = (str(told.get("reason", "")).splitlines() or [""])[0]
    return Device(told.get("device", "cpu"), told["torch"], told["directml"], reason)


def start_arguments(python: Path, comfy: Path) -> list[str]:
    """What main.py needs to start on this machine's device. Says so when that is the CPU.

    ComfyUI ends at once where torch has no device and `--cpu` is missing.
    """
    try:
        device = ask(python, comfy)
    except pythons.NoAnswer as reason:
        say(f"What ComfyUI computes on could not be asked ({reason}); its own log tells.")
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
        return f"ComfyUI computes on: CPU, for no graphics card was found ({because})"
    told = f"{card.name} is there, but the PyTorch of {python} cannot use it ({because}).\n"
    then = "ComfyUI computes on: CPU, which is slow. "
    if not card.build and not card.heading:
        return told + then + "No PyTorch of today is made for a card of its age."
    if not card.build:
        return told + then + f'ComfyUI\'s README says which PyTorch to install, under "{card.heading}".'
    if device.torch.endswith(f"+{card.build}"):
        return told + then + "It is the right build: see that the card's driver works, then run this again."
    return (
        f"{told}{then}This command installs one for the card (some 5 GB); run this again afterwards:\n"
        f"  {install_command(python, card.build)}"
    )


def install_command(python: Path, build: str) -> str:
    """pip's command for PyTorch's `build` of the versions that were seen working."""
    wheels = [f"{wheel}+{build}" for wheel in pins.TORCH_TRIO]
    index = f"{pins.TORCH_BUILDS}/{build}"
    return command_line([str(python), "-m", "pip", "install", *wheels, "--index-url", index])
