"""The options that say which model draws, where its files are, and how it computes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

from ..checkpoints.bundle import SearchFolders
from ..checkpoints.catalog.folders import find_comfyui, model_folders
from ..checkpoints.catalog.published_models import PUBLISHED
from ..config import PRESETS
from ..dtypes import DTYPES
from ..pipeline import EchoGenPipeline
from ..utils.option_checks import Unused
from ..utils.option_types import device
from .models import PACK, search_folders


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds them."""
    parser.add_argument("--model", default="nano", choices=list(PRESETS), help="model to use")
    parser.add_argument(
        "--weights",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders to search for the model's files (default: nano's own, or those of your ComfyUI)",
    )
    parser.add_argument(
        "--comfyui",
        metavar="PATH",
        help="search this ComfyUI's model folders (default: COMFYUI_PATH, or where this pack is installed)",
    )
    parser.add_argument(
        "--transformer",
        type=Path,
        metavar="FILE",
        help="use this transformer instead of the model's own, e.g. subject.safetensors of a training run; "
        "a file of subject parameters alone also needs its base model, beside it or among the model's files",
    )
    parser.add_argument("--device", type=device, help="cuda, mps, cpu, ... (default: cuda if available)")
    parser.add_argument(
        "--dtype", choices=list(DTYPES), help="precision of the weights (default: bf16 on cuda, else fp32)"
    )


def unused(finds_subjects: Callable[[argparse.Namespace], bool]) -> tuple[Unused, ...]:
    """finds_subjects: whether models of ComfyUI's folders may find or outline the subject."""
    return (
        Unused(
            "--comfyui",
            lambda args: bool(args.weights) and not finds_subjects(args),
            "together with --weights, which names the folders to search. Give one of the two.",
        ),
        Unused(
            "--comfyui",
            lambda args: args.model not in PUBLISHED and not finds_subjects(args),
            f"on this model, whose weights come with the pack. Drop --comfyui, or choose --model "
            f"{' or '.join(name for name in PRESETS if name in PUBLISHED)}.",
        ),
    )


def chosen_device(args: argparse.Namespace) -> str:
    """The name of the device to compute on."""
    return args.device or ("cuda" if torch.cuda.is_available() else "cpu")


def chosen_dtype(args: argparse.Namespace, device: str) -> str:
    """The name of the weights' type."""
    return args.dtype or ("bf16" if device.startswith("cuda") else "fp32")


def load_pipeline(args: argparse.Namespace, device: str, shows_a_subject: bool) -> EchoGenPipeline:
    """The model that the options name.

    shows_a_subject: whether there is a reference. Raises as `EchoGenPipeline.from_bundle`, and ValueError for
    a reference that the model has no path for.
    """
    dtype = DTYPES[chosen_dtype(args, device)]
    pipeline = EchoGenPipeline.from_bundle(
        args.model, args.weights or _comfyui_folders(args), dtype, device, transformer=args.transformer
    )
    if shows_a_subject and not pipeline.bundle.transformer.config.subject:
        raise ValueError(
            "--reference needs an EchoGen transformer, and this one is a base model without a subject path. "
            "Choose another --transformer or --model, or drop --reference."
        )
    return pipeline


def _comfyui_folders(args: argparse.Namespace) -> SearchFolders | None:
    """Where ComfyUI keeps a published model's files; None for a model that comes with the pack."""
    if args.model not in PUBLISHED:
        return None
    return search_folders(args.model, model_folders(find_comfyui(args.comfyui, os.environ, PACK)))
