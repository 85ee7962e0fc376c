"""The packaged model: cross-validated, made, and described by a card.

    python -m benchmarks.box_model COMMAND --teacher mn04_as_mAP_432.pt --negatives DIR DIR

``crossvalidate`` trains a teacher and a student on every three of the folds 1 to 4 of ESC-10 and measures
the exported file on the fourth; fold 5 is never read. ``ship`` trains on all four, takes temperature and
thresholds from the cross-validation, and writes runtime/models/esc10.onnx and MODEL_CARD.md. ``ablate``
trains without the teacher, the mixtures and the captures; ``without-teacher`` compares the first training,
as long as the recipe has it, with and without the teacher. All continue where they were interrupted.
`trainings.py` trains, also with sounds that `negatives.py` fetches, `measurement.py` measures one fold,
also on sounds that `unheard.py` fetches, `summary.py` pools the folds, `thresholds.py` fits those of events,
`card.py` writes the card, `ablation.py` takes the parts away, `unknown_scores.py` compares scores of unknown
sounds.
"""
