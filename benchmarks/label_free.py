"""How much of the gap between a tenth of the labels and all of them teachers close, on synthetic scenes.

    python -m benchmarks.label_free    # benchmarks/results/label_free.json

Five students of train/recipes/synthetic_demo.yaml, all with the same number of steps: taught by all labels;
by a tenth of the clips and their labels, ten times as often; by the labels of a tenth together with a
teacher's answers to all clips, where the teacher was the first student, or the second; and by the first one's
answers alone, without any label. Scored on the test split, which has devices that nobody was trained on. A
run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.esc10 import RESULTS, machine, run_recipe
from runtime import door
from runtime.files import write_beside

RECIPE = Path("train/recipes/synthetic_demo.yaml")
CLIPS, EPOCHS, VIEWS = 1500, 12, 12  # the recipe's; as many views as epochs
SHARE = 0.1


def main(arguments: list[str]) -> int:
    """Train what is missing, score, and write the table; returns an exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_free", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/label_free"), help="folder of the trainings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    figures = _run(options.runs, options.seed)
    low, full = figures["a tenth of the labels"], figures["all labels"]
    result = {
        "data": f"synthetic scenes, {CLIPS} training clips, test split with unseen devices",
        "recipe": str(RECIPE), "share_of_labels": SHARE, "seed": options.seed, "runs": 1,
        "accuracy_of_clips": figures,
        "share_of_the_gap_recovered": {
            name: (value - low) / (full - low) for name, value in figures.items() if "teacher" in name
        },
        "machine": machine(), "command": "python -m benchmarks.label_free",
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    with write_beside(RESULTS / "label_free.json") as partial:
        partial.write_text(json.dumps(result, indent=2) + "\n")
    return door.EXIT_OK


def _run(runs: Path, seed: int) -> dict[str, float]:
    """Clip accuracy of every student, by what taught it."""
    all_labels = _student(runs / "all", seed)
    tenth = [f"--data.corpus.train_clips={round(SHARE * CLIPS)}", f"--trainer.max_epochs={EPOCHS * 10}"]
    few = _student(runs / "tenth", seed, *tenth)
    figures = {"all labels": all_labels, "a tenth of the labels": few}
    for name, teacher, label_weight in (
        ("a tenth and a teacher of all labels", "all", 0.1),
        ("a tenth and a teacher of that tenth", "tenth", 0.1),
        ("a teacher of all labels alone", "all", 0.0),
    ):
        logits = runs / f"{teacher}.h5"
        if not logits.is_file():
            asked = ("--teacher", str(runs / teacher / "model.pt"), f"--views={VIEWS}", f"--output={logits}")
            run_recipe("teach", RECIPE, seed, *asked)
        figures[name] = _student(
            runs / f"taught_by_{teacher}_{label_weight}", seed,
            f"--data.labelled={SHARE if label_weight else 0.0}", f"--model.distillation.stores=[{logits}]",
            f"--model.distillation.label_weight={label_weight}",
        )  # fmt: skip
    return figures


def _student(folder: Path, seed: int, *changes: str) -> float:
    """Train and test a student unless that has been done; returns its accuracy."""
    report = folder / "test_report.json"
    options = (*changes, f"--trainer.default_root_dir={folder}")
    if not (folder / "model.pt").is_file():
        last = folder / "checkpoints" / "last.ckpt"
        run_recipe("fit", RECIPE, seed, *options, *(["--ckpt_path=last"] if last.is_file() else []))
    if not report.is_file():
        run_recipe("test", RECIPE, seed, *options)
    values: dict[str, Any] = json.loads(report.read_text())
    return float(values["clip_accuracy"])


if __name__ == "__main__":
    door.run(main)
