"""File formats, read without running code in them: safetensors, pickles, archives of torch."""
