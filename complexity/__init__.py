"""Weighs: parameters, bytes, MACs and activations of a model, by a challenge's rule and as deployed."""
