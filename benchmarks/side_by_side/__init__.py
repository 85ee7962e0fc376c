"""This runtime beside what one would pick instead, with the same weights: time, memory, start.

A `Contestant` is one way from a waveform to probabilities. Each runs in a process of its own, and those whose
packages are not this project's in an environment of their own (`environments`).
"""
