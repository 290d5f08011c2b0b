"""Weight files into modules and back: published ones by key tables, our own by their metadata."""

from .bundle import ASSETS, Bundle, check_patch, load_bundle, save_bundle
from .identify import Identity, identify
from .load import Loaded, LoadInfo, load, load_part, load_tokenizer, load_transformer
from .read import read_weights
from .save import save_part

__all__ = [
    "ASSETS",
    "Bundle",
    "Identity",
    "LoadInfo",
    "Loaded",
    "check_patch",
    "identify",
    "load",
    "load_bundle",
    "load_part",
    "load_tokenizer",
    "load_transformer",
    "read_weights",
    "save_bundle",
    "save_part",
]
