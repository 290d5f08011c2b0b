"""Picture to bits and back: binary spherical quantisation between a convolutional encoder and decoder."""

from .bsq import (
    Quantized,
    Scale,
    TeacherForcing,
    add_scale,
    bits_to_codes,
    codes_to_bits,
    next_scale_input,
    quantize_multiscale,
    quantize_with_bit_flips,
    sum_codes,
)
from .sketch import Sketcher
from .tokenizer import BitTokenizer, EncodedBits

__all__ = [
    "BitTokenizer",
    "EncodedBits",
    "Quantized",
    "Scale",
    "Sketcher",
    "TeacherForcing",
    "add_scale",
    "bits_to_codes",
    "codes_to_bits",
    "next_scale_input",
    "quantize_multiscale",
    "quantize_with_bit_flips",
    "sum_codes",
]
