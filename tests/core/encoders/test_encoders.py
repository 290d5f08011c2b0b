"""The encoders: what goes in, what comes out, and that it is what the official scripts feed the model."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from echogen_core.checkpoints.keymap_semantic import translate_semantic
from echogen_core.encoders import (
    ENCODERS,
    ContentEncoder,
    ContentEncoderConfig,
    SemanticEncoder,
    SemanticEncoderConfig,
    TextEncoder,
    TextEncoderConfig,
    build_tokenizer,
    read_tokenizer,
    reference_picture,
    resample_position_embedding,
    wrap_tokenizer,
)
from echogen_core.pictures import IMAGENET_MEAN, IMAGENET_STD

GOLDEN = Path(__file__).parents[2] / "golden"
PROMPTS = ["a cat in a city street", "a toy car in the forest", "a wooden chair on the beach at sunset"]


@pytest.fixture(scope="module")
def text_encoder() -> TextEncoder:
    torch.manual_seed(0)
    tokenizer = wrap_tokenizer(build_tokenizer(PROMPTS, vocabulary=320))
    config = TextEncoderConfig(
        vocabulary=len(tokenizer), width=32, depth=2, heads=2, head_width=16, hidden=48, max_tokens=16
    )
    return TextEncoder(config, tokenizer)


@pytest.fixture(scope="module")
def semantic_encoder() -> SemanticEncoder:
    torch.manual_seed(0)
    return SemanticEncoder(
        SemanticEncoderConfig(image_size=28, patch=7, width=24, depth=2, heads=2, reference_size=32)
    )


@pytest.fixture(scope="module")
def content_encoder() -> ContentEncoder:
    torch.manual_seed(0)
    config = ContentEncoderConfig(
        base_channels=8, res_blocks=2, latent_channels=4, norm_groups=4, reference_size=32
    )
    return ContentEncoder(config)


# --- text


def test_prompt_features_are_the_unpadded_rows_of_a_padded_batch(text_encoder: TextEncoder) -> None:
    batch = text_encoder.tokenize(PROMPTS)
    padded_BLC = text_encoder(batch.ids_BL, batch.mask_BL)
    lengths = batch.mask_BL.sum(dim=1).tolist()
    assert len(set(lengths)) > 1, "the prompts must differ in length for this test to say anything"
    for index, prompt in enumerate(PROMPTS):
        tokens_LC = text_encoder.encode(prompt).tokens_LC
        assert tokens_LC.shape == (lengths[index], 32) and tokens_LC.dtype == torch.float32
        torch.testing.assert_close(tokens_LC, padded_BLC[index, : lengths[index]], atol=1e-5, rtol=1e-5)


def test_prompt_features_are_the_attended_rows_of_the_official_padding(text_encoder: TextEncoder) -> None:
    """The official script pads every prompt to the longest length and keeps the attended rows."""
    for prompt in PROMPTS:
        padded = text_encoder.tokenizer(prompt, padding="max_length", max_length=16, return_tensors="pt")
        with torch.no_grad():
            features_1LC = text_encoder(padded["input_ids"], padded["attention_mask"])
        kept_LC = features_1LC[0, : int(padded["attention_mask"].sum())]
        tokens_LC = text_encoder.encode(prompt).tokens_LC
        torch.testing.assert_close(tokens_LC, kept_LC, atol=1e-5, rtol=1e-5)


def test_closing_token_ends_every_prompt(text_encoder: TextEncoder) -> None:
    batch = text_encoder.tokenize(PROMPTS)
    last_B = batch.ids_BL.gather(1, batch.mask_BL.sum(dim=1, keepdim=True) - 1)
    assert (last_B == 1).all()


def test_any_unicode_has_tokens(text_encoder: TextEncoder) -> None:
    for prompt in ("кошка на крыше", "猫 🐈‍⬛", "a\u0000b\n\t", "\ud800 half a pair", "ﬁ ½ Å"):
        assert torch.isfinite(text_encoder.encode(prompt).tokens_LC).all()


def test_case_does_not_matter_to_the_built_tokenizer(text_encoder: TextEncoder) -> None:
    ids = text_encoder.tokenize(["A Cat In A City Street", "a cat in a city street"]).ids_BL
    assert torch.equal(ids[0], ids[1])


def test_long_prompt_is_cut_with_a_warning(
    text_encoder: TextEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="echogen_core.encoders.text"):
        tokens_LC = text_encoder.encode("street " * 200).tokens_LC
    assert tokens_LC.shape[0] == 16
    assert "longer than the 16" in caplog.text
    assert text_encoder.tokenize(["street " * 200]).ids_BL[0, -1] == 1


@pytest.mark.parametrize("prompt", ["", "  \n\t "])
def test_empty_prompt(text_encoder: TextEncoder, prompt: str) -> None:
    with pytest.raises(ValueError, match="The prompt is empty"):
        text_encoder.encode(prompt)
    assert text_encoder.encode(prompt, allow_empty=True).tokens_LC.shape[0] >= 1


def test_tokenizer_file_round_trip(text_encoder: TextEncoder, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    build_tokenizer(PROMPTS, vocabulary=320).save(str(path))
    again = read_tokenizer(path)
    for prompt in [*PROMPTS, "unseen Ωords 🐈"]:
        assert again(prompt)["input_ids"] == text_encoder.tokenizer(prompt)["input_ids"]


def test_unreadable_tokenizer_files(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(FileNotFoundError, match="download it there"):
            read_tokenizer(path)
    (tmp_path / "tokenizer.json").write_text("{}")
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        with pytest.raises(ValueError, match="Can't read the tokenizer"):
            read_tokenizer(path)


def test_tokenizer_of_another_encoder_is_refused() -> None:
    tokenizer = wrap_tokenizer(build_tokenizer(PROMPTS, vocabulary=320))
    with pytest.raises(ValueError, match="at most 100 tokens"):
        TextEncoder(TextEncoderConfig(vocabulary=100, width=32, depth=1, heads=2), tokenizer)


def test_text_encoder_trains(text_encoder: TextEncoder) -> None:
    batch = text_encoder.tokenize(PROMPTS)
    text_encoder(batch.ids_BL, batch.mask_BL).square().mean().backward()
    assert text_encoder.t5.shared.weight.grad.abs().sum() > 0
    text_encoder.zero_grad()


# --- semantic


def test_position_embedding_resampling_is_timms() -> None:
    golden = load_file(GOLDEN / "dinov2_posembed_resample.safetensors")
    for grid in (32, 16):
        ours = resample_position_embedding(golden["pos_embed_37"], grid)
        torch.testing.assert_close(ours, golden[f"pos_embed_{grid}"], atol=1e-6, rtol=0)


def original_dino(width: int, depth: int, positions_1PC: torch.Tensor) -> dict[str, torch.Tensor]:
    """A small DINOv2 with random weights in the names and shapes of the original .pth."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.3

    state = {
        "cls_token": draw(1, 1, width),
        "pos_embed": positions_1PC,
        "mask_token": draw(1, width),
        "patch_embed.proj.weight": draw(width, 3, 14, 14) * 0.1,
        "patch_embed.proj.bias": draw(width),
        "norm.weight": 1 + draw(width),
        "norm.bias": draw(width),
    }
    for block in range(depth):
        sizes = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        sizes |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, shape in sizes.items():
            state |= {
                f"blocks.{block}.{name}.weight": draw(*shape),
                f"blocks.{block}.{name}.bias": draw(shape[0]),
            }
        for norm in ("norm1", "norm2"):
            state |= {
                f"blocks.{block}.{norm}.weight": 1 + draw(width),
                f"blocks.{block}.{norm}.bias": draw(width),
            }
        state |= {f"blocks.{block}.ls{i}.gamma": draw(width) for i in (1, 2)}
    return state


