"""The catalog of 3-D models: names, licences, splits."""

from __future__ import annotations

import pytest

from miniature.data import furniture

CATALOG = """
name#1=Teddy bear
model#1=/a/bear.obj
creator#1=Someone
name#2=teddy  Bear
model#2=/a/bear2.obj
name#3=Chair
model#3=/a/chair.obj
modelRotation#3=0 0 1 0 1 0 -1 0 0
name#4=Bill 10\\u20ac
model#4=/a/bill.obj
"""


def test_the_catalog_is_read_in_order_with_its_licence() -> None:
    models = furniture.parse_catalog(CATALOG, "BlendSwap-CC-BY")
    assert [model.name for model in models] == ["Teddy bear", "teddy  Bear", "Chair", "Bill 10€"]
    assert models[0].id == "BlendSwap-CC-BY-001"
    assert models[0].model_path == "a/bear.obj"
    assert models[0].licence == "CC-BY-3.0"
    assert models[2].rotation == (0, 0, 1, 0, 1, 0, -1, 0, 0)


def test_no_model_of_a_held_out_name_is_trained_on_and_only_the_first_is_measured() -> None:
    models = furniture.parse_catalog(CATALOG, "Scopia")
    split = furniture.split_models(models, ["Teddy bear"])
    assert [model.id for model in split.heldout] == ["Scopia-001"]
    assert [model.name for model in split.train] == ["Chair", "Bill 10€"]


def test_a_held_out_name_that_the_catalog_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="unicorn"):
        furniture.split_models(furniture.parse_catalog(CATALOG, "Scopia"), ["Unicorn"])


def test_the_packaged_list_names_sixty_subjects() -> None:
    names = furniture.read_heldout_names()
    assert len(names) == len(set(names)) == 60
    assert "Teddy bear" in names
