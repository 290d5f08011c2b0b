"""Loaders: files in, managed models out."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from . import adapters, runtime
from .adapters import CATEGORY, schema

NANO = "nano (built in)"
PRESETS: dict[str, str] = {NANO: "nano", "EchoGen-2B": "echogen-2b", "EchoGen-0.1B": "echogen-0.1b"}
"""What the loader offers -> name of the preset in the core."""


class LoadBundle(io.ComfyNode):
    """Everything that belongs to one model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenLoadBundle",
            display_name="Load EchoGen",
            category=f"{CATEGORY}/loaders",
            description="The transformer, its tokenizer and the three encoders. nano comes with the pack; "
            "the large models name the files that they need.",
            search_aliases=["echogen loader", "checkpoint", "nano", "load model"],
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default=NANO,
                    tooltip="nano (built in): a miniature, 64×64 px, works at once on a CPU. EchoGen-2B "
                    "(about 1024×1024 px) and EchoGen-0.1B (about 256×256 px) need files: running the node "
                    "lists those that are missing.",
                )
            ],
            outputs=[
                adapters.Model.Output("model", display_name="model", tooltip="For EchoGen Sampler."),
                adapters.Tokenizer.Output(
                    "tokenizer",
                    display_name="tokenizer",
                    tooltip="For Decode Bits and the sampler's previews.",
                ),
                adapters.TextEncoder.Output(
                    "text_encoder", display_name="text encoder", tooltip="For Encode Text."
                ),
                adapters.SemanticEncoder.Output(
                    "semantic_encoder", display_name="semantic encoder", tooltip="For Encode Semantic."
                ),
                adapters.ContentEncoder.Output(
                    "content_encoder", display_name="content encoder", tooltip="For Encode Content."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, preset: str) -> Any:
        from . import catalogue  # here, not above: see execute

        return catalogue.identity(PRESETS[preset])

    @classmethod
    def execute(cls, preset: str) -> io.NodeOutput:
        # transformers takes seconds to import: at the first run, not at every start of ComfyUI.
        from echogen_core.checkpoints import load_bundle

        from . import catalogue

        name = PRESETS[preset]
        if missing := catalogue.missing(name):
            raise FileNotFoundError(f"{preset} {missing}\nOr choose '{NANO}', which needs nothing.")
        # nano is small enough for full precision anywhere, and then looks the same everywhere.
        dtype = torch.float32 if name == "nano" else runtime.transformer_dtype()
        bundle = load_bundle(name, catalogue.places(name), operations=runtime.operations(), dtype=dtype)
        return io.NodeOutput(
            runtime.manage_model(bundle.transformer, bundle.preset),
            runtime.manage(bundle.tokenizer, bundle.preset),
            # Whole: partly plain torch.nn (transformers), or asked for the device of one of their weights.
            runtime.manage(bundle.text, bundle.preset, whole=True),
            runtime.manage(bundle.semantic, bundle.preset, whole=True),
            runtime.manage(bundle.content, bundle.preset, whole=True),
        )


NODES: list[type[Any]] = [LoadBundle]
