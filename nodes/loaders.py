"""Loaders: from files to models under ComfyUI's memory manager."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import io

from echogen_core.checkpoints.identify import identify
from echogen_core.config import PRESETS, Preset
from echogen_core.dtypes import DTYPES, FP8
from echogen_core.encoders import ENCODERS
from echogen_core.sampling.memory import transformer_weights

from . import adapters, linked_names, model_files, runtime
from .adapters import CATEGORY, schema

NANO = "nano (built in)"
BUNDLES: dict[str, str] = {NANO: "nano", "EchoGen-2B": "echogen-2b", "EchoGen-0.1B": "echogen-0.1b"}
"""Options of Load EchoGen -> name of the preset in the core."""

_BUNDLE = "bundle"  # its kind of loader, for linked_names

_DTYPE_CHOICES: dict[str, torch.dtype | None] = {"auto": None, **DTYPES}
"""Options of the loaders -> dtype of the weights in memory; None: see `runtime.precision`."""

_DTYPE_TIP = (
    "Precision of the weights in memory. auto suits most cards. fp8: half the memory of bf16, slightly less "
    "exact. fp16: for cards without bf16. fp32: exact, twice the memory."
)
LARGE_MODELS: dict[str, str] = {name: preset for name, preset in BUNDLES.items() if preset != "nano"}
_PICTURE_TIP = (
    "The model you draw with: EchoGen-2B sees the reference at 512×512 px, EchoGen-0.1B at 256×256."
)


class LoadBundle(io.ComfyNode):
    """Everything that belongs to one model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenLoadBundle",
            display_name="Load EchoGen",
            category=f"{CATEGORY}/loaders",
            description="Loads a whole model: transformer, tokenizer and three encoders. nano comes with the "
            "pack; for the others, running this node lists the files to download.",
            search_aliases=["echogen loader", "checkpoint", "nano", "load model", "ip adapter", "ipadapter"],
            inputs=[
                io.Combo.Input(
                    "preset",
                    display_name="model",
                    options=list(BUNDLES),
                    default=NANO,
                    tooltip="nano (built in): a miniature, 256×256 px, ready to run on any computer. "
                    "EchoGen-2B: about 1024×1024 px, 22 to 32 GB to download; run this node to see how. "
                    "EchoGen-0.1B: about 256×256 px, for weights of your own training.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=_dtype_names(),
                    default="auto",
                    optional=True,
                    tooltip=_DTYPE_TIP,
                ),
            ],
            outputs=[
                adapters.Model.Output("model", display_name="model", tooltip="For EchoGen Sampler."),
                _tokenizer_output(),
                _text_output(),
                _semantic_output(),
                _content_output(),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, preset: Any = None, **_: Any) -> Any:
        if preset is None:  # a link provides it
            return linked_names.changed(_BUNDLE, model_files.fingerprint_bundle)
        return [model_files.fingerprint_bundle(name) for shown, name in BUNDLES.items() if preset == shown]

    @classmethod
    def execute(cls, preset: str, dtype: str = "auto") -> io.NodeOutput:
        from echogen_core.checkpoints import load_bundle

        name = BUNDLES[preset]
        paths = model_files.bundle_parts(name, f"Or choose '{NANO}', which needs no files.")
        linked_names.note(_BUNDLE, name, model_files.fingerprint(paths.values()))
        types = _precision(name, dtype, paths.get("transformer"))  # load_bundle says what is missing
        bundle = load_bundle(
            name,
            model_files.search_folders(name),
            operations=runtime.operations(),
            dtype=_computable(dtype, types),
            transformer_dtype=types.weights,
            compute_dtype=types.compute,
        )
        return io.NodeOutput(
            runtime.manage_model(bundle.transformer, bundle.preset),
            runtime.manage(bundle.tokenizer, bundle.preset),
            runtime.manage(bundle.text, bundle.preset, plain=True),
            runtime.manage(bundle.semantic, bundle.preset, plain=True),
            runtime.manage(bundle.content, bundle.preset),
        )


