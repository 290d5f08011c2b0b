"""Both backends of detection and segmentation: the same answers from the same file, and the files themselves.

The networks are small and random, their classes, processors, post-processing and file formats the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_subject_models import detector_config, segmenter_config
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import (
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoImageProcessor,
    SamConfig,
    SamVisionConfig,
    SwinConfig,
)

from echogen_core.checkpoints import keymap_detector, keymap_segmenter
from echogen_core.checkpoints.segmentation_models import Backend, load_detector, load_segmenter
from echogen_core.pictures import to_pil
from echogen_core.subject.detect import GroundingDino, detect
from echogen_core.subject.original.grounding_dino import build_grounding_dino
from echogen_core.subject.original.sam import build_sam
from echogen_core.subject.segment import Sam, segment

TOLERANCE = 1e-4
PICTURE = torch.rand(1, 3, 60, 90, generator=torch.Generator().manual_seed(1))
BOX = (20.0, 10.0, 70.0, 50.0)

DETECTOR, SEGMENTER = detector_config(), segmenter_config()


class RangesOnCpu(TorchFunctionMode):
    """Keeps torch.linspace off the meta device: the package asks for the numbers while it builds."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        device = {"device": "cpu"} if function is torch.linspace else {}
        return function(*args, **{**(kwargs or {}), **device})


