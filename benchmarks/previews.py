"""What previews add to sampling and decoding: `python benchmarks/previews.py [--preset echogen-0.1b]`.

EchoGen Sampler and Decode Bits one after the other, with the tokenizer wired to the sampler and without, by
turns; random weights, the prefill in its cache. Medians of the processor's seconds; "first" is the first run
with previews, which also learns to sketch. `ECHOGEN_COMFYUI` names the ComfyUI folder, whose Python this must
be.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "tests", "tests/nodes"))

from random_models import random_conditions, random_transformer

import comfy_pack
from echogen_core.config import PRESETS
from echogen_core.sampling.memory import Run
from echogen_core.scales import find_schedule

WIDGETS = dict(batch=1, aspect_ratio="1:1", size="auto", tau=0.0, top_p=0.0, top_k=0)


class Graph:
    """A model of a preset's size, and what it draws from."""

    def __init__(self, name: str) -> None:
        self._nodes = comfy_pack.node_classes()
        runtime = comfy_pack.pack_module("nodes.runtime")
        preset = sys.modules[f"{comfy_pack.PACK}.nodes.loaders"].PRESETS[name]
        transformer = random_transformer(preset.transformer, operations=runtime.operations())
        self._model = runtime.manage_model(transformer, preset)
        tokenizer = runtime.BitTokenizer(preset.tokenizer, runtime.operations())
        for parameter in tokenizer.parameters():  # ComfyUI's layers leave theirs empty
            torch.nn.init.normal_(parameter, std=0.02)
        self._tokenizer = runtime.manage(tokenizer, preset)
        shape = Run(find_schedule(preset.budget), 1, prompt_tokens=24)
        text, semantic, content, *_ = random_conditions(preset.transformer, shape)
        self._features = dict(text=text, semantic=semantic, content=content)

    def run(self, seed: int, gamma_t: float, previews: bool) -> tuple[float, torch.Tensor]:
        """Processor seconds, and the picture."""
        began = time.process_time()
        wired = {"tokenizer": self._tokenizer} if previews else {}
        inputs = dict(model=self._model, seed=seed, gamma_t=gamma_t, gamma_i=3.0, **self._features, **wired)
        bits, *_ = self._execute("EchoGenSampler", **inputs, **WIDGETS)
        (picture,) = self._execute("EchoGenDecodeBits", bits=bits, tokenizer=self._tokenizer)
        return time.process_time() - began, picture

    def _execute(self, node_id: str, **inputs: Any) -> tuple[Any, ...]:
        outputs: tuple[Any, ...] = (
            self._nodes[node_id].PREPARE_CLASS_CLONE({}).EXECUTE_NORMALIZED(**inputs).result
        )
        return outputs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=list(PRESETS), default="nano")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with torch.inference_mode():
        graph = Graph(args.preset)
        graph.run(0, 2.0, previews=False)
        first, _ = graph.run(0, 2.0, previews=True)
        times: dict[bool, list[float]] = {False: [], True: []}
        for seed in range(1, args.runs + 1):
            pictures = []
            for previews in (False, True):
                seconds, picture = graph.run(seed, 2 + 0.1 * seed, previews)
                times[previews].append(seconds)
                pictures.append(picture)
            assert torch.equal(*pictures), "previews changed the picture"
    without, with_previews = (statistics.median(times[previews]) for previews in (False, True))
    print(f"{args.preset}, {torch.get_num_threads()} threads, {args.runs} runs")
    print(f"without {without:.3f} s, with previews {with_previews:.3f} s: {with_previews / without:.2f}")
    print(f"first   {first:.3f} s: {first / without:.2f}")


if __name__ == "__main__":
    main()
