"""Nodes that turn prompt and reference picture into features."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from echogen_core.encoders.known_words import known_words, scene_notes
from echogen_core.encoders.prompt_weights import parse_weights

from . import adapters, notices, runtime
from .adapters import CATEGORY, advanced, schema
from .reference_views import DEFAULT_VIEWS, MAX_VIEWS, read_views

_STRENGTH = dict(
    default=1.0,
    min=0.0,
    max=2.0,
    step=0.05,
    display_mode=io.NumberDisplay.slider,
)
_VIEWS = (
    "The subject on a plain background, from Subject Segmentation or Cut Out Subject. A batch: several views "
    "of one subject."
)


def _views_input() -> Any:
    """How many pictures of a batch are encoded."""
    return advanced(
        io.Int.Input,
        "max_views",
        display_name="max views",
        default=DEFAULT_VIEWS,
        min=1,
        max=MAX_VIEWS,
        optional=True,
        tooltip="The most pictures of a batch to use, spread evenly. More make every run slower. Set the "
        "same on both encoders.",
    )


def _nano_words() -> str:
    """What the built-in model understands, for where one types; '' where its file is gone."""
    words = known_words("nano")
    if words is None:
        return ""
    return (
        f"nano's scenes: {words.listed()}. Before the subject: {' or '.join(words.sizes)}. At the end: "
        f"{', '.join(words.places)}; {words.night}."
    )


class EncodeText(io.ComfyNode):
    """Prompt to text features."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenEncodeText",
            display_name="Encode Text (EchoGen)",
            category=f"{CATEGORY}/conditioning",
            description="Reads the prompt: what the subject is and where it should be.",
            has_intermediate_output=True,
            search_aliases=["prompt", "clip text encode", "flan t5", "text conditioning"],
            inputs=[
                adapters.TextEncoder.Input(
                    "text_encoder", display_name="text encoder", tooltip="From Load EchoGen."
                ),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    default="a toy car on a meadow",
                    tooltip="Name the subject and the scene, in English. (on the left:1.4) counts more, "
                    "(on the left:0.7) less. Up to 64 tokens for nano, 512 for the large models. "
                    f"{_nano_words()}",
                ),
            ],
            outputs=[
                adapters.Text.Output("text", display_name="text", tooltip="For the sampler's text input.")
            ],
        )

    @classmethod
    def execute(cls, text_encoder: runtime.Managed, prompt: str) -> io.NodeOutput:
        encoder = runtime.loaded(text_encoder)
        notes = parse_weights(prompt).notes + scene_notes(text_encoder.preset.name, [prompt])
        return io.NodeOutput(encoder.encode(prompt, device=text_encoder.device), ui=notices.shown(notes))


class EncodeSemantic(io.ComfyNode):
    """Reference picture to DINOv2 features."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenEncodeSemantic",
            display_name="Encode Semantic (reference, DINOv2)",
            category=f"{CATEGORY}/conditioning",
            description="Reads from the reference picture what the subject is: its identity, and how its "
            "parts are arranged.",
            has_intermediate_output=True,
            search_aliases=[
                "reference image",
                "image prompt",
                "ip adapter",
                "ipadapter",
                "clip vision encode",
                "identity",
                "person",
                "face",
                "character",
            ],
            inputs=[
                adapters.SemanticEncoder.Input(
                    "semantic_encoder", display_name="semantic encoder", tooltip="From Load EchoGen."
                ),
                io.Image.Input("image", tooltip=_VIEWS),
                io.Float.Input(
                    "strength",
                    **_STRENGTH,
                    tooltip="How much of the subject's identity is used, 0 to 2. 0: none. 1: as trained. For "
                    "the subject as a whole, use γ_I on the sampler.",
                ),
                _views_input(),
            ],
            outputs=[
                adapters.Semantic.Output(
                    "semantic", display_name="semantic", tooltip="For the sampler's semantic input."
                )
            ],
        )

    @classmethod
    def execute(
        cls, semantic_encoder: runtime.Managed, image: Tensor, strength: float, max_views: int = DEFAULT_VIEWS
    ) -> io.NodeOutput:
        return _encoded(semantic_encoder, image, strength, max_views)


class EncodeContent(io.ComfyNode):
    """Reference picture to FLUX VAE latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenEncodeContent",
            display_name="Encode Content (reference, FLUX VAE)",
            category=f"{CATEGORY}/conditioning",
            description="Reads the subject's fine detail from the reference picture: texture, lettering, "
            "exact colours.",
            has_intermediate_output=True,
            search_aliases=[
                "reference image",
                "image prompt",
                "ip adapter",
                "ipadapter",
                "vae encode",
                "reference latent",
                "detail",
            ],
            inputs=[
                adapters.ContentEncoder.Input(
                    "content_encoder", display_name="content encoder", tooltip="From Load EchoGen."
                ),
                io.Image.Input("image", tooltip=_VIEWS),
                io.Float.Input(
                    "strength",
                    **_STRENGTH,
                    tooltip="How much of the subject's fine detail is used, 0 to 2. 0: none. 1: as trained.",
                ),
                _views_input(),
            ],
            outputs=[
                adapters.Content.Output(
                    "content", display_name="content", tooltip="For the sampler's content input."
                )
            ],
        )

    @classmethod
    def execute(
        cls, content_encoder: runtime.Managed, image: Tensor, strength: float, max_views: int = DEFAULT_VIEWS
    ) -> io.NodeOutput:
        return _encoded(content_encoder, image, strength, max_views)


def _encoded(encoder: runtime.Managed, image: Tensor, strength: float, max_views: int) -> io.NodeOutput:
    """The encoder's features of the pictures, and what the artist should know of these."""
    views = read_views(image, max_views)
    features = runtime.loaded(encoder).encode(views.images_V3HW, encoder.device)
    return io.NodeOutput(features._replace(strength=strength), ui=notices.shown(views.notes))


NODES: list[type[Any]] = [EncodeText, EncodeSemantic, EncodeContent]
