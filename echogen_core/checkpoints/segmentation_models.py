"""The subject path's models from their files: packaged U²-Netp, GroundingDINO, SAM and Qwen2.5-VL.

Original checkpoints are recognised by content and read without running code; their tensors' shapes give the
sizes. Folders of the hub are read by transformers, offline: nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from ..encoders.text import by_library
from ..subject.describe import Describer
from ..subject.detect import GroundingDino
from ..subject.salient import SalientSubject
from ..subject.segment import Sam
from ..utils.printable import printable
from . import keymap_detector, keymap_segmenter
from .bundle import ASSETS
from .hub_folder import (
    DOWNLOAD_FOLDER,
    MAX_WINDOW,
    check_built,
    check_settings,
    check_tokenizer_files,
    names,
    read_folder,
)
from .load import fill
from .mismatches import DOWNLOAD_AGAIN, describe_mismatches
from .read import read_weights

U2NETP = ASSETS / "u2netp" / "u2netp.safetensors"

_COMPUTED = ("relative_position_index", "position_ids", "swin.layernorm.")
"""Parts of names that some versions of transformers compute, or that no result depends on."""

library: Any = transformers
"""By attribute, which imports a class when it is first asked for: the big models' code is slow to start."""


class Backend(str, Enum):
    """Whose code runs the weights. Both give the same boxes and masks."""

    TRANSFORMERS = "transformers"
    ORIGINAL = "original package"


def load_salient() -> SalientSubject:
    """The packaged U²-Netp, in float32 on the CPU."""
    with torch.device("meta"):
        module = SalientSubject()
    fill(module, read_weights(U2NETP).tensors, "U²-Netp")
    return _frozen(module)


