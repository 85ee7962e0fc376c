"""The contestants: each is one way from a waveform to probabilities."""
