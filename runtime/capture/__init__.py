"""Captures: the sound around events and close misses, stored to be sorted and learned from."""
