"""The training loop: Lightning module, schedule, evaluation, report and callbacks."""
