"""Sample sheets of a model in training: reference, target and generated picture of a few rows.

Shape suffixes: H and W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ..features import ContentFeatures, SemanticFeatures, Subject, TextFeatures
from ..model import EchoGenTransformer
from ..sampling import Guidance, PrefillCache, SamplingSettings, sample
from ..tokenizer.bsq import quantize_multiscale
from .batch_encoder import BatchEncoder
from .batch_sampler import SampleIndex
from .dataset import SubjectDataset

COUNT = 4


@torch.no_grad()
def draw_sheet(model: EchoGenTransformer, batch_encoder: BatchEncoder, dataset: SubjectDataset) -> Tensor:
    """[3, H, W] in 0..1: a column for each of the first rows of the first aspect ratio, at the preset's γ.

    The target is shown as the tokenizer reconstructs it. dataset: one without a cache, which reads
    the pictures themselves.
    """
    preset, tokenizer = batch_encoder.preset, batch_encoder.encoders.tokenizer
    ratio, numbers = next(iter(dataset.manifest.buckets.items()))
    schedule = batch_encoder.schedules[ratio]
    settings = SamplingSettings(
        Guidance.constant(preset.gamma_t, preset.gamma_i, len(schedule.scales)),
        tau=preset.tau,
        top_p=preset.top_p,
    )
    columns = []
    for place, number in enumerate(numbers[:COUNT]):
        # step 0: the same captions and seeds on every sheet
        example = dataset[SampleIndex(int(number), 0, place)]
        assert example.reference_3HW is not None
        features = batch_encoder.features(example)
        text, subject = _conditions(features)
        branches = PrefillCache(model).branches(text, *subject)
        *_, last = sample(model, branches, schedule, [place], settings)
        codes = (quantize_multiscale(features["latent"], schedule.scales).codes_BDHW, last.codes_BdHW)
        target, made = (tokenizer.decode(code)[0] for code in codes)
        side = made.shape[-1]
        reference = F.interpolate(example.reference_3HW[None].to(made.device), (side, side), mode="area")[0]
        columns.append(torch.cat((reference, target, made), dim=1))
    return torch.cat(columns, dim=2)


def _conditions(features: Mapping[str, Tensor]) -> tuple[TextFeatures, Subject]:
    """What `BatchEncoder.features` found, in the sampler's form."""
    f = {name: tensor.float() for name, tensor in features.items()}
    semantic = SemanticFeatures(f["cls"][None], f["patches"][None])
    return TextFeatures(f["tokens"]), Subject(semantic, ContentFeatures(f["content"][None]))