class FileLoader(io.ComfyNode):
    """Base of the loaders of a single file; `KIND` is the part they load."""

    KIND = ""

    @classmethod
    def _file(cls) -> linked_names.FileInput:
        return linked_names.FileInput(cls.KIND, partial(model_files.resolve, cls.KIND))

    @classmethod
    def validate_inputs(cls, file: Any = None) -> bool | str:
        # Replaces ComfyUI's own check, which would only list the options.
        return cls._file().check(file)

    @classmethod
    def fingerprint_inputs(cls, file: Any = None, **_: Any) -> Any:
        return cls._file().fingerprint(file)

    @classmethod
    def file_input(cls, tooltip: str) -> Any:
        """The drop-down of files."""
        return io.Combo.Input("file", options=model_files.choices(cls.KIND), tooltip=tooltip)

    @classmethod
    def load(cls, file: str, dtype: str = "auto", config: Any = None) -> tuple[Any, Preset]:
        """The module, and the preset that it belongs to. config: as for `load_part`."""
        from echogen_core.checkpoints import load_part

        path = cls._file().file(file)
        preset = model_files.preset_of(cls.KIND, path)
        is_transformer = cls.KIND == "transformer"
        types = _precision(preset.name, dtype, path if is_transformer else None)
        module = load_part(
            path,
            cls.KIND,
            config=config,
            operations=runtime.operations(),
            dtype=types.weights if is_transformer else _computable(dtype, types),
            compute_dtype=types.compute,
            base=model_files.folders("transformer"),
        )
        return module, preset


class LoadModel(FileLoader):
    """The transformer from its file."""

    KIND = "transformer"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenLoadModel",
            display_name="Load EchoGen Model",
            category=f"{CATEGORY}/loaders",
            description="Loads the transformer alone. An Infinity base model works too: text to image, "
            "without a subject.",
            search_aliases=["echogen checkpoint", "infinity", "transformer", "diffusion model"],
            inputs=[
                cls.file_input(
                    "EchoGen or Infinity weights, .pth or .safetensors, in models/diffusion_models or "
                    "models/echogen. Files are listed by what they contain, whatever their names."
                ),
                io.Combo.Input("dtype", options=_dtype_names(), default="auto", tooltip=_DTYPE_TIP),
            ],
            outputs=[adapters.Model.Output("model", display_name="model", tooltip="For EchoGen Sampler.")],
        )

    @classmethod
    def execute(cls, file: str, dtype: str) -> io.NodeOutput:
        return io.NodeOutput(runtime.manage_model(*cls.load(file, dtype)))


class LoadTokenizer(FileLoader):
    """The BSQ tokenizer from its file."""

    KIND = "tokenizer"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenLoadTokenizer",
            display_name="Load EchoGen Tokenizer",
            category=f"{CATEGORY}/loaders",
            description="Loads the tokenizer, which turns bits into pictures. Each model has its own: d32 "
            "for EchoGen-2B and Infinity-2B, d16 for EchoGen-0.1B and Infinity-125M.",
            search_aliases=["bsq", "infinity vae", "bitwise tokenizer"],
            inputs=[
                cls.file_input(
                    "infinity_vae_d32reg.pth, infinity_vae_d16.pth, or a .safetensors converted from them, "
                    "in models/vae or models/echogen."
                )
            ],
            outputs=[_tokenizer_output()],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(runtime.manage(*cls.load(file)))


class LoadTextEncoder(FileLoader):
    """Flan-T5 from its file or folder."""

    KIND = "text"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenLoadTextEncoder",
            display_name="Load EchoGen Text Encoder",
            category=f"{CATEGORY}/loaders",
            description="Loads Flan-T5 XL, which reads the prompt. ComfyUI's own T5 loaders don't fit it: "
            "they expect another vocabulary.",
            search_aliases=["flan t5 xl", "t5 encoder", "clip loader"],
            inputs=[
                cls.file_input(
                    "The folder flan-t5-xl from Hugging Face (with its tokenizer.json), or one .safetensors "
                    "file made by this pack's convert command, in models/text_encoders or models/echogen."
                ),
                io.Combo.Input(
                    "dtype",
                    options=[name for name in _DTYPE_CHOICES if name != "fp8"],
                    default="auto",
                    tooltip="Precision of the weights in memory. auto: as the transformer computes. Its "
                    "memory is free again once the prompt is encoded.",
                ),
            ],
            outputs=[_text_output()],
        )

    @classmethod
    def execute(cls, file: str, dtype: str) -> io.NodeOutput:
        return io.NodeOutput(runtime.manage(*cls.load(file, dtype), plain=True))


