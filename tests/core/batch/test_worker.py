"""What one process computes for its batches, and what it keeps of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from short_nano import short_bundle

from echogen_core.batch import worker as worker_module
from echogen_core.batch.plan import Plan, read_plan
from echogen_core.batch.worker import Worker
from echogen_core.config import PRESETS
from echogen_core.pipeline import EchoGenPipeline

from .conftest import Prefill

pytestmark = pytest.mark.usefixtures("one_thread")


class NoFiles:
    """For rows of prompts alone."""

    def read_mask(self, path: Path) -> torch.Tensor:
        raise AssertionError(path)

    def cut(self, path: Path, *where: Any) -> Any:
        raise AssertionError(path)


@pytest.fixture(scope="module")
def pipeline() -> EchoGenPipeline:
    return EchoGenPipeline(short_bundle())


def plan_of(folder: Path, rows: Sequence[dict[str, Any]]) -> Plan:
    path = folder / "jobs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return read_plan(path, {"seeds": [0]}, PRESETS["nano"], batch_size=2)


def test_a_sweep_over_guidance_computes_each_prompt_once_however_little_room_there_is(
    pipeline: EchoGenPipeline,
    prefills: list[Prefill],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch's own prefills stay for the next one that shares some, and go for one that doesn't."""
    monkeypatch.setattr(worker_module, "KEPT_PREFILLS", 0)
    places = ("forest", "street", "kitchen", "desert")
    rows = [{"prompt": f"a {place}", "gamma_t": gamma_t} for place in places for gamma_t in (2, 3, 4)]
    batches = list(plan_of(tmp_path, rows).batches())
    assert [len(batch) for batch in batches] == [2] * 6
    worker = Worker(pipeline, NoFiles())
    held = []
    for batch in batches:
        assert len(worker.draw(batch, ()).pictures) == 2
        held.append(pipeline.prefill.nbytes)
    of_prompts = Counter(each.prompt for each in prefills if each.prompt is not None)
    assert of_prompts == {f"a {place}": 1 for place in places}
    assert len(set(held[:3])) == 1 and max(held[3:]) <= held[0] * 1.1, "the first two prompts have gone"
    assert worker.prefills == len(prefills)
