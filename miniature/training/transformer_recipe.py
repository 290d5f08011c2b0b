"""Settings of the transformer's training."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.dataset import Mix

NANO_MIX = Mix(fixed_layout=True, turned=0.0, crops=2, placed=0.3, sized=0.2, night=0.1)
"""nano's pictures: fixed layout, no turns, two backgrounds per scene.

Subjects are large and central unless the
"""


@dataclass(frozen=True)
class TransformerRecipe:
    """Settings of a run; shares are of its minutes.

    mix: what pictures are like.
    minutes: training time in total, with resumed runs. deadline: time.monotonic() at which the run ends
    instead. warmup: steps. cooldown: last share, rates falling to
    0.
    batch: references per step, each with `targets` pictures that share its conditions' keys and values.
    guide: weight of the guided-attention loss (guided_attention.py), which falls to 0 at the share
    `guide_until`.
    token_share: share of the last scale's tokens that a step computes, up to the share `all_tokens_from`:
    three steps in the time of two, and a token has to copy what it could otherwise infer from its neighbours.
    subject: additional weight of the subject's tokens. drop: probability of dropping text, semantic and
    content, independently. bit_flips: largest flip rate of bitwise self-correction (Infinity).
    weigh_by_margin: whether bits are weighted by their margin (weighted_loss.py).
    workers: threads that share a batch; they synchronise once a step, PyTorch's own once a layer.
    muon_lr, log_scale_lr, adamw_lr: peak learning rates of the blocks' matrices, of the logarithms of the
    attention scales, which have far to go, and of everything else. ema: decay per step.
    compiler: backend of torch.compile for the blocks, such as "inductor"; "": none.
    """

    mix: Mix = NANO_MIX
    minutes: float = 90.0
    deadline: float | None = None
    batch: int = 16
    targets: int = 4
    warmup: int = 40
    cooldown: float = 0.5
    muon_lr: float = 0.02
    adamw_lr: float = 2e-3
    log_scale_lr: float = 0.01
    ema: float = 0.995
    guide: float = 0.1
    guide_until: float = 0.5
    token_share: float = 0.5
    all_tokens_from: float = 0.9
    subject: float = 0.0
    weigh_by_margin: bool = True
    drop: float = 0.1
    bit_flips: float = 0.3
    workers: int = 2
    clip: float = 1.0
    seed: int = 0
    validate_every: int = 200
    compiler: str = ""
