"""The node that finds the pictures of a batch that look most like the reference."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from echogen_core.features import SemanticFeatures
from echogen_core.subject.cutout import DEFAULT_MARGIN
from echogen_core.subject.likeness import Likeness, best_first, measure_likeness
from echogen_core.subject.masks import MaskMarks
from echogen_core.subject.notes import by_picture, joined
from echogen_core.subject.user_inputs import UserInputs

from . import adapters, memory_checks, notices, runtime, subject_models
from .adapters import CATEGORY, pictures_from, schema
from .user_inputs import read_inputs

_MOST = 4096  # pictures, as many as ComfyUI's own nodes for batches count to


class RankByLikeness(io.ComfyNode):
    """A batch of pictures to the best few of them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="EchoGenRankByLikeness",
            display_name="Rank by Likeness (best of batch)",
            category=f"{CATEGORY}/sampling",
            description="Keeps the pictures of a batch that look most like your subject, best first. The "
            "score is our own (cosine of the semantic encoder's class tokens), not the paper's DINO score.",
            search_aliases=["best of", "rank", "sort", "select", "pick best", "clip score", "similarity"],
            has_intermediate_output=True,
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The pictures to compare: a batch, from Decode Bits. The built-in cut finds the "
                    "subject in each.",
                ),
                adapters.Semantic.Input(
                    "semantic", tooltip="The subject to compare with, from Encode Semantic or Load Subject."
                ),
                adapters.SemanticEncoder.Input(
                    "semantic_encoder",
                    display_name="semantic encoder",
                    tooltip="From Load EchoGen: the one that encoded the reference.",
                ),
                io.Int.Input(
                    "how_many",
                    display_name="how many",
                    default=1,
                    min=1,
                    max=_MOST,
                    tooltip="How many pictures to keep. More than there are: all of them, sorted.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where to look for the subject (white): one mask for all pictures, or one each. "
                    "Not connected: everywhere.",
                ),
            ],
            outputs=[
                io.Image.Output("best", display_name="image", tooltip="The best pictures, best first."),
                io.String.Output(
                    "scores",
                    display_name="scores",
                    tooltip="One line per picture, best first: rank, number in the batch, cosine (1: like "
                    "the reference). Compare scores of one reference only.",
                ),
                io.Int.Output(
                    "order",
                    display_name="order",
                    is_output_list=True,
                    tooltip="Where the kept pictures were in the batch, counted from 0, as in "
                    "ImageFromBatch. Add it to the sampler's seed to draw that picture alone.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        semantic: SemanticFeatures,
        semantic_encoder: runtime.Managed,
        how_many: int,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        pictures_BCHW = pictures_from(image, "picture", keep_alpha=True)
        memory_checks.require_for_cut_outs(image[:1], DEFAULT_MARGIN)
        inputs = read_inputs(pictures_BCHW, image.shape[1:3], mask=mask, marks=MaskMarks.SUBJECT)
        found = _measured(pictures_BCHW, inputs, semantic, semantic_encoder)
        order = best_first([one.cosine for one in found])
        lines = [
            f"{rank}. picture {place + 1}: {found[place].cosine:.4f}" for rank, place in enumerate(order, 1)
        ]
        about = [joined(given.warning, one.note) for given, one in zip(inputs, found, strict=True)]
        kept = order[:how_many]
        said = notices.shown([*by_picture(about), *lines], by_picture(about), lines[: len(kept)])
        return io.NodeOutput(image[kept], "\n".join(lines), kept, ui=said)


def _measured(
    pictures_BCHW: Tensor, inputs: list[UserInputs], reference: SemanticFeatures, encoder: runtime.Managed
) -> list[Likeness]:
    """Each picture's likeness, one step of ComfyUI's progress bar each."""
    salient = subject_models.salient()
    module = runtime.loaded(encoder, salient)
    masks = [given.mask_HW for given in inputs]
    bar = runtime.progress_bar(len(inputs))
    found = []
    for one in measure_likeness(
        pictures_BCHW, masks, reference, lambda cut: module.encode(cut, encoder.device), salient.module
    ):
        found.append(one)
        bar.update(1)
    return found


NODES: list[type[Any]] = [RankByLikeness]
