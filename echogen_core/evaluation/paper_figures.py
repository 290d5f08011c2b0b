"""Figures published in the EchoGen paper (arXiv 2509.26127); none of them was measured here.

Latencies are the paper's: tuning-based methods include the tuning; EchoGen's were taken on an H20.
"""

from __future__ import annotations

from typing import NamedTuple

PAPER = "arXiv 2509.26127"


class Row(NamedTuple):
    """One line of a published table; latency as printed, '' where there is none."""

    method: str
    base: str
    dino: float
    clip_i: float
    clip_t: float
    latency: str = ""


COMPARISON: tuple[Row, ...] = (
    Row("Textual Inversion", "SD-v1.5", 0.569, 0.780, 0.255, "50 min"),
    Row("DreamBooth", "SD-v1.5", 0.668, 0.803, 0.305, "15 min"),
    Row("BLIP-Diffusion (tuned)", "SD-v1.5", 0.670, 0.805, 0.302),
    Row("AR-Booth", "Infinity-2B", 0.750, 0.808, 0.269, "2.8 h"),
    Row("OmniGen", "OmniGen", 0.693, 0.801, 0.315, "93.4 s"),
    Row("ELITE", "SD-v1.4", 0.621, 0.771, 0.293, "11.0 s"),
    Row("Re-Imagen", "Imagen", 0.600, 0.740, 0.270),
    Row("BLIP-Diffusion", "SD-v1.5", 0.594, 0.779, 0.300),
    Row("λ-Eclipse", "Kan-v2.2", 0.613, 0.783, 0.307),
    Row("MS-Diffusion", "SDXL", 0.671, 0.792, 0.321, "39.6 s"),
    Row("IP-Adapter", "SDXL", 0.613, 0.810, 0.292, "16.9 s"),
    Row("IP-Adapter", "FLUX.1-dev", 0.561, 0.725, 0.351),
    Row("OminiControl", "FLUX.1-dev", 0.684, 0.799, 0.312, "27.5 s"),
    Row("EasyControl", "FLUX.1-dev", 0.652, 0.789, 0.325, "25.4 s"),
    Row("EchoGen-0.1B", "Infinity-0.1B", 0.675, 0.806, 0.321, "0.5 s"),
    Row("EchoGen-2B", "Infinity-2B", 0.755, 0.835, 0.325, "5.2 s"),
)

ABLATIONS: tuple[Row, ...] = (
    Row("fine-grained semantic encoder SigLIP-2", "Infinity-0.1B", 0.438, 0.720, 0.320),
    Row("fine-grained semantic encoder FLUX VAE", "Infinity-0.1B", 0.433, 0.706, 0.320),
    Row("fine-grained semantic encoder DINOv2", "Infinity-0.1B", 0.632, 0.788, 0.328),
    Row("subject details: baseline", "Infinity-0.1B", 0.670, 0.798, 0.322),
    Row("subject details: cross-attention", "Infinity-0.1B", 0.667, 0.803, 0.318),
    Row("subject details: multi-modal attention", "Infinity-0.1B", 0.672, 0.806, 0.321),
)

LATENCY = {"segmentation": 0.24, "encoders": 0.03, "sampling": 4.95}
"""Seconds of EchoGen-2B on an H20, as the paper parts them: GroundingDINO, encoders, backbone."""
