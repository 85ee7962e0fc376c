"""The inference package that DCASE 2025 Task 1 asks for: installable, self-contained, INT8."""
