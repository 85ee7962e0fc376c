"""The recipe that `learn` makes."""

from __future__ import annotations

from pathlib import Path

import yaml

from export.learn.recipe import Material, Plan, student_recipe

RECIPES = Path(__file__).parents[3] / "train/recipes"


def recipe_of(responses: bool = True, changes: dict[str, str] | None = None, short: bool = False) -> dict:
    material = Material(["dog", "rain"], 100, Path("sounds.csv"), Path("sounds"), short, responses=responses)
    plan = Plan(Path("run"), {}, "cp_mel", steps=10, changes=changes or {})
    return student_recipe(material, plan)


def test_captures_are_those_of_the_recipe_that_bears_rooms_and_clipping_in_weaker_noise():
    recipe = yaml.safe_load((RECIPES / "esc10_cp_mobile_capture.yaml").read_text())
    noise = {"noise_p": 0.5, "noise_kinds": ["white", "pink", "hum"], "noise_snr_db": [0.0, 40.0]}
    expected = {**recipe["model"]["augmentation"]["capture"], **noise, "response_exclude": []}
    assert recipe_of()["model"]["augmentation"]["capture"] == expected


def test_without_impulse_responses_rooms_and_noise_stay():
    capture = recipe_of(responses=False)["model"]["augmentation"]["capture"]
    assert capture["response_p"] == 0 and capture["reverberation_p"] > 0


def test_a_change_stays_in_its_recipe():
    changed = recipe_of(changes={"model.augmentation.scene.mix_p": "0.5"}, short=True)
    assert changed["model"]["augmentation"]["scene"]["mix_p"] == 0.5
    assert recipe_of(short=True)["model"]["augmentation"]["scene"]["mix_p"] == 0


def test_short_files_lie_anywhere_in_a_window_whole():
    assert recipe_of(short=True)["data"]["random_place"] is True
    assert "roll_s" not in recipe_of(short=True)["model"]["augmentation"]  # it would cut them in two
    assert "random_place" not in recipe_of()["data"]
