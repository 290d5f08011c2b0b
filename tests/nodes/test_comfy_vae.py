"""ComfyUI's own VAE as the content encoder: FLUX.1's sees the same, others are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_execution import run
from test_loaders import picture

import comfy_pack


@pytest.fixture(scope="module")
def flux_vae(pack: dict[str, Any]) -> tuple[Any, dict[str, torch.Tensor]]:
    """A FLUX VAE whose encoder has random weights, made by ComfyUI from its published form; and that form."""
    import comfy.sd
    from comfy.ldm.models.autoencoder import AutoencodingEngine

    sizes = {
        "double_z": True, "z_channels": 16, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
        "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0,
    }  # fmt: skip
    torch.manual_seed(0)
    with torch.device("meta"):
        module = AutoencodingEngine(
            regularizer_config={"target": "comfy.ldm.models.autoencoder.DiagonalGaussianRegularizer"},
            encoder_config={"target": "comfy.ldm.modules.diffusionmodules.model.Encoder", "params": sizes},
            decoder_config={"target": "comfy.ldm.modules.diffusionmodules.model.Decoder", "params": sizes},
        )
    state = {
        name: 0.05 * torch.randn(tensor.shape) + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        if name.startswith("encoder.")
        else torch.zeros(tensor.shape)
        for name, tensor in module.state_dict().items()
    }
    return comfy.sd.VAE(sd=dict(state), dtype=torch.float32), state


def test_comfyuis_flux_vae_sees_what_our_encoder_sees(
    flux_vae: tuple[Any, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    from echogen_core.checkpoints import load_part
    from echogen_core.encoders import ContentEncoderConfig

    adapters = comfy_pack.pack_module("nodes.adapters")
    vae, state = flux_vae
    save_file(
        {name: t for name, t in state.items() if name.startswith("encoder.")}, tmp_path / "ae.safetensors"
    )
    ours = load_part(tmp_path / "ae.safetensors", "content", config=ContentEncoderConfig(reference_size=64))
    images_B3HW = picture().movedim(-1, 1).repeat(2, 1, 1, 1)
    expected = ours.encode(images_B3HW).latents_VCHW
    found = adapters.VaeContentEncoder(vae, 64).encode(images_B3HW).latents_VCHW
    assert found.shape == (2, 16, 8, 8) and found.dtype == torch.float32
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


def test_the_vae_node_gives_a_content_encoder_for_encode_content(
    pack: dict[str, Any], flux_vae: tuple[Any, dict[str, torch.Tensor]]
) -> None:
    (encoder,) = run(pack, "EchoGenContentEncoderFromVAE", vae=flux_vae[0], model="EchoGen-0.1B")
    (content,) = run(pack, "EchoGenEncodeContent", content_encoder=encoder, image=picture(), strength=0.5)
    assert content.latents_VCHW.shape == (1, 16, 32, 32) and content.strength == 0.5


class OtherVAE:
    """What our check looks at: the sizes by which ComfyUI's VAE class describes itself."""

    def __init__(self, channels: int, factor: int, dimensions: int) -> None:
        self.latent_channels, self.latent_dim = channels, dimensions
        self.spacial_compression_encode = lambda: factor
        self.first_stage_model = torch.nn.Identity()


@pytest.mark.parametrize(
    ("sizes", "name"),
    [((4, 8, 2), "SDXL"), ((16, 8, 3), "video VAE"), ((16, 32, 2), "unknown one")],
)
def test_other_vaes_are_refused_by_name(pack: dict[str, Any], sizes: tuple[int, int, int], name: str) -> None:
    with pytest.raises(ValueError, match=rf"Expected FLUX\.1's VAE.*{name}.*{sizes[0]} channels"):
        run(pack, "EchoGenContentEncoderFromVAE", vae=OtherVAE(*sizes), model="EchoGen-2B")