def randomise(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        bound = 0.1 if parameter.ndim > 1 else 0.3
        parameter.data.uniform_(-bound, bound, generator=generator)


def write_words(folder: Path) -> None:
    """A vocabulary with BERT's own ids for its special words, which the model knows by number."""
    words = [f"[unused{index}]" for index in range(1030)]
    for index, word in ((0, "[PAD]"), (100, "[UNK]"), (101, "[CLS]"), (102, "[SEP]"), (103, "[MASK]")):
        words[index] = word
    words[1012], words[1029] = ".", "?"
    words += ["a", "cat", "dog", "red", "ball", "##s", "teddy", "bear", "猫", "in"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints as their authors publish them."""
    folder = tmp_path_factory.mktemp("published")
    write_words(folder)
    network = build_grounding_dino(DETECTOR, BertTokenizerFast.from_pretrained(folder))
    randomise(network, 0)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    state["module.label_enc.weight"] = torch.zeros(2, 256)
    state["module.bert.embeddings.position_ids"] = torch.arange(512)[None]
    state["module.bert.pooler.dense.weight"] = torch.zeros(64, 64)
    torch.save({"model": state}, folder / "groundingdino_swint_ogc.pth")
    sam = build_sam(SEGMENTER)
    randomise(sam, 4)  # one of the few seeds whose masks are neither all nor nothing
    torch.save(sam.state_dict(), folder / "sam_vit_b_01ec64.pth")
    return folder


@pytest.fixture(scope="module")
def detectors(folder: Path) -> dict[Backend, GroundingDino]:
    loaded = {backend: load_detector(folder / "groundingdino_swint_ogc.pth", backend) for backend in Backend}
    for detector in loaded.values():
        detector.processor.image_processor = GroundingDinoImageProcessor(
            size={"shortest_edge": 64, "longest_edge": 96}
        )
    return loaded


@pytest.fixture(scope="module")
def segmenters(folder: Path) -> dict[Backend, Sam]:
    return {backend: load_segmenter(folder / "sam_vit_b_01ec64.pth", backend) for backend in Backend}


def test_both_detectors_give_the_same_boxes(detectors: dict[Backend, GroundingDino]) -> None:
    ours, theirs = (detect(PICTURE, "a red ball. teddy bear", each, 0.0)[0] for each in detectors.values())
    assert len(ours) == len(theirs) > 5
    assert len({round(hit.score, 5) for hit in ours}) > 1, "a constant would prove nothing"
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == pytest.approx(other.score, abs=TOLERANCE)
        assert one.phrase == other.phrase
        # in shares of the picture, as the model gives them
        assert one.box_xyxy == pytest.approx(other.box_xyxy, abs=TOLERANCE * 90)


def test_both_segmenters_give_the_same_masks(segmenters: dict[Backend, Sam]) -> None:
    ours, theirs = (each.propose(PICTURE[0], BOX) for each in segmenters.values())
    assert ours.masks_PHW.shape == theirs.masks_PHW.shape == (3, 60, 90)
    assert torch.allclose(ours.scores_P, theirs.scores_P, atol=TOLERANCE)
    assert 0 < int(ours.masks_PHW.sum()) < ours.masks_PHW.numel()
    # a logit within the tolerance of zero may fall on either side
    assert float((ours.masks_PHW != theirs.masks_PHW).float().mean()) < 1e-3
    inputs = segmenters[Backend.TRANSFORMERS].processor(
        to_pil(PICTURE[0]), input_boxes=[[list(BOX)]], return_tensors="pt"
    )
    logits = [
        each.run({name: inputs[name].float() for name in ("pixel_values", "input_boxes")}).pred_masks
        for each in segmenters.values()
    ]
    assert torch.allclose(logits[0], logits[1], atol=TOLERANCE)


def test_the_installed_package_is_as_it_was(detectors: dict[Backend, GroundingDino]) -> None:
    import groundingdino.models.GroundingDINO.groundingdino as module

    assert module.BertModelWarper.__module__.endswith("bertwarper")
    assert module.get_tokenlizer.__name__ == "groundingdino.util.get_tokenlizer"


def test_sizes_of_the_published_detectors_are_read_from_their_shapes(folder: Path) -> None:
    """groundingdino_swint_ogc.pth and _swinb_cogcoor.pth, without their numbers."""
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    for size, window, depths, image in ((96, 7, [2, 2, 6, 2], 224), (128, 12, [2, 2, 18, 2], 384)):
        heads = [size // 32 * 2**stage for stage in range(4)]
        swin = SwinConfig(
            embed_dim=size, depths=depths, num_heads=heads, window_size=window, image_size=image,
            out_indices=[2, 3, 4],
        )  # fmt: skip
        config = GroundingDinoConfig(backbone_config=swin, text_config=BertConfig())
        with torch.device("meta"), RangesOnCpu():
            network = build_grounding_dino(config, tokenizer)
        nested = {"model": {f"module.{name}": value for name, value in network.state_dict().items()}}
        state = keymap_detector.original_state(nested)
        assert state is not None and state["transformer.tgt_embed.weight"].shape == (900, 256)
        found = keymap_detector.infer_detector(state)
        assert found.to_dict() == config.to_dict()
        hub = keymap_detector.to_hub_names(state)
        assert hub.keys() >= {
            "model.backbone.conv_encoder.model.encoder.layers.2.blocks.5.attention.self.query.weight",
            "model.encoder.layers.5.text_enhancer_layer.self_attn.value.bias",
            "model.encoder.layers.5.fusion_layer.attn.values_vision_proj.weight",
            "model.decoder.layers.5.encoder_attn_text.key.weight",
            "model.decoder.reference_points_head.layers.1.weight",
            "model.text_backbone.encoder.layer.11.output.dense.weight",
            "model.input_proj_vision.3.0.weight",
        }
        assert not any("transformer." in name or name.startswith(("backbone", "bert")) for name in hub)


@pytest.mark.parametrize(
    ("width", "depth", "heads", "wholes", "count"),
    [
        (768, 12, 12, [2, 5, 8, 11], 314),
        (1024, 24, 16, [5, 11, 17, 23], 482),
        (1280, 32, 16, [7, 15, 23, 31], 594),
    ],
)
def test_sizes_of_the_published_segmenters_are_read_from_their_shapes(
    width: int, depth: int, heads: int, wholes: list[int], count: int
) -> None:
    """sam_vit_b, _l and _h, without their numbers; `count` is how many tensors each file holds."""
    vision = SamVisionConfig(
        hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads, global_attn_indexes=wholes,
        mlp_dim=4 * width,
    )  # fmt: skip
    config = SamConfig(vision_config=vision)
    with torch.device("meta"):
        tree = build_sam(config).state_dict()
    assert len(tree) == count
    state = keymap_segmenter.original_state(tree)
    assert state is not None
    assert keymap_segmenter.infer_segmenter(state).to_dict() == config.to_dict()
    hub = keymap_segmenter.to_hub_names(state)
    assert hub.keys() >= {
        f"vision_encoder.layers.{depth - 1}.layer_norm2.weight",
        "vision_encoder.neck.layer_norm2.bias",
        "prompt_encoder.mask_embed.conv3.weight",
        "shared_image_embedding.positional_embedding",
        "mask_decoder.output_hypernetworks_mlps.3.proj_out.bias",
        "mask_decoder.iou_prediction_head.layers.0.weight",
        "mask_decoder.upscale_layer_norm.weight",
    }


def test_folders_of_the_hub_load_as_they_are(
    detectors: dict[Backend, GroundingDino], segmenters: dict[Backend, Sam], tmp_path: Path
) -> None:
    for module, name in ((detectors, "grounding-dino-tiny"), (segmenters, "sam-vit-base")):
        own = module[Backend.TRANSFORMERS]
        own.model.save_pretrained(tmp_path / name)
        own.processor.save_pretrained(tmp_path / name)
    again = load_detector(tmp_path / "grounding-dino-tiny")
    first = detect(PICTURE, "cat", detectors[Backend.TRANSFORMERS], 0.0)
    assert detect(PICTURE, "cat", again, 0.0) == first
    mask_HW = segment(PICTURE[0], BOX, load_segmenter(tmp_path / "sam-vit-base"))
    assert torch.equal(mask_HW, segment(PICTURE[0], BOX, segmenters[Backend.TRANSFORMERS]))
    with pytest.raises(ValueError, match="only the transformers backend"):
        load_segmenter(tmp_path / "sam-vit-base", Backend.ORIGINAL)
    with pytest.raises(ValueError, match=r"Expected a model of type 'grounding-dino' in .*, got 'sam'"):
        load_detector(tmp_path / "sam-vit-base")


def test_files_that_will_not_do_say_why(folder: Path, tmp_path: Path) -> None:
    detector, segmenter = folder / "groundingdino_swint_ogc.pth", folder / "sam_vit_b_01ec64.pth"
    with pytest.raises(ValueError, match="not a GroundingDINO checkpoint"):
        load_detector(segmenter)
    with pytest.raises(ValueError, match="not a SAM checkpoint"):
        load_segmenter(detector)
    with pytest.raises(FileNotFoundError, match="bert-base-uncased"):
        load_detector(detector, vocabulary=tmp_path)
    tree = torch.load(detector, weights_only=True)
    for backend in Backend:
        whole = dict(tree["model"])
        del whole["module.transformer.decoder.norm.weight"]
        torch.save({"model": whole}, tmp_path / "cut.pth")
        with pytest.raises(ValueError, match=r"missing: .*norm\.weight"):
            load_detector(tmp_path / "cut.pth", backend, vocabulary=folder)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_segmenter(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam"}), encoding="utf-8")
    with pytest.raises(ValueError, match="Download the whole folder again"):
        load_segmenter(tmp_path)
