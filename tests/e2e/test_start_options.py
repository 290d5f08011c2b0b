"""Start options of ComfyUI that reach the nodes, several to a server; and previews that were not wanted.

docs/start_options.md has every option by itself, and what it does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import comfy_server
from comfy_server import Graph, Recorder, changed, node_of

SCALES = 5
SETS = {
    "nothing kept": ("--cache-none", "--preview-method", "none", "--disable-metadata", "--fp8_e5m2-unet"),
    "little kept": ("--cache-lru", "1", "--preview-method", "latent2rgb", "--fp16-unet", "--force-fp16"),
}


def pixels(recorder: Recorder, graph: Graph) -> np.ndarray:
    run = recorder.run(graph)
    assert run.error is None, run.error
    return np.asarray(run.pictures["picture"][0].convert("RGB"))


@pytest.mark.parametrize("options", SETS.values(), ids=SETS)
def test_a_picture_comes_of_every_set(
    options: tuple[str, ...], recorder: Recorder, graph: Graph, tmp_path: Path
) -> None:
    expected = pixels(recorder, graph)
    with comfy_server.serving(tmp_path, name="options", options=options) as running:
        other = Recorder(running)
        try:
            run = other.run(graph)
            assert run.error is None, run.error
            assert len(run.previews) == (0 if "none" in options else SCALES)
            assert np.array_equal(np.asarray(run.pictures["picture"][0].convert("RGB")), expected)
            again = other.run(changed(graph, "EchoGenSampler", seed=12345))
            assert again.error is None and node_of(graph, "EchoGenSampler") in again.executed
        finally:
            other.close()


@pytest.mark.parametrize(
    ("seed", "method", "shown"), [(101, "none", 0), (102, "default", SCALES), (103, "auto", SCALES)]
)
def test_a_prompt_that_wants_no_previews_gets_none(
    recorder: Recorder, graph: Graph, seed: int, method: str, shown: int
) -> None:
    seeded = changed(graph, "EchoGenSampler", seed=seed)
    run = recorder.run(seeded, preview_method=method)
    assert run.error is None and len(run.previews) == shown
