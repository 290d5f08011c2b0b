"""Starts a ComfyUI with each of its options in turn and draws a picture: for docs/start_options.md.

ECHOGEN_COMFYUI=PATH python tests/tools/try_start_options.py [FIRST WORDS OF OPTIONS …]

All run with --cpu, which excludes the ways of using a card's memory: tests/nodes/test_card.py has those.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

import comfy_server  # noqa: E402
from runner.say import Problem  # noqa: E402

OPTIONS = (
    "", "--disable-smart-memory", "--disable-dynamic-vram", "--force-fp32", "--force-fp16", "--fp32-unet",
    "--fp64-unet", "--bf16-unet", "--fp16-unet", "--fp8_e4m3fn-unet", "--fp8_e5m2-unet",
    "--fp8_e8m0fnu-unet", "--fp16-intermediates", "--cache-classic", "--cache-none", "--cache-lru 1",
    "--cache-ram 1", "--preview-method none", "--preview-method auto", "--disable-metadata",
    "--deterministic", "--force-channels-last", "--fast", "--use-split-cross-attention", "--disable-mmap",
    "--multi-user",
)  # fmt: skip


def tried(options: list[str], expected: np.ndarray | None) -> tuple[str, np.ndarray | None]:
    """What came of it, in words, and the picture."""
    with tempfile.TemporaryDirectory() as base:
        try:
            with comfy_server.serving(Path(base), name="options", options=options) as running:
                recorder = comfy_server.Recorder(running)
                run = recorder.run(comfy_server.single())
                recorder.close()
        except Problem as problem:
            return f"did not start: {str(problem).splitlines()[-1]}", None
    if run.error is not None:
        return f"failed: {run.message}", None
    picture = np.asarray(run.pictures["picture"][0].convert("RGB"))
    same = expected is None or np.array_equal(picture, expected)
    return f"{'the same picture' if same else 'another picture'}, {len(run.previews)} previews", picture


def main() -> None:
    known = subprocess.run(
        [sys.executable, str(comfy_server.comfyui_path() / "main.py"), "--help"],
        capture_output=True,
        text=True,
    ).stdout
    expected = None
    for line in OPTIONS:
        words = line.split()
        if sys.argv[1:] and not any(line.startswith(word) for word in sys.argv[1:]):
            continue
        if words and words[0] not in known:
            print(f"| `{line}` | not an option of this version |", flush=True)
            continue
        said, picture = tried(words, expected)
        expected = picture if expected is None else expected
        print(f"| `{line or '(none)'}` | {said} |", flush=True)


if __name__ == "__main__":
    main()
