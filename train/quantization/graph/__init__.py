"""The exported graph that is quantized: names of its values, rewriting, alignment of its scales."""
