"""The sampler: features in, bits of every scale out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from comfy_api.latest import io

from echogen_core.aspect_ratios import find_aspect_ratio
from echogen_core.config import PRESETS, Preset
from echogen_core.dtypes import FP8
from echogen_core.features import ContentFeatures, SemanticFeatures, TextFeatures
from echogen_core.sampling import (
    Guidance,
    GuidanceSchedule,
    RunConditions,
    SamplingSettings,
)
from echogen_core.scales import ASPECT_RATIOS, BUDGETS, ScaleSchedule, preset_schedule

from . import adapters, drawing, notices, previews, runtime
from .adapters import CATEGORY, advanced, check_tokenizer, schema
from .edit_wires import PictureEdit, RegionInputs

AUTO_SIZE = "auto"
CACHE_DTYPES: dict[str, torch.dtype | None] = {"full": None, "fp8": FP8}
"""Options of the cache widget -> dtype of the KV cache; None: as computed."""
SEEDS = 1 << 64
"""Number of seeds; seed + i of a batch wraps around."""
SIZES = [AUTO_SIZE, *(budget for budget in BUDGETS if budget != "nano")]
_EDIT_SETS_SIZE = (
    "Edit Picture sets size and aspect ratio, so those of this node have no effect while its edit is "
    "connected."
)


def schedule_for(
    preset: Preset, size: str, aspect_ratio: str, edit: PictureEdit | None = None
) -> tuple[ScaleSchedule, list[str]]:
    """The schedule for the widgets' values, and what to say about it; `auto` is the model's own size.

    edit: has a schedule of its own, which comes before the widgets.
    """
    ratio = find_aspect_ratio(aspect_ratio)
    if edit is not None:
        own = edit.edit.schedule
        schedule = preset_schedule(preset, own.budget, own.aspect_ratio)  # refuses another model's
        unused = size not in (AUTO_SIZE, own.budget) or ratio.official not in ("1:1", own.aspect_ratio)
        return schedule, [_EDIT_SETS_SIZE] if unused else []
    schedule = preset_schedule(preset, None if size == AUTO_SIZE else size, ratio.official)
    return schedule, [ratio.note] if ratio.note else []


def negative_notes(
    negative: TextFeatures | None, gamma_t: Sequence[float], regions: Sequence[RegionInputs]
) -> list[str]:
    """What to say of a negative prompt whose weight, 1 − γ_t, is 0 everywhere.

    gamma_t: all of the picture's own values, of every scale or column.
    """
    own = [region.gamma_t for region in regions if region.gamma_t >= 0]
    if negative is None or any(value != 1 for value in (*gamma_t, *own)):
        return []
    return [
        "The negative prompt has no effect at γ_t 1, which leaves it no weight. Choose another γ_t, or "
        "disconnect negative."
    ]


def valid_ratio(aspect_ratio: str | None) -> bool | str:
    """True for a name of an aspect ratio, else what to write; None: a link provides it."""
    try:
        find_aspect_ratio("1:1" if aspect_ratio is None else aspect_ratio)
    except ValueError as error:
        return str(error)
    return True


def settings_for(
    preset: Preset, guidance: Guidance, tau: float, top_p: float, top_k: int
) -> SamplingSettings:
    """Sampling settings; a tau or top_p of 0 is the model's default."""
    return SamplingSettings(guidance, tau or preset.tau, top_p or preset.top_p, top_k)


