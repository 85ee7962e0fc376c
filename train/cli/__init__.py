"""The commands of ``python -m train`` and how they read recipes."""
