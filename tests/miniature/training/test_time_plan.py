"""How the time of a whole training is shared out."""

from __future__ import annotations

import pytest

from miniature.training.time_plan import PHASES, stage_ends

ENCODERS = {"tokenizer", "semantic", "content"}


def test_a_fresh_run_follows_the_table() -> None:
    ends = stage_ends(500, {}, set())
    assert ends == pytest.approx(
        {"semantic": 130, "tokenizer": 170, "content": 170, "transformer": 500, "decoder": 500}
    )
    assert sum(phase.share for phase in PHASES.values()) == pytest.approx(1)


def test_a_phase_that_was_cut_gets_what_it_lacks() -> None:
    ends = stage_ends(420, {"tokenizer": 80, "semantic": 80}, set())
    assert ends["semantic"] == pytest.approx(50), "130 of 500 seconds, of which it has had 80"
    assert ends["tokenizer"] == ends["content"] == pytest.approx(90)
    unending = stage_ends(400, {"tokenizer": 400, "semantic": 400}, set())
    assert unending["semantic"] > 0, "it is unfinished, whatever it has had"


def test_what_is_finished_gets_nothing() -> None:
    spent = {"tokenizer": 170.0, "semantic": 130.0, "content": 40.0, "transformer": 100.0}
    ends = stage_ends(200, spent, ENCODERS)
    assert ends["content"] == 0 and ends["transformer"] == 200
    assert stage_ends(200, spent, {*ENCODERS, "transformer"})["decoder"] == 200
    late = stage_ends(200, {"semantic": 50}, {"tokenizer"})
    assert 0 < late["semantic"] < late["content"] < late["transformer"] == 200
