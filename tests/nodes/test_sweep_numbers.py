"""γ Sweep draws the numbers that its labels and its message to the page show."""

from __future__ import annotations

from typing import Any

import pytest
from test_execution import SAMPLER, run, same_bits
from test_sweep import sweep

import comfy_pack

LARGEST = 2**64 - 1


@pytest.mark.parametrize(
    ("seed", "told"), [(LARGEST, str(LARGEST)), (2**53 + 1, str(2**53 + 1)), (2**53 - 1, 2**53 - 1)]
)
def test_a_long_seed_is_drawn_shown_and_told_whole(
    pack: dict[str, Any], models: Any, seed: int, told: int | str
) -> None:
    output = sweep(pack, models, gamma_t="0-1 [4]", gamma_i="1,5; 2", vary="seed", values=str(seed))
    (table,) = output.ui["echogen_sweep"]
    assert table["pages"] == [{"title": f"seed {seed}", "set": {"seed": told}}]
    cell, bits = table["cells"][5], output.result[1][5]
    inputs = {**SAMPLER, "gamma_t": cell["gamma_t"], "gamma_i": cell["gamma_i"], "seed": seed}
    single, _ = run(pack, "EchoGenSampler", model=models.model, **inputs)
    assert (cell["gamma_t"], cell["gamma_i"]) == (0.3333333333, 1.5) and same_bits(bits, single)


def test_labels_are_the_numbers_that_are_drawn(
    pack: dict[str, Any], models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    grids = comfy_pack.pack_module("nodes.sweep_grids")
    labels: list[Any] = []

    class Recorded(grids.LabelledGrid):  # type: ignore[misc, name-defined]
        def __init__(self, *arguments: Any) -> None:
            labels.append(arguments[1:4])
            super().__init__(*arguments)

    monkeypatch.setattr(grids, "LabelledGrid", Recorded)
    output = sweep(pack, models, gamma_t="0-1 [4]", gamma_i="2.123456", vary="tau", values="0.1234567")
    (table,) = output.ui["echogen_sweep"]
    ((columns, rows, title),) = labels
    assert [float(text) for text in columns] == table["columns"]
    assert [float(text) for text in rows] == table["rows"]
    assert title == table["pages"][0]["title"] == "tau 0.1234567"
    assert table["pages"][0]["set"] == {"tau": 0.1234567}


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"gamma_t": "0,5"}, r"γ_t: .*Write 0\.5, or 0, 5"),
        ({"gamma_i": "50%"}, r"γ_I: .*Write 0\.5"),
        ({"vary": "seed", "values": "2.5"}, "seed: expected whole numbers, got 2.5"),
        ({"vary": "seed", "values": "1,000"}, "seed: .*Write 1000, or 1, 000"),
        ({"vary": "seed", "values": str(2**64)}, "from 0 to 18446744073709551615"),
        ({"vary": "tau", "values": "0,5"}, r"tau: .*Write 0\.5"),
    ],
)
def test_what_could_mean_two_things_is_refused(
    pack: dict[str, Any], models: Any, inputs: dict[str, str], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        sweep(pack, models, **inputs)
