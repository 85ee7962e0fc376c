"""The commands of ``python -m runtime``: classify, serve, doctor, and those of `microphone`."""