class LoadSemanticEncoder(FileLoader):
    """DINOv2 from its file or folder."""

    KIND = "semantic"

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenLoadSemanticEncoder",
            display_name="Load EchoGen Semantic Encoder",
            category=f"{CATEGORY}/loaders",
            description="Loads DINOv2 ViT-B/14, which sees what the subject is.",
            search_aliases=["dinov2", "dino", "clip vision"],
            inputs=[
                cls.file_input(
                    "The folder dinov2-base from Hugging Face, or dinov2_vitb14_pretrain.pth, in "
                    "models/clip_vision or models/echogen."
                ),
                io.Combo.Input(
                    "model",
                    display_name="for model",
                    options=["auto", *LARGE_MODELS],
                    default="auto",
                    tooltip=f"{_PICTURE_TIP} auto: as the file says, else EchoGen-2B.",
                ),
            ],
            outputs=[_semantic_output()],
        )

    @classmethod
    def execute(cls, file: str, model: str) -> io.NodeOutput:
        config = None if model == "auto" else ENCODERS[LARGE_MODELS[model]].semantic
        return io.NodeOutput(runtime.manage(*cls.load(file, config=config), plain=True))


class ContentEncoderFromVAE(io.ComfyNode):
    """ComfyUI's own FLUX VAE as content encoder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenContentEncoderFromVAE",
            display_name="Content Encoder from VAE",
            category=f"{CATEGORY}/loaders",
            description="Uses FLUX.1's VAE, from ComfyUI's own Load VAE, to see the subject's fine detail.",
            search_aliases=["flux vae", "ae.safetensors", "content encoder"],
            inputs=[
                io.Vae.Input("vae", tooltip="FLUX.1's ae.safetensors, from Load VAE. No other VAE fits."),
                io.Combo.Input(
                    "model", display_name="for model", options=list(LARGE_MODELS), tooltip=_PICTURE_TIP
                ),
            ],
            outputs=[_content_output()],
        )

    @classmethod
    def execute(cls, vae: Any, model: str) -> io.NodeOutput:
        preset = PRESETS[LARGE_MODELS[model]]
        encoder = adapters.VaeContentEncoder(vae, preset.reference_size)
        return io.NodeOutput(runtime.Managed(encoder, vae.patcher, preset))


def _precision(preset: str, dtype: str, transformer: Path | None) -> runtime.Precision:
    """Types of a model's weights and computation; transformer: its file, if known."""
    requested = _DTYPE_CHOICES[dtype]
    if preset == "nano":  # small enough for full precision, which gives the same pictures everywhere
        requested = requested or torch.float32
    if transformer is None:
        return runtime.precision(requested)
    found = identify(transformer)
    parameters = transformer_weights(found.config, torch.float32).all // torch.float32.itemsize
    return runtime.precision(requested, parameters, found.dtype)


def _computable(dtype: str, types: runtime.Precision) -> torch.dtype:
    """Type of all parts except the transformer: they are stored in the type that they compute in."""
    requested = _DTYPE_CHOICES[dtype]
    return types.compute if requested is None or requested == FP8 else requested


def _dtype_names() -> list[str]:
    return [name for name, dtype in _DTYPE_CHOICES.items() if dtype != FP8 or runtime.supports_fp8()]


def _tokenizer_output() -> Any:
    return adapters.Tokenizer.Output(
        "tokenizer", display_name="tokenizer", tooltip="For Decode Bits and the sampler's previews."
    )


def _text_output() -> Any:
    return adapters.TextEncoder.Output(
        "text_encoder", display_name="text encoder", tooltip="For Encode Text."
    )


def _semantic_output() -> Any:
    return adapters.SemanticEncoder.Output(
        "semantic_encoder", display_name="semantic encoder", tooltip="For Encode Semantic."
    )


def _content_output() -> Any:
    return adapters.ContentEncoder.Output(
        "content_encoder", display_name="content encoder", tooltip="For Encode Content."
    )


NODES: list[type[Any]] = [
    LoadBundle,
    LoadModel,
    LoadTokenizer,
    LoadTextEncoder,
    LoadSemanticEncoder,
    ContentEncoderFromVAE,
]