class Sampler(io.ComfyNode):
    """Next-scale prediction with dual guidance."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenSampler",
            display_name="EchoGen Sampler",
            category=f"{CATEGORY}/sampling",
            description="Draws your subject in the scene that the prompt describes, scale by scale, coarse "
            "to fine. Disconnect text, semantic or content to turn that path off. Changing γ, tau or the "
            "seed is quick: subject and prompt aren't computed again.",
            search_aliases=[
                "echogen",
                "ksampler",
                "cfg",
                "ip adapter",
                "ipadapter",
                "reference image",
                "image prompt",
                "subject driven",
                "next scale prediction",
                "var",
                "infinity",
            ],
            has_intermediate_output=True,
            inputs=[
                *_sockets(),
                *_guidance_widgets(),
                *_picture_widgets(),
                *_drawing_widgets(),
                *editing_sockets(),
            ],
            outputs=[
                adapters.Bits.Output(
                    "bits",
                    display_name="bits",
                    tooltip="Bits of every scale, for Decode Bits and Decode Scales.",
                ),
                adapters.Edit.Output(
                    "drawn_edit",
                    display_name="edit",
                    tooltip="For Paste Back: the connected edit, with what was changed. Empty without one.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, aspect_ratio: str | None = None) -> bool | str:
        return valid_ratio(aspect_ratio)

    @classmethod
    def execute(
        cls,
        model: runtime.ManagedModel,
        gamma_t: float,
        gamma_i: float,
        seed: int,
        batch: int,
        aspect_ratio: str,
        size: str,
        tau: float,
        top_p: float,
        top_k: int,
        cache: str = "full",
        text: TextFeatures | None = None,
        semantic: SemanticFeatures | None = None,
        content: ContentFeatures | None = None,
        tokenizer: runtime.Managed | None = None,
        guidance: GuidanceSchedule | None = None,
        edit: PictureEdit | None = None,
        regions: tuple[RegionInputs, ...] = (),
        negative: TextFeatures | None = None,
    ) -> io.NodeOutput:
        schedule, notes = schedule_for(model.preset, size, aspect_ratio, edit)
        scales = len(schedule.scales)
        if tokenizer is not None:
            expected = model.preset.tokenizer
            check_tokenizer(tokenizer.module.config, expected.bits, expected.patch, "the model")
        per_scale = guidance.over(scales) if guidance else Guidance.constant(gamma_t, gamma_i, scales)
        settings = settings_for(model.preset, per_scale, tau, top_p, top_k)
        conditions = RunConditions(text, semantic, content, per_scale, CACHE_DTYPES[cache], negative)
        run = drawing.PictureRun(model, schedule, conditions, regions, edit)
        notes += run.check(batch)
        notes += negative_notes(negative, per_scale.gamma_t, regions)
        seeds = [(seed + picture) % SEEDS for picture in range(batch)]
        preview_tokenizer = tokenizer if runtime.previews_enabled() else None
        plain_progress = previews.ScaleProgress(scales, None)
        draw, drawn_edit, about_edit = run.prepare(seeds, settings, preview_tokenizer, plain_progress.report)
        progress = previews.ScaleProgress(scales, preview_tokenizer)
        for step in draw():
            progress.report(step)
        return io.NodeOutput(progress.drawn, drawn_edit, ui=notices.shown([*notes, *about_edit]))


def _sockets() -> list[Any]:
    return [
        adapters.Model.Input("model", tooltip="From Load EchoGen."),
        adapters.Text.Input(
            "text",
            optional=True,
            tooltip="The prompt, from Encode Text. Not connected: the model chooses the scene.",
        ),
        adapters.Semantic.Input(
            "semantic",
            optional=True,
            tooltip="What the subject is, from Encode Semantic. Not connected: off.",
        ),
        adapters.Content.Input(
            "content",
            optional=True,
            tooltip="The subject's fine detail, from Encode Content. Not connected: off.",
        ),
        adapters.Tokenizer.Input(
            "tokenizer",
            optional=True,
            tooltip="Connect it to watch the picture grow, scale by scale.",
        ),
        adapters.Guidance.Input(
            "guidance",
            optional=True,
            tooltip="γ_t and γ_I scale by scale, from Guidance Schedule, in place of the two sliders.",
        ),
    ]


def _guidance_widgets() -> list[Any]:
    gammas = {
        "gamma_t": (
            "γ_t (prompt)",
            "How closely the picture follows the prompt, 0 to 8. Higher: a clearer scene, then a harsh one. "
            "1: no guidance.",
        ),
        "gamma_i": (
            "γ_I (subject)",
            "How closely the picture follows the subject, 0 to 8. Higher: closer to the reference, then a "
            "stiff copy. 0: ignores the subject.",
        ),
    }
    return [
        io.Float.Input(
            name,
            display_name=label,
            default=2.5,
            min=0.0,
            max=8.0,
            step=0.05,
            display_mode=io.NumberDisplay.slider,
            tooltip=f"{effect} {_preset_values(name)}.",
        )
        for name, (label, effect) in gammas.items()
    ]


def _picture_widgets() -> list[Any]:
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=SEEDS - 1,
            control_after_generate=True,
            tooltip="The same seed and settings give the same picture. A batch uses seed, seed + 1, …: each "
            "picture is the one that its seed gives alone.",
        ),
        io.Int.Input(
            "batch",
            display_name="batch size",
            default=1,
            min=1,
            max=64,
            tooltip="How many pictures to draw, 1 to 64.",
        ),
        io.Combo.Input(
            "aspect_ratio",
            display_name="aspect ratio",
            options=list(ASPECT_RATIOS),
            default="1:1",
            tooltip="Width:height. nano draws square pictures only. Another node may send any name, such as "
            "16:9, portrait or 1920x1080: the nearest official ratio is used.",
        ),
        io.Combo.Input(
            "size",
            options=SIZES,
            default=AUTO_SIZE,
            tooltip="Size of the picture. auto: what the model was trained at (nano 256×256, EchoGen-0.1B "
            "about 256×256, EchoGen-2B about 1024×1024). Smaller sizes stop at an earlier scale.",
        ),
    ]


def _drawing_widgets() -> list[Any]:
    return [
        io.Float.Input(
            "tau",
            default=0.0,
            min=0.0,
            max=10.0,
            step=0.05,
            tooltip="Temperature. Lower: smoother and safer. Higher, up to 10: livelier, then noisy. 0: the "
            f"model's default. {_preset_values('tau')}.",
        ),
        advanced(
            io.Float.Input,
            "top_p",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Drops a bit's less likely value if its probability is 1 − top_p or less. 1: off. 0: the "
            f"model's default. {_preset_values('top_p')}.",
        ),
        advanced(
            io.Int.Input,
            "top_k",
            default=0,
            min=0,
            max=2,
            tooltip="1: always take a bit's likelier value; every seed gives the same picture. 0 or 2: off.",
        ),
        advanced(
            io.Combo.Input,
            "cache",
            display_name="KV cache",
            options=[name for name, dtype in CACHE_DTYPES.items() if dtype is None or runtime.supports_fp8()],
            default="full",
            optional=True,
            tooltip="fp8 halves what a run needs besides the model's weights, and is slightly less exact: "
            "for small cards.",
        ),
    ]


def editing_sockets() -> list[Any]:
    """The last sockets of the sampler and the sweep."""
    return [
        adapters.Edit.Input(
            "edit",
            optional=True,
            tooltip="A picture to change, from Edit Picture. It sets size and aspect ratio.",
        ),
        adapters.Regions.Input(
            "regions",
            optional=True,
            tooltip="Parts of the picture with a subject or prompt of their own, from Subject Region.",
        ),
        adapters.Text.Input(
            "negative",
            optional=True,
            tooltip="What to steer away from, from a second Encode Text. The higher γ_t, the stronger.",
        ),
    ]


def _preset_values(setting: str) -> str:
    """The presets' defaults: 'EchoGen-2B: 2.5; nano: 3'."""
    names = {"EchoGen-2B": "echogen-2b", "nano": "nano"}
    return "; ".join(f"{title}: {getattr(PRESETS[name], setting):g}" for title, name in names.items())


NODES: list[type[Any]] = [Sampler]