def load_detector(
    path: str | Path,
    backend: Backend = Backend.TRANSFORMERS,
    vocabulary: str | Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> GroundingDino:
    """GroundingDINO from a folder of the hub (grounding-dino-tiny, -base) or groundingdino_*.pth.

    backend: ORIGINAL needs the package groundingdino-py and a .pth.
    vocabulary: folder of bert-base-uncased's tokenizer for a .pth; by default the file's own folder.
    Raises FileNotFoundError or ValueError (which file, expected, got, what to do), and ImportError (how to
    install it without disturbing the rest) when the package is asked for and absent.
    """
    path, backend = Path(path), Backend(backend)
    if path.is_dir():
        _only_transformers(path, backend, "groundingdino_swint_ogc.pth")
        model, processor = _from_folder(
            path, library.GroundingDinoForObjectDetection, "grounding-dino", dtype
        )
        return _frozen(GroundingDino(model, processor))
    state = keymap_detector.original_state(read_weights(path).tree)
    if state is None:
        raise ValueError(
            f"{path} is not a GroundingDINO checkpoint. Expected groundingdino_swint_ogc.pth, "
            "groundingdino_swinb_cogcoor.pth, or a folder of the hub such as grounding-dino-tiny."
        )
    config = _sizes(path, keymap_detector.infer_detector, state)
    words = Path(vocabulary) if vocabulary else path.parent
    tokenizer = _read_words(words)
    _check_words(tokenizer, config, words)
    processor = library.GroundingDinoProcessor(library.GroundingDinoImageProcessor(), tokenizer)
    if backend is Backend.ORIGINAL:
        from ..subject.original.grounding_dino import OriginalGroundingDino, build_grounding_dino

        network = build_grounding_dino(config, tokenizer)
        _fill_original(network, state, path)
        return _frozen(OriginalGroundingDino(network.to(dtype), processor))
    hub = keymap_detector.to_hub_names(state)
    return _frozen(
        GroundingDino(
            _from_state(library.GroundingDinoForObjectDetection, config, hub, path, dtype), processor
        )
    )


def load_segmenter(
    path: str | Path, backend: Backend = Backend.TRANSFORMERS, dtype: torch.dtype = torch.float32
) -> Sam:
    """SAM from a folder of the hub (sam-vit-base, -large, -huge) or sam_vit_{b,l,h}_*.pth, by content.

    backend: ORIGINAL needs the package segment-anything and a .pth. Errors as `load_detector`.
    """
    path, backend = Path(path), Backend(backend)
    if path.is_dir():
        _only_transformers(path, backend, "sam_vit_b_01ec64.pth")
        return _frozen(Sam(*_from_folder(path, library.SamModel, "sam", dtype)))
    state = keymap_segmenter.original_state(read_weights(path).tree)
    if state is None:
        raise ValueError(
            f"{path} is not a SAM checkpoint. Expected sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth or "
            "sam_vit_h_4b8939.pth (not SAM 2 or HQ-SAM), or a folder of the hub such as sam-vit-base."
        )
    config = _sizes(path, keymap_segmenter.infer_segmenter, state)
    side = config.vision_config.image_size
    processor = library.SamProcessor(
        library.SamImageProcessor(
            size={"longest_edge": side},
            pad_size={"height": side, "width": side},
            mask_size={"longest_edge": side // 4},
            mask_pad_size={"height": side // 4, "width": side // 4},
        )
    )
    if backend is Backend.ORIGINAL:
        from ..subject.original.sam import OriginalSam, build_sam

        network = build_sam(config)
        _fill_original(network, state, path)
        return _frozen(OriginalSam(network.to(dtype), processor))
    hub = keymap_segmenter.to_hub_names(state)
    return _frozen(Sam(_from_state(library.SamModel, config, hub, path, dtype), processor))


def load_describer(path: str | Path, dtype: torch.dtype = torch.bfloat16) -> Describer:
    """Qwen2.5-VL from a folder of the hub (3B or 7B Instruct). Errors as `load_detector`."""
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path} is not a folder. Expected the folder of Qwen2.5-VL-3B-Instruct or -7B-Instruct, with "
            "its "
            "weights, tokenizer and preprocessor_config.json: download the whole of it."
        )
    return _frozen(
        Describer(*_from_folder(path, library.Qwen2_5_VLForConditionalGeneration, "qwen2_5_vl", dtype))
    )


def _frozen(module: Any) -> Any:
    return module.eval().requires_grad_(False)


def _only_transformers(path: Path, backend: Backend, example: str) -> None:
    if backend is Backend.ORIGINAL:
        raise ValueError(
            f"{path} is a folder of the hub, which only the transformers backend reads. Choose that, or an "
            f"original checkpoint such as {example}."
        )


def _from_folder(path: Path, model_class: Any, model_type: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Model and processor of a folder of the hub."""
    known = names(model_class.config_class().to_dict())
    settings, tensors = read_folder(path, model_type, known)
    with _words_for(path, DOWNLOAD_FOLDER):
        if model_type != "qwen2_5_vl":
            check_settings(settings, len(tensors), MAX_WINDOW, known)
        config = model_class.config_class.from_dict(settings)
        check_built(model_class, config, tensors)
        processor = library.AutoProcessor.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        model, info = model_class.from_pretrained(
            path, config=config, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    _check_loaded(info, path)
    _check_words(getattr(processor, "tokenizer", None), model.config, path)
    return model, processor


def _from_state(
    model_class: Any, config: Any, state: Mapping[str, Tensor], path: Path, dtype: torch.dtype
) -> Any:
    """A model with tensors in the hub's names, which transformers translates to its own."""
    with _words_for(path, DOWNLOAD_AGAIN):
        check_built(model_class, config, state)
        model, info = model_class.from_pretrained(
            None, config=config, state_dict=dict(state), dtype=dtype, output_loading_info=True
        )
    _check_loaded(info, path)
    return model


@contextmanager
def _words_for(path: Path, what_to_do: str) -> Iterator[None]:
    """What libraries come to over a damaged or incomplete file, as a ValueError: they fail in many ways."""
    try:
        yield
    except ImportError as error:
        raise ValueError(
            f"{path} needs a package that is not installed ({printable(error, 500)}). Install it, or choose "
            "a folder that is not quantised."
        ) from error
    except BaseException as error:
        if not by_library(error):
            raise
        raise ValueError(
            f"Can't load {path}: it is damaged, incomplete or another model ({printable(error, 500)}). "
            f"{what_to_do}"
        ) from error


def _check_words(tokenizer: Any, config: Any, path: Path) -> None:
    """ValueError when there are tokens that the model has no row for."""
    words = getattr(getattr(config, "text_config", None), "vocab_size", None)
    if (
        tokenizer is not None
        and words is not None
        and max(tokenizer.get_vocab().values(), default=0) >= words
    ):
        raise ValueError(
            f"{path}: the tokenizer has more tokens than the model's {words}. Use the model's own tokenizer."
        )


def _check_loaded(info: Mapping[str, Any], path: Path) -> None:
    """Raises ValueError when tensors were left out: they would be noise."""
    missing, unknown = (
        [str(name) for name in info[kind] if not any(part in str(name) for part in _COMPUTED)]
        for kind in ("missing_keys", "unexpected_keys")
    )
    _complain(missing, unknown, [str(name) for name in info["mismatched_keys"]], path)


def _fill_original(network: torch.nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    wanted = network.state_dict()
    missing = [n for n in wanted if n not in state and not any(part in n for part in _COMPUTED)]
    wrong = [n for n in state if n in wanted and state[n].shape != wanted[n].shape]
    _complain(missing, [n for n in state if n not in wanted], wrong, path)
    network.load_state_dict(dict(state), strict=False)


def _complain(missing: list[str], unknown: list[str], wrong: list[str], path: Path) -> None:
    if mismatches := describe_mismatches(missing, unknown, wrong):
        raise ValueError(f"{path} is incomplete or another model; tensors {mismatches}. Download it again.")


def _sizes(path: Path, infer: Callable[[Mapping[str, Tensor]], Any], state: Mapping[str, Tensor]) -> Any:
    try:
        config = infer(state)
        check_settings(config.to_dict(), len(state), MAX_WINDOW)
    # Shapes that are anything at all, and what transformers' configurations make of them.
    except Exception as error:
        raise ValueError(
            f"{path} is incomplete: {printable(error)} is missing or malformed. Download it again."
        ) from error
    return config


def _read_words(folder: Path) -> Any:
    """BERT's tokenizer."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise FileNotFoundError(
            f"No tokenizer in {folder}. A GroundingDINO .pth needs the one of bert-base-uncased "
            "(tokenizer.json or vocab.txt): put it next to the .pth, or use the folder grounding-dino-tiny "
            "from "
            "the hub, which has everything."
        )
    check_tokenizer_files(folder)
    with _words_for(folder, "Download tokenizer.json and vocab.txt of bert-base-uncased again."):
        return library.BertTokenizerFast.from_pretrained(folder, local_files_only=True)