def reference_dino(
    state: dict[str, torch.Tensor], positions_1PC: torch.Tensor, pixels_B3HW: torch.Tensor, heads: int
) -> torch.Tensor:
    """DINOv2 written out once more, flat, with explicit attention: an independent second opinion."""
    width = positions_1PC.shape[-1]

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return unit * state[f"{name}.weight"] + state[f"{name}.bias"]

    patches = F.conv2d(
        pixels_B3HW, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=14
    )
    x = (
        torch.cat((state["cls_token"].expand(len(patches), -1, -1), patches.flatten(2).mT), dim=1)
        + positions_1PC
    )
    for block in range(sum(key.endswith("ls1.gamma") for key in state)):
        name = f"blocks.{block}"
        qkv = linear(f"{name}.attn.qkv", norm(f"{name}.norm1", x)).unflatten(-1, (3, heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.mT / math.sqrt(width // heads), dim=-1)
        attended = (weights @ v).transpose(1, 2).flatten(2)
        x = x + state[f"{name}.ls1.gamma"] * linear(f"{name}.attn.proj", attended)
        hidden = linear(f"{name}.mlp.fc1", norm(f"{name}.norm2", x))
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + state[f"{name}.ls2.gamma"] * linear(f"{name}.mlp.fc2", hidden)
    return norm("norm", x)


@pytest.mark.parametrize(("reference", "image", "grid"), [(512, 448, 32), (256, 224, 16)])
def test_semantic_features_of_the_original_weights(reference: int, image: int, grid: int) -> None:
    """At the official sizes: normalise, bicubic, timm's position table, class token and patches."""
    golden = load_file(GOLDEN / "dinov2_posembed_resample.safetensors")
    state = original_dino(8, 2, golden["pos_embed_37"])
    config = SemanticEncoderConfig(image, 14, 8, 2, 2, reference_size=reference)
    encoder = SemanticEncoder(config)
    encoder.dino.load_state_dict(translate_semantic(state, config, encoder.dino.state_dict()), strict=True)
    images_B3HW = torch.rand(1, 3, reference, reference, generator=torch.Generator().manual_seed(6))
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in (IMAGENET_MEAN, IMAGENET_STD))
    pixels_B3HW = F.interpolate((images_B3HW - mean) / std, size=(image, image), mode="bicubic")
    expected_BLC = reference_dino(state, golden[f"pos_embed_{grid}"], pixels_B3HW, heads=2)
    features = encoder.encode(images_B3HW)
    assert features.patches_VPC.shape == (1, grid * grid, 8)
    torch.testing.assert_close(features.cls_VC, expected_BLC[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features.patches_VPC, expected_BLC[:, 1:], atol=1e-4, rtol=1e-4)


def test_position_embedding_of_a_strange_length() -> None:
    with pytest.raises(ValueError, match="square grid"):
        resample_position_embedding(torch.zeros(1, 12, 4), 2)


def test_position_table_is_used_as_it_is(semantic_encoder: SemanticEncoder) -> None:
    """A sentinel in the table reaches the first layer unchanged: nothing resamples it on the way."""
    embeddings = semantic_encoder.dino.embeddings
    pixels_B3HW = torch.zeros(1, 3, 28, 28)
    with torch.no_grad():
        positions_1LC = embeddings(pixels_B3HW) - torch.cat(
            (embeddings.cls_token, embeddings.patch_embeddings(pixels_B3HW)), dim=1
        )
    torch.testing.assert_close(positions_1LC, embeddings.position_embeddings.detach(), atol=1e-6, rtol=0)


def test_semantic_preprocessing_normalises_then_resizes(semantic_encoder: SemanticEncoder) -> None:
    images_B3HW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = F.interpolate((images_B3HW - mean) / std, size=(28, 28), mode="bicubic", align_corners=False)
    torch.testing.assert_close(semantic_encoder.preprocess(images_B3HW), expected)
    # Sharp edges overshoot in bicubic resampling, and the official order never clamps that.
    edge_B3HW = torch.zeros(1, 3, 32, 32)
    edge_B3HW[..., ::5] = 1
    assert semantic_encoder.preprocess(edge_B3HW)[0, 0].min() < (0 - 0.485) / 0.229 - 0.1


def test_semantic_features_are_final_norm_tokens(semantic_encoder: SemanticEncoder) -> None:
    images_B3HW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    features = semantic_encoder.encode(images_B3HW)
    assert features.cls_VC.shape == (2, 24) and features.patches_VPC.shape == (2, 16, 24)
    with torch.no_grad():
        hidden = semantic_encoder.dino(
            pixel_values=semantic_encoder.preprocess(images_B3HW), output_hidden_states=True
        ).hidden_states[-1]
        normed_BLC = semantic_encoder.dino.layernorm(hidden)
    torch.testing.assert_close(features.cls_VC, normed_BLC[:, 0])
    torch.testing.assert_close(features.patches_VPC, normed_BLC[:, 1:])


def test_each_picture_of_a_batch_is_encoded_alone(
    semantic_encoder: SemanticEncoder, content_encoder: ContentEncoder
) -> None:
    images_B3HW = torch.rand(3, 3, 40, 32, generator=torch.Generator().manual_seed(2))
    together, alone = semantic_encoder.encode(images_B3HW), semantic_encoder.encode(images_B3HW[1:2])
    torch.testing.assert_close(together.patches_VPC[1:2], alone.patches_VPC, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        content_encoder.encode(images_B3HW).latents_VCHW[1:2],
        content_encoder.encode(images_B3HW[1:2]).latents_VCHW,
        atol=1e-5,
        rtol=1e-5,
    )


# --- content


def reference_posterior_mode(encoder: ContentEncoder, images_B3HW: torch.Tensor) -> torch.Tensor:
    """The encoder written out once more, flat, with explicit attention: an independent second opinion."""
    state, groups = encoder.state_dict(), encoder.config.norm_groups

    def conv(name: str, x: torch.Tensor, **options: int) -> torch.Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        grouped = x.reshape(x.shape[0], groups, -1)
        grouped = (grouped - grouped.mean(-1, keepdim=True)) / (
            grouped.var(-1, correction=0, keepdim=True) + 1e-6
        ).sqrt()
        shape = (1, -1, 1, 1)
        return grouped.reshape(x.shape) * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(
            shape
        )

    def swish(x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)

    def block(name: str, x: torch.Tensor) -> torch.Tensor:
        inner = conv(f"{name}.conv1", swish(norm(f"{name}.norm1", x)), padding=1)
        inner = conv(f"{name}.conv2", swish(norm(f"{name}.norm2", inner)), padding=1)
        return inner + (conv(f"{name}.shortcut", x) if f"{name}.shortcut.weight" in state else x)

    x = conv("conv_in", images_B3HW * 2 - 1, padding=1)
    levels = len(encoder.config.channel_multipliers)
    for level in range(levels):
        for index in range(encoder.config.res_blocks):
            x = block(f"levels.{level}.blocks.{index}", x)
        if level < levels - 1:
            wider = torch.zeros(*x.shape[:2], x.shape[2] + 1, x.shape[3] + 1)
            wider[..., :-1, :-1] = x
            x = conv(f"levels.{level}.downsample.conv", wider, stride=2)
    x = block("middle.0", x)
    normal = norm("middle.1.norm", x)
    q, k, v = (conv(f"middle.1.{name}", normal).flatten(2) for name in "qkv")
    weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(q.shape[1]), dim=-1)
    x = x + conv("middle.1.out", torch.einsum("bij,bcj->bci", weights, v).reshape(x.shape))
    x = block("middle.2", x)
    return conv("conv_out", swish(norm("norm_out", x)), padding=1).chunk(2, dim=1)[0]


def test_content_latents_are_the_unscaled_posterior_mode(content_encoder: ContentEncoder) -> None:
    images_B3HW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    latents_VCHW = content_encoder.encode(images_B3HW).latents_VCHW
    assert latents_VCHW.shape == (2, 4, 4, 4)
    with torch.no_grad():
        expected = reference_posterior_mode(content_encoder, images_B3HW)
    torch.testing.assert_close(latents_VCHW, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(latents_VCHW, content_encoder.encode(images_B3HW).latents_VCHW)


def test_image_encoders_train(semantic_encoder: SemanticEncoder, content_encoder: ContentEncoder) -> None:
    images_B3HW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    tokens = semantic_encoder(images_B3HW)
    (tokens.cls_BC.square().mean() + tokens.patches_BPC.square().mean()).backward()
    content_encoder(images_B3HW).square().mean().backward()
    for encoder in (semantic_encoder, content_encoder):
        gradients = {
            name: p.grad for name, p in encoder.named_parameters() if not name.endswith("mask_token")
        }
        assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())
        encoder.zero_grad()


# --- pictures


def test_reference_picture_covers_and_crops_the_middle() -> None:
    images_B3HW = torch.zeros(1, 3, 20, 60)
    images_B3HW[..., 20:40] = 1  # the middle square is white
    square = reference_picture(images_B3HW, 10)
    assert square.shape == (1, 3, 10, 10)
    assert square[..., 2:8].min() > 0.95


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (7, 10_000), (33, 31), (64, 64)])
def test_reference_picture_takes_any_size(shape: tuple[int, int]) -> None:
    images_B3HW = torch.full((2, 3, *shape), 0.5)
    square = reference_picture(images_B3HW, 64)
    assert square.shape == (2, 3, 64, 64)
    assert (square - 0.5).abs().max() < 0.01


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), "Add the batch axis"),
        (torch.zeros(0, 3, 8, 8), "at least one picture"),
        (torch.zeros(1, 3, 0, 8), "at least one picture"),
        (torch.zeros(1, 4, 8, 8), "got 4"),
        (torch.zeros(1, 1, 8, 8), "got 1"),
        (torch.full((1, 3, 8, 8), float("nan")), "NaN"),
        (torch.full((1, 3, 8, 8), float("inf")), "infinity"),
    ],
)
def test_unusable_pictures(
    semantic_encoder: SemanticEncoder, content_encoder: ContentEncoder, images: torch.Tensor, message: str
) -> None:
    for encode in (semantic_encoder.encode, content_encoder.encode):
        with pytest.raises(ValueError, match=message):
            encode(images)


def test_impossible_sizes() -> None:
    with pytest.raises(ValueError, match="multiple of patch"):
        SemanticEncoderConfig(image_size=65, patch=8)
    with pytest.raises(ValueError, match="norm_groups"):
        ContentEncoderConfig(base_channels=24, norm_groups=32)
    with pytest.raises(ValueError, match="multiple of 8 pixels"):
        ContentEncoderConfig(reference_size=60)


def test_encoders_of_the_presets_fit_their_transformers() -> None:
    from echogen_core.config import PRESETS

    assert ENCODERS.keys() == PRESETS.keys()
    for name, encoders in ENCODERS.items():
        preset = PRESETS[name]
        assert encoders.text.width == preset.transformer.text_width
        assert encoders.text.max_tokens == preset.transformer.text_length
        assert encoders.semantic.width == preset.transformer.semantic_width
        assert encoders.semantic.grid**2 + 1 == preset.transformer.semantic_length
        assert encoders.content.latent_channels == preset.transformer.content_width
        assert encoders.content.grid**2 == preset.transformer.content_length
        assert encoders.semantic.reference_size == preset.reference_size == encoders.content.reference_size
