"""The commands of ``python -m runtime``: classify, listen, devices, doctor."""
