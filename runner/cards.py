"""Graphics cards, found without torch: to tell when the torch at hand cannot use the one that is there.

Nothing here raises: a card that is not found is one that nothing is said about.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
TOOL_SECONDS = 15
# PyTorch's builds from CUDA 12.8 on leave out cards before Turing, and CUDA 13 needs a driver of its own
# generation; the builds before it run with any driver of the last years.
TURING = (7, 5)
MAXWELL = (5, 0)  # before it no build computes
FIRST_DRIVER_OF_CUDA_13 = 580
CUDA_13, CUDA_12, CUDA_BEFORE_TURING = "cu130", "cu128", "cu126"
# A card's line: name, driver, and with newer tools the compute capability. Errors are printed as lines, too.
CARD_LINE = re.compile(r"(.+?),\s*(\d+\.[\d.]+|\[.*?\])(?:,\s*(\d+\.\d+|\[.*?\]))?\s*")
ROCM, XPU = "rocm7.2", "xpu"
# Graphics inside processors, which the ROCm builds leave out.
NOT_IN_ROCM = {"gfx902", "gfx909", "gfx90c", "gfx1013", "gfx1033", "gfx1035", "gfx1036", "gfx1037"}
INSIDE_AN_INTEL_PROCESSOR = "0000:00:02.0"
WINDOWS_ADAPTERS = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
# Makers without builds in PyTorch's index: their tool, and the heading in ComfyUI's README.
OTHER_TOOLS = {"npu-smi": ("An Ascend NPU", "Ascend NPUs"), "cnmon": ("A Cambricon MLU", "Cambricon MLUs")}


@dataclass(frozen=True)
class Card:
    """A card, and how PyTorch for it is had.

    build: the folder of PyTorch's own index with builds for it; empty where there is none: then `heading` is
    the part of ComfyUI's README that says how. Without either no PyTorch of today computes on it.
    """

    name: str
    build: str
    heading: str = ""


def find(root: Path = ROOT) -> Card | None:
    """The card to compute on; None when none is found. `root`: where /proc, /sys and /dev are."""
    makers = (nvidia(root), amd(root), intel(root), on_windows(windows_adapters()), by_tool())
    found = [card for card in makers if card]
    return next((card for card in found if card.build or card.heading), found[0] if found else None)


def output_of(*command: str) -> str:
    """What a maker's tool prints; empty when it is not there or fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TOOL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def read(file: Path) -> str:
    """A file of the system's; empty when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def nvidia(root: Path = ROOT) -> Card | None:
    """By the driver's own tool, else by what the driver shows of itself (containers lack the tool)."""
    # On Windows and in its Linux subsystem the tool comes with the driver but is not always on PATH.
    beside = Path(os.environ.get("SYSTEMROOT", "")) / "System32" / "nvidia-smi.exe"
    for program in (shutil.which("nvidia-smi"), "/usr/lib/wsl/lib/nvidia-smi", str(beside)):
        # The last field is unknown to the tools of old drivers, which then print none of them.
        for fields in ("name,driver_version,compute_cap", "name,driver_version"):
            answer = output_of(program, f"--query-gpu={fields}", "--format=csv,noheader") if program else ""
            if card := nvidia_card(answer):
                return card
    models = [read(file) for file in sorted(root.glob("proc/driver/nvidia/gpus/*/information"))]
    # Without the device it is another container's card.
    if not models or not list(root.glob("dev/nvidia[0-9]*")):
        return None
    named = re.search(r"Model:\s*(.+)", models[0])
    driver = re.search(r"\b\d{3}\.\d[\d.]*", read(root / "proc/driver/nvidia/version"))
    return nvidia_card(f"{named[1] if named else 'An NVIDIA card'}, {driver[0] if driver else '[N/A]'}")


def nvidia_card(answer: str) -> Card | None:
    """The ablest card of lines "name, driver[, compute capability]"; None when no line is a card's."""
    lines = [found for line in answer.splitlines() if (found := CARD_LINE.fullmatch(line.strip()))]
    cards = [(numbers(line[3] or ""), numbers(line[2]), line[1]) for line in lines]
    if not cards:
        return None
    capability, driver, name = max(cards)
    return Card(name, cuda_build(driver[0] if driver else 0, capability))


def cuda_build(driver: int, capability: tuple[int, ...]) -> str:
    """PyTorch's build for a driver's main version and a compute capability, () where that is unknown.

    Empty for a card that no build computes on.
    """
    if capability and capability < MAXWELL:
        return ""
    if capability and capability < TURING:
        return CUDA_BEFORE_TURING
    return CUDA_13 if capability and driver >= FIRST_DRIVER_OF_CUDA_13 else CUDA_12


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version: (8, 9) for "8.9", () for "[N/A]"."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def amd(root: Path = ROOT) -> Card | None:
    """By what the Linux compute driver lists: the card with the most units."""
    found = []
    for file in root.glob("sys/class/kfd/kfd/topology/nodes/*/properties"):
        properties = dict(re.findall(r"^(\w+) (\d+)$", read(file), re.MULTILINE))
        version = int(properties.get("gfx_target_version", 0))
        target = f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
        if int(properties.get("simd_count", 0)) and target not in NOT_IN_ROCM:
            found.append((int(properties["simd_count"]), target))
    return Card(f"An AMD card ({max(found)[1]})", ROCM) if found else None


def intel(root: Path = ROOT) -> Card | None:
    """By the Linux list of devices: an Intel display device that is not the processor's own."""
    for device in sorted(root.glob("sys/bus/pci/devices/*")):
        is_display = read(device / "class").startswith("0x03")
        if is_display and read(device / "vendor") == "0x8086" and device.name != INSIDE_AN_INTEL_PROCESSOR:
            return Card("An Intel card", XPU)
    return None


def windows_adapters() -> list[str]:
    """The names of the display adapters that Windows has drivers for; none elsewhere."""
    names: list[str] = []
    if sys.platform == "win32":
        import winreg

        for number in range(16):
            try:
                path = rf"{WINDOWS_ADAPTERS}\{number:04d}"
                with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
                    names.append(str(winreg.QueryValueEx(key, "DriverDesc")[0]))
            except OSError:  # no such adapter
                continue
    return names


def on_windows(adapters: Iterable[str]) -> Card | None:
    """By the adapter's name. PyTorch's index has builds for Intel's Arc, and none for AMD on Windows."""
    for name in adapters:
        if re.search(r"\bArc\b", name):
            return Card(name, XPU)
        if re.search(r"Radeon.*\b(RX|PRO|W\d{4}|80\d0S)\b", name, re.IGNORECASE):
            return Card(name, "", "AMD GPUs")
    return None


def by_tool() -> Card | None:
    """Makers that are known by their tool alone."""
    for tool, (name, heading) in OTHER_TOOLS.items():
        if shutil.which(tool):
            return Card(name, "", heading)
    return None
