"""The recipe that `learn` makes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from export.learn.recipe import Material, Plan, choose_frontend, student_recipe

RECIPES = Path(__file__).parents[3] / "train/recipes"


def recipe_of(responses: bool = True, changes: dict[str, str] | None = None, short: bool = False) -> dict:
    material = Material(["dog", "rain"], 100, Path("sounds.csv"), Path("sounds"), short, responses=responses)
    plan = Plan(Path("run"), {}, "cp_mel", steps=10, changes=changes or {})
    return student_recipe(material, plan)


def test_captures_are_those_of_the_recipe_that_bears_rooms_noise_and_clipping():
    recipe = yaml.safe_load((RECIPES / "esc10_cp_mobile_capture.yaml").read_text())
    expected = {**recipe["model"]["augmentation"]["capture"], "response_exclude": []}
    assert recipe_of()["model"]["augmentation"]["capture"] == expected


def test_without_impulse_responses_rooms_and_noise_stay():
    capture = recipe_of(responses=False)["model"]["augmentation"]["capture"]
    assert capture["response_p"] == 0 and capture["reverberation_p"] > 0


def test_a_change_stays_in_its_recipe():
    changed = recipe_of(changes={"model.augmentation.scene.mix_p": "0.5"}, short=True)
    assert changed["model"]["augmentation"]["scene"]["mix_p"] == 0.5
    assert recipe_of(short=True)["model"]["augmentation"]["scene"]["mix_p"] == 0


@pytest.mark.parametrize(
    ("rate", "frontend"),
    [
        (48_000, "cp_mel"),
        (32_000, "cp_mel"),
        (22_050, "cp_mel_16k"),
        (16_000, "cp_mel_16k"),
        (11_025, "cp_mel_8k"),
        (8_000, "cp_mel_8k"),
        (4_000, "cp_mel_8k"),
    ],
)
def test_the_front_end_is_the_widest_that_the_sounds_fill(rate, frontend):
    assert choose_frontend(None, rate) == frontend
    assert choose_frontend("passt_mel", rate) == "passt_mel"
