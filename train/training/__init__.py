"""The training loop: Lightning module, augmentation, schedule, evaluation and report."""
